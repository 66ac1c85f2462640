"""The tables of a TensorFlow Lite file that nobody has verified, read within its bytes.

The package ``tflite`` has a class for each table of the schema. Its accessors follow offsets wherever they lead: all
but one kind only lead forward, so that past the end they raise; the exception, from a table back to what says where
its fields are, is checked here. Fields that are shared by many tables are counted as often as they are read.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, struct.error)
"""What reading a file can raise that no converter wrote, or that was changed since."""

MOST = 20_000
"""Tables of one kind; networks for a chip have some hundreds of operators."""

_NO_FIELDS = ("Init", "GetRootAs")
_PARTS = ("AsNumpy", "Length", "IsNone")
"""What the package puts behind the name of a field that is a vector, for other accessors of it."""


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

    def checked(self, table: Any) -> Any:
        """Return a table, once it is known that all of its fields begin within the file.

        Raises
        ------
        ValueError
            It has no description of its fields within the file, or is missing.
        """
        if table is None:
            raise ValueError("a table is missing")
        position, size = table._tab.Pos, len(self.content)
        (back,) = struct.unpack_from("<i", self.content, position)
        fields = position - back
        if not 0 <= fields <= size - 4:
            raise ValueError("a table lies outside of the file")
        described, length = struct.unpack_from("<HH", self.content, fields)
        if described < 4 or described % 2 or fields + described > size or position + length > size:
            raise ValueError("a table lies outside of the file")
        offsets = struct.unpack_from(f"<{described // 2 - 2}H", self.content, fields + 4)
        if any(0 < offset < 4 or offset >= length for offset in offsets if offset):
            raise ValueError("a table has fields outside of it")
        return table

    def tables(self, parent: Any, field: str) -> list[Any]:
        """The tables of a vector; none where it is absent.

        Raises
        ------
        ValueError
            There are more than a file of this size, or any network, can have.
        """
        length = getattr(parent, f"{field}Length")()
        if length > min(MOST, len(self.content) // 4):
            raise ValueError(f"it has {length} {field}")
        return [self.checked(getattr(parent, field)(index)) for index in range(length)]

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

    def options(self, table: Any) -> dict[str, Any]:
        """All fields of an operator's options by the names that the schema's classes give them, vectors as tuples.

        Raises
        ------
        ValueError
            A newer schema wrote it, with fields that are not known.
        """
        self.checked(table)
        names = fields_of(type(table))
        (back,) = struct.unpack_from("<i", self.content, table._tab.Pos)
        (described,) = struct.unpack_from("<H", self.content, table._tab.Pos - back)
        slots = range(4 + 2 * len(names), described, 2)
        if any(table._tab.Offset(slot) for slot in slots):
            raise ValueError(f"{type(table).__name__} have fields of a newer schema")
        return {
            name: tuple(self.numbers(table, name).tolist()) if vector else getattr(table, name)()
            for name, vector in names.items()
        }


def fields_of(table: type) -> dict[str, bool]:
    """The fields of a table of the schema by name, and whether each is a vector."""
    names = [name for name in vars(table) if name[0] != "_" and not name.startswith(_NO_FIELDS)]
    names = [name for name in names if not name.endswith("BufferHasIdentifier")]
    vectors = {name.removesuffix("AsNumpy") for name in names if name.endswith("AsNumpy")}
    parts = {vector + part for vector in vectors for part in _PARTS}
    return {name: name in vectors for name in names if name not in parts}
