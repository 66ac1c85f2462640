"""An array as the user writes it: rows and columns, behind the number of arrays where several do the same."""

from __future__ import annotations

import re

from hwquant.errors import HwquantError
from hwquant.options import Spelling

MIN_SIDE, MAX_SIDE = 2, 32
MAX_ARRAYS = 8
"""Most arrays that share instructions and weights."""

Array = tuple[int, ...]
"""(rows, columns) of an array, or (arrays, rows, columns) of several that share instructions and weights."""


def whole_array(array: Array) -> tuple[int, int, int]:
    """How many arrays there are, and rows and columns of each."""
    arrays, rows, columns = array if len(array) == 3 else (1, *array)
    return arrays, rows, columns


def short_array(arrays: int, rows: int, columns: int) -> Array:
    """Rows and columns, behind the number of arrays where there are several."""
    return (rows, columns) if arrays == 1 else (arrays, rows, columns)


def array_name(array: Array) -> str:
    """The array as text, such as ``"8x8"`` or ``"2x16x16"``."""
    return "x".join(map(str, array))


def check_array(array: Array) -> None:
    """Raise an HwquantError for an array that cannot be."""
    arrays, rows, columns = whole_array(array)
    sides = (MIN_SIDE, MAX_SIDE)
    for name, number, (low, high) in (
        ("rows", rows, sides),
        ("columns", columns, sides),
        ("arrays", arrays, (1, MAX_ARRAYS)),
    ):
        if not low <= number <= high:
            raise HwquantError(f"array {array_name(array)}: {name} must be {low}..{high}, not {number}")


def parse_array(text: str) -> Array:
    """Read (rows, columns), or (arrays, rows, columns), from text such as ``"8x8"`` or ``"2x16x16"``.

    Raises
    ------
    HwquantError
        The text is no array, or a number is out of range.
    """
    match = re.fullmatch(r"(?:([0-9]+)[xX])?([0-9]+)[xX]([0-9]+)", text)
    if not match:
        raise HwquantError(f"array {text!r} is not ROWSxCOLUMNS, such as 8x8, or several, such as 2x16x16")
    arrays, *sides = int(match[1] or 1), int(match[2]), int(match[3])
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in sides):
        raise HwquantError(f"array {text}: rows and columns must each be {MIN_SIDE}..{MAX_SIDE}")
    if not 1 <= arrays <= MAX_ARRAYS:
        raise HwquantError(f"array {text}: there can be 1..{MAX_ARRAYS} arrays")
    return short_array(arrays, *sides)


ARRAY = Spelling(parse_array, array_name)
"""How an option that is an array is written."""
