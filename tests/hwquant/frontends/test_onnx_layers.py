"""Layers in small models, their import compared with onnxruntime."""

import numpy as np
import pytest
from hwquant_testing.float_networks import kinds
from hwquant_testing.onnx_models import W, conv, weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx.helper import make_node

from hwquant.graph import Add, AveragePool, Clip, Conv, Function, MaxPool


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_convolution_equals_onnxruntime(build_onnx, check_onnx, data):
    def numbers(low, high, count):
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    groups = data.draw(st.sampled_from([1, 2, 3]))
    channels, out = groups * data.draw(st.integers(1, 2)), groups * data.draw(st.integers(1, 3))
    kernel = numbers(1, 4, 2)
    attributes = {"strides": numbers(1, 3, 2), "pads": numbers(0, 3, 4), "dilations": numbers(1, 2, 2)}
    constants = {"w": weights(out, channels // groups, *kernel), "b": weights(out)}
    node = make_node("Conv", ["x", "w", "b"], ["y"], group=groups, kernel_shape=kernel, **attributes)
    check_onnx(build_onnx([node], {"x": (channels, 8, 9)}, constants))


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("operator", ["Conv", "MaxPool", "AveragePool"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_automatic_padding(build_onnx, check_onnx, auto_pad, operator, stride):
    inputs, attributes = ["x"], {"kernel_shape": [2, 3], "strides": [stride, stride], "auto_pad": auto_pad}
    constants = {}
    if operator == "Conv":
        inputs, constants = ["x", "w"], {"w": weights(4, 2, 2, 3)}
    check_onnx(build_onnx([make_node(operator, inputs, ["y"], **attributes)], {"x": (2, 8, 7)}, constants))


def test_one_dimensional_operators(build_onnx, check_onnx):
    nodes = [
        make_node("Conv", ["x", "w", "b"], ["a"], kernel_shape=[4], strides=[2], pads=[1, 2], dilations=[2]),
        make_node("MaxPool", ["a"], ["c"], kernel_shape=[2], pads=[1, 0]),
        make_node("AveragePool", ["c"], ["d"], kernel_shape=[3], strides=[2], pads=[0, 1]),
        make_node("GlobalAveragePool", ["d"], ["y"]),
    ]
    check_onnx(build_onnx(nodes, {"x": (3, 40)}, {"w": weights(4, 3, 4), "b": weights(4)}))


@pytest.mark.parametrize(
    "attributes",
    [
        {"transB": 1},
        {"alpha": 0.5, "beta": 2.0},
        {"transB": 1, "alpha": -1.0},
    ],
)
@pytest.mark.parametrize("bias", [None, (5,), (1, 5), (1,), ()])
def test_gemm(build_onnx, check_onnx, attributes, bias):
    shape = (5, 6) if attributes.get("transB") else (6, 5)
    constants = {"w": weights(*shape)} | ({} if bias is None else {"b": weights(*bias)})
    node = make_node("Gemm", ["x", *constants], ["y"], **attributes)
    graph = check_onnx(build_onnx([node], {"x": (6,)}, constants))
    assert kinds(graph) == [Conv]


def test_matmul_and_the_add_behind_it_are_one_layer(build_onnx, check_onnx):
    nodes = [make_node("MatMul", ["x", "w"], ["a"], name="dense"), make_node("Add", ["b", "a"], ["y"])]
    graph = check_onnx(build_onnx(nodes, {"x": (6,)}, {"w": weights(6, 5), "b": weights(5)}))
    assert [node.name for node in graph.nodes] == ["dense"]


def test_matmul_over_a_sequence(build_onnx, check_onnx):
    nodes = [
        make_node("MatMul", ["x", "w"], ["a"]),
        make_node("Relu", ["a"], ["r"]),
        make_node("MatMul", ["r", "v"], ["c"]),
        make_node("Add", ["c", "b"], ["y"]),
    ]
    constants = {"w": weights(6, 5), "v": weights(1, 5, 4), "b": weights(4)}
    graph = check_onnx(build_onnx(nodes, {"x": (7, 6)}, constants))
    assert kinds(graph) == [Conv, Clip, Conv]


@pytest.mark.parametrize("opset", [11, 13, 15, 20])
def test_batch_normalization(build_onnx, check_onnx, opset):
    statistics = {
        "g": weights(4),
        "b": weights(4, seed=1),
        "m": weights(4, seed=2),
        "v": np.abs(weights(4)) + 0.1,
    }
    nodes = [
        conv("a", pads=[1, 1, 1, 1]),
        make_node("BatchNormalization", ["a", *statistics], ["y"], epsilon=1e-3),
    ]
    graph = check_onnx(build_onnx(nodes, {"x": (2, 6, 6)}, W | statistics, opset=opset))
    assert kinds(graph) == [Conv]


@pytest.mark.parametrize(
    ("node", "slopes"),
    [
        (make_node("LeakyRelu", ["a"], ["y"], name="leaky"), {}),
        (make_node("LeakyRelu", ["a"], ["y"], name="leaky", alpha=-0.3), {}),
        (make_node("PRelu", ["a", "s"], ["y"], name="leaky"), {"s": weights(4, 1, 1)}),
        (make_node("PRelu", ["a", "s"], ["y"], name="leaky"), {"s": weights(1)}),
        (
            make_node("PRelu", ["a", "s"], ["y"], name="leaky"),
            {"s": np.array([0.0, 1.0, 2.0, 0.25])[:, None, None]},
        ),
    ],
)
def test_a_leaky_relu_is_a_function_and_of_several_slopes_a_clip_and_a_sum(
    build_onnx, check_onnx, node, slopes
):
    graph = check_onnx(build_onnx([conv("a"), node], {"x": (2, 6, 6)}, W | slopes))
    if any(array.size > 1 for array in slopes.values()):
        assert kinds(graph) == [Conv, Clip, Conv, Conv, Add]
        assert [node.groups for node in graph.nodes[2:4]] == [4, 4]
    else:
        assert kinds(graph) == [Conv, Function]
    assert graph.nodes[-1].name == "leaky"


@pytest.mark.parametrize(("slope", "nodes"), [(0.0, [Conv, Clip]), (1.0, [Conv])])
def test_a_leaky_relu_of_slope_zero_is_a_clip_and_of_slope_one_nothing(build_onnx, check_onnx, slope, nodes):
    for node in (
        make_node("LeakyRelu", ["a"], ["y"], alpha=slope),
        make_node("PRelu", ["a", "s"], ["y"]),
    ):
        constants = W | ({"s": np.full((4, 1, 1), slope)} if node.op_type == "PRelu" else {})
        assert kinds(check_onnx(build_onnx([conv("a"), node], {"x": (2, 6, 6)}, constants))) == nodes


def test_a_leaky_relu_of_the_networks_input(build_onnx, check_onnx):
    nodes = [make_node("LeakyRelu", ["x"], ["a"]), make_node("Conv", ["a", "w"], ["y"])]
    check_onnx(build_onnx(nodes, {"x": (2, 6, 6)}, W))


def test_a_leaky_relu_of_a_flattened_tensor(build_onnx, check_onnx):
    nodes = [
        conv("a"),
        make_node("Flatten", ["a"], ["f"]),
        make_node("LeakyRelu", ["f"], ["l"], alpha=0.2),
        make_node("Gemm", ["l", "v"], ["y"]),
    ]
    check_onnx(build_onnx(nodes, {"x": (2, 6, 6)}, W | {"v": weights(64, 5)}))


def test_clip_by_attributes_and_by_inputs(build_onnx, check_onnx):
    attributes = [conv("a"), make_node("Clip", ["a"], ["y"], min=-0.5, max=6.0)]
    graph = check_onnx(build_onnx(attributes, {"x": (2, 5, 5)}, W, opset=10))
    assert (graph.nodes[1].low, graph.nodes[1].high) == (-0.5, 6.0)
    limits = {"l": np.float32(-0.25), "h": np.float32(0.5)}
    for inputs, want in ((["l", "h"], (-0.25, 0.5)), (["", "h"], (-np.inf, 0.5)), (["l"], (-0.25, np.inf))):
        nodes = [conv("a"), make_node("Clip", ["a", *inputs], ["y"])]
        graph = check_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, W | limits))
        assert (graph.nodes[1].low, graph.nodes[1].high) == want


def test_maximum_and_minimum_with_numbers_are_clips(build_onnx, check_onnx):
    nodes = [conv("a"), make_node("Max", ["a", "l"], ["b"]), make_node("Min", ["h", "b"], ["y"])]
    graph = check_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, W | {"l": np.float32(-1), "h": np.float32([0.5])}))
    assert kinds(graph) == [Conv, Clip, Clip]


@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 1]])
@pytest.mark.parametrize("size", [7, 8, 9])
def test_pooling_with_overlap_padding_and_rounding_up(build_onnx, check_onnx, ceil_mode, pads, size):
    attributes = {"kernel_shape": [3, 2], "strides": [2, 3], "pads": pads, "ceil_mode": ceil_mode}
    for operator, more in (("MaxPool", {"dilations": [1, 2]}), ("AveragePool", {})):
        node = make_node(operator, ["x"], ["y"], **attributes, **more)
        check_onnx(build_onnx([node], {"x": (2, size, size)}))
    if not ceil_mode:
        node = make_node("AveragePool", ["x"], ["y"], count_include_pad=1, **attributes)
        check_onnx(build_onnx([node], {"x": (2, size, size)}))


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pooling(build_onnx, check_onnx, operator):
    graph = check_onnx(build_onnx([make_node(operator, ["x"], ["y"])], {"x": (3, 4, 5)}))
    assert graph.nodes[0].window.kernel == (4, 5)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize(("opset", "operator"), [(17, "ReduceMean"), (18, "ReduceMean"), (18, "ReduceMax")])
def test_reductions_over_spatial_axes(build_onnx, check_onnx, keepdims, opset, operator):
    axes = {"axes": [2, -1]} if opset < 18 else {}
    inputs, constants = (["x"], {}) if opset < 18 else (["x", "axes"], {"axes": np.array([2, -1])})
    node = make_node(operator, inputs, ["y"], keepdims=keepdims, **axes)
    graph = check_onnx(build_onnx([node], {"x": (3, 4, 5)}, constants, opset=opset))
    assert kinds(graph) == [AveragePool if operator == "ReduceMean" else MaxPool]
