"""The ATen operators, each translated to a function on values, and the rule for its element type.

What their overloads are is in `aten_schemas`, in torch's words; what an argument means in all of them, in
`aten_declared`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from hwquant.frontends import arithmetic, operators, rearrange
from hwquant.frontends import aten_constants as constants
from hwquant.frontends import aten_layers as layers
from hwquant.frontends import aten_moves as moves
from hwquant.frontends import aten_pointwise as pointwise
from hwquant.frontends import aten_quantized as quantized
from hwquant.frontends import aten_views as views
from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.aten_schema import BatchSize
from hwquant.frontends.aten_types import (
    Rule,
    casts,
    category,
    chooses,
    compares,
    computed,
    counts,
    counts_up,
    creates,
    divides,
    lossless,
    moved,
    promotes,
    sums,
)
from hwquant.frontends.values import Array, Value

Importer = Callable[[AtenCall], Any]


@dataclass(frozen=True)
class Operator:
    """How an operator is translated, and what its result's element type is.

    Attributes
    ----------
    importer : callable
        The function from a call to its value.
    rule : callable
        The function from operands and arguments to the element type of the result.
    """

    importer: Importer
    rule: Rule


def _binary(kind: str, reverse: bool = False) -> Callable[[AtenCall], Value | Array]:
    """The operation ``self kind alpha * other``, or with ``reverse`` ``other kind alpha * self``."""

    def translate(call: AtenCall) -> Value | Array:
        left, right = _promoted(call)
        if reverse:
            left, right = right, left
        alpha = np.asarray(call.number("alpha", 1))
        if alpha != 1:
            right = arithmetic.binary(call.build, f"{call.name}_alpha", "mul", right, alpha)
        return arithmetic.binary(call.build, call.name, kind, left, right)

    return translate


def _promoted(call: AtenCall) -> list[Value | Array]:
    """The operands; activations of integers are real here, or the rule of their types had refused them."""
    sides = [call.operand("self"), call.operand("other")]
    return [replace(side, integer=False) if isinstance(side, Value) else side for side in sides]


def _bounds(kind: Literal["max", "min"]) -> Callable[[AtenCall], Value | Array]:
    def translate(call: AtenCall) -> Value | Array:
        sides = _promoted(call)
        constants = [side for side in sides if not isinstance(side, Value)]
        if len(constants) == len(sides):
            return np.asarray((np.maximum if kind == "max" else np.minimum)(*constants))
        return arithmetic.bounds(call.build, call.name, kind, sides)

    return translate


def _power(call: AtenCall) -> Value | Array:
    sides = [call.operand("self"), call.operand("exponent")]
    return arithmetic.binary(call.build, call.name, "pow", *sides)


def _extreme(kind: Literal["max", "min"]) -> Callable[[AtenCall], Value | Array]:
    """The operators ``max`` and ``min``: of two tensors, or over a dimension; where it is found nobody may read."""
    of_constants = constants.reduction(kind, np.max if kind == "max" else np.min)

    def translate(call: AtenCall) -> Value | Array:
        if call.get("other") is not None:
            return _bounds(kind)(call)
        return layers.reduce(kind, of_constants)(call)

    return translate


def _filled(number: float | None) -> Callable[[AtenCall], Array]:
    """A constant of one number, by default the argument ``fill_value``."""

    def translate(call: AtenCall) -> Array:
        size = call.integers("size")
        fill = call.get("fill_value") if number is None else number
        return views.spread(call, np.asarray(fill, np.float64), size)

    return translate


def _negative(call: AtenCall) -> Value | Array:
    return arithmetic.binary(call.build, call.name, "mul", call.operand("self"), np.asarray(-1.0))


def _concat(call: AtenCall) -> Value:
    values = call.get("tensors")
    if not all(isinstance(value, Value) for value in values):
        raise call.build.refuse("it concatenates a constant; only activations can be")
    return rearrange.concat(call.build, call.name, values, int(call.get("dim", 0)))


def _identity(name: str = "self") -> Callable[[AtenCall], Value | Array]:
    return lambda call: call.get(name)


def _cast(call: AtenCall) -> Value | Array:
    source, dtype = call.get("self"), call.operands[0].dtype
    if not isinstance(source, Value):
        return np.asarray(source)  # the translation gives it its type
    if source.quantized is not None:
        raise call.build.refuse("it casts integers that a tensor was quantized to; dequantize them before")
    classes = source.shape[1] - 1 if source.host[-1:] == ("argmax",) else None
    if not lossless(dtype, call.dtype, classes):
        half = category(call.dtype) == 2
        what = "a cast of activations" if half else "a cast of activations to integers"
        wraps = "wraps values; cast to float in its place"
        adds = "is not supported; quantization is what hwquant adds"
        why = "rounds; leave it out" if half else wraps if category(dtype) < 2 else adds
        raise call.build.refuse(f"{what} ({dtype} to {call.dtype}) {why}")
    return replace(source, integer=category(call.dtype) < 2 and classes is None)


def _checked(call: AtenCall) -> None:
    """A check of a tensor's type, which torch makes when the program runs."""
    found, wanted = call.operands[0].dtype, call.get("dtype")
    if wanted is not None and wanted != found:
        raise call.build.refuse(f"it wants a tensor of {wanted}, and there is {found}")


def _sym_size(call: AtenCall) -> int:
    shape = call.value().shape
    size = shape[views.axis_of(call.get("dim"), len(shape))]
    return BatchSize(size) if isinstance(call.build.batch, BatchSize) else size


def _softmax(function: str) -> Callable[[AtenCall], Value]:
    return lambda call: operators.host(call.build, call.value(), function, call.get("dim"))


def _argmax(call: AtenCall) -> Value:
    if call.get("dim") is None:
        raise call.build.refuse(
            "argmax over everything, the batch included, is not supported; give its dimension"
        )
    return operators.host(call.build, call.value(), "argmax", call.get("dim"), bool(call.get("keepdim")))


def _all(rule: Rule, importers: Mapping[str, Importer]) -> dict[str, Operator]:
    return {name: Operator(importer, rule) for name, importer in importers.items()}


OPERATORS: Mapping[str, Operator] = {
    **_all(
        computed,
        {
            "_adaptive_avg_pool2d": layers.adaptive_pool(2, "mean"),
            "_log_softmax": _softmax("log_softmax"),
            "_native_batch_norm_legit_no_training": layers.batch_norm,
            "_softmax": _softmax("softmax"),
            "_weight_norm": constants.weight_norm,
            "_weight_norm_interface": constants.weight_norm,
            "adaptive_avg_pool1d": layers.adaptive_pool(1, "mean"),
            "adaptive_avg_pool2d": layers.adaptive_pool(2, "mean"),
            "adaptive_max_pool1d": layers.adaptive_pool(1, "max"),
            "adaptive_max_pool2d": layers.adaptive_pool(2, "max"),
            "addmm": layers.addmm,
            "amax": layers.reduce("max", constants.reduction("amax", np.max)),
            "avg_pool1d": layers.average_pool(1),
            "avg_pool2d": layers.average_pool(2),
            "batch_norm": layers.batch_norm,
            "bmm": layers.bmm,
            "constant_pad_nd": moves.pad,
            "amin": layers.reduce("min", constants.reduction("amin", np.min)),
            "conv_transpose1d": layers.conv_transpose,
            "conv_transpose2d": layers.conv_transpose,
            "reflection_pad1d": moves.border("reflect"),
            "reflection_pad2d": moves.border("reflect"),
            "replication_pad1d": moves.border("edge"),
            "replication_pad2d": moves.border("edge"),
            "upsample_nearest1d": moves.upsample(False),
            "upsample_nearest2d": moves.upsample(False),
            "_upsample_nearest_exact1d": moves.upsample(True),
            "_upsample_nearest_exact2d": moves.upsample(True),
            "tril": moves.triangle(np.tril),
            "triu": moves.triangle(np.triu),
            "conv1d": layers.conv,
            "conv2d": layers.conv,
            "convolution": layers.conv,
            "dot": constants.product("tensor"),
            "einsum": layers.equation,
            "hardtanh": layers.hardtanh,
            "leaky_relu": layers.leaky_relu,
            "linalg_vector_norm": constants.vector_norm,
            "linear": layers.linear,
            "log_softmax": _softmax("log_softmax"),
            "matmul": layers.matmul("other"),
            "max_pool1d": layers.max_pool(1),
            "max_pool2d": layers.max_pool(2),
            "max_pool2d_with_indices": layers.max_pool(2),
            "mean": layers.reduce("mean", constants.reduction("mean", np.mean)),
            "mm": layers.matmul("mat2", 2),
            "mv": constants.product("vec"),
            "neg": _negative,
            "pad": moves.pad,
            "prelu": layers.prelu,
            "relu": layers.relu(np.inf),
            "relu6": layers.relu(6.0),
            "softmax": _softmax("softmax"),
            "std": constants.deviation("std", np.std),
            "var": constants.deviation("var", np.var),
            "vdot": constants.product("other"),
            **pointwise.SAME_RESULTS,
        },
    ),
    **_all(
        moved,
        {
            "_assert_tensor_metadata": _checked,
            "_unsafe_view": views.view(views.shape("size")),
            "alias": _identity(),
            "alpha_dropout": _identity("input"),
            "channel_shuffle": moves.channel_shuffle,
            "chunk": moves.chunk,
            "flip": moves.flip,
            "index": moves.index,
            "index_select": moves.index_select,
            "movedim": moves.movedim,
            "narrow": moves.narrow,
            "native_channel_shuffle": moves.channel_shuffle,
            "pixel_shuffle": moves.pixel_shuffle,
            "pixel_unshuffle": moves.pixel_unshuffle,
            "repeat": moves.repeat("repeats"),
            "repeat_interleave": moves.repeat_interleave,
            "roll": moves.roll,
            "select": moves.select,
            "slice": moves.slice_,
            "split": moves.split("split_size"),
            "split_with_sizes": moves.split("split_sizes"),
            "stack": moves.stack,
            "swapaxes": views.view(views.swapped("axis0", "axis1")),
            "swapdims": views.view(views.swapped("dim0", "dim1")),
            "tile": moves.repeat("dims"),
            "unbind": moves.unbind,
            "broadcast_to": views.expand("size"),
            "clone": _identity(),
            "contiguous": _identity(),
            "detach": _identity(),
            "dropout": _identity("input"),
            "expand": views.expand("size"),
            "expand_as": views.expand("other"),
            "feature_alpha_dropout": _identity("input"),
            "feature_dropout": _identity("input"),
            "flatten": views.view(views.flatten),
            "lift_fresh_copy": _identity(),
            "numpy_T": views.view(lambda call: lambda array: array.T),
            "permute": views.view(lambda call: lambda array: array.transpose(call.integers("dims"))),
            "reshape": views.view(views.shape("shape")),
            "reshape_as": views.view(views.shape("other")),
            "squeeze": views.view(views.squeeze),
            "sym_size": _sym_size,
            "t": views.view(lambda call: views.matrix),
            "transpose": views.view(views.swapped("dim0", "dim1")),
            "unflatten": views.view(views.unflatten),
            "unsqueeze": views.view(lambda call: lambda array: np.expand_dims(array, call.get("dim"))),
            "view": views.view(views.shape("size")),
            "view_as": views.view(views.shape("other")),
        },
    ),
    **_all(
        promotes,
        {
            "add": _binary("add"),
            "cat": _concat,
            "fmod": constants.remainder,
            "clamp": layers.clip("min", "max"),
            "clamp_max": layers.clip("max"),
            "clamp_min": layers.clip("min"),
            "clip": layers.clip("min", "max"),
            "concat": _concat,
            "concatenate": _concat,
            "max": _extreme("max"),
            "maximum": _bounds("max"),
            "min": _extreme("min"),
            "minimum": _bounds("min"),
            "mul": _binary("mul"),
            "pow": _power,
            "rsub": _binary("sub", reverse=True),
            "sub": _binary("sub"),
        },
    ),
    **_all(
        divides,
        {
            "div": _binary("div"),
            **pointwise.REAL_RESULTS,
        },
    ),
    **_all(
        casts,
        {
            "_to_copy": _cast,
            "to": _cast,
            "type_as": _cast,
        },
    ),
    **_all(
        creates,
        {
            "full": _filled(None),
            "ones": _filled(1.0),
            "scalar_tensor": lambda call: np.asarray(call.get("s"), np.float64),
            "zeros": _filled(0.0),
        },
    ),
    **_all(counts_up, {"arange": moves.arange}),
    **_all(
        sums,
        {
            "sum": layers.reduce("sum", constants.reduction("sum", np.sum)),
        },
    ),
    **_all(
        counts,
        {
            "argmax": _argmax,
        },
    ),
    **_all(
        compares,
        {
            **pointwise.COMPARISONS,
        },
    ),
    **_all(
        quantized.quantizes,
        {
            "quantized_decomposed.quantize_per_channel": quantized.quantize,
            "quantized_decomposed.quantize_per_tensor": quantized.quantize,
        },
    ),
    **_all(
        quantized.dequantizes,
        {
            "quantized_decomposed.dequantize_per_channel": quantized.dequantize,
            "quantized_decomposed.dequantize_per_tensor": quantized.dequantize,
        },
    ),
    **_all(
        chooses,
        {
            "where": pointwise.chosen,
        },
    ),
}

ALIASING = frozenset(
    {
        "_unsafe_view",
        "alpha_dropout",
        "dropout",
        "einsum",
        "feature_alpha_dropout",
        "feature_dropout",
        "type_as",
    }
)
"""Operators whose result may share memory with their first tensor, though torch's schema does not say so."""

IGNORED = frozenset({"_assert_scalar", "_assert_async", "sym_constrain_range_for_size"})
"""Checks of sizes that the open batch decides; they compute nothing."""
