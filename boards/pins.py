"""Pins of a board: where the top's ports are, and the attributes of their buffers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwquant.boards.fields import Field, anything, check, integer, listed, shown, text
from hwquant.errors import HwquantError

PINS = ("clock", "rx", "tx", "led")
"""Functions of the board top's ports."""

HERTZ = integer(1_000_000, 1_000_000_000)
"""Frequency of an oscillator."""

_LOCATION = text(
    "[A-Z]{0,3}[0-9]{1,3}[A-Z]?", 'a pin as the tools for the device call it, such as "G2"', required=True
)
_FIELDS = {"location": _LOCATION, "attributes": anything(dict, 'a table, such as {IO_TYPE = "LVCMOS33"}')}
FIELDS: Mapping[str, Mapping[str, Field]] = {
    "clock": {**_FIELDS, "hertz": HERTZ},
    "rx": _FIELDS,
    "tx": _FIELDS,
    "led": {**_FIELDS, "inverted": anything(bool, "true or false")},
}
"""What can be said of a pin, by its function."""

_STANDARD, _SPEED, _SWITCH, _YES = "[A-Z][A-Z0-9_]{0,31}", "FAST|SLOW", "ON|OFF", "TRUE|true"
ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "ecp5": {
        "IO_TYPE": _STANDARD,
        "PULLMODE": "UP|DOWN|NONE|KEEPER",
        "DRIVE": "4|8|12|16",
        "SLEWRATE": _SPEED,
        "OPENDRAIN": _SWITCH,
        "HYSTERESIS": _SWITCH,
        "CLAMP": _SWITCH,
        "TERMINATION": "OFF|50|75|150",
    },
    # PCF can say the first only; the others are in amaranth-boards, and iCE40 UltraPlus does without them.
    "ice40": {"PULLUP": "0|1", "IO_STANDARD": _STANDARD, "GLOBAL": "True"},
    "gowin": {
        "IO_TYPE": _STANDARD,
        "PULL_MODE": "UP|DOWN|NONE|KEEPER",
        "DRIVE": "4|8|12|16|24",
        "SLEW_RATE": _SPEED,
        "OPEN_DRAIN": _SWITCH,
        "HYSTERESIS": "NONE|H2L|L2H|HIGH",
        "BANK_VCCIO": r"[1-3]\.[0-9]",
    },
    "xilinx7": {
        "IOSTANDARD": _STANDARD,
        "DRIVE": "4|8|12|16|24",
        "SLEW": _SPEED,
        "PULLTYPE": "PULLUP|PULLDOWN|KEEPER|NONE",
        "PULLUP": _YES,
        "PULLDOWN": _YES,
    },
    "generic": {},
}
"""Attributes of a buffer that a family's constraints know, each with the pattern of its values."""


@dataclass(frozen=True)
class Pin:
    """Where a port of the top is, with the attributes of its buffer; ``inverted`` where low means on."""

    location: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    inverted: bool = False


def read_pin(item: object, function: str, family: str, where: str) -> Pin:
    """A pin of a board file."""
    table = check(item, FIELDS[function], where)
    attributes = table.get("attributes", {})
    return check_pin(table["location"], attributes, table.get("inverted", False), function, family, where)


def check_pin(
    location: str, attributes: Mapping[str, Any], inverted: bool, function: str, family: str, where: str
) -> Pin:
    """A pin, if the constraints of a family can say it.

    Raises
    ------
    HwquantError
        Names the place, the attribute and its value.
    """
    if not _LOCATION.fits(location):
        raise HwquantError(f"{where}: location must be {_LOCATION.must}, not {shown(location)}")
    if inverted and function != "led":
        raise HwquantError(f"{where} is inverted, which only a led can be")
    known, found = ATTRIBUTES[family], dict[str, str]()
    for key, value in attributes.items():
        if key not in known:
            raise HwquantError(f"{where}: unknown attribute {shown(key)}; {family} has {listed(known)}")
        # A file's are what TOML has, amaranth-boards' are Python objects, some of them functions.
        found[key] = value if isinstance(value, str) else shown(value)
        if not re.fullmatch(known[key], found[key], re.ASCII):
            raise HwquantError(f"{where}: attribute {key} must match {known[key]}, not {shown(value)}")
    return Pin(location, found, inverted)


def check_distinct(pins: Mapping[str, Pin], where: str) -> None:
    """Raise where two functions are on one pin."""
    functions: dict[str, str] = {}
    for function, pin in pins.items():
        other = functions.setdefault(pin.location, function)
        if other != function:
            raise HwquantError(f"{where}: the pins {other} and {function} are both at {pin.location}")
