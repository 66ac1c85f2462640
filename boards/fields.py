"""What a field of a board file may hold, said once: for the check, and for the message to whoever wrote the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hwquant.errors import HwquantError


@dataclass(frozen=True)
class Field:
    """A field: its types, which of their values fit, and both in words ("must be ...").

    Types are exact, as TOML's are: true is no integer.
    """

    types: tuple[type, ...]
    fits: Callable[[Any], bool]
    must: str
    required: bool = False


def text(pattern: str, must: str, *, required: bool = False) -> Field:
    """A text that is all of a pattern, in ASCII."""
    whole = re.compile(pattern, re.ASCII)
    return Field((str,), lambda value: whole.fullmatch(value) is not None, must, required)


def printable_text(most: int) -> Field:
    """A text for people: no line ends, control characters, or marks that turn the direction of writing."""

    def fits(value: str) -> bool:
        return len(value) <= most and value.isprintable() and bool(value.strip())

    return Field((str,), fits, f"a text of 1 to {most} printable characters", required=True)


def integer(low: int, high: int) -> Field:
    """An integer within limits, which belong to it."""
    return Field((int,), lambda value: low <= value <= high, f"an integer from {low:_} to {high:_}")


def number(low: int, high: int) -> Field:
    """A number within limits; never NaN."""
    return Field((int, float), lambda value: low <= value <= high, f"a number from {low} to {high}")


def anything(type_: type, must: str, *, required: bool = False) -> Field:
    """A field of a type whose values are checked elsewhere."""
    return Field((type_,), lambda _: True, must, required)


def check(table: object, fields: Mapping[str, Field], where: str, kind: str = "key") -> dict[str, Any]:
    """The table, if it is one and each of its fields fits.

    Parameters
    ----------
    table : object
        What the file has.
    fields : Mapping[str, Field]
        By key.
    where : str
        The file, and the place in it; messages begin so.
    kind : str
        What a key is called.

    Raises
    ------
    HwquantError
        Names the field, what it must be, and what it is.
    """
    if not isinstance(table, dict):
        raise HwquantError(f"{where} must be a table, not {shown(table)}")
    for key in table:
        if key not in fields:
            raise HwquantError(f"{where}: unknown {kind} {shown(key)}; there are {listed(fields)}")
    for key, field in fields.items():
        if key not in table:
            if field.required:
                raise HwquantError(f"{where}: {key} must be {field.must}, and is missing")
        elif type(table[key]) not in field.types or not field.fits(table[key]):
            raise HwquantError(f"{where}: {key} must be {field.must}, not {shown(table[key])}")
    return table


def listed(names: Collection[str]) -> str:
    """Names for a message."""
    return ", ".join(sorted(names)) or "none"


def shown(value: object) -> str:
    """A value for a message: short, in one line, with nothing that a terminal acts on."""
    if isinstance(value, str):
        return f"{value[:40]!r}" + ("..." if len(value) > 40 else "")
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "an array"
    if type(value) is int and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)
