"""Each operator in a small model, its import compared with onnxruntime."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.helper import make_node

from hwquant.errors import HwquantError
from hwquant.frontends import from_onnx
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, MaxPool

RNG = np.random.default_rng(0)


def weights(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def kinds(graph):
    return [type(node) for node in graph.nodes]


def conv(out="y", **attributes):
    return make_node("Conv", ["x", "w"], [out], name="conv", **attributes)


W = {"w": weights(4, 2, 3, 3)}


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
def test_a_leaky_relu_is_a_clip_and_a_sum_of_two_scaled_tensors(build_onnx, check_onnx, node, slopes):
    graph = check_onnx(build_onnx([conv("a"), node], {"x": (2, 6, 6)}, W | slopes))
    assert kinds(graph) == [Conv, Clip, Conv, Conv, Add]
    assert [node.groups for node in graph.nodes[2:4]] == [4, 4]
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


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [make_node("Sigmoid", ["a"], ["y"], name="s")],
            r"node 's' \(Sigmoid\): this operator is not supported; use ReLU, .* leave it to the host",
        ),
        (
            [make_node("ConvTranspose", ["a", "w2"], ["y"])],
            r"\(ConvTranspose\): this operator is not supported; no layer makes an image larger",
        ),
        ([make_node("Resize", ["a", "", "n"], ["y"])], r"\(Resize\): .* enlarge its outputs on the host"),
        ([make_node("HardSwish", ["a"], ["y"])], r"\(HardSwish\): .*; use ReLU, ReLU6, LeakyReLU or PReLU"),
        ([make_node("LayerNormalization", ["a", "two"], ["y"])], r"not supported; .* use batch norm"),
        ([make_node("LSTM", ["f", "w2", "w2"], ["y"])], r"\(LSTM\): .*; recurrent layers are not computed"),
        (
            [make_node("PRelu", ["a", "pixels"], ["y"])],
            r"its slopes differ within a channel of tensor 'conv'",
        ),
        ([make_node("PRelu", ["a", "a"], ["y"])], r"'a' is computed from the network's input"),
        ([make_node("Mul", ["a", "a"], ["y"])], r"node 'y' \(Mul\): it multiplies two activations"),
        ([make_node("Div", ["two", "a"], ["y"])], r"divides a constant by an activation"),
        ([make_node("Gemm", ["f", "w2"], ["y"], transA=1)], r"transA=1 is not supported"),
        (
            [make_node("MatMul", ["f", "f2"], ["y"])],
            r"'f2' is computed from the network's input; it must be a constant",
        ),
        ([make_node("MatMul", ["w2", "f"], ["y"])], r"'w2' is a constant where an activation is expected"),
        ([make_node("Pad", ["a", "n"], ["y"], mode="edge")], r"mode='edge' is not supported"),
        ([make_node("Pad", ["a", "n", "two"], ["y"])], r"padding with 2.0 is not supported"),
        ([make_node("ReduceMean", ["a"], ["y"])], r"the batch included; give its axes"),
        ([make_node("ReduceMean", ["a"], ["y"], axes=[1])], r"only spatial axes"),
        ([make_node("ReduceMean", ["a"], ["y"], axes=[7])], r"node 'y' \(ReduceMean\): axis must be in"),
        ([make_node("Concat", ["a", "a"], ["y"], axis=0)], r"along axis 0"),
        (
            [make_node("Add", ["a", "x"], ["y"])],
            r"not a valid ONNX model: node 'y' \(Add\): Incompatible dimensions; export it again",
        ),
        (
            [make_node("Add", ["a", "long"], ["y"])],
            r"node 'y' \(Add\): Incompatible dimensions",
        ),
        ([make_node("Reshape", ["a", "n"], ["y"])], r"node 'y' \(Reshape\): Invalid position of 0"),
        (
            [
                make_node("Transpose", ["a"], ["t"], perm=[0, 1, 3, 2]),
                make_node("MaxPool", ["t"], ["y"], kernel_shape=[2, 2]),
            ],
            r"'y' \(MaxPool\): it reads tensor 'conv' .* transposed",
        ),
        (
            [make_node("Transpose", ["a"], ["y"], perm=[1, 0, 2, 3])],
            r"output 'y': a tensor of shape .* lost its batch",
        ),
        (
            [
                make_node("MaxPool", ["a"], ["y", "i"], kernel_shape=[2, 2]),
                make_node("Identity", ["i"], ["z"]),
            ],
            r"its output 'i' \(Indices\) is read; where a maximum was",
        ),
        ([make_node("MaxPool", ["a"], ["y"], kernel_shape=[4, 4])], r"its output would be empty"),
        (
            [make_node("AveragePool", ["a"], ["y"], kernel_shape=[2, 2], pads=[2, 0, 0, 0])],
            r"not smaller than the window",
        ),
        (
            [make_node("Softmax", ["a"], ["s"], axis=1), make_node("Relu", ["s"], ["y"])],
            r"reads the result of softmax",
        ),
        ([make_node("ArgMax", ["a"], ["y"], axis=2)], r"argmax over axis 2"),
        ([make_node("Cast", ["a"], ["y"], to=TensorProto.INT32)], r"cast of activations to integers"),
        (
            [make_node("Clip", ["a", "n"], ["y"])],
            r"node 'y' \(Clip\): min has inconsistent type tensor\(int64\)",
        ),
        ([make_node("Dropout", ["a", "two", "yes"], ["y"])], r"training_mode is not supported"),
        ([make_node("Conv", ["a", "w"], ["y"])], r"4 channels do not fit weights \(4, 2, 3, 3\)"),
        ([make_node("Gemm", ["f", "w"], ["y"])], r"node 'y' \(Gemm\): Input 1 expected to have rank 2"),
        (
            [make_node("RandomNormal", [], ["r"], shape=[2]), make_node("Identity", ["a"], ["y"])],
            r"random numbers",
        ),
        (
            [make_node("Reshape", ["w", "n"], ["r"]), make_node("Identity", ["a"], ["y"])],
            r"'r' \(Reshape\): Invalid position of 0",
        ),
    ],
)
def test_what_is_not_supported_is_named(build_onnx, nodes, message):
    constants = W | {
        "two": np.float32(2),
        "w2": weights(36, 2),
        "n": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "long": weights(7),
        "pixels": weights(4, 3, 3),
        "yes": np.array(True),
    }
    before = [conv("a"), make_node("Flatten", ["a"], ["f"]), make_node("Flatten", ["a"], ["f2"])]
    outputs = (nodes[-1].output[0],)
    with pytest.raises(HwquantError, match=message):
        from_onnx(build_onnx([*before, *nodes], {"x": (2, 5, 5)}, constants, outputs=outputs))


@pytest.mark.parametrize(("number", "kind"), [(np.nan, "NaN"), (-np.inf, "infinity")])
@pytest.mark.parametrize("name", ["w", "b"])
def test_weights_that_are_not_finite_are_named(build_onnx, number, kind, name):
    constants = W | {"b": weights(4, 1, 1)}
    constants[name] = constants[name].copy()
    constants[name].flat[1] = number
    nodes = [conv("a"), make_node("Add", ["a", "b"], ["y"])]
    with pytest.raises(HwquantError, match=rf"tensor '{name}' contains {kind}"):
        from_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, constants))
