"""Whether a FlatBuffer is one: every offset in it leads to what the schema says, within the file.

This is what the runtime's own verifier checks, which the Python package has not. How a table is laid out is asked of
the class that was generated for it: its accessors are called on a table that only notes what they look for.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

MOST_TABLES = 200_000
"""Tables of a file, those counted again that several others share."""

MOST = 20_000
"""Tables in a vector; networks for a chip have some hundreds of operators."""

_UNIONS = {
    "Details": "QuantizationDetails",
    "ArraySegments": "SparseIndexVector",
    "ArrayIndices": "SparseIndexVector",
}
"""The enumeration of a union's types, where it is not called as the field."""


@dataclass(frozen=True)
class Field:
    """A field of a table.

    Attributes
    ----------
    name : str
        Its name.
    slot : int
        Where the table's description says where it is.
    vector : bool
        Whether it is a vector.
    kind : str
        What it is, or what is in the vector.
    width : int
        Bytes of a number.
    table : type or None
        The class of a table.
    """

    name: str
    slot: int
    vector: bool
    kind: Literal["number", "text", "table", "union"]
    width: int
    table: type | None


class _Probe:
    """Stands in for a table: its accessors' own calls say how a field is laid out.

    The first ones: behind its own field an accessor may ask for an older one in its place.
    """

    Bytes, Pos = bytes(8), 0

    def __init__(self) -> None:
        self.slot, self.width = 0, 0
        self.kind: Literal["number", "text", "table", "union"] = "number"

    def Offset(self, slot: int) -> int:
        """Where a field is."""
        self.slot = self.slot or slot
        return 4

    def Vector(self, place: int) -> int:
        """Where a vector begins."""
        return 0

    def Get(self, flags: Any, place: int) -> int:
        """A number."""
        self.width = self.width or int(flags.bytewidth)
        return 0

    def String(self, place: int) -> bytes:
        """A text."""
        self.kind = "text"
        return b""

    def Indirect(self, place: int) -> int:
        """Where a table is."""
        self.kind = "table"
        return 0

    def Union(self, table: Any, place: int) -> None:
        """Where one of several tables is."""
        self.kind = "union"


@cache
def layout(table: type) -> tuple[Field, ...]:
    """The fields of a table of the schema."""
    found = []
    accessors = {name: item for name, item in vars(table).items() if callable(item) and name[0] != "_"}
    vectors = {name.removesuffix("IsNone") for name in accessors if name.endswith("IsNone")}
    parts = {vector + part for vector in vectors for part in ("AsNumpy", "Length", "IsNone")}
    for name in accessors:
        if name == "Init" or name in parts:
            continue
        empty, probe = table(), _Probe()
        empty._tab = probe
        made = getattr(empty, name)(*([0] if name in vectors else []))
        inner = type(made) if probe.kind == "table" else None
        found.append(Field(name, probe.slot, name in vectors, probe.kind, probe.width, inner))
    return tuple(found)


@cache
def union(schema: Any, name: str) -> dict[int, type]:
    """The classes that a union field can be of, by what its type says."""
    kinds = vars(getattr(schema, _UNIONS.get(name, name))).items()
    return {
        value: getattr(schema, kind) for kind, value in kinds if isinstance(value, int) and kind != "NONE"
    }


class Verifier:
    """The verifier of one file.

    Parameters
    ----------
    schema : module
        The package ``tflite``.
    content : bytes
        The file.
    """

    def __init__(self, schema: Any, content: bytes) -> None:
        self.schema, self.content, self._tables = schema, content, 0

    def verify(self) -> None:
        """Go through all of the file.

        Raises
        ------
        ValueError
            Something in it is not what the schema says.
        """
        self._table(self.schema.Model, self._led(0))

    def _number(self, place: int, form: str, width: int) -> int:
        if place % width or not 0 <= place <= len(self.content) - width:
            raise ValueError("it has an offset that leads out of it, or between two numbers")
        return int(struct.unpack_from(form, self.content, place)[0])

    def _led(self, place: int) -> int:
        """Where an offset leads: only forward, within the file."""
        offset = self._number(place, "<I", 4)
        if not 0 < offset < 1 << 31 or place + offset >= len(self.content):
            raise ValueError("it has an offset that leads out of it")
        return place + offset

    def _vector(self, place: int, width: int, behind: int = 0) -> int:
        """The length of a vector of items of ``width`` bytes, behind which there are more."""
        length = self._number(place, "<I", 4)
        if place + 4 + length * width + behind > len(self.content):
            raise ValueError("it has a vector that is longer than it")
        return length

    def _text(self, place: int) -> None:
        length = self._vector(place, 1, behind=1)
        if self.content[place + 4 + length]:
            raise ValueError("it has a text without an end")

    def _table(self, table: type, place: int) -> None:
        self._tables += 1
        if self._tables > MOST_TABLES:
            raise ValueError("its tables share so much that it cannot be what a converter wrote")
        described = place - self._number(place, "<i", 4)
        size = self._number(described, "<H", 2)
        length = self._number(described + 2, "<H", 2)
        if size < 4 or size % 2 or max(described + size, place + length) > len(self.content):
            raise ValueError("it has a table that lies outside of it")
        numbers = struct.unpack_from(f"<{size // 2}H", self.content, described)
        offsets = dict(enumerate(numbers[2:], 2))
        if any(offset and not 4 <= offset < length for offset in offsets.values()):
            raise ValueError("it has a table with fields outside of it")
        for field in layout(table):
            offset = offsets.get(field.slot // 2, 0)
            if offset:
                self._field(table, field, place, place + offset)

    def _field(self, table: type, field: Field, parent: int, place: int) -> None:
        if field.kind == "number" and not field.vector:
            if place % field.width or place + field.width > len(self.content):
                raise ValueError(f"its {field.name} lies outside of it, or between two numbers")
            return
        place = self._led(place)
        if field.vector and field.kind == "number":
            self._vector(place, field.width)
        elif field.vector:
            count = self._vector(place, 4)
            if count > MOST:
                raise ValueError(f"it has {count} {field.name}")
            for item in range(count):
                self._item(field, self._led(place + 4 + 4 * item))
        elif field.kind == "union":
            found = self._union(table, field, parent)
            if found is not None:
                self._table(found, place)
        else:
            self._item(field, place)

    def _item(self, field: Field, place: int) -> None:
        if field.table is None:
            self._text(place)
        else:
            self._table(field.table, place)

    def _union(self, table: type, field: Field, parent: int) -> type | None:
        """The class of a union; None of one that the schema does not know."""
        holder: Any = table()
        holder.Init(self.content, parent)
        number = getattr(holder, f"{field.name}Type")()
        return union(self.schema, field.name).get(number)
