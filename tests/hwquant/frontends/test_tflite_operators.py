"""Every operator of TensorFlow Lite that is translated, against LiteRT, which we did not write."""

import numpy as np
import pytest
import tflite
from hwquant_testing.tflite_files import Operation, Tensor, agree, built, constant, litert, onnx_answers

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.floating import predict
from hwquant.frontends import load_model
from hwquant.frontends.declaration import Refused
from hwquant.frontends.tflite_operators import OPERATORS
from hwquant.frontends.tflite_verifier import layout, union

RNG = np.random.default_rng(0)


def ints(*numbers):
    return constant(numbers, np.int32)


def randoms(*shape):
    return constant(RNG.standard_normal(shape))


def op(kind, shapes, constants=(), table="", result=None, outputs=1, first=False, **options):
    """A case: an operator on inputs of shapes and on constants, which come first or last."""
    return kind, shapes, constants, table, outputs, first, options, result


WINDOW = {"StrideW": 2, "StrideH": 1}
POOL = {"FilterWidth": 3, "FilterHeight": 2, "StrideW": 2, "StrideH": 1}
DILATED = {"StrideW": 1, "StrideH": 1, "DilationWFactor": 2, "DilationHFactor": 3}
IMAGE = (1, 7, 6, 4)
CASES = [
    *(
        op("CONV_2D", [IMAGE], [randoms(5, 3, 2, 4), randoms(5)], "Conv2DOptions", Padding=p, **o)
        for p in (0, 1)
        for o in (WINDOW | {"FusedActivationFunction": 3}, DILATED)
    ),
    op("CONV_2D", [IMAGE], [randoms(6, 3, 3, 2), randoms(6)], "Conv2DOptions", StrideW=1, StrideH=1),
    *(
        op(
            "DEPTHWISE_CONV_2D",
            [IMAGE],
            [randoms(1, 3, 2, 8), randoms(8)],
            "DepthwiseConv2DOptions",
            Padding=p,
            DepthMultiplier=2,
            **o,
        )
        for p in (0, 1)
        for o in ({"StrideW": 2, "StrideH": 2, "FusedActivationFunction": 1}, DILATED)
    ),
    op(
        "TRANSPOSE_CONV",
        [IMAGE],
        [ints(1, 14, 11, 3), randoms(3, 3, 2, 4)],
        "TransposeConvOptions",
        first=True,
        StrideW=2,
        StrideH=2,
    ),
    op(
        "TRANSPOSE_CONV",
        [IMAGE],
        [ints(1, 15, 12, 3), randoms(3, 3, 2, 4)],
        "TransposeConvOptions",
        first=True,
        StrideW=2,
        StrideH=2,
        Padding=1,
    ),
    op("FULLY_CONNECTED", [IMAGE], [randoms(5, 168), randoms(5)], "FullyConnectedOptions"),
    op(
        "FULLY_CONNECTED",
        [(1, 3, 8)],
        [randoms(5, 8), randoms(5)],
        "FullyConnectedOptions",
        KeepNumDims=True,
        FusedActivationFunction=1,
    ),
    *(
        op(kind, [IMAGE], [], "Pool2DOptions", Padding=p, **POOL, FusedActivationFunction=2 * p)
        for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D")
        for p in (0, 1)
    ),
    *(
        op(kind, [IMAGE], [ints(*axes)], "ReducerOptions", KeepDims=keep)
        for kind in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
        for axes, keep in (((1, 2), False), ((-1,), True))
    ),
    *(
        op(kind, [IMAGE, IMAGE], [], table, FusedActivationFunction=1)
        for kind, table in (("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions"))
    ),
    op("ADD", [IMAGE], [randoms(4)], "AddOptions", FusedActivationFunction=3),
    op("MUL", [IMAGE], [randoms(1, 1, 1, 4)], "MulOptions"),
    op("DIV", [IMAGE], [constant([2.0, 3.0, 4.0, -5.0])], "DivOptions"),
    op("MAXIMUM", [IMAGE], [constant(0.5)], "MaximumMinimumOptions"),
    op("MINIMUM", [IMAGE], [constant(0.5)], "MaximumMinimumOptions"),
    op("POW", [IMAGE], [constant(2.0)], "PowOptions"),
    op("SQUARED_DIFFERENCE", [IMAGE], [randoms(4)], "SquaredDifferenceOptions"),
    op("ADD_N", [IMAGE, IMAGE], [], "AddNOptions"),
    *(op("CONCATENATION", [IMAGE, IMAGE], [], "ConcatenationOptions", Axis=a) for a in (-1, 1)),
    op("RESHAPE", [IMAGE], [ints(1, -1, 4)], "ReshapeOptions"),
    op("RESHAPE", [IMAGE], [], "ReshapeOptions", NewShape=(1, 6, 28)),
    op("SQUEEZE", [(1, 1, 5, 4)], [], "SqueezeOptions", SqueezeDims=(1,)),
    op("EXPAND_DIMS", [(1, 5, 4)], [ints(1)], "ExpandDimsOptions"),
    op("TRANSPOSE", [IMAGE], [ints(0, 2, 1, 3)], "TransposeOptions"),
    op("PAD", [IMAGE], [constant([[0, 0], [1, 2], [0, 1], [0, 3]], np.int32)], "PadOptions"),
    op(
        "PADV2",
        [IMAGE],
        [constant([[0, 0], [1, 0], [2, 1], [0, 0]], np.int32), constant(1.5)],
        "PadV2Options",
    ),
    op("MIRROR_PAD", [IMAGE], [constant([[0, 0], [2, 1], [0, 2], [0, 0]], np.int32)], "MirrorPadOptions"),
    *(
        op("MIRROR_PAD", [IMAGE], [constant([[0, 0], *pads], np.int32)], "MirrorPadOptions", Mode=1)
        for pads in ([[1, 1], [0, 1], [0, 0]], [[3, 2], [0, 6], [0, 0]], [[0, 0], [0, 0], [1, 4]])
    ),
    op("SLICE", [IMAGE], [ints(0, 1, 2, 0), ints(-1, 3, -1, 2)], "SliceOptions"),
    op(
        "STRIDED_SLICE",
        [IMAGE],
        [ints(0, 1, 5, 0), ints(1, 7, -7, 4), ints(1, 2, -2, 1)],
        "StridedSliceOptions",
        BeginMask=1,
        EndMask=8,
    ),
    op(
        "STRIDED_SLICE",
        [IMAGE],
        [ints(0, -2, 0), ints(1, 0, 3), ints(1, 1, 1)],
        "StridedSliceOptions",
        ShrinkAxisMask=2,
    ),
    op("SPLIT", [IMAGE], [ints(2)], "SplitOptions", outputs=3, first=True, NumSplits=3),
    op("SPLIT_V", [IMAGE], [ints(1, -1), ints(3)], "SplitVOptions", outputs=2, NumSplits=2),
    op("PACK", [(1, 5, 4), (1, 5, 4)], [], "PackOptions", Axis=1, ValuesCount=2),
    op("UNPACK", [(1, 3, 4)], [], "UnpackOptions", outputs=3, Axis=1, Num=3),
    op("GATHER", [IMAGE], [ints(3, 0, 0)], "GatherOptions", Axis=3),
    op("TILE", [(1, 3, 4)], [ints(1, 2, 3)], "TileOptions"),
    *(
        op(kind, [IMAGE], [ints(*size)], table, **flags)
        for kind, table in (
            ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
            ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
        )
        for flags in ({}, {"AlignCorners": True}, {"HalfPixelCenters": True})
        for size in ((14, 12), (5, 9))
    ),
    op("DEPTH_TO_SPACE", [IMAGE], [], "DepthToSpaceOptions", BlockSize=2),
    op("SPACE_TO_DEPTH", [(1, 4, 6, 3)], [], "SpaceToDepthOptions", BlockSize=2),
    *(op(kind, [IMAGE]) for kind in ("RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "ELU")),
    *(op(kind, [IMAGE]) for kind in ("FLOOR", "CEIL", "ROUND", "SIN", "RELU_0_TO_1")),
    op("COS", [IMAGE], [], "CosOptions"),
    op("LEAKY_RELU", [IMAGE], [], "LeakyReluOptions", Alpha=0.1),
    op("PRELU", [IMAGE], [randoms(1, 1, 4)]),
    op("HARD_SWISH", [IMAGE], [], "HardSwishOptions"),
    *(op("GELU", [IMAGE], [], "GeluOptions", Approximate=flag) for flag in (False, True)),
    op("SOFTMAX", [(1, 3, 8)], [], "SoftmaxOptions", Beta=0.5),
    op("LOG_SOFTMAX", [(1, 8)], [], "LogSoftmaxOptions"),
    op("ARG_MAX", [IMAGE], [ints(3)], "ArgMaxOptions", result=np.int32, OutputType=2),
    op("ARG_MIN", [IMAGE], [ints(1)], "ArgMinOptions", result=np.int64, OutputType=4),
    op("EXP", [IMAGE], [], "ExpOptions"),
    op("NEG", [IMAGE], [], "NegOptions"),
    op("ABS", [IMAGE], [], "AbsOptions"),
    op("SQUARE", [IMAGE], [], "SquareOptions"),
    *(op(kind, [IMAGE]) for kind in ("LOG", "SQRT", "RSQRT")),
    op("CAST", [IMAGE], [], "CastOptions", result=np.int32, InDataType=0, OutDataType=2),
    op("BATCH_MATMUL", [(1, 3, 4), (1, 5, 4)], [], "BatchMatMulOptions", AdjY=True),
]
POSITIVE = ("LOG", "SQRT", "RSQRT")
ELSEWHERE = {"DENSIFY", "QUANTIZE", "DEQUANTIZE", "SHAPE", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"}


def file_of(case):
    """The bytes of a file of one operator."""
    kind, shapes, constants, table, outputs, first, options, result = case
    tensors = [Tensor(shape) for shape in shapes]
    data = list(range(len(shapes)))
    extra = list(range(len(shapes), len(shapes) + len(constants)))
    results = list(range(len(data) + len(extra), len(data) + len(extra) + outputs))
    tensors += [*constants, *(Tensor((), result or np.float32) for _ in results)]
    step = Operation(kind, extra + data if first else data + extra, results, table, options)
    return built(tensors, [step], data, results)


def label(case):
    return case[0]


@pytest.mark.parametrize("case", CASES, ids=label)
def test_an_operator_is_what_litert_computes(case, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(file_of(case))
    rng = np.random.default_rng(1)
    feeds = [rng.standard_normal(shape).astype(np.float32) * 3 for shape in case[1]]
    feeds = [np.abs(feed) + 0.1 if case[0] in POSITIVE else feed for feed in feeds]
    wants = litert(path, feeds)
    for got, want in zip(onnx_answers(path, feeds), wants, strict=True):
        agree(got, want)
    try:
        graph = load_model(path, host=False)
    except Unsupported:  # what the array cannot do; what it can is right
        return
    named = {item.name: feed for item, feed in zip(graph.inputs, feeds)}
    for got, want in zip(predict(graph, named), wants, strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_every_operator_has_a_case():
    assert {case[0] for case in CASES} | ELSEWHERE == set(OPERATORS)


@pytest.mark.parametrize("kind", OPERATORS)
def test_every_option_of_the_schema_is_declared(kind):
    operator = OPERATORS[kind]
    fields = layout(getattr(tflite, operator.table)) if operator.table else ()
    assert {field.name for field in fields} == set(operator.options)


def test_everything_that_a_file_can_lead_to_is_in_the_schema():
    found, left = set(), [tflite.Model]
    while left:
        table = left.pop()
        for field in layout(table):
            inner = union(tflite, field.name).values() if field.kind == "union" else [field.table]
            left += [item for item in inner if item is not None and item not in found]
        found.add(table)
    assert {tflite.CustomQuantization, tflite.Uint16Vector, tflite.StablehloConcatenateOptions} <= found


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (kind, name, True if item.harmless == (False,) else 1)
        for kind, operator in OPERATORS.items()
        for name, item in operator.options.items()
        if isinstance(item, Refused)
    ],
)
def test_options_that_are_not_computed_are_refused_by_name(kind, name, value, tmp_path):
    case = next(case for case in CASES if case[0] == kind)
    path = tmp_path / "net.tflite"
    path.write_bytes(file_of((*case[:6], case[6] | {name: value}, case[7])))
    with pytest.raises(
        Unsupported, match=f"is a TensorFlow Lite file; {kind} .*its option {name} is"
    ) as caught:
        load_model(path)
    assert caught.value.operator == kind


def test_other_operators_are_refused_by_name(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(file_of(op("ZEROS_LIKE", [IMAGE], [], "ZerosLikeOptions")))
    with pytest.raises(
        Unsupported, match=r"'net' is a TensorFlow Lite file; ZEROS_LIKE \('t1'\): this operator"
    ):
        load_model(path)


def test_weights_that_do_not_fit_are_damage(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(
        file_of(op("CONV_2D", [IMAGE], [randoms(5, 3, 2, 3), randoms(5)], "Conv2DOptions", **WINDOW))
    )
    with pytest.raises(Damaged, match=r"its weights \(5, 3, 2, 3\) do not fit 4 channels"):
        load_model(path)


def test_a_result_of_another_type_is_damage(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(file_of(op("RELU", [IMAGE], result=np.int32)))
    with pytest.raises(HwquantError, match="declared with the type INT32"):
        load_model(path)
