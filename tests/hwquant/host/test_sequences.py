"""Ends on the host, with states, without a batch dimension, with open shapes, and of old operator sets."""

import numpy as np
import pytest
from hwquant_testing.cut_models import by_batches, host_node, model, rng, session
from onnx.helper import make_node

import hwquant
from hwquant import golden, hwq
from hwquant.errors import HwquantError, Unsupported
from hwquant.export import float_to_onnx
from hwquant.floating import predict
from hwquant.frontends import from_onnx
from hwquant.states import with_states

WEIGHTS = {
    "last": np.asarray(-1, np.int64),
    "w": rng(1).standard_normal((4, 4, 3)) / 4,
    "u": rng(2).standard_normal((4, 4, 3)) / 4,
}


def recurrent(*more, outputs=("y", "next")):
    """``next = relu(conv(cumsum(x)) + conv(state))``, and sums of it that no array does."""
    nodes = [
        host_node("x", "h"),
        make_node("Conv", ["h", "w"], ["a"], pads=[1, 1], name="a"),
        make_node("Conv", ["state", "u"], ["b"], pads=[1, 1], name="b"),
        make_node("Add", ["a", "b"], ["c"], name="c"),
        make_node("Relu", ["c"], ["next"], name="next"),
        host_node("next", "t"),
        *(more or [make_node("Mul", ["t", "x"], ["y"], name="y")]),
    ]
    return model(nodes, {"x": (1, 4, 6), "state": (1, 4, 6)}, outputs, WEIGHTS)


def in_sequence(made, x):
    """What onnxruntime gives where it is handed its own state."""
    runtime, state, rows = session(made), np.zeros((1, 4, 6), np.float32), []
    for index in range(len(x)):
        y, state = runtime.run(None, {"x": x[index : index + 1], "state": state})
        rows.append((y, state))
    return [np.concatenate(part) for part in zip(*rows)]


@pytest.fixture(scope="module")
def x():
    return rng(3).standard_normal((12, 4, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def qgraph(x):
    graph = with_states(from_onnx(recurrent()), {"next": "state"})
    return hwquant.quantize_network(graph, x, error_compensation=False)


def test_the_head_comes_first_then_the_states_are_carried_then_comes_the_tail(x):
    made = recurrent()
    graph = with_states(from_onnx(made), {"next": "state"})
    assert [(node.name, node.end) for node in graph.host.nodes] == [
        ("h", "head"),
        ("t", "tail"),
        ("y", "tail"),
    ]
    assert [item.name for item in graph.given_inputs] == ["x"]
    for one, other in zip(predict(graph, x), in_sequence(made, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_integers_carry_them_too_in_parts_and_from_a_file(qgraph, x, tmp_path):
    whole = golden.predict(qgraph, x)
    for one, other in zip(whole, in_sequence(recurrent(), x), strict=True):
        assert np.square(one - other).sum() < 1e-2 * np.square(other).sum()
    stream = golden.Stream(qgraph)
    parts = [stream.predict(x[:5]), stream.predict({"x": x[5:]})]
    hwq.save(qgraph, tmp_path / "net.hwq")
    again = golden.predict(hwq.load(tmp_path / "net.hwq"), x)
    for number, expected in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[number] for part in parts]), expected)
        np.testing.assert_array_equal(again[number], expected)


def test_integers_of_what_is_given_leave_the_states_out(qgraph, x):
    q, given = golden.quantize_input(qgraph, x), golden.quantize_given(qgraph, x)
    assert (set(q), set(given)) == ({"h", "state"}, {"h"})
    np.testing.assert_array_equal(q["h"], given["h"])
    np.testing.assert_array_equal(
        q["state"][0], golden.quantize_states(qgraph, {"state": np.zeros((1, 4, 6))})["state"][0]
    )
    delivered = golden.deliver(qgraph, x, golden.run(qgraph, q))
    for one, other in zip(delivered, golden.predict(qgraph, x), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("made", "pairs", "message"),
    [
        (recurrent(), {"y": "state"}, r"there is no output 'y' to be the next state; there are next; what the host"),
        (recurrent(), {"next": "x"}, r"there is no input 'x' to be a state; there are state, h; what the host"),
        (recurrent(), {"next": "h"}, r"the host's part of network 'net' computes 'h', which cannot be a state"),
        (
            recurrent(make_node("Mul", ["t", "state"], ["y"], name="y")),
            {"next": "state"},
            r"the host's part of network 'net' reads 'state' in its tail, so that it cannot be a state",
        ),
    ],
)  # fmt: skip
def test_a_state_that_the_host_makes_or_reads_is_refused_by_name(made, pairs, message):
    with pytest.raises(HwquantError, match=message):
        with_states(from_onnx(made), pairs)


@pytest.mark.parametrize("length", [1, 5])
def test_a_model_without_a_batch_dimension_is_cut_too(length, tmp_path):
    nodes = [
        host_node("x", "h"),
        make_node("MatMul", ["h", "w"], ["a"], name="a"),
        make_node("Relu", ["a"], ["r"], name="r"),
        host_node("r", "y"),
    ]
    made = model(nodes, {"x": ("T", 8)}, ["y"], {**WEIGHTS, "w": rng(4).standard_normal((8, 4))})
    graph = from_onnx(made, shapes={"x": (length, 8)}, batch_axis=None)
    assert ([node.name for node in graph.host.nodes], graph.host.batch) == (["h", "y"], 0)
    x = rng(5).standard_normal((6, length, 8)).astype(np.float32)
    wanted = np.stack([session(made).run(None, {"x": sample})[0] for sample in x])
    np.testing.assert_allclose(predict(graph, x)[0], wanted, rtol=1e-4, atol=1e-5)
    qgraph = hwquant.quantize_network(graph, x, error_compensation=False)
    hwq.save(qgraph, tmp_path / "net.hwq")
    got = golden.predict(hwq.load(tmp_path / "net.hwq"), x)[0]
    np.testing.assert_array_equal(got, golden.predict(qgraph, x)[0])
    assert np.square(got - wanted).sum() < 1e-2 * np.square(wanted).sum()
    with pytest.raises(
        Unsupported, match="'net' has no batch dimension, and a part of it stays with the host"
    ):
        float_to_onnx(graph)


def test_open_shapes_are_fixed_before_the_cut_and_old_operator_sets_are_read(x):
    def made(opset, **hint):
        nodes = [
            make_node("Conv", ["x", "w"], ["a"], name="a"),
            make_node("Relu", ["a"], ["r"], name="r", **hint),
            make_node("Hardmax", ["r"], ["y"], name="y", axis=1),
        ]
        return model(nodes, {"x": ("N", 4, "L")}, ["y"], {"w": WEIGHTS["w"]}, opset=opset)

    old = made(5, consumed_inputs=[0])  # which onnxruntime does not run
    with pytest.raises(
        Unsupported, match=r"dimension 2 \('L'\) of input 'x' is not fixed, .* --shape x=1,4,L"
    ):
        from_onnx(old)
    graph = from_onnx(old, shapes={"x": (1, 4, 6)})
    assert [(node.name, node.end) for node in graph.host.nodes] == [("y", "tail")]
    np.testing.assert_array_equal(predict(graph, x)[0], by_batches(made(9), {"x": x})[0])
