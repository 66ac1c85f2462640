"""Every operator that numpy computes, against onnxruntime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwquant.errors import HwquantError
from hwquant.host.check import opened
from hwquant.host.numpy_operators import OPERATORS
from hwquant.host.numpy_part import NumpyPart, computable

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
POSITIVE = np.abs(X) + 0.1
ROW = RNG.standard_normal((4,)).astype(np.float32)
WHOLE = RNG.integers(-5, 6, (2, 3, 4)).astype(np.int64)
TRUE = X > 0


def ints(*values):
    return np.asarray(values, np.int64)


def case(operator, *inputs, opset=17, outputs=1, **attributes):
    label = f"{operator}-{opset}-" + "-".join(f"{key}={value}" for key, value in attributes.items())
    return pytest.param(operator, inputs, opset, outputs, attributes, id=label)


UNARY = ("Abs", "Ceil", "Exp", "Floor", "Identity", "Neg", "Relu", "Sigmoid", "Tanh", "Dropout")
CASES = [
    *(case(name, X) for name in UNARY),
    *(case(name, POSITIVE) for name in ("Log", "Sqrt", "Reciprocal")),
    *(case(name, X, ROW) for name in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum")),
    *(case(name, X, X, ROW) for name in ("Max", "Min", "Sum")),
    *(case(name, X, ROW) for name in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")),
    *(case(name, TRUE, ~TRUE) for name in ("And", "Or")),
    case("Dropout", X, outputs=2),
    case("Not", TRUE),
    case("Div", WHOLE, np.asarray(3, np.int64)),
    case("Div", WHOLE, np.asarray(-2, np.int64)),
    case("Add", WHOLE, WHOLE),
    case("Relu", WHOLE.astype(np.int32)),
    case("Pow", POSITIVE, ROW),
    case("Pow", X, np.asarray(2, np.int64)),
    case("Where", TRUE, X, ROW),
    *(case(name, X, axis=axis) for name in ("Softmax", "LogSoftmax") for axis in (-1, 1, 0)),
    *(case(name, X, axis=axis, opset=11) for name in ("Softmax", "LogSoftmax") for axis in (1, 2)),
    case("Softmax", X, opset=11),
    case("Softmax", X, opset=13),
    case("Clip", X, np.float32(-0.5), np.float32(0.5)),
    case("Clip", X, None, np.float32(0.25)),
    case("Clip", X, opset=9, min=-0.25, max=0.75),
    case("HardSigmoid", X),
    case("HardSigmoid", X, alpha=0.5, beta=0.1),
    *(case("Cast", X * 3, to=kind) for kind in (TensorProto.INT64, TensorProto.FLOAT16, TensorProto.BOOL)),
    case("Cast", TRUE, to=TensorProto.FLOAT),
    case("Reshape", X, ints(0, -1)),
    case("Reshape", X, ints(4, 6)),
    case("Reshape", X, ints(2, 12), opset=14, allowzero=1),
    *(case("Flatten", X, axis=axis) for axis in (0, 1, 2, 3, -1)),
    case("Transpose", X),
    case("Transpose", X, perm=[2, 0, 1]),
    case("Concat", X, X[:, :, :2], axis=2),
    case("Concat", X, X[:1], axis=-3),
    case("Squeeze", X[:1, :, :1]),
    case("Squeeze", X[:1, :, :1], ints(0)),
    case("Squeeze", X[:1, :, :1], opset=11, axes=[2]),
    case("Unsqueeze", X, ints(0, 3)),
    case("Unsqueeze", X, opset=11, axes=[1]),
    case("Slice", X, ints(1), ints(3), ints(2)),
    case("Slice", X, ints(-1, 3), ints(-100, -5), ints(1, 2), ints(-1, -2)),
    case("Slice", X, ints(0, 1), ints(9, 2)),
    case("Slice", X, opset=9, starts=[1, 0], ends=[3, -1], axes=[1, 2]),
    case("Gather", X, np.asarray([[2, 0], [-1, 1]], np.int64), axis=1),
    case("Gather", X, np.asarray(1, np.int64), axis=-1),
    case("Split", X, ints(1, 3), axis=2, outputs=2),
    case("Split", X, axis=-1, outputs=2),
    case("Split", X, opset=18, outputs=2, axis=1, num_outputs=2),
    case("Split", X, opset=11, outputs=2, split=[1, 2], axis=1),
    case("Expand", X[:, :1], ints(3, 1)),
    case("Expand", X[:, :1], ints(2, 3, 1)),
    case("Shape", X),
    case("Shape", X, start=1, end=-1),
    *(case(name, WHOLE.astype(np.int32), axis=1) for name in ("ArgMax", "ArgMin")),
    case("ArgMax", WHOLE.astype(np.int32), axis=-1, keepdims=0, select_last_index=1),
    *(
        case(name, X, opset=11, axes=[1, -1])
        for name in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")
    ),
    *(case(name, X, opset=11, keepdims=0) for name in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")),
    *(case(name, X, ints(0), opset=18, keepdims=0) for name in ("ReduceMax", "ReduceMean", "ReduceSum")),
    case("MatMul", X, X.transpose(0, 2, 1)),
    case("MatMul", ROW, X.transpose(0, 2, 1)),
    case("Gemm", X[0], X[1], transB=1),
    case("Gemm", X[0], X[1], ROW, transA=1, alpha=0.5, beta=2.0),
]


def model(operator, inputs, opset, outputs, attributes):
    given = {f"i{index}": item for index, item in enumerate(inputs) if item is not None}
    given = {name: np.asarray(array) for name, array in given.items()}
    node = helper.make_node(
        operator,
        [f"i{index}" if item is not None else "" for index, item in enumerate(inputs)],
        [f"o{index}" for index in range(outputs)],
        **attributes,
    )
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in given.items()
    ]
    results = [helper.make_empty_tensor_value_info(name) for name in node.output]
    small = [name for name, array in given.items() if name != "i0" and array.dtype == np.int64]
    graph = helper.make_graph(
        [node],
        "part",
        [item for item in infos if item.name not in small],
        results,
        [numpy_helper.from_array(given[name], name) for name in small],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    made = onnx.shape_inference.infer_shapes(made, data_prop=True)
    return made, {name: array for name, array in given.items() if name not in small}


@pytest.mark.parametrize(("operator", "inputs", "opset", "outputs", "attributes"), CASES)
def test_numpy_agrees_with_onnxruntime(operator, inputs, opset, outputs, attributes):
    made, feeds = model(operator, inputs, opset, outputs, attributes)
    assert computable(made)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    wanted = onnxruntime.InferenceSession(made.SerializeToString(), options).run(None, feeds)
    for ours, want in zip(
        NumpyPart(opened(made.SerializeToString(), "it"), "it").run(feeds), wanted, strict=True
    ):
        assert (ours.shape, ours.dtype) == (want.shape, want.dtype)
        np.testing.assert_allclose(ours, want, rtol=2e-6, atol=2e-7)


def test_every_operator_has_a_case():
    assert {item.values[0] for item in CASES} == set(OPERATORS)


def test_a_sum_over_no_axes_is_the_input():  # onnxruntime computes it since 1.24
    made, feeds = model("ReduceSum", (X,), 13, 1, {"noop_with_empty_axes": 1})
    (result,) = NumpyPart(made, "it").run(feeds)
    np.testing.assert_array_equal(result, X)


def test_a_split_into_more_parts_than_its_chunks_ends_empty():  # onnxruntime computes it since 1.32
    made, feeds = model("Split", (X,), 18, 3, {"axis": 2, "num_outputs": 3})
    parts = NumpyPart(made, "it").run(feeds)
    for part, want in zip(parts, (X[..., :2], X[..., 2:], X[..., 4:]), strict=True):
        np.testing.assert_array_equal(part, want, strict=True)


def test_large_values_are_no_warnings():
    made, _ = model("Sigmoid", (X,), 17, 1, {})
    (result,) = NumpyPart(made, "it").run({"i0": np.float32([[[1e4, -1e4]]])})
    assert result.tolist() == [[[1, 0]]]


def test_what_an_operator_does_not_take_is_refused_by_its_name():
    made, _ = model("Reshape", (X, ints(5, 5)), 17, 1, {})
    with pytest.raises(
        HwquantError, match=r"the tail: node 'o0' \(Reshape\) does not take its inputs: cannot reshape"
    ):
        NumpyPart(made, "the tail").run({"i0": X})
