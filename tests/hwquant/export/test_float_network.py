"""Float networks in onnxruntime, and read back."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hwquant_testing.float_networks import ALL_KINDS, build

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.export import float_to_onnx, save_float
from hwquant.fingerprint import fingerprint
from hwquant.frontends import from_onnx, load_model
from hwquant.graph import AveragePool, Clip, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.truncation import float16
from hwquant.window import Window


def images(shape=(3, 8, 8), count=8):
    return np.random.default_rng(2).normal(0.2, 1, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_onnxruntime_gives_the_truncated_network_to_a_last_bit(run_onnx, kind):
    graph = build(kind, 0)
    got = run_onnx(float_to_onnx(graph, "float16"), {"x": images()})
    tensors = float16.run(float16.truncate_parameters(graph), {"x": images()})
    for output, value in zip(graph.outputs, got, strict=True):
        expected = output.deliver(tensors[output.tensor])
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, value.astype(np.float16))
        # Sums are rounded in another order: once in a while the other neighbour is the nearest float16.
        assert (value == expected).mean() > 0.9
        np.testing.assert_allclose(value, expected, rtol=4e-3, atol=4e-3)


def test_pools_of_every_kind_are_written_as_they_are(run_onnx):
    shape = (2, 7, 6)
    pools = [
        MaxPool("a", ("x",), Window((3, 2), (2, 1), (1, 0, 2, 1), (1, 2))),
        AveragePool("b", ("x",), Window((3, 3), (2, 2), (1, 1, 1, 1)), True),
        AveragePool("c", ("x",), Window((3, 3), (2, 2), (1, 1, 1, 1)), False),
        Clip("d", ("x",), -0.5, 0.25),
    ]
    plain = Graph("net", (Input("x", shape, shape),), tuple(pools), (Output("x0", "x", shape),))
    graph = replace(plain, outputs=tuple(Output(f"to_{n.name}", n.name, plain.shapes[n.name]) for n in pools))
    x = images(shape).astype(np.float16).astype(np.float32)
    for value, expected in zip(
        run_onnx(float_to_onnx(graph, "float16"), {"x": x}), floating.predict(graph, x), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=2e-3, atol=1e-6)


def test_parameters_are_stored_in_half_the_bytes():
    graph = build("residual", 0)
    stored = {item.name: item.data_type for item in float_to_onnx(graph, "float16").graph.initializer}
    for node in graph.nodes:
        if isinstance(node, Conv):
            assert stored[f"{node.name}/weight"] == stored[f"{node.name}/bias"] == onnx.TensorProto.FLOAT16


def test_a_float16_network_is_read_back_with_its_truncated_parameters(
    demo_folder, digits_graph, digits_samples, tmp_path
):
    save_float(digits_graph, tmp_path / "half.onnx", "float16")
    again = load_model(tmp_path / "half.onnx")
    for before, after in zip(digits_graph.nodes, again.nodes, strict=True):
        if isinstance(before, Conv):
            half = before.weight.astype(np.float32).astype(np.float16)
            np.testing.assert_array_equal(after.weight, half)
    exact = floating.predict(digits_graph, digits_samples.x)[0]
    assert np.abs(floating.predict(again, digits_samples.x)[0] - exact).max() < 0.02 * np.abs(exact).max()


def in_float32(graph):
    """The network with parameters that float32 holds, as training leaves them."""
    nodes = [
        replace(
            node, **{name: value.astype(np.float32).astype(float) for name, value in node.parameters.items()}
        )
        for node in graph.nodes
    ]
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize(
    # Clips are simplified, and the numbers in functions are none of float32.
    "kind",
    [kind for kind in ALL_KINDS if kind not in ("clips", "functions")],
)
def test_a_float32_network_is_read_back_as_it_is(run_onnx, kind):
    graph = in_float32(build(kind, 3))
    model = float_to_onnx(graph)
    assert fingerprint(from_onnx(model)) == fingerprint(graph)
    for value, expected in zip(
        run_onnx(model, {"x": images()}), floating.predict(graph, images()), strict=True
    ):
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_zeros_stay_zeros_and_names_stay_names(digits_graph, tmp_path):
    conv = digits_graph.nodes[0]
    weight = conv.weight * (np.arange(conv.weight.size).reshape(conv.weight.shape) % 3 > 0)
    pruned = in_float32(replace(digits_graph, nodes=(replace(conv, weight=weight), *digits_graph.nodes[1:])))
    save_float(pruned, tmp_path / f"{digits_graph.name}.onnx")
    again = load_model(tmp_path / f"{digits_graph.name}.onnx")
    assert fingerprint(again) == fingerprint(pruned)
    assert np.array_equal(again.nodes[0].weight == 0, weight == 0)


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_inputs_and_outputs_in_another_order_are_read_back(run_onnx, axes):
    rng = np.random.default_rng(4)
    elements = np.arange(5 * 4 * 3).reshape(5, 4, 3).transpose(axes)
    shape = elements.shape
    item = Input("x", (5, 4, 3), shape, np.array(0.25), np.array(-1.5), elements.ravel())
    weight = rng.normal(size=(3, shape[0], 3, 3)).astype(np.float32).astype(float)
    window = Window((3, 3), padding=(1, 1, 1, 1))
    node = Conv("conv", ("x",), weight, np.zeros(3), window)
    turned = np.arange(3 * shape[1] * shape[2]).reshape(3, *shape[1:]).transpose(1, 2, 0)
    output = Output("y", "conv", turned.shape, turned.ravel())
    graph = Graph("net", (item,), (node,), (output,))
    model = float_to_onnx(graph)
    assert fingerprint(from_onnx(model)) == fingerprint(graph)
    x = images((5, 4, 3))
    np.testing.assert_allclose(
        run_onnx(model, {"x": x})[0], floating.predict(graph, x)[0], rtol=1e-4, atol=1e-4
    )


def test_parameters_beyond_float16_are_refused_by_name():
    graph = build("chain", 0)
    first = graph.nodes[0]
    large = replace(graph, nodes=(replace(first, bias=np.full_like(first.bias, 1e5)), *graph.nodes[1:]))
    with pytest.raises(HwquantError, match="the bias of 'c1' exceeds 65504"):
        float_to_onnx(large, "float16")


def test_pools_that_onnx_cannot_express_are_refused_by_name():
    shape = (1, 8, 8)
    pool = MaxPool("wide", ("x",), Window((2, 2), (1, 1), (2, 0, 2, 0), (3, 3)))
    graph = Graph("net", (Input("x", shape, shape),), (pool,), (Output("y", "wide", (1, 9, 5)),))
    with pytest.raises(HwquantError, match="pool 'wide' has as much padding as kernel"):
        float_to_onnx(graph, "float16")


def test_functions_are_read_back_in_as_many_nodes(run_onnx):
    graph = in_float32(build("functions", 3))
    model = float_to_onnx(graph)
    again = from_onnx(model)
    assert [(node.name, type(node)) for node in again.nodes] == [
        (node.name, type(node)) for node in graph.nodes
    ]
    for value, expected, twice in zip(
        run_onnx(model, {"x": images()}),
        floating.predict(graph, images()),
        floating.predict(again, images()),
        strict=True,
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(twice, expected, rtol=1e-5, atol=1e-6)
