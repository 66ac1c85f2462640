"""JSON objects of files, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from hwquant.errors import HwquantError

Arrays = dict[str, NDArray[Any]]
"""The arrays of a file by their place in it."""


class Record:
    """A JSON object whose values are checked as they are read, and name it in errors.

    Parameters
    ----------
    value : object
        The object.
    where : str
        What it is, for messages.
    place : str, optional
        Where its arrays are.

    Raises
    ------
    HwquantError
        The value is no object; reading what it lacks, or has in another form, raises the same.
    """

    def __init__(self, value: object, where: str, place: str = "") -> None:
        if not isinstance(value, dict):
            raise HwquantError(f"{where} is no JSON object")
        self.value, self.where, self.place = value, where, place

    def _get(self, key: str, kinds: type | tuple[type, ...], what: str) -> Any:
        value = self.value.get(key)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise HwquantError(f"{self.where} has no {what} {key!r}")
        return value

    def integer(self, key: str) -> int:
        """Read an integer."""
        return self._get(key, int, "integer")

    def real(self, key: str) -> float:
        """Read a number."""
        return float(self._get(key, (int, float), "number"))

    def text(self, key: str) -> str:
        """Read a text."""
        return self._get(key, str, "text")

    def mapping(self, key: str) -> Mapping[str, object]:
        """Read an object."""
        return self._get(key, dict, "object")

    def record(self, key: str) -> Record:
        """Read an object whose numbers belong together."""
        return Record(self.mapping(key), f"{self.where}, {key}", f"{self.place}/{key}")

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a tuple of texts."""
        values = self._get(key, list, "list")
        if not all(isinstance(value, str) for value in values):
            raise HwquantError(f"{self.where} has a value in {key!r} that is not text")
        return tuple(values)

    def integers(self, key: str, count: int | None, least: int) -> Any:
        """Read a tuple of ``count`` integers (any number where None), each at least ``least``."""
        values = self._get(key, list, "list")
        if not all(type(value) is int and value >= least for value in values):
            raise HwquantError(
                f"{self.where} has {key} {values}; each must be an integer and at least {least}"
            )
        if count not in (None, len(values)):
            raise HwquantError(f"{self.where} has {key} {values}; it must have {count} values")
        return tuple(values)

    def records(self, key: str) -> list[Record]:
        """Read the JSON objects of a list; their arrays are found under ``key`` and their position."""
        values = self._get(key, list, "list")
        parent = f"{self.place}/" if self.place else ""
        result = []
        for index, value in enumerate(values):
            name = value.get("name", index) if isinstance(value, dict) else index
            where = f"{self.where}, term {index}" if key == "terms" else f"{key.removesuffix('s')} {name!r}"
            result.append(Record(value, where, f"{parent}{key}/{index}"))
        return result

    def array(self, arrays: Arrays, name: str) -> NDArray[Any]:
        """Find an array that belongs to the object."""
        place = f"{self.place}/{name}"
        if place not in arrays:
            raise HwquantError(f"{self.where} has no array {place!r}")
        return arrays[place]

    def optional_array(self, arrays: Arrays, name: str) -> NDArray[Any] | None:
        """Find an array that may belong to the object; None where there is none."""
        return arrays.get(f"{self.place}/{name}")
