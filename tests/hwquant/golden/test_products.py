"""Products of two tensors in the fast path: the reference's integers, whatever the bits, shapes and multipliers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant import hwq
from hwquant.golden import run
from hwquant.interface import Input, Output
from hwquant.qgraph import Product, QGraph, Tensor
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.validate import validate


@st.composite
def products(draw):
    """A network of one product, of inputs or of an input with itself."""
    shape = tuple(draw(st.tuples(*[st.integers(1, 5)] * 3)))
    bits = draw(st.tuples(st.integers(2, 8), st.integers(2, 8), st.integers(2, 8)))
    shapes = shape, draw(st.sampled_from([shape, (shape[0], 1, 1)])), shape
    multiplier = draw(st.one_of(st.none(), st.integers(1, 1 << 15)))
    shift = draw(st.integers(0, 30 if multiplier else 16))
    scales = (1.0, 2.0**-shift * (multiplier or 1), 1.0)
    points = [draw(st.integers(-(1 << (n - 1)), (1 << (n - 1)) - 1)) for n in bits]
    tensors = {
        name: Tensor(name, *item)
        for name, item in zip("aby", zip(shapes, scales, points, bits, strict=True), strict=True)
    }
    limits = tensors["y"].limits
    low, high = sorted(draw(st.tuples(st.integers(*limits), st.integers(*limits))))
    product = Product("y", ("a", "b"), shift, low, high, multiplier)
    inputs = tuple(Input(name, tensors[name].shape, tensors[name].shape) for name in "ab")
    return QGraph("net", inputs, (product,), (Output("y", "y", shape),), tensors)


@given(products(), st.integers(0, 1 << 30))
def test_the_fast_path_equals_the_reference(qgraph, seed):
    validate(qgraph)
    inputs = random_inputs(np.random.default_rng(seed), qgraph, 3)
    np.testing.assert_array_equal(run(qgraph, inputs)["y"], run(qgraph, inputs, exact=True)["y"])


@pytest.mark.parametrize("seed", range(10))
def test_networks_with_products(seed):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, Features(products=True, multiplier=seed % 2 == 1))
    validate(qgraph)
    inputs, names = random_inputs(rng, qgraph, 3), list(qgraph.tensors)
    fast, exact = run(qgraph, inputs, keep=names), run(qgraph, inputs, keep=names, exact=True)
    for name in names:
        np.testing.assert_array_equal(fast[name], exact[name], err_msg=name)
    again = hwq.from_bytes(hwq.to_bytes(qgraph), "net.hwq")
    for name, values in run(again, inputs, keep=names).items():
        np.testing.assert_array_equal(values, fast[name], err_msg=name)
    assert hwq.to_bytes(again) == hwq.to_bytes(qgraph)


@given(products())
def test_files_keep_products(qgraph):
    data = hwq.to_bytes(qgraph)
    (again,) = hwq.from_bytes(data, "net.hwq").nodes
    assert vars(again) == vars(qgraph.nodes[0])
    assert hwq.to_bytes(hwq.from_bytes(data, "net.hwq")) == data
