"""What no model may have is refused by the name of its node."""

import numpy as np
import pytest
from hwquant_testing.onnx_models import W, conv, weights
from onnx import TensorProto
from onnx.helper import make_node

from hwquant.errors import HwquantError
from hwquant.frontends.onnx_reader import read_onnx


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [make_node("Hardmax", ["a"], ["y"], name="s")],
            r"node 's' \(Hardmax\): this operator is not supported; build the network from",
        ),
        (
            [make_node("GridSample", ["a", "a"], ["y"])],
            r"\(GridSample\): .* pixels are repeated, not interpol",
        ),
        ([make_node("LayerNormalization", ["a", "two"], ["y"])], r"not supported; .* use batch norm"),
        ([make_node("LSTM", ["f", "w2", "w2"], ["y"])], r"\(LSTM\): .*; recurrent layers are not computed"),
        (
            [make_node("PRelu", ["a", "pixels"], ["y"])],
            r"its slopes differ within a channel of tensor 'conv'",
        ),
        ([make_node("PRelu", ["a", "a"], ["y"])], r"'a' is computed from the network's input"),
        (
            [make_node("GlobalAveragePool", ["a"], ["m"]), make_node("Div", ["a", "m"], ["y"])],
            r"node 'y' \(Div\): it divides two activations",
        ),
        ([make_node("Div", ["pixels", "a"], ["y"])], r"must be one number for all elements"),
        ([make_node("Gemm", ["f", "w2"], ["y"], transA=1)], r"transA=1 is not supported"),
        (
            [make_node("MatMul", ["f", "f2"], ["y"])],
            r"'f2' is computed from the network's input; it must be a constant",
        ),
        ([make_node("MatMul", ["w2", "f"], ["y"])], r"has lost its batch dimension"),
        ([make_node("ReduceMean", ["a"], ["y"])], r"the batch included; give its axes"),
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
        read_onnx(build_onnx([*before, *nodes], {"x": (2, 5, 5)}, constants, outputs=outputs))


@pytest.mark.parametrize(("number", "kind"), [(np.nan, "NaN"), (-np.inf, "infinity")])
@pytest.mark.parametrize("name", ["w", "b"])
def test_weights_that_are_not_finite_are_named(build_onnx, number, kind, name):
    constants = W | {"b": weights(4, 1, 1)}
    constants[name] = constants[name].copy()
    constants[name].flat[1] = number
    nodes = [conv("a"), make_node("Add", ["a", "b"], ["y"])]
    with pytest.raises(HwquantError, match=rf"tensor '{name}' contains {kind}"):
        read_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, constants))
