"""The operators of TensorFlow Lite that are translated, and what becomes of every option that they have.

A test compares the options with the schema's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hwquant.frontends import tflite_layers as layers
from hwquant.frontends import tflite_moves as moves
from hwquant.frontends import tflite_pointwise as pointwise
from hwquant.frontends.declaration import USED, Irrelevant, Refused, Treatment, Used
from hwquant.frontends.tflite_call import Made, Operator, TfliteCall

_ACTIVATION: dict[str, Treatment] = {"FusedActivationFunction": Used(one_of=(0, 1, 2, 3, 4, 5))}
_PADDING: dict[str, Treatment] = {"Padding": Used(one_of=(layers.SAME, layers.VALID))}
_STRIDES: dict[str, Treatment] = {"StrideW": USED, "StrideH": USED}
_DILATIONS: dict[str, Treatment] = {"DilationWFactor": USED, "DilationHFactor": USED}
_BIAS_TYPE: dict[str, Treatment] = {"QuantizedBiasType": Irrelevant("the bias itself has a type")}
_POWERS: dict[str, Treatment] = {"PotScaleInt16": Irrelevant("it is about 16 bits, which are refused")}
_RESIZED: dict[str, Treatment] = {
    "AlignCorners": Used(one_of=(False, True)),
    "HalfPixelCenters": Used(one_of=(False, True)),
}

Translation = Callable[[TfliteCall], Made | list[Made]]


def _function(translate: Translation, table: str = "", **options: Treatment) -> Operator:
    return Operator(translate, table, options, in_blocks=True)


def _move(translate: Translation, table: str, **options: Treatment) -> Operator:
    return Operator(translate, table, options, moves=True)


def _reduction(operator: str) -> Operator:
    return Operator(pointwise.reduction(operator), "ReducerOptions", {"KeepDims": USED})


def _pool(operator: str, moved: bool = False) -> Operator:
    options = {**_PADDING, **_STRIDES, "FilterWidth": USED, "FilterHeight": USED, **_ACTIVATION}
    return Operator(layers.pool(operator), "Pool2DOptions", options, moves=moved)


OPERATORS: Mapping[str, Operator] = {
    "ABS": _function(pointwise.function("Abs"), "AbsOptions"),
    "ADD": Operator(pointwise.binary("Add"), "AddOptions", {**_ACTIVATION, **_POWERS}),
    "ADD_N": Operator(pointwise.total, "AddNOptions"),
    "ARG_MAX": Operator(
        pointwise.arg("ArgMax"), "ArgMaxOptions", {"OutputType": Irrelevant("the result has a type")}
    ),
    "ARG_MIN": Operator(
        pointwise.arg("ArgMin"), "ArgMinOptions", {"OutputType": Irrelevant("the result has a type")}
    ),
    "AVERAGE_POOL_2D": _pool("AveragePool"),
    "BATCH_MATMUL": Operator(
        pointwise.batch_matmul,
        "BatchMatMulOptions",
        {
            "AdjX": USED,
            "AdjY": USED,
            "AsymmetricQuantizeInputs": Irrelevant("activations that are float stay so"),
        },
    ),
    "BATCH_TO_SPACE_ND": Operator(moves.batch_to_space, "BatchToSpaceNDOptions", moves=True, in_blocks=True),
    "CAST": _function(
        pointwise.cast,
        "CastOptions",
        InDataType=Irrelevant("the input has a type"),
        OutDataType=Irrelevant("the result has a type"),
    ),
    "CEIL": _function(pointwise.function("Ceil")),
    "CONCATENATION": Operator(moves.concatenation, "ConcatenationOptions", {"Axis": USED, **_ACTIVATION}),
    "CONV_2D": Operator(
        layers.conv,
        "Conv2DOptions",
        {**_PADDING, **_STRIDES, **_ACTIVATION, **_DILATIONS, **_BIAS_TYPE},
        in_blocks=True,
    ),
    "COS": _function(pointwise.function("Cos"), "CosOptions"),
    "DENSIFY": Operator(pointwise.densify, "DensifyOptions"),
    "DEPTHWISE_CONV_2D": Operator(
        layers.depthwise,
        "DepthwiseConv2DOptions",
        {**_PADDING, **_STRIDES, "DepthMultiplier": USED, **_ACTIVATION, **_DILATIONS},
        in_blocks=True,
    ),
    "DEPTH_TO_SPACE": _move(moves.blocks("DepthToSpace"), "DepthToSpaceOptions", BlockSize=USED),
    "DEQUANTIZE": _function(pointwise.dequantize, "DequantizeOptions"),
    "DIV": Operator(pointwise.binary("Div"), "DivOptions", _ACTIVATION),
    "ELU": _function(pointwise.function("Elu")),
    "EXP": _function(pointwise.function("Exp"), "ExpOptions"),
    "EXPAND_DIMS": _move(moves.expand_dims, "ExpandDimsOptions"),
    "FLOOR": _function(pointwise.function("Floor")),
    "FULLY_CONNECTED": Operator(
        layers.fully_connected,
        "FullyConnectedOptions",
        {
            **_ACTIVATION,
            "WeightsFormat": Refused("its weights are in an order for one processor", harmless=(0,)),
            "KeepNumDims": USED,
            "AsymmetricQuantizeInputs": Irrelevant("activations that are float stay so"),
            **_BIAS_TYPE,
        },
    ),
    "GATHER": _move(
        moves.gather,
        "GatherOptions",
        Axis=USED,
        BatchDims=Refused("it takes other elements of each sample", harmless=(0,)),
    ),
    "GELU": _function(pointwise.gelu, "GeluOptions", Approximate=USED),
    "HARD_SWISH": _function(pointwise.function("HardSwish"), "HardSwishOptions"),
    "LEAKY_RELU": _function(pointwise.leaky_relu, "LeakyReluOptions", Alpha=USED),
    "LOG": _function(pointwise.function("Log")),
    "LOGISTIC": _function(pointwise.function("Sigmoid")),
    "LOG_SOFTMAX": Operator(pointwise.along("LogSoftmax"), "LogSoftmaxOptions"),
    "MAXIMUM": Operator(pointwise.binary("Max"), "MaximumMinimumOptions"),
    "MAX_POOL_2D": _pool("MaxPool", moved=True),
    "MEAN": _reduction("ReduceMean"),
    "MINIMUM": Operator(pointwise.binary("Min"), "MaximumMinimumOptions"),
    "MIRROR_PAD": _move(moves.mirror_pad, "MirrorPadOptions", Mode=Used(one_of=(0, 1))),
    "MUL": Operator(pointwise.binary("Mul"), "MulOptions", _ACTIVATION),
    "NEG": _function(pointwise.negative, "NegOptions"),
    "PACK": _move(
        moves.pack, "PackOptions", Axis=USED, ValuesCount=Irrelevant("the inputs are as many as there are")
    ),
    "PAD": _move(moves.pad, "PadOptions"),
    "PADV2": _move(moves.pad, "PadV2Options"),
    "POW": Operator(pointwise.binary("Pow"), "PowOptions"),
    "PRELU": Operator(pointwise.binary("PRelu")),
    "QUANTIZE": _function(pointwise.quantize, "QuantizeOptions"),
    "REDUCE_MAX": _reduction("ReduceMax"),
    "REDUCE_MIN": _reduction("ReduceMin"),
    "RELU": _function(pointwise.function("Relu")),
    "RELU6": _function(pointwise.clip(0.0, 6.0)),
    "RELU_0_TO_1": _function(pointwise.clip(0.0, 1.0)),
    "RELU_N1_TO_1": _function(pointwise.clip(-1.0, 1.0)),
    "RESHAPE": _move(moves.reshape, "ReshapeOptions", NewShape=USED),
    "RESIZE_BILINEAR": Operator(moves.resize("linear"), "ResizeBilinearOptions", _RESIZED),
    "RESIZE_NEAREST_NEIGHBOR": Operator(
        moves.resize("nearest"), "ResizeNearestNeighborOptions", _RESIZED, moves=True
    ),
    "ROUND": _function(pointwise.function("Round")),
    "RSQRT": _function(pointwise.rsqrt),
    "SHAPE": Operator(pointwise.shape, "ShapeOptions", {"OutType": Irrelevant("the result has a type")}),
    "SIN": _function(pointwise.function("Sin")),
    "SLICE": _move(moves.slice_, "SliceOptions"),
    "SOFTMAX": Operator(pointwise.softmax, "SoftmaxOptions", {"Beta": USED}),
    "SPACE_TO_BATCH_ND": _move(moves.space_to_batch, "SpaceToBatchNDOptions"),
    "SPACE_TO_DEPTH": _move(moves.blocks("SpaceToDepth"), "SpaceToDepthOptions", BlockSize=USED),
    "SPLIT": _move(moves.split, "SplitOptions", NumSplits=USED),
    "SPLIT_V": _move(
        moves.split_v, "SplitVOptions", NumSplits=Irrelevant("the outputs are as many as there are")
    ),
    "SQRT": _function(pointwise.function("Sqrt")),
    "SQUARE": _function(pointwise.square, "SquareOptions"),
    "SQUARED_DIFFERENCE": Operator(pointwise.squared_difference, "SquaredDifferenceOptions"),
    "SQUEEZE": _move(moves.squeeze, "SqueezeOptions", SqueezeDims=USED),
    "STRIDED_SLICE": _move(
        moves.strided_slice,
        "StridedSliceOptions",
        **dict.fromkeys(("BeginMask", "EndMask", "ShrinkAxisMask"), USED),
        EllipsisMask=Refused("write all axes", harmless=(0,)),
        NewAxisMask=Refused("use EXPAND_DIMS", harmless=(0,)),
        Offset=Refused("give ends that do not count from the beginning", harmless=(False,)),
    ),
    "SUB": Operator(pointwise.binary("Sub"), "SubOptions", {**_ACTIVATION, **_POWERS}),
    "SUM": _reduction("ReduceSum"),
    "TANH": _function(pointwise.function("Tanh")),
    "TILE": _move(moves.tile, "TileOptions"),
    "TRANSPOSE": _move(moves.transpose, "TransposeOptions"),
    "TRANSPOSE_CONV": Operator(
        layers.transpose_conv,
        "TransposeConvOptions",
        {**_PADDING, **_STRIDES, **_ACTIVATION, **_BIAS_TYPE},
    ),
    "UNPACK": _move(
        moves.unpack, "UnpackOptions", Axis=USED, Num=Irrelevant("the outputs are as many as there are")
    ),
}
