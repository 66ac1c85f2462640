"""The ONNX operators that are supported, and what becomes of everything that they may carry.

An operator is one entry of `OPERATORS`. It names every attribute, input, element type and further output that
any operator set from the oldest supported on gives it; a test compares that with ONNX's own schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hwquant.frontends import onnx_layers as layers
from hwquant.frontends import onnx_moves as moves
from hwquant.frontends import onnx_quantized as quantized
from hwquant.frontends import onnx_views as views
from hwquant.frontends.declaration import FLAG, USED, Irrelevant, Refused, Treatment, Used
from hwquant.frontends.onnx_call import OnnxCall, Operator, Result
from hwquant.frontends.onnx_pointwise import POINTWISE
from hwquant.frontends.onnx_types import ANY, INDICES, INTEGERS, NARROW, REAL, TRUTH

_EVALUATION = "export the model in evaluation mode"
_WINDOW: dict[str, Treatment] = {
    "auto_pad": Used(one_of=("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")),
    **dict.fromkeys(("kernel_shape", "pads", "strides"), USED),
}
_REDUCTION: dict[str, Treatment] = {"axes": USED, "keepdims": FLAG, "noop_with_empty_axes": FLAG}
_STATISTICS = Refused(f"it is updated in training mode; {_EVALUATION}")
_ONLY_INTERPOLATED = "only modes that are refused read it"
_QUANTIZED: dict[str, Treatment] = {
    "axis": Irrelevant("an activation has one scale"),
    "block_size": Refused("an activation has one scale", harmless=(0,)),
    "output_dtype": USED,
}
_ONLY_FLOAT8 = "it is about casts to float8, which are refused"


def _simple(translate: Callable[[OnnxCall], Result], *inputs: str) -> Operator:
    """An operator on real numbers without attributes."""
    return Operator(translate, dict.fromkeys(inputs, REAL))


def _view(
    translate: Callable[[OnnxCall], Result],
    data: tuple[str, ...],
    indices: str | None = None,
    *attributes: str,
) -> Operator:
    """An operator that moves elements of any type."""
    inputs = dict.fromkeys(data, ANY) | ({indices: INDICES} if indices else {})
    return Operator(translate, inputs, dict.fromkeys(attributes, USED))


OPERATORS: Mapping[str, Operator] = {
    **POINTWISE,
    "Add": _simple(layers.binary("add"), "A", "B"),
    **{
        f"Arg{kind}": Operator(
            views.argmax(negative=kind == "Min"),
            {"data": REAL},
            {
                "axis": USED,
                "keepdims": FLAG,
                "select_last_index": Refused("the first of equal ones is found", harmless=(0,)),
            },
        )
        for kind in ("Max", "Min")
    },
    "AveragePool": Operator(
        layers.average_pool,
        {"X": REAL},
        {**_WINDOW, "ceil_mode": FLAG, "count_include_pad": FLAG, "dilations": USED},
    ),
    "BatchNormalization": Operator(
        layers.batch_normalization,
        dict.fromkeys(("X", "scale", "B", "mean", "var", "input_mean", "input_var"), REAL),
        {
            "epsilon": USED,
            "momentum": Irrelevant("the statistics are fixed in evaluation mode"),
            "spatial": Refused("statistics of single pixels are not folded", harmless=(1,)),
            "training_mode": Refused(_EVALUATION, harmless=(0,)),
        },
        # Before version 14 they are what says that a node is in training mode.
        dict.fromkeys(("mean", "var", "saved_mean", "saved_var", "running_mean", "running_var"), _STATISTICS),
    ),
    "Cast": Operator(
        views.cast,
        {"input": ANY | TRUTH},
        {
            "to": USED,
            "saturate": Irrelevant(_ONLY_FLOAT8, one_of=(0, 1)),
            "round_mode": Irrelevant(_ONLY_FLOAT8, one_of=("up", "down", "nearest")),
        },
    ),
    "Clip": Operator(
        layers.clip, dict.fromkeys(("input", "min", "max"), REAL), dict.fromkeys(("min", "max"), USED)
    ),
    "Concat": Operator(moves.concat, {"inputs": REAL}, {"axis": USED}),
    "CastLike": Operator(
        views.cast_like,
        {"input": ANY, "target_type": ANY},
        {
            "saturate": Irrelevant(_ONLY_FLOAT8, one_of=(0, 1)),
            "round_mode": Irrelevant(_ONLY_FLOAT8, one_of=("up", "down", "nearest")),
        },
    ),
    "CenterCropPad": _view(moves.center_crop_pad, ("input_data",), "shape", "axes"),
    "Compress": Operator(moves.compress, {"input": ANY, "condition": TRUTH}, {"axis": USED}),
    "ConvTranspose": Operator(
        layers.conv_transpose,
        dict.fromkeys(("X", "W", "B"), REAL),
        {
            **_WINDOW,
            "dilations": USED,
            "group": USED,
            "output_padding": USED,
            "output_shape": USED,
        },
    ),
    "Conv": Operator(
        layers.conv,
        dict.fromkeys(("X", "W", "B"), REAL),
        {**_WINDOW, "dilations": USED, "group": USED},
    ),
    "DepthToSpace": Operator(
        moves.depth_to_space, {"input": ANY}, {"blocksize": USED, "mode": Used(one_of=("DCR", "CRD"))}
    ),
    "DequantizeLinear": Operator(
        quantized.dequantize_linear,
        {"x": INTEGERS | NARROW, "x_scale": REAL, "x_zero_point": INTEGERS | NARROW},
        _QUANTIZED,
    ),
    "Div": _simple(layers.binary("div"), "A", "B"),
    "Dropout": Operator(
        views.dropout,
        {"data": REAL, "ratio": REAL, "training_mode": TRUTH},
        {
            "ratio": USED,
            "seed": Irrelevant("nothing is drawn in evaluation mode"),
        },
        {"mask": Irrelevant("nothing is dropped in evaluation mode; leave the mask away")},
    ),
    "Einsum": Operator(layers.equation, {"Inputs": REAL}, {"equation": USED}),
    "Expand": _view(moves.expand, ("input",), "shape"),
    "Flatten": _view(views.flatten, ("input",), None, "axis"),
    "Gather": Operator(moves.gather, {"data": ANY, "indices": INDICES}, {"axis": USED}),
    "Gemm": Operator(
        layers.gemm,
        dict.fromkeys(("A", "B", "C"), REAL),
        {
            "alpha": USED,
            "beta": USED,
            "transA": Refused("transpose the activation before it", harmless=(0,)),
            "transB": FLAG,
        },
    ),
    "GlobalAveragePool": _simple(layers.global_pool("mean"), "X"),
    "GlobalMaxPool": _simple(layers.global_pool("max"), "X"),
    "Identity": _view(views.identity, ("input",)),
    "LeakyRelu": Operator(layers.leaky_relu, {"X": REAL}, {"alpha": USED}),
    "LogSoftmax": Operator(views.softmax("log_softmax"), {"input": REAL}, {"axis": USED}),
    "MatMul": _simple(layers.matmul, "A", "B"),
    "Max": _simple(layers.bounds("max"), "data_0"),
    "MaxPool": Operator(
        layers.max_pool,
        {"X": REAL},
        {
            **_WINDOW,
            "ceil_mode": FLAG,
            "dilations": USED,
            "storage_order": Irrelevant("it is about the indices, which are refused", (0, 1)),
        },
        {"Indices": Irrelevant("where a maximum was is not computed")},
    ),
    "Mean": _simple(layers.mean, "data_0"),
    "Min": _simple(layers.bounds("min"), "data_0"),
    "Mul": _simple(layers.binary("mul"), "A", "B"),
    "Neg": _simple(layers.negative, "X"),
    "PRelu": _simple(layers.prelu, "X", "slope"),
    "Pad": Operator(
        moves.pad,
        {"data": REAL, "pads": INDICES, "constant_value": REAL, "axes": INDICES},
        {
            "mode": Used(one_of=("constant", "reflect", "edge", "wrap")),
            "pads": USED,
            "value": USED,
        },
    ),
    "Pow": _simple(layers.binary("pow"), "X", "Y"),
    "QuantizeLinear": Operator(
        quantized.quantize_linear,
        {"x": REAL, "y_scale": REAL, "y_zero_point": INTEGERS | NARROW},
        {
            **_QUANTIZED,
            "precision": Irrelevant("a division is rounded far more coarsely here, to an integer"),
            "saturate": Irrelevant(_ONLY_FLOAT8, one_of=(0, 1)),
        },
    ),
    **{
        f"Reduce{kind.title()}": Operator(layers.reduce(kind), {"data": REAL, "axes": INDICES}, _REDUCTION)
        for kind in ("max", "mean", "min", "sum")
    },
    "Relu": _simple(layers.relu, "X"),
    "Reshape": Operator(views.reshape, {"data": ANY, "shape": INDICES}, {"allowzero": FLAG}),
    "Resize": Operator(
        moves.resize_,
        {
            "X": REAL,
            "roi": Irrelevant("only a mode that is refused reads it"),
            "scales": REAL,
            "sizes": INDICES,
        },
        {
            "antialias": Refused("it is about modes that are refused", harmless=(0,)),
            "axes": USED,
            "coordinate_transformation_mode": Used(
                one_of=(*moves.COORDINATES, "tf_crop_and_resize", "tf_half_pixel_for_nn")
            ),
            "cubic_coeff_a": Irrelevant(_ONLY_INTERPOLATED),
            "exclude_outside": Irrelevant(_ONLY_INTERPOLATED),
            "extrapolation_value": Irrelevant("only a mode that is refused reads it"),
            "keep_aspect_ratio_policy": Used(one_of=("stretch", "not_larger", "not_smaller")),
            "mode": Refused(
                "pixels are repeated, not interpolated; export with nearest", harmless=("nearest",)
            ),
            "nearest_mode": Used(one_of=tuple(moves.ROUNDINGS)),
        },
    ),
    "Shape": _view(views.shape, ("data",), None, "start", "end"),
    "Size": _view(views.size, ("data",)),
    "Slice": Operator(
        moves.slice_,
        {"data": ANY, **dict.fromkeys(("starts", "ends", "axes", "steps"), INDICES)},
        dict.fromkeys(("starts", "ends", "axes"), USED),
    ),
    "SpaceToDepth": Operator(
        moves.space_to_depth, {"input": ANY}, {"blocksize": USED, "mode": Used(one_of=("DCR", "CRD"))}
    ),
    "Split": Operator(
        moves.split,
        {"input": ANY, "split": INDICES},
        dict.fromkeys(("axis", "num_outputs", "split"), USED),
    ),
    "Softmax": Operator(views.softmax("softmax"), {"input": REAL}, {"axis": USED}),
    "Squeeze": _view(views.squeeze, ("data",), "axes", "axes"),
    "Sub": _simple(layers.binary("sub"), "A", "B"),
    "Sum": _simple(layers.total, "data_0"),
    "Tile": _view(moves.tile, ("input",), "repeats"),
    "Transpose": _view(views.transpose, ("data",), None, "perm"),
    "Trilu": Operator(moves.trilu, {"input": REAL, "k": INDICES}, {"upper": FLAG}),
    "Upsample": Operator(
        moves.upsample,
        {"X": REAL, "scales": REAL},
        {
            "mode": Refused(
                "pixels are repeated, not interpolated; export with nearest", harmless=("nearest",)
            ),
            "scales": USED,
        },
    ),
    "Unsqueeze": _view(views.unsqueeze, ("data",), "axes", "axes"),
}

CONSTANT_RESULT = frozenset({"Shape", "Size"})
"""Operators whose result is a constant whatever the activation."""
