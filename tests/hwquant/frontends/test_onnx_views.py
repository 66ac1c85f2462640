"""Reorderings, joins, padding and the ends of models, their import compared with onnxruntime."""

import numpy as np
import pytest
from hwquant_testing.float_networks import kinds
from hwquant_testing.onnx_models import W, conv, weights
from onnx import TensorProto
from onnx.helper import make_node

from hwquant.graph import Clip, Concat, Conv, MaxPool

RNG = np.random.default_rng(0)


def test_residual_sum_and_concatenation(build_onnx, check_onnx):
    nodes = [
        conv("a", pads=[1, 1, 1, 1]),
        make_node("Conv", ["x", "v"], ["b"]),
        make_node("Sum", ["a", "b", "a"], ["s"]),
        make_node("Concat", ["s", "a", "b"], ["y"], axis=-3),
    ]
    graph = check_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, W | {"v": weights(4, 2, 1, 1)}))
    assert kinds(graph)[-1] is Concat


@pytest.mark.parametrize("opset", [10, 13, 18])
def test_padding_before_a_convolution(build_onnx, check_onnx, opset):
    if opset == 10:
        node, constants = make_node("Pad", ["x"], ["p"], pads=[0, 0, 1, 2, 0, 0, 3, 0]), {}
    elif opset == 13:
        node, constants = make_node("Pad", ["x", "n"], ["p"]), {"n": np.array([0, 0, 1, 2, 0, 0, 3, 0])}
    else:
        node = make_node("Pad", ["x", "n", "", "axes"], ["p"])
        constants = {"n": np.array([1, 2, 3, 0]), "axes": np.array([2, -1])}
    nodes = [node, make_node("Conv", ["p", "w"], ["y"])]
    graph = check_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, W | constants, opset=opset))
    assert graph.nodes[0].window.padding == (1, 2, 3, 0)


def test_a_model_with_channels_last_all_through(build_onnx, check_onnx):
    """The form of tf2onnx: transposes around every window, elementwise operators between them."""
    nodes = [
        make_node("Div", ["x", "s"], ["d"]),
        make_node("Sub", ["d", "m"], ["n"]),
        make_node("Pad", ["n", "pads"], ["p"]),
        make_node("Transpose", ["p"], ["t"], perm=[0, 3, 1, 2]),
        make_node("Conv", ["t", "w"], ["c"]),
        make_node("Transpose", ["c"], ["cl"], perm=[0, 2, 3, 1]),
        make_node("Add", ["cl", "b"], ["a"]),
        make_node("Relu", ["a"], ["r"]),
        make_node("Transpose", ["r"], ["rt"], perm=[0, 3, 1, 2]),
        make_node("MaxPool", ["rt"], ["mp"], kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Transpose", ["mp"], ["ml"], perm=[0, 2, 3, 1]),
        make_node("Reshape", ["ml", "shape"], ["f"]),
        make_node("MatMul", ["f", "v"], ["z"]),
        make_node("Softmax", ["z"], ["y"]),
    ]
    constants = W | {
        "s": np.float32(255),
        "m": np.float32([0.25, 0.5]),
        "pads": np.array([0, 1, 1, 0, 0, 1, 0, 0]),
        "b": weights(4),
        "shape": np.array([-1, 36]),
        "v": weights(36, 3),
    }
    data = {"x": RNG.integers(0, 256, (5, 6, 7, 2)).astype(np.float32)}
    graph = check_onnx(build_onnx(nodes, {"x": (6, 7, 2)}, constants), data)
    assert kinds(graph) == [Conv, Clip, MaxPool, Conv]
    assert graph.nodes[0].window.padding == (1, 1, 1, 0)
    assert graph.inputs[0].tensor_shape == (2, 6, 7)
    assert graph.inputs[0].scale.shape == ()


@pytest.mark.parametrize(
    "node",
    [
        make_node("Flatten", ["a"], ["y"]),
        make_node("Flatten", ["a"], ["y"], axis=-3),
        make_node("Reshape", ["a", "shape"], ["y"]),
        make_node("Transpose", ["a"], ["y"], perm=[0, 2, 3, 1]),
        make_node("Squeeze", ["a", "three"], ["y"]),
        make_node("Unsqueeze", ["a", "three"], ["y"]),
        make_node("Identity", ["a"], ["y"]),
        make_node("Dropout", ["a"], ["y"]),
        make_node("Cast", ["a"], ["y"], to=TensorProto.FLOAT),
    ],
)
def test_what_only_reorders_leaves_no_node(build_onnx, check_onnx, node):
    constants = W | {"shape": np.array([0, -1, 2]), "three": np.array([3])}
    graph = check_onnx(build_onnx([conv("a"), node], {"x": (2, 6, 3)}, constants))
    assert kinds(graph) == [Conv]


@pytest.mark.parametrize(("opset", "axes"), [(11, {"axes": [2, 3]}), (13, {})])
def test_squeeze_by_attribute_and_by_input(build_onnx, check_onnx, opset, axes):
    inputs = ["p"] if axes else ["p", "axes"]
    nodes = [make_node("GlobalAveragePool", ["x"], ["p"]), make_node("Squeeze", inputs, ["y"], **axes)]
    graph = check_onnx(build_onnx(nodes, {"x": (2, 4, 4)}, {"axes": np.array([2, 3])}, opset=opset))
    assert graph.outputs[0].shape == (2,)


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
def test_softmax_stays_on_the_host(build_onnx, check_onnx, opset, operator):
    nodes = [make_node("Gemm", ["x", "w"], ["a"]), make_node(operator, ["a"], ["y"])]
    graph = check_onnx(build_onnx(nodes, {"x": (6,)}, {"w": weights(6, 5)}, opset=opset))
    assert graph.outputs[0].host == ("softmax" if operator == "Softmax" else "log_softmax",)


@pytest.mark.parametrize("keepdims", [0, 1])
def test_argmax_stays_on_the_host(build_onnx, check_onnx, keepdims):
    nodes = [
        make_node("Gemm", ["x", "w"], ["a"]),
        make_node("ArgMax", ["a"], ["m"], axis=1, keepdims=keepdims),
        make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = check_onnx(build_onnx(nodes, {"x": (6,)}, {"w": weights(6, 5)}))
    assert graph.outputs[0].host == ("argmax",)


def test_bytes_are_cast_and_scaled(build_onnx, check_onnx):
    nodes = [
        make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        make_node("Mul", ["f", "s"], ["n"]),
        make_node("Conv", ["n", "w"], ["y"]),
    ]
    model = build_onnx(nodes, {"x": (2, 5, 5)}, W | {"s": np.float32(1 / 255)}, dtype=TensorProto.UINT8)
    check_onnx(model, {"x": RNG.integers(0, 256, (3, 2, 5, 5)).astype(np.uint8)})
