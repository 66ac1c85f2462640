"""ONNX's QuantizeLinear and DequantizeLinear, of activations and of constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwquant.frontends.builder import Builder
from hwquant.frontends.onnx_call import OnnxCall
from hwquant.frontends.quantized import MOST_BITS, Steps, dequantized, quantized
from hwquant.frontends.values import Array, Value
from hwquant.given import GivenFormat

WIDTHS: Mapping[str, tuple[int, bool]] = {
    f"{'' if signed else 'u'}int{bits}": (bits, signed)
    for bits in (2, 4, 8, 16, 32)
    for signed in (True, False)
}
"""Bits of the integer types, and whether they are signed."""
MOVES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that leave the integers of a constant what they are."""


def quantize_linear(call: OnnxCall) -> Value:
    """The operator QuantizeLinear on an activation."""
    kind = call.types[2] if call.given(2) else _output_type(call)
    form, _ = _format(call, str(kind))
    value = call.value()
    if value.quantized is not None:
        raise call.build.refuse("it quantizes integers; dequantize them before")
    if (
        value.host
    ):  # what the host computes at the very end is not rounded; the runtime has to, where it saturates
        low, high = form.range
        if value.host[-1] != "softmax" or low > 0 or high < 1 - 2 * form.scale:
            raise call.build.refuse(f"it saturates what the host's {value.host[-1]} gives")
        return replace(value, quantized=form)
    return replace(quantized(call.build, call.name, value, form), quantized=form)


def dequantize_linear(call: OnnxCall) -> Value:
    """The operator DequantizeLinear on an activation."""
    form, middle = _format(call, str(call.types[0]))
    return dequantized(call.build, call.name, call.value(), form, middle)


def _output_type(call: OnnxCall) -> str:
    from onnx import TensorProto

    code = call.attributes.get("output_dtype", 0)
    return str(TensorProto.DataType.Name(code)).lower() if code else "uint8"


def _format(call: OnnxCall, kind: str) -> tuple[GivenFormat, int]:
    """The format that a node's scale and zero point say, and what its signed integers lack to the model's own."""
    build = call.build
    bits, signed = WIDTHS[kind]
    if bits > MOST_BITS:
        raise build.refuse(
            f"its activations are {kind}, of {bits} bits; those of the array have at most {MOST_BITS}: quantize them "
            "with 8"
        )
    scale, zero = call.weights(1), call.constant(2) if call.given(2) else np.zeros(())
    check_parameters(build, call.attributes, scale, zero if call.given(2) else None, len(call.value().shape))
    if scale.size != 1 or zero.size != 1:
        raise build.refuse(
            f"its activations have {max(scale.size, zero.size)} scales along an axis; give each tensor one scale"
        )
    step = float(scale.item())
    if not step > 0:
        raise build.invalid(f"its scale is {step:g}, which must be positive")
    middle = 0 if signed else 1 << (bits - 1)
    return GivenFormat(step, int(zero.item()) - middle, bits), middle


def check_parameters(
    build: Builder, attributes: Mapping[str, Any], scale: Array, zero: Array | None, rank: int
) -> None:
    """Raise unless a scale and a zero point have shapes that ONNX knows: one number, or as many in a row.

    Parameters
    ----------
    build : Builder
        The network under construction, for the error.
    attributes : mapping
        The node's attributes, by name.
    scale, zero : ndarray
        The scale, and the zero point where there is one.
    rank : int
        Dimensions of what is quantized.

    Raises
    ------
    Invalid
        They have not, there is no such axis, or blocks have a size that there is none of.
    """
    block, axis = attributes.get("block_size", 0), attributes.get("axis", 1)
    if block < 0 or (block and scale.ndim == 0):
        raise build.invalid(f"its blocks have {block} elements, and its scale has shape {scale.shape}")
    if not block and scale.ndim > 1:
        raise build.invalid(f"its scale has shape {scale.shape}, not one number or one along an axis")
    if scale.size > 1 and not -rank <= axis < rank:
        raise build.invalid(f"its scales are along axis {axis} of {rank}")
    if zero is not None and zero.shape != scale.shape and (max(zero.size, scale.size) > 1 or zero.ndim > 1):
        raise build.invalid(f"its zero point has shape {zero.shape}, its scale {scale.shape}")


def steps_of(attributes: Mapping[str, Any], kind: str, inputs: Sequence[Array]) -> Steps | None:
    """A constant that DequantizeLinear reads, as integers and steps; None where its scales are in blocks.

    Parameters
    ----------
    attributes : mapping
        The node's attributes, by name.
    kind : str
        The element type of the constant.
    inputs : sequence of ndarray
        The constant, its scale, and its zero point where there is one.
    """
    if attributes.get("block_size", 0) or kind not in WIDTHS:
        return None
    bits, signed = WIDTHS[kind]
    data, scale = inputs[0].astype(np.int64), inputs[1].astype(np.float64)
    zero = inputs[2].astype(np.int64) if len(inputs) > 2 else np.zeros((), np.int64)
    if scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(-1)[:1].reshape(())
    elif data.ndim:
        shape = [1] * data.ndim
        shape[attributes.get("axis", 1)] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape if zero.size > 1 else [1] * data.ndim)
    if not (scale > 0).all() or not np.isfinite(scale).all():
        return None
    least = (-(1 << (bits - 1)) if signed else 0) - zero
    step, start = (np.broadcast_to(part, data.shape) for part in (scale, least))
    return Steps(data - zero, step.astype(np.float64), start.astype(np.int64), bits)


def moved(steps: Steps, move: Callable[[Array], Array]) -> Steps:
    """The same constant, its elements moved."""
    integers, step, least = (
        move(np.ascontiguousarray(part)) for part in (steps.integers, steps.step, steps.least)
    )
    return Steps(integers, step, least, steps.bits, steps.gap)
