"""QONNX's quantizers on activations and on constants.

An activation gets a format, and saturates where its integers end. What is rounded down or half to even says so in its
format, for the quantizer to see to; a network's input is rounded half up by the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hwquant.errors import Unsupported
from hwquant.expression import Expression, choose
from hwquant.frontends import activations, elementwise
from hwquant.frontends.builder import Builder
from hwquant.frontends.fold import Affine
from hwquant.frontends.functions import function
from hwquant.frontends.qonnx import Quantizer, is_quantizer, quantizer
from hwquant.frontends.quantized import FEWEST_BITS, MOST_BITS, Steps, quantized
from hwquant.frontends.values import Array, Value
from hwquant.given import GivenFormat, Rounding
from hwquant.graph import AveragePool, Clip, Concat, MaxPool, Rearrange

if TYPE_CHECKING:
    import onnx


def steps_of_constant(made: Quantizer, x: Array) -> Steps | None:
    """The integers of a constant; None where they do not count from an integer.

    Parameters
    ----------
    made : Quantizer
        What rounds it.
    x : ndarray
        The constant.
    """
    zero = np.broadcast_to(made.zero, x.shape).astype(np.float64)
    if (zero != np.round(zero)).any():
        return None
    integers = made.integers(x) - zero.astype(np.int64)
    step = np.broadcast_to(made.scale, x.shape).astype(np.float64)
    least = made.limits[0] - zero.astype(np.int64)
    return Steps(integers, step, least, made.bits, 2 if made.bipolar else 1)


def quantize_activation(build: Builder, name: str, value: Value, made: Quantizer) -> Value:
    """Round an activation.

    Raises
    ------
    Unsupported
        The array has no such integers, or cannot round so.
    """
    if value.quantized is not None or value.integer:
        raise build.refuse("it rounds integers; cast or dequantize them before")
    if made.open_sign:
        unsigned = value.preprocess is None and _never_negative(build, value.tensor)
        made = replace(made, signed=not unsigned, open_sign=False)
    form = format_of(build, made)
    if max(made.scale.ndim, made.zero.ndim) > len(value.shape):
        raise build.refuse(
            f"its scale has more dimensions than a tensor of shape {value.shape}; give it none"
        )
    step = float(made.scale.item())
    if made.bipolar:
        if made.zero.any():
            raise build.refuse("it has one bit and a zero point; use BipolarQuant")
        if value.preprocess is not None:
            raise build.refuse("the sign of a network's input is what the host finds")
        at_least = activations.at_least(Expression(), 0.0)
        sign = function(build, f"{name}_sign", value, choose(at_least, step, -step))
        return quantized(build, name, sign, form)
    # What the user gives is rounded half up.
    lowered = step / 2 if form.rounding == "down" and value.preprocess is not None else 0.0
    return quantized(
        build, name, elementwise.affine(build, f"{name}_factor", value, made.factor, -lowered), form
    )


def format_of(build: Builder, made: Quantizer) -> GivenFormat:
    """The format of an activation.

    Raises
    ------
    Unsupported
        The array has no such integers.
    """
    if made.bits > MOST_BITS:
        raise build.refuse(
            f"its activations have {made.bits} bits; those of the array have at most {MOST_BITS}: train with as many, "
            "or leave the part up to here to the host (--inputs, --outputs)"
        )
    if made.scale.size != 1 or made.zero.size != 1:
        raise build.refuse(
            f"its activations have {max(made.scale.size, made.zero.size)} scales along an axis; give each tensor one"
        )
    zero = float(made.zero.item())
    if zero != round(zero):
        raise build.refuse(f"its zero point is {zero:g}, which is no integer; round it")
    low, high = made.limits
    if not low <= zero <= high:
        raise build.refuse(
            f"its integers from {low} to {high} have none that stands for 0; use a zero point of them"
        )
    bits = max(made.bits, FEWEST_BITS)
    middle = 0 if made.signed or made.bits < bits else 1 << (bits - 1)
    every = GivenFormat(
        float(made.scale.item()), int(zero) - middle, bits, rounding=_rounding_of(build, made)
    )
    reach = low - middle, high - middle
    return every if reach == every.limits else replace(every, reach=reach)


def _rounding_of(build: Builder, made: Quantizer) -> Rounding:
    """How the array rounds what a quantizer does.

    Raises
    ------
    Unsupported
        It has no such rounding.
    """
    if made.bipolar:
        return "half_up"
    match made.rounding:
        case "ROUND" | "HALF_EVEN":
            return "half_even"
        case "HALF_UP" if made.limits[0] == 0:
            return "half_up"
        case "FLOOR":
            return "down"
        case "DOWN" | "ROUND_TO_ZERO" if made.limits[0] == 0:
            return "down"
    raise build.refuse(
        f"it rounds {'signed' if made.signed else 'unsigned'} integers by {made.rounding!r}, and the array to the "
        "nearest or down; train with ROUND or FLOOR"
    )


def given_by_host(build: Builder, value: Value, node: onnx.NodeProto, arrays: Mapping[str, Array]) -> Value:
    """Give a tensor that the host makes the format that it has where a quantizer made it, and the array knows it.

    Parameters
    ----------
    build : Builder
        The network under construction.
    value : Value
        The tensor.
    node : onnx.NodeProto
        The node that makes it.
    arrays : mapping of ndarray
        All constants by name.
    """
    if not is_quantizer(node):
        return value
    made = quantizer(build, node, [None, *(arrays.get(name) for name in node.input[1:])])
    try:
        form = format_of(build, made)
    except Unsupported:
        return value
    return quantized(build, node.name or node.output[0], value, replace(form, reach=None))


def _never_negative(build: Builder, tensor: str) -> bool:
    """Whether no value of a tensor can be below 0, as far as is known."""
    match build.producer(tensor):
        case Clip(low=low):
            return low >= 0
        case (MaxPool() | AveragePool() | Concat() | Rearrange()) as node:
            return all(_never_negative(build, name) for name in node.inputs)
        case Affine(scale=scale, shift=shift, inputs=(source,)):
            return bool((scale >= 0).all() and (shift >= 0).all()) and _never_negative(build, source)
        case _:
            return False


def constants_of(node: onnx.NodeProto, values: Sequence[object]) -> list[Array | None]:
    """The inputs of a node that are constants."""
    return [None if item is None or isinstance(item, Value) else np.asarray(item) for item in values]
