"""ONNX's QuantizeLinear and DequantizeLinear, of activations and of constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwquant.frontends.builder import Builder
from hwquant.frontends.onnx_call import OnnxCall
from hwquant.frontends.quantized import (
    WIDTHS,
    Steps,
    activation_format,
    check_parameters,
    dequantized,
    rounded,
    steps_of,
)
from hwquant.frontends.values import Array, Value
from hwquant.given import GivenFormat

MOVES = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that leave the integers of a constant what they are."""


def quantize_linear(call: OnnxCall) -> Value:
    """The operator QuantizeLinear on an activation."""
    kind = call.types[2] if call.given(2) else _output_type(call)
    form, _ = _format(call, str(kind))
    return rounded(call.build, call.name, call.value(), form)


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
    scale, zero = call.weights(1), call.constant(2) if call.given(2) else None
    _check(call.build, call.attributes, scale, zero, len(call.value().shape))
    return activation_format(call.build, kind, scale, np.zeros(()) if zero is None else zero)


def _check(
    build: Builder, attributes: Mapping[str, Any], scale: Array, zero: Array | None, rank: int
) -> None:
    """Raise unless a scale and a zero point have shapes that ONNX knows: one number, as many in a row, or in blocks."""
    block = attributes.get("block_size", 0)
    if block < 0 or (block and scale.ndim == 0):
        raise build.invalid(f"its blocks have {block} elements, and its scale has shape {scale.shape}")
    if not block:
        check_parameters(build, scale, zero, attributes.get("axis", 1), rank)
    elif zero is not None and zero.shape != scale.shape:
        raise build.invalid(f"its zero point has shape {zero.shape}, its scale {scale.shape}")


def constant_steps(
    build: Builder, attributes: Mapping[str, Any], kind: str, inputs: Sequence[Array]
) -> Steps | None:
    """A constant that DequantizeLinear reads, as integers and steps; None where its scales are in blocks.

    Parameters
    ----------
    build : Builder
        The network under construction, for errors.
    attributes : mapping
        The node's attributes, by name.
    kind : str
        The element type of the constant.
    inputs : sequence of ndarray
        The constant, its scale, and its zero point where there is one.

    Raises
    ------
    Invalid
        They do not fit each other.
    """
    data, scale, zero = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    _check(build, attributes, scale, zero, data.ndim)
    if attributes.get("block_size", 0) or kind not in WIDTHS:
        return None
    return steps_of(build, kind, data, scale, zero, attributes.get("axis", 1))
