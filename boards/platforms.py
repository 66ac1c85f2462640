"""Pins and clocks that amaranth-boards knows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from importlib.util import find_spec
from inspect import isabstract
from typing import Any

from hwquant.boards.families.constraints import Pin
from hwquant.boards.families.family import Family
from hwquant.boards.pins import HERTZ, check_pin
from hwquant.errors import HwquantError, require

UART = {"rx": "rx", "tx": "tx"}
USB = {"d_p": "usb_p", "d_n": "usb_n", "pullup": "usb_pull_up"}
"""Our functions of pins, by what a resource of amaranth-boards calls them."""


def from_amaranth(
    source: str, family: Family | None, where: str, listed: Collection[str] = ()
) -> tuple[int, dict[str, Pin]]:
    """The clock in Hz and the pins of a platform: clock, UART, direct USB and first LED.

    Parameters
    ----------
    source : str
        ``module:class`` in the package; names alone, so that nothing else is ever imported.
    family : Family or None
        Family of the board's device; None where it has none.
    where : str
        The file and the place in it, with which messages begin.
    listed : collection of str
        Functions whose pins the board file lists itself; they are not looked up.
    """
    platform = _platform(source, where)
    items = {(item.name, item.number): item for item in platform.resources}
    clock = items.get((platform.default_clk, 0))
    if clock is None or clock.clock is None or not hasattr(clock.ios[0], "names"):
        raise HwquantError(
            f"{where}: the platform {source!r} has no clock on a single pin; list the pins instead"
        )
    places = {"clock": (clock, clock.attrs)}
    links = {"uart": UART} | ({"usb": USB} if family and family.usb else {})
    for resource, functions in links.items():
        if (resource, 0) in items:
            whole = items[resource, 0]
            signals = {part.name: part for part in whole.ios}
            for name in signals.keys() & functions.keys():
                places[functions[name]] = signals[name], {**whole.attrs, **signals[name].attrs}
    if ("led", 0) in items:
        places["led"] = items["led", 0], items["led", 0].attrs
    hertz = round(clock.clock.frequency)
    if not HERTZ.fits(hertz):
        raise HwquantError(f"{where}: the clock of {source!r} must be {HERTZ.must} Hz, not {hertz}")
    pins = {
        function: _first(item, attributes, function, family, f"{where}: pin {function} of {source!r}")
        for function, (item, attributes) in places.items()
        if function not in listed
    }
    return hertz, pins


def _platform(source: str, where: str) -> Any:
    module, _, name = source.partition(":")
    if find_spec("amaranth_boards") is None:
        raise require("amaranth-boards", "boards", f"{where}")
    try:
        found = getattr(import_module(f"amaranth_boards.{module}"), name)
    except (ImportError, AttributeError) as error:
        raise HwquantError(f"{where}: amaranth-boards has no platform {source!r}") from error
    from amaranth.build import Platform

    if not isinstance(found, type) or not issubclass(found, Platform) or isabstract(found):
        raise HwquantError(
            f"{where}: amaranth-boards has no platform {source!r}, but something else of that name"
        )
    return found


def _first(item: Any, attributes: Mapping[str, Any], function: str, family: Family | None, where: str) -> Pin:
    """The first pin of a platform's resource."""
    (pins, *_) = item.ios
    if not hasattr(pins, "names"):
        raise HwquantError(f"{where} is no single pin; list the pins instead")
    return check_pin(pins.names[0], attributes, bool(pins.invert), function, family, where)
