"""The fast path against the reference: equal in every bit, wherever it may be used."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.golden import convolution, fast, layer, reference, run
from hwquant.golden.memory import Arena
from hwquant.interface import Input, Output
from hwquant.qgraph import Layer, MaxPool, QGraph, Tensor, Term
from hwquant.random_networks import Features, random_images, random_qgraph
from hwquant.ranges import accumulator_bound, tensor_ranges
from hwquant.window import Window


def equal(actual, expected):
    assert actual.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(actual[name], expected[name], name)
        assert actual[name].dtype == expected[name].dtype == np.int64


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    *(st.integers(0, 2**32), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 40)),
    st.sampled_from([0.0, 0.6]),
)
def test_random_networks_give_the_same_integers(seed, multiplier, mid_rise, every_tensor, images, tables):
    rng = np.random.default_rng(seed)
    steps = (1, 2) if mid_rise else (1,)
    qgraph = random_qgraph(
        rng, Features(multiplier=multiplier, steps=steps, weight_bits=(1, 8), tables=tables)
    )
    q = random_images(rng, qgraph, images)
    keep = list(qgraph.tensors) if every_tensor else None  # None lets pools merge into layers
    equal(run(qgraph, q, keep), run(qgraph, q, keep, exact=True))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_blocks_of_rows_do_not_change_the_integers(seed):
    """One row a block, instead of all: borders, strides and overlapping pools meet every block edge."""
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, Features(size=(6, 12)))
    q = random_images(rng, qgraph, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "BLOCK_BYTES", 1)
        patch.setattr(convolution, "PRODUCT_LIMITS", (1,))
        patch.setattr(convolution, "FEWEST_ROWS", 1)
        engine = fast.Engine(qgraph, [qgraph.outputs[0].tensor], 3, Arena())
        assert all(step.rows == 1 for step in engine.steps if isinstance(step, layer.LayerStep))
        equal(engine.run({"input": q}), run(qgraph, q, exact=True))


def test_chunks_do_not_change_the_integers(monkeypatch):
    rng = np.random.default_rng(1)
    qgraph = random_qgraph(rng)
    q = random_images(rng, qgraph, 23)
    expected = run(qgraph, q, exact=True)
    for images in (1, 2, 7, 23, 64):
        monkeypatch.setattr(fast, "IMAGES", images)
        equal(run(qgraph, q), expected)


def test_every_core_count_gives_every_image_once(monkeypatch):
    rng = np.random.default_rng(2)
    qgraph = random_qgraph(rng)
    monkeypatch.setattr(fast, "IMAGES", 20)
    for cores in (1, 2, 3, 8):
        monkeypatch.setattr(fast, "_cores", lambda cores=cores: cores)
        for count in (0, 1, 5, 16, 17, 40, 61):
            q = random_images(rng, qgraph, count)
            seen = np.zeros(count, int)

            def sink(chunk, values, seen=seen):
                seen[chunk] += 1
                assert len(values["input"]) == chunk.stop - chunk.start <= 20

            fast.stream(qgraph, count, lambda chunk, q=q: {"input": q[chunk]}, ["input"], sink)
            assert (seen == 1).all()


def test_an_error_in_a_thread_reaches_the_caller(monkeypatch):
    qgraph = random_qgraph(np.random.default_rng(3))
    monkeypatch.setattr(fast, "_cores", lambda: 2)

    def source(chunk):
        raise ValueError("no data")

    with pytest.raises(ValueError, match="no data"):
        fast.stream(qgraph, 200, source, [], lambda chunk, values: None)


def extreme(bound, shift=0, multiplier=None, balanced=False):
    """A layer whose accumulator bound is ``bound``, or just below with a multiplier, and inputs for it.

    Balanced, its two terms nearly cancel: partial sums reach half of the bound, the lowest bit still shows.
    """
    factor = multiplier or 1
    total = (bound - ((1 << shift) >> 1)) // factor
    weight = (total // (255 * 4) - 1) // 2
    offsets = (weight + 1, -weight) if balanced else (weight, weight)
    bias = total - 255 * 4 * sum(map(abs, offsets))
    codes = np.zeros((1, 4, 1, 1), np.int8)
    terms = tuple(
        Term("x", codes, np.array([offset]), np.ones(1), window=Window(codes.shape[2:])) for offset in offsets
    )
    shifts = np.array([shift])
    multipliers = None if multiplier is None else np.array([multiplier])
    target = Layer("y", terms, np.array([-bias if balanced else bias]), shifts, -128, 127, multipliers)
    tensors = {"x": Tensor("x", (4, 1, 1), 1.0, -128), "y": Tensor("y", (1, 1, 1), 1.0, 0)}
    qgraph = QGraph("n", (Input("x", (4,), (4, 1, 1)),), (target,), (Output("o", "y", (1,)),), tensors)
    q = np.repeat(np.arange(-128, 128), 4).reshape(256, 4, 1, 1)
    q[0::3, 0] = 127
    return qgraph, np.concatenate([q, np.random.default_rng(0).integers(-128, 128, (256, 4, 1, 1))])


def arithmetic(qgraph):
    """What the first layer is computed in."""
    step = fast.Engine(qgraph, ["y"], 1, Arena()).steps[0]
    return step.sums.dtype.name if isinstance(step, layer.LayerStep) else "reference"


@pytest.mark.parametrize(
    ("bound", "name"),
    [
        ((1 << 24) - 1, "float32"),
        (1 << 24, "float64"),
        ((1 << 24) + 1, "float64"),
        (1 << 30, "float64"),
        ((1 << 40) - 1, "float64"),
    ],
)
@pytest.mark.parametrize("shift", [0, 1, 3, 17, 23])
@pytest.mark.parametrize("balanced", [False, True])
def test_the_precision_follows_the_bound(bound, name, shift, balanced):
    qgraph, q = extreme(bound, shift, balanced=balanced)
    assert accumulator_bound(qgraph.nodes[0], qgraph, tensor_ranges(qgraph)) == [bound]
    assert arithmetic(qgraph) == name
    equal(run(qgraph, q), run(qgraph, q, exact=True))


@pytest.mark.parametrize(
    ("bound", "name"), [(1 << 53, "float64"), (1 << 54, "reference"), (1 << 62, "reference")]
)
@pytest.mark.parametrize("shift", [0, 26, 30, 48])
@pytest.mark.parametrize("balanced", [False, True])
def test_beyond_float64_the_reference_runs(bound, name, shift, balanced):
    qgraph, q = extreme(bound, shift, (1 << 26) + 1, balanced)
    found = accumulator_bound(qgraph.nodes[0], qgraph, tensor_ranges(qgraph))[0]
    assert bound - (1 << 27) < found < bound
    assert arithmetic(qgraph) == name
    equal(run(qgraph, q), run(qgraph, q, exact=True))


@pytest.mark.parametrize(("bound", "dtype"), [(1 << 26, np.float32), (1 << 55, np.float64)])
def test_the_bound_is_needed(bound, dtype):
    """Four times beyond the bound bits do get lost: the tests above would notice a bound that is too lax."""
    qgraph, q = extreme(bound, 3, balanced=True)
    source = np.zeros((1, 1, 4, len(q)), np.float32)
    source[...] = q.transpose(2, 3, 1, 0) + 128
    out = np.zeros((1, 1, 1, len(q)), np.float32)
    layer.LayerStep(qgraph.nodes[0], None, qgraph, [source, source], out, np.dtype(dtype), Arena())()
    expected = reference.run(qgraph, {"x": q})["y"]
    assert (out.ravel() != expected.ravel()).any()


def pooled(pool, kernel=3):
    """A layer whose only reader is ``pool``."""
    rng = np.random.default_rng(7)
    codes = rng.integers(-128, 128, (3, 2, kernel, kernel)).astype(np.int8)
    term = Term("x", codes, np.array([3]), np.ones(1), window=Window(codes.shape[2:], padding=(1, 1, 1, 1)))
    tensors = {"x": Tensor("x", (2, 9, 8), 1.0, 5)}
    conv = Layer("c", (term,), rng.integers(-99, 99, 3), np.array([5, 9, 12]), -40, 127)
    tensors["c"] = Tensor("c", conv.output_shape((2, 9, 8)), 1.0, -40)
    tensors["p"] = Tensor("p", pool.output_shape(tensors["c"].shape), 1.0, -40)
    return QGraph("n", (Input("x", (2, 9, 8), (2, 9, 8)),), (conv, pool), (Output("o", "p", ()),), tensors)


@pytest.mark.parametrize(
    "pool",
    [
        MaxPool("p", ("c",), Window((2, 2), (2, 2))),
        MaxPool("p", ("c",), Window((3, 3), (3, 3))),  # leaves columns that no window sees
        MaxPool("p", ("c",), Window((3, 2), (1, 1))),
        MaxPool("p", ("c",), Window((3, 3), (2, 2), (1, 1, 1, 1))),
        MaxPool("p", ("c",), Window((2, 3), (2, 1), (0, 2, 1, 0))),
        MaxPool("p", ("c",), Window((2, 2), (1, 2), (0, 0, 0, 0), (3, 2))),
        MaxPool("p", ("c",), Window((1, 1), (2, 3))),
        MaxPool("p", ("c",), Window((9, 8), (1, 1))),
    ],
    ids=str,
)
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_a_merged_pool_gives_the_same_integers(pool, block, monkeypatch):
    monkeypatch.setattr(layer, "BLOCK_BYTES", block)
    qgraph = pooled(pool)
    q = random_images(np.random.default_rng(8), replace(qgraph, inputs=qgraph.inputs), 5)
    engine = fast.Engine(qgraph, ["p"], 5, Arena())
    assert len(engine.steps) == 1
    expected = reference.run(qgraph, {"x": q})
    equal(engine.run({"x": q}), {"p": expected["p"]})
    equal(fast.Engine(qgraph, ["c", "p"], 5, Arena()).run({"x": q}), {"c": expected["c"], "p": expected["p"]})


def test_a_layer_with_another_reader_is_not_merged_into_its_pool():
    qgraph = pooled(MaxPool("p", ("c",), Window((2, 2), (2, 2))))
    other = MaxPool("p2", ("c",), Window((3, 3), (2, 2)))
    tensors = {**qgraph.tensors, "p2": Tensor("p2", other.output_shape(qgraph.tensors["c"].shape), 1.0, -40)}
    qgraph = replace(qgraph, nodes=(*qgraph.nodes, other), tensors=tensors)
    q = random_images(np.random.default_rng(9), qgraph, 5)
    engine = fast.Engine(qgraph, ["p", "p2"], 5, Arena())
    assert len(engine.steps) == 3
    expected = reference.run(qgraph, {"x": q})
    equal(engine.run({"x": q}), {"p": expected["p"], "p2": expected["p2"]})


def test_an_engine_can_run_again():
    rng = np.random.default_rng(10)
    qgraph = random_qgraph(rng, Features(layers=(3, 3)))
    engine = fast.Engine(qgraph, list(qgraph.tensors), 6, Arena())
    for count in (6, 2, 6):
        q = random_images(rng, qgraph, count)
        equal(engine.run({"input": q}), run(qgraph, q, list(qgraph.tensors), exact=True))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_every_integer_dtype_is_accepted(dtype):
    rng = np.random.default_rng(11)
    qgraph = random_qgraph(rng)
    q = random_images(rng, qgraph, 4)
    equal(run(qgraph, q.astype(dtype)), run(qgraph, q, exact=True))
