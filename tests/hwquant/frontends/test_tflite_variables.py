"""Variables of TensorFlow Lite files are states, and go through sequences as LiteRT's do."""

import numpy as np
import pytest
from hwquant_testing.tflite_files import (
    Operation,
    Tensor,
    assign,
    beginning,
    built,
    constant,
    handle,
    litert_calls,
    once,
    read,
    resource,
)
from hwquant_testing.tflite_kept import streaming

from hwquant import Stream, find_states, load_model, quantize_network
from hwquant.errors import Damaged, Unsupported

RNG = np.random.default_rng(0)
ADD = {"table": "AddOptions"}


def path_of(content, folder):
    path = folder / "net.tflite"
    path.write_bytes(content)
    return path


def states(graph):
    return {item.name: item.state for item in graph.inputs if item.state is not None}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sequences_of_integers_are_what_litert_computes(seed, tmp_path):
    path = path_of(streaming(seed), tmp_path)
    graph = load_model(path)
    assert states(graph) == {"first": "first/next", "second": "second/next"}
    assert find_states(graph) == {}  # none is left to be found
    qgraph = quantize_network(graph)
    x = RNG.integers(-128, 128, (60, 2, 1, 4)).astype(np.int8)
    want = litert_calls(path, x).astype(int)
    stream = Stream(qgraph)
    name = qgraph.inputs[0].name
    parts = [stream.predict({name: part})[0] for part in (x[:25], x[25:])]
    got = np.concatenate(parts).reshape(want.shape) * 256
    assert len(np.unique(want)) > 20
    assert (got == np.rint(got)).all()
    assert np.abs(got - want).max() <= 1
    assert (got == want).mean() >= 0.98
    stream.reset()
    assert (stream.predict({name: x[:25]})[0] == parts[0]).all()


def floats(steps, count, outputs, values, tensors=None, once_first=True):
    """A file on vectors (1, 3): tensors 0 the input, 1 and 2 variables "a" and "b", then ``count`` more."""
    made = [Tensor((1, 3)), resource(), resource(), *(Tensor((1, 3)) for _ in range(count))]
    for number, tensor in (tensors or {}).items():
        made[number] = tensor
    begun = [once()] if once_first else []
    steps = [*begun, handle(1, "a"), handle(2, "b"), *steps]
    return built(made, steps, [0], outputs, [beginning(values)] if once_first else [])


def add(one, two, made):
    return Operation("ADD", (one, two), (made,), "AddOptions")


ZEROS = constant([[0, 0, 0]])
NUMBERS = constant([[1, -2, 3]])


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        # What is read after the assignment is what was assigned: y = a + x + (a + x).
        (floats([read(1, 3), add(0, 3, 4), assign(1, 4), read(1, 5), add(4, 5, 6)], 4, [6], {"a": ZEROS}), 1),
        # Read twice before it: one state.
        (floats([read(1, 3), read(1, 4), add(3, 4, 5), add(0, 5, 6), assign(1, 6)], 4, [6], {"a": ZEROS}), 1),
        # A line of two: b takes what a was.
        (
            floats(
                [read(1, 3), read(2, 4), assign(2, 3), assign(1, 0), add(3, 4, 5), add(0, 5, 6)],
                4,
                [6],
                {"a": ZEROS, "b": ZEROS},
            ),
            2,
        ),
        # Both keep the same tensor, which is an output as well.
        (
            floats(
                [read(1, 3), read(2, 4), add(3, 4, 5), add(0, 5, 6), assign(2, 6), assign(1, 6)],
                4,
                [6],
                {"a": ZEROS, "b": ZEROS},
            ),
            2,
        ),
        # Never assigned: a constant.
        (floats([read(1, 3), add(0, 3, 4)], 2, [4], {"a": NUMBERS}), 0),
        # Assigned before it is read, or never read: nothing is kept.
        (floats([assign(1, 0), read(1, 3), add(0, 3, 4)], 2, [4], {}, once_first=False), 0),
        (floats([assign(1, 0), add(0, 0, 3)], 1, [3], {"a": NUMBERS}), 0),
    ],
)
def test_order_decides_what_a_variable_is(content, kept, tmp_path):
    path = path_of(content, tmp_path)
    graph = load_model(path)
    assert len(states(graph)) == kept
    x = RNG.standard_normal((5, 3)).astype(np.float32)
    got = Stream(graph).predict({graph.inputs[0].name: x})[0]
    np.testing.assert_allclose(got, litert_calls(path, x), rtol=1e-6)


INT8 = {"scales": (0.1,), "zeros": (5,)}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (streaming(0, begin=3), r"READ_VARIABLE \(variable 'first'\): it does not begin with zeros"),
        (streaming(0, scale=0.06), r"'t3' and 't8' differ in their type, scale or zero point"),
        (
            floats(
                [read(1, 3), assign(1, 4)],
                2,
                [3],
                {"a": constant([[5, 5, 5]], np.int8, **INT8)},
                {
                    0: Tensor((1, 3), np.int8, **INT8),
                    3: Tensor((1, 3), np.int8, **INT8),
                    4: constant([[0, 0, 0]], np.int8, scales=(0.2,), zeros=(5,)),
                },
            ),
            r"ASSIGN_VARIABLE \(variable 'a'\): its tensors 't3' and 't4' differ in their type, scale",
        ),
        (
            floats([read(1, 3), assign(1, 4), add(0, 3, 5)], 3, [5], {"a": ZEROS}, {4: NUMBERS}),
            r"ASSIGN_VARIABLE \(variable 'a'\): what it assigns is a constant",
        ),
        (
            floats([read(1, 3), add(0, 3, 4), assign(1, 4), assign(1, 0)], 2, [4], {"a": ZEROS}),
            r"ASSIGN_VARIABLE \(variable 'a'\): it is assigned twice in one call",
        ),
        (
            floats([read(1, 3), add(0, 3, 4), assign(1, 4)], 2, [4], {}, once_first=False),
            r"READ_VARIABLE \(variable 'a'\): it is read before anything is assigned",
        ),
        (
            floats([read(1, 3), add(0, 3, 4), assign(1, 4)], 2, [4], {"a": constant([[0, 0]])}),
            r"it is FLOAT32 of shape \(1, 3\), and begins as FLOAT32 of shape \(1, 2\)",
        ),
        (
            floats([read(0, 3), add(0, 3, 4)], 2, [4], {"a": ZEROS}),
            r"its variable is none that VAR_HANDLE gives",
        ),
        (floats([add(0, 1, 3)], 1, [3], {"a": ZEROS}), r"ADD: it takes a variable"),
        (
            built(
                [Tensor((1, 3)), Tensor((1, 3))],
                [once(), add(0, 0, 1)],
                [0],
                [1],
                [([NUMBERS, NUMBERS, Tensor((1, 3))], [add(0, 1, 2)])],
            ),
            r"CALL_ONCE: it calls ADD once",
        ),
        (
            built([Tensor((1, 3)), Tensor((1, 3))], [add(0, 0, 1)], [0], [1], [beginning({"a": ZEROS})]),
            r"it has 2 subgraphs; convert one function",
        ),
        (
            built([Tensor((1, 3)), Tensor((1, 3))], [once(0), add(0, 0, 1)], [0], [1]),
            r"it has 1 subgraphs; convert one function",
        ),
    ],
)
def test_what_is_ambiguous_is_refused_by_name(content, why, tmp_path):
    with pytest.raises(Unsupported, match=f"is a TensorFlow Lite file; .*{why}"):
        load_model(path_of(content, tmp_path))


def test_a_variable_as_an_output_is_damage(tmp_path):
    with pytest.raises(Damaged, match="one of its outputs is a variable"):
        load_model(path_of(floats([add(0, 0, 3)], 1, [3, 1], {"a": ZEROS}), tmp_path))


def test_states_that_a_file_has_stay_beside_others(tmp_path):
    content = floats([read(1, 3), add(0, 3, 4), assign(1, 4)], 2, [4], {"a": ZEROS})
    graph = load_model(path_of(content, tmp_path), states={"a/next": "a"})
    assert states(graph) == {"a": "a/next"}
