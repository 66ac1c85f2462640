"""What a field of a board file may hold, said once for the check and for its messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hwquant.errors import HwquantError


@dataclass(frozen=True)
class Field:
    """A field of a board file.

    Attributes
    ----------
    types : tuple of type
        Types of its values; they are exact, as TOML's are: true is no integer.
    fits : callable
        Whether a value of these types may be there.
    must : str
        What a value must be, in words that follow "must be".
    required : bool
        Whether the field must be there.
    """

    types: tuple[type, ...]
    fits: Callable[[Any], bool]
    must: str
    required: bool = False


def text(pattern: str, must: str, *, required: bool = False) -> Field:
    """The field of a text that a pattern matches as a whole, in ASCII."""
    whole = re.compile(pattern, re.ASCII)
    return Field((str,), lambda value: whole.fullmatch(value) is not None, must, required)


def printable_text(most: int) -> Field:
    """The field of a text for people, without line ends, control characters or marks of writing direction."""

    def fits(value: str) -> bool:
        return len(value) <= most and value.isprintable() and bool(value.strip())

    return Field((str,), fits, f"a text of 1 to {most} printable characters", required=True)


def integer(low: int, high: int) -> Field:
    """The field of an integer from ``low`` to ``high``, both included."""
    return Field((int,), lambda value: low <= value <= high, f"an integer from {low:_} to {high:_}")


def number(low: int, high: int) -> Field:
    """The field of a number from ``low`` to ``high``, both included; never NaN."""
    return Field((int, float), lambda value: low <= value <= high, f"a number from {low} to {high}")


def anything(type_: type, must: str, *, required: bool = False) -> Field:
    """The field of a type whose values are checked elsewhere."""
    return Field((type_,), lambda _: True, must, required)


def check(table: object, fields: Mapping[str, Field], where: str, kind: str = "key") -> dict[str, Any]:
    """Check that a value is a table, and that each of its fields fits.

    Parameters
    ----------
    table : object
        Value in the file.
    fields : mapping of str to Field
        Fields that there can be, by key.
    where : str
        The file and the place in it, with which messages begin.
    kind : str, default "key"
        Word for a key in messages.

    Returns
    -------
    dict
        The table.

    Raises
    ------
    HwquantError
        A field is missing, unknown or does not fit; the message says what it must be.
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
    """Names as a message lists them."""
    return ", ".join(sorted(names)) or "none"


def shown(value: object) -> str:
    """A value as a message shows it: short, in one line, with nothing that a terminal acts on."""
    if isinstance(value, str):
        return f"{value[:40]!r}" + ("..." if len(value) > 40 else "")
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "an array"
    if type(value) is int and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)
