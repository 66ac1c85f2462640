"""Boards: a file each, in TOML. Adding one needs nothing else; a user's own file works by its path.

::

    title = "Radiona ULX3S with an LFE5U-85F"
    device = "lfe5u-85f"                            # those of boards/families
    package = "CABGA381"
    speed = "6"
    programmer = "ulx3s"                            # openFPGALoader --board
    link = "uart"                                   # of several, the one that is taken: uart, usb or ethernet
    baud = 3_000_000                                # the fastest that the converter to USB takes
    latency_ms = 1                                  # what a round trip takes besides the wire
    target_mhz = 100                                # the clock that is tried first
    amaranth = "ulx3s:ULX3S_85F_Platform"           # clock, UART and LEDs come from amaranth-boards, or:

    [pins.clock]                                    # rx and tx are the FPGA's input and output; usb_p, usb_n and
                                                    # usb_pull_up those of a USB cable without a converter
    location = "G2"
    hertz = 25_000_000
    attributes = {IO_TYPE = "LVCMOS33"}

    [memory]                                        # the board's SDRAM, see hwquant.boards.sdram

Nothing of a file is code: every field is held against what the tools that it reaches take as a value (``FIELDS``, and
those of :mod:`hwquant.boards.pins`), and quoted where it is written (:mod:`hwquant.boards.families.languages`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, assert_never

from hwquant.boards.device import DEVICES, NO_DEVICE
from hwquant.boards.families.constraints import Pin
from hwquant.boards.families.family import Device
from hwquant.boards.families.flow import VendorFlow
from hwquant.boards.fields import Field, anything, check, integer, listed, number, printable_text, shown, text
from hwquant.boards.pins import FIELDS as PIN_FIELDS
from hwquant.boards.pins import LINK_PINS, PINS, LinkKind, check_distinct, read_pin
from hwquant.boards.platforms import from_amaranth
from hwquant.boards.sdram import BoardMemory, read_memory
from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.files import parse_toml, read_ordinary
from hwquant.link.protocol import LARGE, Window
from hwquant.link.rate import Line, LinkTime, link_time
from hwquant.names import path_name
from hwquant.program.program import Program
from hwquant.rtl_templates.ethernet import NET_HZ, Addresses
from hwquant.rtl_templates.uart import baud_divisor, divisor_constant, fastest_baud

__all__ = ["LARGEST", "PINS", "Board", "board_names", "load_board", "parse_board"]

LATENCY_MS = 1.0
"""A frame of full-speed USB: what FTDI's bridges take in the mode of low latency that the driver asks for."""
ADDRESSES = Addresses()
NETWORK_MS = 0.2
"""A round trip on a network of one switch, with an ordinary host at its end."""
LARGEST = 16_384
"""Bytes that a board file may have; those that come along have 700 at most."""

FIELDS: Mapping[str, Field] = {
    "title": printable_text(100),
    "device": anything(str, "a text", required=True),
    "package": anything(str, "a text"),
    "speed": anything(str, "a text"),
    "part": anything(str, "a text"),
    "programmer": text("([A-Za-z0-9][A-Za-z0-9_.+-]{0,63})?", "a name that openFPGALoader has for the board"),
    "link": text("|".join(LINK_PINS), f"one of {listed(LINK_PINS)}"),
    "baud": integer(1200, 12_000_000),
    "latency_ms": number(0, 1000),
    "target_mhz": number(1, 1000),
    "amaranth": text(
        "[a-z][a-z0-9_]{0,63}:[A-Za-z][A-Za-z0-9_]{0,63}",
        'a platform of amaranth-boards, such as "ulx3s:ULX3S_85F_Platform"',
    ),
    "pins": anything(dict, "a table, such as [pins.clock]"),
    "memory": anything(dict, "a table"),
    "ddr": text("(LP)?DDR[2-5]L?", 'a kind of memory, such as "DDR3L"'),
}
"""Fields of a board file; device, package, speed and part are looked up, and pins checked one by one."""


@dataclass(frozen=True)
class Board:
    """A board.

    Attributes
    ----------
    name : str
        Name on the command line, and of the board's folder in a build.
    title : str
        Name for people: maker, board and FPGA.
    device : Device or None
        The FPGA; None where the board stands for the ports of a design of one's own.
    package : str
        Package of the FPGA, as its open tools write it; "" where they do not ask for it.
    speed : str
        Speed grade of the FPGA, as its open tools write it; "" where they do not ask for it.
    part : str
        Name of device, package and speed together in the vendor's tools; "" where open tools are used.
    clock_hz : int
        Frequency in Hz of the oscillator on the pin ``clock``; 0 where nobody says it.
    pins : mapping of str to Pin
        Pins by function: "clock", those of a host link (:data:`~hwquant.boards.pins.LINK_PINS`), and perhaps "led";
        empty for ports only.
    link : {"uart", "usb", "ethernet"}
        The host link.
    addresses : Addresses
        Who the board is on a network.
    baud : int
        Fastest rate of the UART in bit/s, which its converter takes; slow clocks have a whole part of it.
    latency_ms : float
        Time in ms that a round trip takes besides its bytes: of the host's operating system and its USB bridge.
    target_mhz : float
        Clock of the accelerator in MHz that is tried first.
    programmer : str
        Name of the board in openFPGALoader; "" where it does not know the board.
    memory : BoardMemory or None
        Its SDRAM, which programs with external memory use.
    ddr : str
        The DDR memory that it has, in words: hwquant has no controller for such; "" where there is none.
    """

    name: str
    title: str
    device: Device | None
    package: str = ""
    speed: str = ""
    part: str = ""
    clock_hz: int = 0
    pins: Mapping[str, Pin] = field(default_factory=dict)
    link: LinkKind = "uart"
    addresses: Addresses = ADDRESSES
    baud: int = 115_200
    latency_ms: float = LATENCY_MS
    target_mhz: float = 0.0
    programmer: str = ""
    memory: BoardMemory | None = None
    ddr: str = ""

    def __post_init__(self) -> None:
        path_name(self.name, "a board")

    def target(self, *, external: bool) -> float:
        """The clock in MHz that is tried first; with external memory none above what the pins of that bear."""
        cells = self.device.family.sdram if external and self.device else None
        return min(self.target_mhz, cells.most_hertz / 1e6) if cells else self.target_mhz

    @property
    def device_name(self) -> str:
        """Name of the device, or what stands in its place where there is none."""
        return self.device.name if self.device else NO_DEVICE

    @property
    def window(self) -> Window:
        """How many requests the board's link may have on its way."""
        return self.device.family.window if self.device else LARGE

    @property
    def links(self) -> tuple[LinkKind, ...]:
        """The host links that there are pins and cells for; a board without a device has ports of a UART."""
        if self.device is None:
            return ("uart",)
        family = self.device.family
        usb = family.usb is not None and family.usb.possible(self.clock_hz)
        cells: dict[LinkKind, bool] = {"uart": True, "usb": usb, "ethernet": family.rgmii}
        return tuple(
            kind for kind, pins in LINK_PINS.items() if cells[kind] and self.pins.keys() >= set(pins)
        )

    @property
    def ports(self) -> tuple[str, ...]:
        """The ports of the board's top, in the order in which its constraints name them."""
        return ("clock", *LINK_PINS[self.link], "led")

    def linked(self, kind: str) -> Board:
        """The same board with another of its links; "auto" for the one that its file names.

        Raises
        ------
        Unsupported
            It has no such link.
        """
        for link in self.links:
            if kind == link:
                return replace(self, link=link)
        if kind != "auto":
            raise Unsupported(
                f"the board {self.name} has no {kind} link; it has {listed(self.links)}", where=self.name
            )
        return self

    def rate(self, hertz: float) -> int:
        """The fastest rate in bit/s of the UART at a clock in Hz; 0 where it is not the link.

        Raises
        ------
        Unsupported
            There is none.
        """
        rate = fastest_baud(hertz, self.baud) if self.link == "uart" else 0
        if rate is None:
            raise Unsupported(
                f"a clock of {hertz / 1e6:g} MHz cannot give the {self.baud} baud that {self.name}'s file asks for, "
                "or a part of them; ask for another with --clock"
            )
        return rate

    def divisor_constant(self, hertz: float) -> int:
        """The number that the UART needs for its fastest rate at a clock in Hz; it must be the link."""
        return divisor_constant(baud_divisor(hertz, self.rate(hertz)))

    def link_time(self, program: Program, hertz: float) -> LinkTime:
        """What an inference takes on the board's host link at a clock in Hz; 0: one that bears the fastest rate."""
        # Behind every result, whether external memory has failed.
        return link_time(*program.frame_sizes, self.line(hertz), int(program.config.external_bits > 0))

    def line(self, hertz: float) -> Line:
        """What carries the bytes of the host link at a clock in Hz; 0: one that bears the fastest rate."""
        latency = self.latency_ms / 1e3
        match self.link:
            case "uart":
                return Line.serial(self.rate(hertz) if hertz else self.baud, latency, self.window)
            case "usb":
                return Line.usb(latency, self.window)
            case "ethernet":
                return Line.ethernet(NET_HZ, NETWORK_MS / 1e3, self.window)
            case _:
                assert_never(self.link)

    @property
    def vendor(self) -> VendorFlow | None:
        """The flow of the vendor's tool, where no open one makes the bitstream; else None."""
        flow = self.device.family.flow if self.device else None
        return flow if isinstance(flow, VendorFlow) else None


def board_names() -> list[str]:
    """Names of the boards that come along."""
    folder = resources.files("hwquant.boards")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_board(name: str | Path) -> Board:
    """Load a board by its name, or by the path of a TOML file.

    Parameters
    ----------
    name : str or Path
        One of :func:`board_names`, or a path.

    Raises
    ------
    HwquantError
        There is no such board, or its file is wrong.
    """
    if Path(name).suffix == ".toml":
        path = Path(name)
        return parse_board(path.stem, _read(path), str(path))
    if str(name) not in board_names():
        raise HwquantError(
            f"there is no board {shown(str(name))}; there are {', '.join(board_names())}, or a TOML file of your own"
        )
    content = resources.files("hwquant.boards").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return parse_board(str(name), content, f"boards/{name}.toml")


def _read(path: Path) -> str:
    try:
        return read_ordinary(path, LARGEST).decode("utf-8")
    except (OSError, ValueError) as error:  # also bytes that are not UTF-8, and a null in the path
        reason = getattr(error, "strerror", None) or error
        raise HwquantError(
            f"cannot read the board file {path}: {reason}; give a TOML file, or a name that hwquant boards lists"
        ) from error


def parse_board(name: str, content: str, where: str) -> Board:
    """Read a board from the text of its file.

    Parameters
    ----------
    name : str
        Name of the board.
    content : str
        Text of the file, in TOML.
    where : str
        Name of the file in messages.

    Raises
    ------
    HwquantError
        A field is missing, unknown or has a value that it must not have; the message names file and field.
    """
    path_name(name, "a board")
    values = check(_toml(content, where), FIELDS, where)
    device = DEVICES.get(values["device"])
    if device is None and values["device"] != NO_DEVICE:
        known = listed([*DEVICES, NO_DEVICE])
        raise Unsupported(f"{where}: device {shown(values['device'])} is none of {known}", where=where)
    _check_package(values, device, where)
    clock_hz, pins = _pins(values, device, where)
    if device is not None and not clock_hz:
        raise HwquantError(
            f"{where}: pin clock: hertz must be {PIN_FIELDS['clock']['hertz'].must}, and is missing"
        )
    memory = None
    if "memory" in values:
        memory = read_memory(values["memory"], device.family if device else None, f"{where}: memory")
        check_distinct({**pins, **memory.pins}, where)
    board = Board(
        name=name,
        title=values["title"],
        device=device,
        package=values.get("package", ""),
        speed=values.get("speed", ""),
        part=values.get("part", ""),
        clock_hz=clock_hz,
        pins=pins,
        link=values.get("link", "uart"),
        baud=values.get("baud", 115_200),
        latency_ms=float(values.get("latency_ms", LATENCY_MS)),
        target_mhz=float(values.get("target_mhz", clock_hz / 1e6)),
        programmer=values.get("programmer", ""),
        memory=memory,
        ddr=values.get("ddr", ""),
    )
    if board.link not in board.links:
        raise Unsupported(
            f"{where}: {board.device_name} makes no clocks of {board.link} of {clock_hz / 1e6:g} MHz; take the uart",
            where=where,
        )
    return board


def _toml(content: str, where: str) -> dict[str, Any]:
    if len(content) > LARGEST:
        raise Damaged(f"{where} is no board file: it is larger than {LARGEST:,} bytes", path=where)
    try:
        return parse_toml(content)
    except ValueError as error:
        raise Damaged(f"{where} is not TOML: {error}", path=where) from error


def _check_package(values: Mapping[str, Any], device: Device | None, where: str) -> None:
    """Raise unless package, speed and part, where the tools ask for them, are some of the device's."""
    needed = device.family.board_fields if device else ()
    name, packages, speeds = (device.name, device.packages, device.speeds) if device else (NO_DEVICE, (), ())
    for key in needed:
        if not values.get(key):
            raise HwquantError(f"{where}: {key} is missing, which the tools need for {name}")
    for key, known in (("package", packages), ("speed", speeds)):
        value = values.get(key)
        if value and value not in known:
            raise Unsupported(
                f"{where}: {key} {shown(value)} is none that {name} comes in: {listed(known)}", where=where
            )
    part = values.get("part")
    if not part:
        return
    if "part" not in needed:
        raise Unsupported(f"{where}: part {shown(part)} is no {name}; leave it out", where=where)
    packages = (values["package"],) if values.get("package") else packages
    speeds = (values["speed"],) if values.get("speed") else speeds
    if not re.fullmatch(f"{name}[il]?({'|'.join(packages)})-({'|'.join(speeds)})", part):
        raise Unsupported(
            f"{where}: part {shown(part)} is no {name} of this package and speed, such as "
            f"{name}{packages[0]}-{speeds[0]}",
            where=where,
        )


def _pins(values: Mapping[str, Any], device: Device | None, where: str) -> tuple[int, dict[str, Pin]]:
    """Frequency of the clock in Hz (0 if unknown), and the pins of amaranth-boards, then of the file."""
    table = values.get("pins", {})
    for function in table:
        if function not in PINS:
            raise HwquantError(f"{where}: unknown pin {shown(function)}; there are {listed(PINS)}")
    family = device.family if device else None
    clock_hz, pins = 0, dict[str, Pin]()
    if "amaranth" in values:
        clock_hz, pins = from_amaranth(values["amaranth"], family, where, table)
    for function, item in table.items():
        pins[function] = read_pin(item, function, family, f"{where}: pin {function}")
        if function == "clock":
            clock_hz = item.get("hertz", clock_hz)
    for function in ("clock", *LINK_PINS[values.get("link", "uart")]) if device is not None else ():
        if function not in pins:
            raise HwquantError(f"{where}: the pin {function!r} is missing")
    check_distinct(pins, where)
    return clock_hz, pins
