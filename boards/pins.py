"""Pins of a board: where the top's ports are, and the attributes of their buffers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from hwquant.boards.device import NO_DEVICE
from hwquant.boards.families.constraints import Pin
from hwquant.boards.families.family import Family
from hwquant.boards.fields import Field, anything, check, integer, listed, shown, text
from hwquant.errors import HwquantError

LinkKind = Literal["uart", "usb", "ethernet"]
"""What a host link is: a serial line, a USB cable at the FPGA's own pins, or a PHY of Ethernet (RGMII)."""
LINK_PINS: Mapping[LinkKind, tuple[str, ...]] = {
    "uart": ("rx", "tx"),
    "usb": ("usb_p", "usb_n", "usb_pull_up"),
    "ethernet": (
        *("eth_rx_clk", "eth_rx_ctl", *(f"eth_rx_data_{bit}" for bit in range(4))),
        *("eth_tx_clk", "eth_tx_ctl", *(f"eth_tx_data_{bit}" for bit in range(4))),
        "eth_reset_n",
    ),
}
"""Functions of the pins that a link needs."""
PINS = ("clock", *LINK_PINS["uart"], "led", *LINK_PINS["usb"], *LINK_PINS["ethernet"])
"""Functions of pins, which are names of the ports of a board's top."""

HERTZ = integer(1_000_000, 1_000_000_000)
"""The field of an oscillator's frequency in Hz."""

_LOCATION = text(
    "[A-Z]{0,3}[0-9]{1,3}[A-Z]?", 'a pin as the tools for the device call it, such as "G2"', required=True
)
_FIELDS = {"location": _LOCATION, "attributes": anything(dict, 'a table, such as {IO_TYPE = "LVCMOS33"}')}
FIELDS: Mapping[str, Mapping[str, Field]] = {
    "clock": {**_FIELDS, "hertz": HERTZ},
    **{pin: _FIELDS for pins in LINK_PINS.values() for pin in pins},
    "led": {**_FIELDS, "inverted": anything(bool, "true or false")},
}
"""Fields of a pin in a board file, by its function."""


def read_pin(item: object, function: str, family: Family | None, where: str) -> Pin:
    """Read a pin of a board file; see :func:`check_pin`."""
    table = check(item, FIELDS[function], where)
    attributes = table.get("attributes", {})
    return check_pin(table["location"], attributes, table.get("inverted", False), function, family, where)


def check_pin(
    location: str,
    attributes: Mapping[str, Any],
    inverted: bool,
    function: str,
    family: Family | None,
    where: str,
) -> Pin:
    """Check that the constraints of a family can say where a pin is and what attributes it has.

    Parameters
    ----------
    location : str
        Name of the pin in the tools for the device.
    attributes : mapping of str to object
        Attributes of the pin's buffer.
    inverted : bool
        Whether low means on.
    function : str
        One of :data:`PINS`.
    family : Family or None
        Family of the board's device; None where it has none.
    where : str
        The file and the place in it, with which messages begin.

    Raises
    ------
    HwquantError
        The family's constraints have no such attribute, or not such a value of it.
    """
    if not _LOCATION.fits(location):
        raise HwquantError(f"{where}: location must be {_LOCATION.must}, not {shown(location)}")
    if inverted and function != "led":
        raise HwquantError(f"{where} is inverted, which only a led can be")
    known, found = family.constraints.attributes if family else {}, dict[str, str]()
    for key, value in attributes.items():
        if key not in known:
            name = family.name if family else NO_DEVICE
            raise HwquantError(f"{where}: unknown attribute {shown(key)}; {name} has {listed(known)}")
        # A file's are what TOML has, amaranth-boards' are Python objects, some of them functions.
        found[key] = value if isinstance(value, str) else shown(value)
        if not re.fullmatch(known[key], found[key], re.ASCII):
            raise HwquantError(f"{where}: attribute {key} must match {known[key]}, not {shown(value)}")
    return Pin(location, found, inverted)


def check_distinct(pins: Mapping[str, Pin], where: str) -> None:
    """Raise :class:`HwquantError` where two functions are on one pin."""
    functions: dict[str, str] = {}
    for function, pin in pins.items():
        other = functions.setdefault(pin.location, function)
        if other != function:
            raise HwquantError(f"{where}: the pins {other} and {function} are both at {pin.location}")
