"""The ONNX operators that are supported, and what becomes of everything that they may carry.

An operator is one entry of `OPERATORS`. It names every attribute, input, element type and further output that
any operator set from the oldest supported on gives it; a test compares that with ONNX's own schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hwquant.frontends import onnx_layers as layers
from hwquant.frontends import onnx_views as views
from hwquant.frontends.declaration import FLAG, USED, Irrelevant, Refused, Treatment, Used
from hwquant.frontends.onnx_call import OnnxCall, Operator, Result
from hwquant.frontends.onnx_pointwise import POINTWISE
from hwquant.frontends.onnx_types import ANY, INDICES, REAL, TRUTH

_EVALUATION = "export the model in evaluation mode"
_WINDOW: dict[str, Treatment] = {
    "auto_pad": Used(one_of=("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")),
    **dict.fromkeys(("kernel_shape", "pads", "strides"), USED),
}
_REDUCTION: dict[str, Treatment] = {"axes": USED, "keepdims": FLAG, "noop_with_empty_axes": FLAG}
_STATISTICS = Refused(f"it is updated in training mode; {_EVALUATION}")
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
    "ArgMax": Operator(
        views.argmax,
        {"data": REAL},
        {
            "axis": USED,
            "keepdims": FLAG,
            "select_last_index": Refused("the first of equal maxima is found", harmless=(0,)),
        },
    ),
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
            "saturate": Irrelevant(_ONLY_FLOAT8, one_of=(1,)),
            "round_mode": Irrelevant(_ONLY_FLOAT8, one_of=("up", "down", "nearest")),
        },
    ),
    "Clip": Operator(
        layers.clip, dict.fromkeys(("input", "min", "max"), REAL), dict.fromkeys(("min", "max"), USED)
    ),
    "Concat": Operator(views.concat, {"inputs": REAL}, {"axis": USED}),
    "Conv": Operator(
        layers.conv,
        dict.fromkeys(("X", "W", "B"), REAL),
        {**_WINDOW, "dilations": USED, "group": USED},
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
    "Expand": Operator(views.expand, {"input": REAL, "shape": INDICES}),
    "Flatten": _view(views.flatten, ("input",), None, "axis"),
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
    "Min": _simple(layers.bounds("min"), "data_0"),
    "Mul": _simple(layers.binary("mul"), "A", "B"),
    "Neg": _simple(layers.negative, "X"),
    "PRelu": _simple(layers.prelu, "X", "slope"),
    "Pad": Operator(
        views.pad,
        {"data": REAL, "pads": INDICES, "constant_value": REAL, "axes": INDICES},
        {
            "mode": Refused("padding is done with a constant only", harmless=("constant",)),
            "pads": USED,
            "value": USED,
        },
    ),
    "Pow": _simple(layers.binary("pow"), "X", "Y"),
    "ReduceMax": Operator(layers.reduce("max"), {"data": REAL, "axes": INDICES}, _REDUCTION),
    "ReduceMean": Operator(layers.reduce("mean"), {"data": REAL, "axes": INDICES}, _REDUCTION),
    "Relu": _simple(layers.relu, "X"),
    "Reshape": Operator(views.reshape, {"data": ANY, "shape": INDICES}, {"allowzero": FLAG}),
    "Shape": _view(views.shape, ("data",), None, "start", "end"),
    "Softmax": Operator(views.softmax("softmax"), {"input": REAL}, {"axis": USED}),
    "Squeeze": _view(views.squeeze, ("data",), "axes", "axes"),
    "Sub": _simple(layers.binary("sub"), "A", "B"),
    "Sum": _simple(layers.total, "data_0"),
    "Transpose": _view(views.transpose, ("data",), None, "perm"),
    "Unsqueeze": _view(views.unsqueeze, ("data",), "axes", "axes"),
}

CONSTANT_RESULT = frozenset({"Shape"})
"""Operators whose result is a constant whatever the activation."""
