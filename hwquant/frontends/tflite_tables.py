"""The tables of a TensorFlow Lite file, once they are verified.

What many of them share counts as often as it is read.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.frontends.tflite_verifier import Field, layout

UNREADABLE = (ValueError, TypeError, KeyError, IndexError, OverflowError, struct.error)
"""What reading a file can raise that no converter wrote, or that was changed since."""

_BUILTIN_CODE = 10
"""Where the table of an OperatorCode says its operator, beyond the first 127."""


class Tables:
    """The tables of one file.

    Parameters
    ----------
    content : bytes
        The file.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._left = 8 * len(content) + (1 << 16)

    def tables(self, parent: Any, field: str) -> list[Any]:
        """The tables of a vector; none where it is absent."""
        return [getattr(parent, field)(index) for index in range(getattr(parent, f"{field}Length")())]

    def numbers(self, parent: Any, field: str) -> NDArray[Any]:
        """The numbers of a vector, a view of the file; none where it is absent."""
        found = getattr(parent, f"{field}AsNumpy")()
        array = np.zeros(0, np.int64) if isinstance(found, int) else found
        self.spend(array.nbytes)
        return array

    def spend(self, count: int) -> None:
        """Account for bytes that are read.

        Raises
        ------
        ValueError
            More was read than the file can mean to say.
        """
        self._left -= count
        if self._left < 0:
            raise ValueError("its tables share so much that it cannot be what a converter wrote")

    def text(self, found: bytes | None) -> str:
        """A name as text; bytes that are not UTF-8 are replaced."""
        self.spend(len(found or b""))
        return (found or b"").decode("utf-8", "replace")

    def operator(self, code: Any) -> int:
        """An operator's number: the larger of two fields, of which the schema's own class leaves out small ones."""
        place = code._tab.Offset(_BUILTIN_CODE)
        (number,) = struct.unpack_from("<i", self.content, code._tab.Pos + place) if place else (0,)
        return max(int(number), int(code.DeprecatedBuiltinCode()))

    def options(self, table: Any) -> dict[str, Any]:
        """All fields of an operator's options by the names that the schema's classes give them, vectors as tuples.

        Raises
        ------
        ValueError
            A newer schema wrote it, with fields that are not known.
        """
        kind: type = type(table)
        fields = layout(kind)
        (back,) = struct.unpack_from("<i", self.content, table._tab.Pos)
        (described,) = struct.unpack_from("<H", self.content, table._tab.Pos - back)
        slots = range(max((field.slot for field in fields), default=2) + 2, described, 2)
        if any(table._tab.Offset(slot) for slot in slots):
            raise ValueError(f"{type(table).__name__} have fields of a newer schema")
        return {field.name: self._option(table, field) for field in fields}

    def _option(self, table: Any, field: Field) -> Any:
        if field.vector:
            return tuple(self.numbers(table, field.name).tolist())
        found = getattr(table, field.name)()
        return self.text(found) if field.kind == "text" else found
