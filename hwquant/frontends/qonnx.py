"""QONNX's quantizers: what a node says, and what it computes.

QONNX (Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks", 2022) is ONNX with nodes
that round real numbers to integers of any width and give the real numbers that these stand for::

    Quant(x, s, z, b) = (round(clip(x / s + z, least, greatest)) - z) * s
    BipolarQuant(x, s) = x >= 0 ? s : -s
    Trunc(x, s, z, b, s', b') = Quant(x * s' / 2^k s, s', z / 2^k, b')      2^k nearest to s' / s

Brevitas, QKeras, FINN and hls4ml write it, in domains of their own. Constants are computed as QONNX's own executor
computes them: in the element type of the constant, each operation rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.coding import IntArray, integer_limits
from hwquant.frontends.builder import Builder
from hwquant.frontends.values import Array

if TYPE_CHECKING:
    import onnx

DOMAINS = frozenset({"qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas"})
"""Where the quantizers are, by the program that wrote the file."""

ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}
"""What a quantizer may do with what lies between two integers; "UP" is away from zero, and so is half of "HALF_UP"."""

WIDEST = 32
"""Most bits of a quantized constant: a bias is held exactly by float64 arithmetic far beyond."""

_INPUTS: Mapping[str, tuple[int, ...]] = {
    "Quant": (4,),
    "IntQuant": (4,),
    "BipolarQuant": (2,),
    "Trunc": (5, 6),
}
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "Quant": frozenset({"signed", "narrow", "rounding_mode"}),
    "IntQuant": frozenset({"signed", "narrow", "rounding_mode"}),
    "BipolarQuant": frozenset(),
    "Trunc": frozenset({"signed", "narrow", "rounding_mode"}),
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "Quant": ("signed", "narrow"),
    "IntQuant": ("signed", "narrow"),
    "BipolarQuant": (),
    "Trunc": ("rounding_mode",),
}
OTHERS: Mapping[str, str] = {
    "FloatQuant": "the array computes with integers, not with small floating-point numbers; quantize to integers",
    "MultiThreshold": "thresholds are not read; give hwquant the QONNX model from before FINN's streamlining",
}
"""What else is in these domains, and why it is refused."""


def is_quantizer(node: onnx.NodeProto) -> bool:
    """Whether a node is one of QONNX's quantizers."""
    return node.domain in DOMAINS and node.op_type in _INPUTS


@dataclass(frozen=True, eq=False)
class Quantizer:
    """What a node says of the integers that it rounds to.

    Attributes
    ----------
    scale : ndarray
        Real value of a step: one number, or one for each slice of an axis.
    zero : ndarray
        The integers that stand for 0.
    bits : int
        Width of an integer.
    signed, narrow : bool
        Whether integers are on both sides of 0, and whether the one without a counterpart is left out: the least
        one of signed integers, the greatest one of others.
    rounding : str
        One of :data:`ROUNDINGS`.
    bipolar : bool, default False
        The integers are +1 and -1.
    factor : float, default 1
        What the numbers are multiplied by before (Trunc).
    open_sign : bool, default False
        The node does not say whether its integers are signed; those that it reads decide (Trunc's first version).
    """

    scale: Array
    zero: Array
    bits: int
    signed: bool
    narrow: bool
    rounding: str
    bipolar: bool = False
    factor: float = 1.0
    open_sign: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest integer."""
        if self.bipolar:
            return -1, 1
        if self.signed:
            low, high = integer_limits(self.bits)
            return low + self.narrow, high
        return 0, (1 << self.bits) - 1 - self.narrow

    def integers(self, x: Array) -> IntArray:
        """The integers of real numbers, which count from 0."""
        exact = x * np.asarray(self.factor, x.dtype) / self.scale.astype(x.dtype) + self.zero.astype(x.dtype)
        if self.bipolar:
            return np.where(exact >= 0, 1, -1)
        rounded = ROUNDINGS[self.rounding](np.clip(exact, *self.limits))
        return np.asarray(np.clip(rounded, *self.limits), np.int64)

    def real(self, integers: IntArray, dtype: Any) -> Array:
        """The real numbers that integers stand for."""
        found: Array = (integers.astype(dtype) - self.zero.astype(dtype)) * self.scale.astype(dtype)
        return found.astype(dtype)


def quantizer(build: Builder, node: onnx.NodeProto, constants: Sequence[Array | None]) -> Quantizer:
    """Read a quantizer.

    Parameters
    ----------
    build : Builder
        The network under construction, which makes the errors.
    node : onnx.NodeProto
        The node.
    constants : sequence of ndarray or None
        Its inputs; None where one is no constant, or left out.

    Raises
    ------
    Invalid
        No integers are what it says.
    Unsupported
        They depend on data, or have a width that is no whole number.
    """
    _check_form(build, node)
    numbers = [_numbers(build, node, index, constants) for index in range(1, len(node.input))]
    _check_scale(build, numbers[0])
    if node.op_type == "BipolarQuant":
        return Quantizer(numbers[0], np.zeros(()), 1, True, False, "ROUND", bipolar=True)
    zero, bits = numbers[1], _bits(build, numbers[-1])
    values = {item.name: item for item in node.attribute}
    for name in _REQUIRED[node.op_type]:
        if name not in values:
            raise build.invalid(
                f"its attribute {name!r} is missing, without which its integers are not known"
            )
    signed, narrow = (
        _flag(build, values.get(name), name, default) for name, default in (("signed", 1), ("narrow", 0))
    )
    default = "FLOOR" if node.op_type == "Trunc" else "ROUND"
    rounding = values["rounding_mode"].s.decode("utf-8", "replace") if "rounding_mode" in values else default
    if rounding.upper() not in ROUNDINGS:
        raise build.invalid(f"its rounding_mode is {rounding!r}, which must be one of {', '.join(ROUNDINGS)}")
    made = Quantizer(numbers[0], zero, bits, signed, narrow, rounding.upper(), bipolar=signed and bits == 1)
    return made if node.op_type != "Trunc" else _truncation(build, made, numbers)


def _truncation(build: Builder, made: Quantizer, numbers: Sequence[Array]) -> Quantizer:
    """What Trunc rounds to: its first version counts in the steps that it reads, the second in those that it says."""
    scale, zero, before = numbers[:3]
    if any(item.size != 1 for item in numbers):
        raise build.refuse("its integers have several scales; truncate each tensor with one")
    if len(numbers) == 4:
        power, after = _bits(build, before) - made.bits, scale
        if power < 0:
            raise build.invalid(f"it makes {made.bits} bits of {made.bits + power}, which are fewer")
        if zero.any():
            raise build.refuse("its zero point is not 0; truncate integers that count from 0")
    else:
        after = numbers[3]
        _check_scale(build, after)
        power = int(np.round(np.log2(after.item() / scale.item())))
    factor = after.item() / (scale.item() * 2.0**power)
    return Quantizer(
        after,
        zero / 2.0**power,
        made.bits,
        made.signed,
        made.narrow,
        made.rounding,
        made.bipolar,
        factor,
        open_sign=len(numbers) == 4,
    )


def _check_form(build: Builder, node: onnx.NodeProto) -> None:
    """Check what a schema would say."""
    if len(node.input) not in _INPUTS[node.op_type]:
        wanted = " or ".join(map(str, _INPUTS[node.op_type]))
        raise build.invalid(f"it has {len(node.input)} inputs, and not {wanted}")
    if len(node.output) != 1 or not node.output[0]:
        raise build.invalid(f"it has {len(node.output)} outputs, and not 1")
    types = {"rounding_mode": 3}  # a string; the others are integers
    for item in node.attribute:
        if item.name not in _ATTRIBUTES[node.op_type]:
            raise build.invalid(f"it has an attribute {item.name!r}, which is none of QONNX's")
        if item.type != types.get(item.name, 2) or item.ref_attr_name:
            raise build.invalid(f"its attribute {item.name!r} has no value of the right type")


def _numbers(build: Builder, node: onnx.NodeProto, index: int, constants: Sequence[Array | None]) -> Array:
    """A constant input."""
    found = constants[index]
    if not node.input[index]:
        raise build.invalid(f"its input {index} is missing")
    if found is None:
        raise build.refuse(
            f"its input {node.input[index]!r} is computed from the data; fix it at export, as hardware does"
        )
    if found.dtype.kind not in "fiu" or not found.size or not np.isfinite(found.astype(np.float64)).all():
        raise build.invalid(f"its input {node.input[index]!r} is not made of finite numbers")
    return found


def _check_scale(build: Builder, scale: Array) -> None:
    if not (scale > 0).all():
        raise build.invalid(f"its scale is {float(scale.min()):g}, which must be positive")


def _bits(build: Builder, found: Array) -> int:
    """A width."""
    if found.size != 1:
        raise build.refuse(f"its integers have {found.size} widths; give each tensor one")
    bits = float(found.item())
    if bits != round(bits):
        raise build.refuse(f"its integers have {bits:g} bits, which is no whole number; round the width")
    if not 1 <= bits <= WIDEST:
        raise build.invalid(f"its integers have {bits:g} bits; 1 to {WIDEST} are possible")
    return int(bits)


def _flag(build: Builder, found: Any, name: str, default: int) -> bool:
    number = default if found is None else found.i
    if number not in (0, 1):
        raise build.invalid(f"its attribute {name!r} is {number}, which must be 0 or 1")
    return bool(number)
