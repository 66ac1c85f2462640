"""Element types: what torch would compute in, so that no rounding, wrapping or truncation of its is lost.

hwquant computes networks in real numbers. Activations of other types than float32 and float64 can therefore
be moved, cast without loss, or promoted by an operator that computes in one of those; all else is refused.
Constants are computed here as torch would: in the type that it gives the result. There is no table here: a rule is a
function, and an operator's entry in `aten_operators` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwquant.frontends.aten_schema import Unaccounted
from hwquant.frontends.values import Array, Value

REAL = ("float32", "float64")
"""Types in which an activation can be computed."""
HALF = ("float16", "bfloat16")
NAMES = ("bool", "uint8", "int8", "int16", "int32", "int64", *HALF, *REAL)
"""All element types that a program may have. numpy has no bfloat16: its arrays are float32 here."""


@dataclass(frozen=True)
class Operand:
    """A tensor or number that an operator reads.

    Attributes
    ----------
    argument : str
        The schema's name of the argument.
    dtype : str
        Its element type, "" for a number.
    value : Any
        An activation, an array, or a number.
    """

    argument: str
    dtype: str
    value: Any

    @property
    def activation(self) -> bool:
        """True for what depends on the network's input."""
        return isinstance(self.value, Value)

    @property
    def rank(self) -> int:
        """What promotion looks at first: tensors before tensors without dimensions, before numbers."""
        if not self.dtype:
            return 0
        return 2 if self.activation or np.ndim(self.value) else 1


def promoted(operands: Sequence[Operand]) -> str:
    """The type that torch promotes operands to."""
    ranks = ["", "", ""]
    for operand in operands:
        ranks[operand.rank] = _joined(ranks[operand.rank], operand.dtype or _number(operand.value))
    number, single, tensor = ranks
    return _over(tensor, _over(single, number))


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "int64" if isinstance(value, int) else "float32"


def _joined(one: str, other: str) -> str:
    """The type that two operands of one rank are promoted to; "" is none."""
    if not one or not other or one == other:
        return one or other
    if category(one) != category(other):
        return max(one, other, key=category)
    if "bfloat16" in (one, other):
        return "float64" if "float64" in (one, other) else "float32"
    return np.promote_types(one, other).name


def _over(higher: str, lower: str) -> str:
    """The type that operands of two ranks are promoted to: the lower counts where its category is higher."""
    if not higher or not lower or category(higher) == 2:
        return higher or lower
    if higher == "bool" or category(lower) == 2:
        return _joined(higher, lower)
    return higher


def category(dtype: str) -> int:
    """The place of a type in the order of promotion: booleans, then integers, then floating point."""
    if dtype == "bool":
        return 0
    return 1 if "int" in dtype else 2


def lossless(source: str, target: str, largest: int | None = None) -> bool:
    """Whether a cast keeps every value but for float32's rounding; ``largest`` bounds integers from 0 on."""
    if target in REAL or source == target:
        return True
    if category(source) == 2 or target == "bool":
        return False
    if largest is None:
        info = np.iinfo("uint8" if source == "bool" else source)
        smallest, largest = (0, 1) if source == "bool" else (int(info.min), int(info.max))
    else:
        smallest = 0
    if target in HALF:
        exact = 2048 if target == "float16" else 256
        return -exact <= smallest and largest <= exact
    return int(np.iinfo(target).min) <= smallest and largest <= int(np.iinfo(target).max)


def settled(array: Array, dtype: str) -> Array:
    """Give a constant the type that torch gives it.

    Parameters
    ----------
    array : ndarray
        The constant.
    dtype : str
        Its element type in torch.

    Returns
    -------
    ndarray
        The constant, wrapped, rounded or truncated as torch does it.

    Raises
    ------
    Unaccounted
        If the type does not hold it.
    """
    if dtype == "bfloat16":
        return _brain(array)
    target = np.dtype(dtype)
    array = np.asarray(array)
    if target.kind in "iu" and array.dtype.kind == "f":
        whole = np.trunc(array)
        info = np.iinfo(target)
        if not ((whole >= info.min) & (whole <= info.max)).all():
            raise Unaccounted(f"a constant beyond what {dtype} holds")
    with np.errstate(over="ignore"):  # infinity, as in torch; `weights` refuses it
        return array.astype(target)


def _brain(array: Array) -> Array:
    """Round to bfloat16, the upper half of float32, to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32)
    return rounded.view(np.float32).reshape(np.shape(array))


Rule = Callable[[Sequence[Operand], Mapping[str, Any]], str]


def moved(operands: Sequence[Operand], _: Mapping[str, Any]) -> str:
    """The rule of operators that only move elements: any type, and it stays."""
    return operands[0].dtype


def computed(operands: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of operators that compute in the one type that all their tensors have, or are told another."""
    first = operands[0]
    for operand in operands:
        _real(operand, operand.dtype)
        if operand.dtype != first.dtype:
            raise Unaccounted(
                f"its argument {operand.argument!r} is {operand.dtype or 'a number'} and {first.argument!r} "
                f"is {first.dtype}, which torch does not mix here"
            )
    result = str(arguments.get("dtype") or first.dtype)
    _real(first, result)
    return result


def promotes(operands: Sequence[Operand], _: Mapping[str, Any]) -> str:
    """The rule of elementwise operators: the type that their operands are promoted to."""
    result = promoted(operands)
    for operand in operands:
        _real(operand, result)
    return result


def divides(operands: Sequence[Operand], _: Mapping[str, Any]) -> str:
    """The rule of elementwise operators that make integers real."""
    result = promoted(operands)
    result = result if category(result) == 2 else "float32"
    for operand in operands:
        _real(operand, result)
    return result


def chooses(operands: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of ``where``."""
    if operands[0].dtype != "bool":
        raise Unaccounted(f"its argument 'condition' is {operands[0].dtype}, not bool")
    return promotes(operands[1:], arguments)


def compares(operands: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of comparisons."""
    promotes(operands, arguments)
    return "bool"


def counts(operands: Sequence[Operand], _: Mapping[str, Any]) -> str:
    """The rule of ``argmax``."""
    _real(operands[0], operands[0].dtype)
    return "int64"


def sums(operands: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of ``sum``, which counts integers and booleans in int64."""
    first = operands[0].dtype
    return arguments.get("dtype") or (first if category(first) == 2 else "int64")


def casts(operands: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of casts, to a given type or that of the second tensor."""
    if len(operands) > 1:
        return operands[1].dtype
    return arguments.get("dtype") or operands[0].dtype


def creates(_: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of constants: the type given, else that of the number they are filled with."""
    return arguments.get("dtype") or _number(arguments.get("fill_value", arguments.get("s", 0.0)))


def counts_up(_: Sequence[Operand], arguments: Mapping[str, Any]) -> str:
    """The rule of ``arange``: the type given, else int64 unless one of its numbers is real."""
    numbers = [arguments.get(name) for name in ("start", "end", "step")]
    return arguments.get("dtype") or ("float32" if any(type(item) is float for item in numbers) else "int64")


def _real(operand: Operand, result: str) -> None:
    """Refuse a result that is not computed in real numbers; constants may be integers too."""
    if result in HALF:
        raise Unaccounted(
            f"it computes in {result}, whose rounding is not reproduced; export the module after .float()"
        )
    if operand.activation and result not in REAL:
        raise Unaccounted(
            f"its argument {operand.argument!r} is {operand.dtype} here, an integer; cast it to float before "
            "arithmetic"
        )
