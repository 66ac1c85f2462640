"""Products of two activations in integers: their scales fit by shifts, whatever else ties these."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant import golden
from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Graph, MaxPool, Multiply
from hwquant.interface import Input, Output
from hwquant.qgraph import Product
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.quantize.calibration import observe
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.precision import resolve_precision
from hwquant.quantize.scales import choose_scales
from hwquant.validate import validate
from hwquant.window import Window

SIZE = 5


def conv(name, source, out, channels, seed=0):
    rng = np.random.default_rng((seed, out, channels))
    return Conv(name, (source,), rng.normal(size=(out, channels, 1, 1)), rng.normal(0, 0.1, out))


def network(*nodes, channels=3, inputs=("x",)):
    ends = tuple(Input(name, (channels, SIZE, SIZE), (channels, SIZE, SIZE)) for name in inputs)
    graph = Graph("net", ends, nodes, ())
    last = nodes[-1].name
    return replace(graph, outputs=(Output("y", last, graph.shapes[last]),))


def gate(source, channels):
    """Squeeze-and-excitation, whose gate is called "gate"."""
    return (
        AveragePool("mean", (source,), Window((SIZE, SIZE), (SIZE, SIZE))),
        conv("squeeze", "mean", 4, channels),
        Clip("relu", ("squeeze",), 0),
        conv("excite", "relu", channels, 4),
        Clip("gate", ("excite",), 0, 1),
    )


NETWORKS = {
    "squeeze and excitation": network(
        conv("c", "x", 8, 3), *gate("c", 8), Multiply("m", ("c", "gate")), conv("y", "m", 4, 8)
    ),
    "of the network's input": network(*gate("x", 3), Multiply("m", ("x", "gate")), conv("y", "m", 4, 3)),
    "tied to itself by a residual": network(
        conv("c", "x", 8, 3),
        *gate("c", 8),
        Multiply("m", ("c", "gate")),
        Add("s", ("m", "c")),
        conv("y", "s", 4, 8),
    ),
    "a square, and its square": network(
        conv("c", "x", 6, 3), Multiply("m", ("c", "c")), Multiply("n", ("m", "m")), conv("y", "n", 4, 6)
    ),
    "clipped and pooled": network(
        conv("a", "x", 6, 3),
        conv("b", "x", 6, 3, seed=1),
        Multiply("m", ("a", "b")),
        MaxPool("p", ("m",), Window((2, 2), (2, 2))),
        Clip("k", ("p",), -1, 1),
        conv("y", "k", 4, 6),
    ),
    "joined with what it reads": network(
        conv("a", "x", 6, 3),
        *gate("a", 6),
        Multiply("m", ("a", "gate")),
        Concat("j", ("m", "a")),
        conv("y", "j", 4, 12),
    ),
}


@pytest.fixture
def samples():
    return np.random.default_rng(0).normal(size=(64, 3, SIZE, SIZE))


@pytest.mark.parametrize("scales", ["shift", "power_of_two", "multiplier"])
@pytest.mark.parametrize("name", NETWORKS)
def test_integers_follow_the_floats(name, scales, samples):
    graph = NETWORKS[name]
    qgraph = quantize(graph, samples, QuantizeOptions(scales=scales))
    want, got = predict(graph, samples)[0], golden.predict(qgraph, samples)[0]
    assert 10 * np.log10(np.var(want) / np.mean((want - got) ** 2)) > 15
    for node in qgraph.nodes:
        if isinstance(node, Product):
            assert (node.multiplier is None) == (scales != "multiplier")
            a, b, y = (qgraph.tensors[item].scale for item in (*node.inputs, node.name))
            tolerance = 1e-12 if node.multiplier is None else 1 / node.multiplier
            assert a * b * 2.0**node.shift == pytest.approx(y * (node.multiplier or 1), rel=tolerance)


def test_scales_that_are_decided_are_kept_and_the_others_suit_them(samples):
    plan = plan_layers(NETWORKS["squeeze and excitation"])
    precision = resolve_precision(plan, QuantizeOptions())
    first = choose_scales(precision, observe(plan.graph, {"x": samples}, plan.tensors))
    other = observe(plan.graph, {"x": 3 * samples}, plan.tensors)
    for decided in (
        ("x", "c"),
        ("m",),
        ("c", "m"),
        ("gate", "m"),
        ("x", "c", "mean", "relu", "gate", "m", "y"),
    ):
        second = choose_scales(precision, other, decided={name: first[name] for name in decided})
        for name in decided:
            assert second[name] is first[name]
        a, b, y = (second[name].scale.mantissa for name in ("c", "gate", "m"))
        assert np.log2(y / (a * b)) == pytest.approx(round(np.log2(y / (a * b))), abs=1e-9)


def test_an_output_is_no_finer_than_a_shift_makes_it(samples):
    """Large factors that never meet: their product is small, and counts in units of the product of their steps."""
    nodes = (
        conv("a", "x", 6, 3),
        Clip("above", ("a",), 0, np.inf),
        Clip("below", ("a",), -np.inf, 0.01),
        Multiply("m", ("above", "below")),
        conv("y", "m", 4, 6),
    )
    qgraph = quantize(network(*nodes), samples, QuantizeOptions(activation_bits={"above": 2, "below": 2}))
    (product,) = (node for node in qgraph.nodes if isinstance(node, Product))
    assert product.shift == 0


def test_a_clip_is_the_clamp_of_the_product_before_it(samples):
    graph = network(
        conv("a", "x", 6, 3), Multiply("m", ("a", "a")), Clip("k", ("m",), 0.5, 2), conv("y", "k", 4, 6)
    )
    qgraph = quantize(graph, samples)
    assert [node.name for node in qgraph.nodes] == ["a", "k", "y"]
    product, tensor = qgraph.nodes[1], qgraph.tensors["k"]
    assert isinstance(product, Product)
    low, high = tensor.dequantize(np.array([product.low, product.high]))
    assert (low, high) == (pytest.approx(0.5, abs=tensor.scale), pytest.approx(2, abs=tensor.scale))
    assert qgraph.options["layers"]["k"]["fused"] == ["m", "k"]


def test_what_is_multiplied_is_no_sum_that_is_handed_on(samples):
    graph = network(conv("a", "x", 6, 3), Multiply("m", ("a", "a")), conv("y", "m", 4, 6))
    qgraph = quantize(graph, samples, QuantizeOptions(chain_bits=24))
    assert qgraph.tensors["a"].bits == 8


def test_bits_of_a_product_go_by_all_names_that_are_fused_into_it(samples):
    graph = network(
        conv("a", "x", 6, 3), Multiply("m", ("a", "a")), Clip("k", ("m",), 0, 2), conv("y", "k", 4, 6)
    )
    for name in ("m", "k"):
        assert quantize(graph, samples, QuantizeOptions(activation_bits={name: 5})).tensors["k"].bits == 5


def test_a_product_that_is_always_zero_has_the_range_of_what_it_reads(samples):
    zero = Conv("z", ("x",), np.zeros((3, 3, 1, 1)), np.zeros(3))
    graph = network(zero, Multiply("m", ("x", "z")), conv("y", "m", 4, 3))
    qgraph = quantize(graph, samples)
    assert not golden.predict(qgraph, samples)[0].std(axis=(0, 2, 3)).any()


def test_factors_of_another_shape_are_refused():
    with pytest.raises(
        HwquantError, match=r"product 'm' reads factors of shape \(4, 5, 5\) for a tensor of shape \(3"
    ):
        network(conv("c", "x", 4, 3), Multiply("m", ("x", "c")))


def test_many_products_one_behind_the_other_stay_cheap():
    """Pixels that are exact at a scale of their own give each square more mantissas to choose from, up to a bound."""
    squares = [Multiply(f"m{i}", (f"m{i - 1}" if i else "x",) * 2) for i in range(8)]
    graph = network(*squares, conv("y", "m7", 4, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 3, SIZE, SIZE)) / 255
    qgraph = quantize(graph, pixels)
    validate(qgraph)
    assert sum(isinstance(node, Product) for node in qgraph.nodes) == 8
