"""Float16 networks in onnxruntime."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hwquant_testing.float_networks import KINDS, build

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.export import float16_to_onnx, save_float16
from hwquant.graph import AveragePool, Clip, Conv, Graph, Input, MaxPool, Output
from hwquant.truncation import float16
from hwquant.window import Window


def images(shape=(3, 8, 8), count=8):
    return np.random.default_rng(2).normal(0.2, 1, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_gives_the_truncated_network_to_a_last_bit(run_onnx, kind):
    graph = build(kind, 0)
    got = run_onnx(float16_to_onnx(graph), {"x": images()})
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
        run_onnx(float16_to_onnx(graph), {"x": x}), floating.predict(graph, x), strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=2e-3, atol=1e-6)


def test_parameters_are_stored_in_half_the_bytes():
    graph = build("residual", 0)
    stored = {item.name: item.data_type for item in float16_to_onnx(graph).graph.initializer}
    for node in graph.nodes:
        if isinstance(node, Conv):
            assert stored[f"{node.name}/weight"] == stored[f"{node.name}/bias"] == onnx.TensorProto.FLOAT16


def test_a_float16_network_is_read_back_with_its_truncated_parameters(
    demo_folder, digits_graph, digits_samples, tmp_path
):
    from hwquant.frontends import load_model

    save_float16(digits_graph, tmp_path / "half.onnx")
    again = load_model(tmp_path / "half.onnx")
    for before, after in zip(digits_graph.nodes, again.nodes, strict=True):
        if isinstance(before, Conv):
            half = before.weight.astype(np.float32).astype(np.float16)
            np.testing.assert_array_equal(after.weight, half)
    exact = floating.predict(digits_graph, digits_samples.x)[0]
    assert np.abs(floating.predict(again, digits_samples.x)[0] - exact).max() < 0.02 * np.abs(exact).max()


def test_parameters_beyond_float16_are_refused_by_name():
    graph = build("chain", 0)
    first = graph.nodes[0]
    large = replace(graph, nodes=(replace(first, bias=np.full_like(first.bias, 1e5)), *graph.nodes[1:]))
    with pytest.raises(HwquantError, match="the bias of 'c1' exceeds 65504"):
        float16_to_onnx(large)


def test_pools_that_onnx_cannot_express_are_refused_by_name():
    shape = (1, 8, 8)
    pool = MaxPool("wide", ("x",), Window((2, 2), (1, 1), (2, 0, 2, 0), (3, 3)))
    graph = Graph("net", (Input("x", shape, shape),), (pool,), (Output("y", "wide", (1, 9, 5)),))
    with pytest.raises(HwquantError, match="pool 'wide' has as much padding as kernel"):
        float16_to_onnx(graph)
