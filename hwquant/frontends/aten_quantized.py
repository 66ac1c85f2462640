"""Quantization in programs of PyTorch: the operators ``quantized_decomposed``, which its PT2E flow writes.

A tensor between ``quantize_per_tensor`` and ``dequantize_per_tensor`` is what one between QuantizeLinear and
DequantizeLinear is in ONNX (see `quantized`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.aten_schema import Unaccounted
from hwquant.frontends.aten_types import HALF, REAL, Operand
from hwquant.frontends.builder import Builder
from hwquant.frontends.quantized import (
    WIDTHS,
    Limits,
    Steps,
    activation_format,
    along,
    check_count,
    check_parameters,
    dequantized,
    moved,
    note_weights,
    rounded,
    steps_of,
)
from hwquant.frontends.values import Array, Value


def quantizes(operands: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of what quantizes: real numbers become integers of the type that is asked for."""
    source, dtype = operands[0].dtype, str(arguments["dtype"])
    if source not in (*REAL, *HALF):
        raise Unaccounted(f"it quantizes {source}; only real numbers can be")
    return _known(dtype)


def dequantizes(operands: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of what dequantizes: integers of the type that is named become real numbers."""
    source, dtype = operands[0].dtype, _known(str(arguments["dtype"]))
    if source != dtype:
        raise Unaccounted(f"it takes {source} for {dtype}; quantize and dequantize with one type")
    result = str(arguments.get("out_dtype") or "float32")
    if result not in REAL:
        raise Unaccounted(f"it gives {result}, whose rounding is not reproduced; give float32")
    return result


def _known(dtype: str) -> str:
    if dtype not in WIDTHS:
        raise Unaccounted(f"its integers are {dtype}; quantize activations and weights to 8 bits at most")
    return dtype


def quantize(call: AtenCall) -> Value | Array:
    """The operators ``quantize_per_tensor`` and ``quantize_per_channel``."""
    found, kind = call.any("input"), call.dtype
    scale, zero, axis = _parameters(call)
    check_parameters(call.build, scale, zero, axis, len(found.shape))
    limits = _limits(call, kind)
    if isinstance(found, Value):
        form, _ = activation_format(call.build, kind, scale, zero, limits)
        return rounded(call.build, call.name, found, form)
    data = call.weights("input").astype(np.float32)  # torch multiplies in it
    check_count(call.build, scale, axis, data)
    if scale.size > 1:
        scale, zero = along(scale, axis, data.ndim), along(zero, axis, data.ndim)
    inverse = (1.0 / scale).astype(np.float32)
    return np.clip(np.round(data * inverse) + zero, *limits)


def dequantize(call: AtenCall) -> Value | Steps | None:
    """The operators ``dequantize_per_tensor`` and ``dequantize_per_channel``.

    Of an activation they do not look at the least and the greatest integer that they are told; torch does not either.
    """
    found, kind = call.any("input"), call.operands[0].dtype
    scale, zero, axis = _parameters(call)
    if isinstance(found, Value):
        check_parameters(call.build, scale, zero, axis, len(found.shape))
        form, middle = activation_format(call.build, kind, scale, zero, _limits_of(found, kind))
        return dequantized(call.build, call.name, found, form, middle)
    data = call.constant("input")
    check_parameters(call.build, scale, zero, axis, data.ndim)
    return steps_of(call.build, kind, data, scale, zero, axis, _limits(call, kind))


def _parameters(call: AtenCall) -> tuple[Array, Array, int]:
    """The scale, the zero point, and the axis along which they lie where they are several."""
    several = "scales" in call.arguments
    scale = call.weights("scales" if several else "scale")
    if not (scale > 0).all():
        raise call.build.invalid(f"its scale is {scale.min():g}, which must be positive")
    name = "zero_points" if several else "zero_point"
    zero = np.zeros(scale.shape) if call.any(name) is None else call.weights(name)
    if (zero != np.round(zero)).any() or (np.abs(zero) >= 1 << 31).any():
        raise call.build.refuse("its zero point is no integer of 32 bits; quantize the module again")
    return scale, zero.astype(np.int64), int(call.get("axis", 0))


def _limits(call: AtenCall, kind: str) -> Limits:
    """The least and the greatest integer that a call names."""
    low, high = (int(np.asarray(call.constant(name)).item()) for name in ("quant_min", "quant_max"))
    info = np.iinfo(kind)
    if not info.min <= low < high <= info.max:
        raise call.build.invalid(f"its integers from {low} to {high} are not a range of {kind}")
    return low, high


def _limits_of(value: Value, kind: str) -> Limits | None:
    """The least and the greatest integer, as the model counts, that a value was quantized to; None where it was not."""
    if value.quantized is None:
        return None
    middle = 0 if WIDTHS[kind][1] else 1 << (value.quantized.bits - 1)
    low, high = value.quantized.limits
    return low + middle, high + middle


class Integers:
    """The integers of constants while a program is translated, and the weights that are made of them.

    Parameters
    ----------
    build : Builder
        The network under construction.
    values : mapping
        The program's values so far, by name.
    """

    def __init__(self, build: Builder, values: Mapping[str, Any]) -> None:
        self._build, self._values = build, values
        self._steps: dict[str, Steps] = {}
        self._unkept: set[str] = set()  # made of integers that are not kept

    def exact(self, name: str) -> Any:
        """A value; a constant that was dequantized as it is, not rounded to float32."""
        return self._steps[name].real if name in self._steps else self._values[name]

    def follow(
        self,
        call: AtenCall,
        importer: Callable[[AtenCall], Any],
        moves: bool,
        read: Sequence[str],
        names: Sequence[str | None],
    ) -> Any:
        """Translate a call, and keep the integers of what it gives.

        Parameters
        ----------
        call : AtenCall
            The call.
        importer : callable
            Its translation.
        moves : bool
            Whether it only moves elements.
        read : sequence of str
            What it reads, by name.
        names : sequence of str or None
            What it gives, by name; None for what nobody reads.
        """
        count = len(self._build.nodes)
        result, given = importer(call), [name for name in names if name is not None]
        if isinstance(result, Value):
            constants = [self._steps[item] for item in read if item in self._steps]
            unkept = any(item in self._unkept and np.ndim(self._values[item]) > 1 for item in read)
            factor = float(call.get("alpha", 1)) if "mat2" in call.arguments else 1.0
            note_weights(self._build, self._build.nodes[count:], constants, factor, unkept)
            if result.quantized is not None:
                self._build.integers |= dict.fromkeys(given, result)
        elif isinstance(result, Steps):
            self._steps |= dict.fromkeys(given, result)
            return result.real
        elif moves and len(read) == 1 and read[0] in self._steps and isinstance(result, np.ndarray):
            first = call.operands[0].argument
            steps = moved(
                self._steps[read[0]],
                lambda part: np.asarray(importer(replace(call, arguments={**call.arguments, first: part}))),
            )
            self._steps |= dict.fromkeys(given, steps)
        elif any(item in self._steps or item in self._unkept for item in read):
            self._unkept.update(given)
        return result

    def overwritten(self, name: str) -> None:
        """Forget the integers of a constant that other numbers are written into."""
        if self._steps.pop(name, None) is not None:
            self._unkept.add(name)
