"""An array as the user writes it: rows and columns, behind the number of arrays where several do the same."""

from __future__ import annotations

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
