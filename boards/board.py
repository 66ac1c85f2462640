"""Boards: a file each, in TOML. Adding one needs nothing else; a user's own file works by its path.

::

    title = "Radiona ULX3S with an LFE5U-85F"
    device = "lfe5u-85f"                            # boards/device.py has them
    package = "CABGA381"
    speed = "6"
    programmer = "ulx3s"                            # openFPGALoader --board
    baud = 1_000_000
    target_mhz = 100                                # the clock that is tried first
    amaranth = "ulx3s:ULX3S_85F_Platform"           # clock, UART and LEDs come from amaranth-boards, or:

    [pins.clock]                                    # rx and tx are the FPGA's input and output
    location = "G2"
    hertz = 25_000_000
    attributes = {IO_TYPE = "LVCMOS33"}
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, resources
from importlib.util import find_spec
from inspect import isabstract
from pathlib import Path
from typing import Any

from hwquant.boards.device import DEVICES, Device
from hwquant.errors import HwquantError, require

PINS = ("clock", "rx", "tx", "led")
"""Functions of the board top's ports."""

NEEDED = {"ecp5": ("package", "speed"), "ice40": ("package",), "xilinx7": ("part",)}
"""What the tools of a family ask of a board besides its device; Gowin's devices say it themselves."""


@dataclass(frozen=True)
class Pin:
    """Where a port of the top is, with the attributes of its buffer; ``inverted`` where low means on."""

    location: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    inverted: bool = False


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes
    ----------
    name : how it is called on the command line
    title : what it is
    device : the FPGA; package and speed grade as its open tools write them, part as the vendor's do
    clock_hz : frequency of the oscillator on the pin ``clock``
    pins : by function: "clock", "rx", "tx" (the host link), and perhaps "led"; empty for ports only
    baud : of the UART; target_mhz : the accelerator's clock that is tried first
    programmer : openFPGALoader's name of the board, or ""
    """

    name: str
    title: str
    device: Device
    package: str = ""
    speed: str = ""
    part: str = ""
    clock_hz: int = 0
    pins: Mapping[str, Pin] = field(default_factory=dict)
    baud: int = 115_200
    target_mhz: float = 0.0
    programmer: str = ""


def board_names() -> list[str]:
    """Names of the boards that come along."""
    folder = resources.files("hwquant.boards")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_board(name: str | Path) -> Board:
    """A board by its name, or by the path of a TOML file.

    Raises
    ------
    HwquantError : there is no such board, or its file is wrong; the message says what
    """
    if Path(name).suffix == ".toml":
        path = Path(name)
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise HwquantError(f"cannot read the board file {path}: {error}") from error
        return parse_board(path.stem, text, str(path))
    if str(name) not in board_names():
        raise HwquantError(
            f"there is no board {str(name)!r}; there are {', '.join(board_names())}, or a TOML file of your own"
        )
    text = resources.files("hwquant.boards").joinpath(f"{name}.toml").read_text()
    return parse_board(str(name), text, f"boards/{name}.toml")


def parse_board(name: str, text: str, where: str) -> Board:
    """A board from the text of its file; ``where`` is for messages."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HwquantError(f"{where} is not TOML: {error}") from error
    known = {
        "title",
        "device",
        "package",
        "speed",
        "part",
        "programmer",
        "baud",
        "target_mhz",
        "amaranth",
        "pins",
    }
    _refuse(where, "key", set(values) - known, known)
    device = DEVICES.get(_text(values, "device", where))
    if device is None:
        raise HwquantError(f"{where}: device {values['device']!r} is none of {', '.join(sorted(DEVICES))}")
    clock_hz = 0
    pins: dict[str, Pin] = {}
    if "amaranth" in values:
        clock_hz, pins = _from_amaranth(_text(values, "amaranth", where), where)
    table = values.get("pins", {})
    if not isinstance(table, dict):
        raise HwquantError(f"{where}: pins must be a table, such as [pins.clock]")
    _refuse(where, "pin", set(table) - set(PINS), set(PINS))
    for function, item in table.items():
        pins[function] = _pin(item, f"{where}: pin {function}")
        clock_hz = item.get("hertz", clock_hz) if function == "clock" else clock_hz
    if device.family != "generic":
        missing = {"clock", "rx", "tx"} - set(pins)
        if missing:
            raise HwquantError(f"{where}: the pin {sorted(missing)[0]!r} is missing")
        if not isinstance(clock_hz, int) or clock_hz < 1_000_000:
            raise HwquantError(
                f"{where}: pin clock: hertz must be an integer of at least 1_000_000, not {clock_hz!r}"
            )
    baud = values.get("baud", 115_200)
    if not isinstance(baud, int) or not 1200 <= baud <= 12_000_000:
        raise HwquantError(f"{where}: baud must be an integer from 1200 to 12_000_000, not {baud!r}")
    target = values.get("target_mhz", clock_hz / 1e6)
    real = device.family != "generic"
    if type(target) not in (int, float) or not 0 <= target <= 1000 or (real and not target):
        raise HwquantError(f"{where}: target_mhz must be a number above 0, up to 1000, not {target!r}")
    for key in NEEDED.get(device.family, ()):
        if not _text(values, key, where, "").strip():
            raise HwquantError(f"{where}: {key} is missing, which the tools need for {device.name}")
    return Board(
        name=name,
        title=_text(values, "title", where),
        device=device,
        package=_text(values, "package", where, ""),
        speed=_text(values, "speed", where, ""),
        part=_text(values, "part", where, ""),
        clock_hz=clock_hz,
        pins=pins,
        baud=baud,
        target_mhz=float(target),
        programmer=_text(values, "programmer", where, ""),
    )


def _text(values: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if not isinstance(value, str):
        raise HwquantError(f"{where}: {key} must be a text" + ("" if key in values else ", and is missing"))
    return value


def _refuse(where: str, kind: str, unknown: set[str], known: set[str]) -> None:
    if unknown:
        raise HwquantError(
            f"{where}: unknown {kind} {sorted(unknown)[0]!r}; there are {', '.join(sorted(known))}"
        )


def _pin(item: Any, where: str) -> Pin:
    if not isinstance(item, dict) or not isinstance(item.get("location"), str):
        raise HwquantError(f'{where} needs a location, such as location = "G2"')
    keys = {"location", "hertz", "attributes", "inverted"}
    _refuse(where, "key", set(item) - keys, keys)
    attributes = item.get("attributes", {})
    if not isinstance(attributes, dict):
        raise HwquantError(f'{where}: attributes must be a table, such as {{IO_TYPE = "LVCMOS33"}}')
    inverted = item.get("inverted", False)
    if not isinstance(inverted, bool):
        raise HwquantError(f"{where}: inverted must be true or false, not {inverted!r}")
    return Pin(item["location"], {key: str(value) for key, value in attributes.items()}, inverted)


def _from_amaranth(source: str, where: str) -> tuple[int, dict[str, Pin]]:
    """Clock, UART and first LED of a platform of amaranth-boards, "module:class"."""
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
    platform: Any = found
    items = {(item.name, item.number): item for item in platform.resources}
    clock = items.get((platform.default_clk, 0))
    if clock is None or clock.clock is None or not hasattr(clock.ios[0], "names"):
        raise HwquantError(
            f"{where}: the platform {source!r} has no clock on a single pin; list the pins instead"
        )
    pins = {"clock": _first(clock)}
    if ("uart", 0) in items:
        uart = items["uart", 0]
        signals = {part.name: part for part in uart.ios}
        pins |= {name: _first(signals[name], uart.attrs) for name in ("rx", "tx")}
    if ("led", 0) in items:
        pins["led"] = _first(items["led", 0])
    return round(clock.clock.frequency), pins


def _first(item: Any, inherited: Mapping[str, Any] | None = None) -> Pin:
    """The first pin of a resource."""
    (pins, *_) = item.ios
    attributes = {**(inherited or {}), **item.attrs}
    return Pin(pins.names[0], {key: str(value) for key, value in attributes.items()}, bool(pins.invert))
