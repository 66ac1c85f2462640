"""From a build to a board: synthesis, place and route at a clock that is met, bitstream, report.

Everything appears in ``build/boards/<board>/``, whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import assert_never

from hwquant.board_report import check_replaceable, write_board_report
from hwquant.boards import tools
from hwquant.boards.board import Board
from hwquant.boards.budget import dsp_budget
from hwquant.boards.clock_search import EFFORTS, Effort
from hwquant.boards.clocking import pll_settings
from hwquant.boards.constraints import constraints
from hwquant.boards.families import FAMILIES
from hwquant.boards.families.family import Device
from hwquant.boards.families.flow import OpenFlow, VendorFlow
from hwquant.boards.large_ram import weights_in_large_ram
from hwquant.boards.pins import LinkKind
from hwquant.boards.routing import Router
from hwquant.boards.top import BoardTop
from hwquant.build import BOARDS, Build, holding, installed, tidy
from hwquant.errors import DoesNotFit, HwquantError
from hwquant.files import make_folder, replacing, write_bytes
from hwquant.names import path_name
from hwquant.program.cycles import Timing, timing
from hwquant.progress import Progress
from hwquant.report import Report
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_rtlil, to_verilog

MOST_MHZ = 10_000
"""Greatest clock in MHz that is taken seriously."""
PACKAGES = (
    "pyosys",
    *dict.fromkeys(
        program.package
        for family in FAMILIES.values()
        if isinstance(family.flow, OpenFlow)
        for program in (family.flow.router, family.flow.packer)
    ),
    "amaranth",
)
"""Packages whose versions a report has."""
LINK_PACKAGES: Mapping[LinkKind, tuple[str, ...]] = {
    "uart": (),
    "usb": ("luna-usb",),
    "ethernet": ("liteeth", "litex", "migen"),
}
"""Those that it has besides, by the link."""
MEMORY_PACKAGES = ("litedram", "litex", "migen")
"""Those that it has besides where there is external memory."""


@dataclass(frozen=True)
class Implementation:
    """What became of a build on a board.

    Attributes
    ----------
    board : str
        Name of the board.
    device : str
        Name of its device.
    clock_mhz : float
        Clock of the accelerator in MHz, which the PLL makes; 0 for a board without a device.
    fmax_mhz : float
        Highest clock in MHz that the routed design bears, as nextpnr says; 0 where nothing was routed.
    used, available : dict of str to int
        Counts by resource: LUTs, flip-flops, DSP multipliers and block RAMs, and large RAMs where there are such.
    cells : dict of str to int
        Number of cells of the netlist by type.
    link : str
        The host link: "uart", "usb" or "ethernet".
    address : str
        Where the board is on a network, as ``hwquant run --port`` takes it; "" where it is on none.
    baud : int
        Rate of a UART in bit/s; 0 where the link is another.
    cycles : int
        Clock cycles from one inference to the next, without the time that the host link takes.
    core_frames_per_second : float
        Samples in a second where input is always there and output taken at once; 0 for a board without a device.
    frames_per_second : float
        Samples in a second that a host gets at most through the board's link; 0 for a board without a device.
    link_bytes, link_requests : int
        Bytes on the host link that an inference takes, and round trips.
    link_share : float
        Share of an inference's time, 0 to 1, that the host link takes; 0 for a board without a device.
    bitstream : str
        File name of the bitstream; "" where there is no open tool that makes it.
    notes : tuple of str
        What to know about these figures.
    attempts : int
        Number of routings.
    seed : int
        Seed of the placement; 0 where nothing was placed.
    seconds : float
        Time in s that the implementation took.
    versions : dict of str to str
        Versions of the packages, and what programs on the PATH that took part say of theirs.
    """

    board: str
    device: str
    clock_mhz: float
    fmax_mhz: float
    used: dict[str, int]
    available: dict[str, int]
    cells: dict[str, int]
    link: str
    address: str
    baud: int
    cycles: int
    core_frames_per_second: float
    frames_per_second: float
    link_bytes: int
    link_requests: int
    link_share: float
    bitstream: str
    notes: tuple[str, ...]
    attempts: int
    seed: int
    seconds: float
    versions: dict[str, str]


def implement(
    build: Build,
    board: Board,
    *,
    clock_mhz: float | None = None,
    seed: int = 1,
    effort: Effort = "normal",
    progress: Progress | None = None,
) -> Implementation:
    """Synthesize, place, route and pack a build for a board.

    Parameters
    ----------
    build : Build
        The build whose accelerator it is; the result is written into its folder.
    board : Board
        The board.
    clock_mhz : float or None, optional
        Clock of the accelerator in MHz that is tried first; if None the board's target, which a board without a
        device lacks. A clock that routing does not reach is lowered to what it did.
    seed : int, default 1
        Seed of the first placement.
    effort : {"quick", "normal", "high"}, default "normal"
        How long the highest clock is searched for; "quick" takes the first that is reached.
    progress : Progress or None, optional
        Called with what is being done, steps done and steps in all.

    Raises
    ------
    DoesNotFit
        The device is too small, or no clock that was tried is reached.
    HwquantError
        A tool is missing or stops, or the clock cannot be made, or the board's baud rate not of it.
    """
    begin = monotonic()
    report = progress or (lambda what, done, total, note="": None)
    target = board.target(external=build.program.config.external_bits > 0)
    wanted = _clock(board, target if clock_mhz is None else clock_mhz)
    job = _Job(wanted, seed, effort)
    if board.device is not None:
        tools.check_tools(board.device.family)
    place = build.folder / BOARDS / path_name(board.name, "a board")
    try:
        with holding(build):
            _check_place(place)
            make_folder(place.parent)
            with replacing(place) as folder:
                result = _implement(build, board, job, report, folder, begin)
                write_board_report(folder, asdict(result))
                _check_place(place)  # once more: this took minutes
    finally:
        tidy(build.folder)
    return result


def _check_place(place: Path) -> None:
    """Raise if a board's folder holds, or leads to, what hwquant did not write."""
    if place.parent.is_symlink():
        raise HwquantError(f"{place.parent} is no folder that hwquant made; move it away")
    check_replaceable(place)


def _clock(board: Board, megahertz: float) -> float:
    """The clock that is asked for in Hz; raises where the board cannot have it, or the UART no rate."""
    if not megahertz <= MOST_MHZ:
        raise HwquantError(f"a clock of {megahertz} MHz cannot be; ask for another with --clock")
    if megahertz <= 0:
        raise HwquantError(
            f"{board.name} has no oscillator that is known: say with --clock how many MHz its pin gets"
        )
    wanted = made = megahertz * 1e6
    device = board.device
    if device is not None and abs(wanted - board.clock_hz) > 1:
        made = pll_settings(device.family, board.clock_hz, wanted).hertz
    board.rate(made)
    return wanted


@dataclass(frozen=True)
class _Made:
    """What was written into a board's folder; names of fields are those of :class:`Implementation`."""

    hertz: float = 0.0
    fmax_hz: float = 0.0
    cells: dict[str, int] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    bitstream: str = ""
    attempts: int = 0
    seed: int = 0


@dataclass(frozen=True)
class _Job:
    """What is asked for: the clock in Hz, the first seed, and how long to search."""

    wanted: float
    seed: int
    effort: Effort


def _implement(
    build: Build, board: Board, job: _Job, report: Progress, folder: Path, begin: float
) -> Implementation:
    device, notes = board.device, list[str]()
    if device is None:
        top = BoardTop(board, accelerator(build.program, hosted=True), job.wanted)
        write_bytes(folder / "top.v", to_verilog(top, "top").encode())
        made = _Made()
    else:
        made = _on_device(build, board, device, job, report, folder)
        notes += device.family.notes
        if weights_in_large_ram(build.program.config, device):
            notes.append(
                "the weights are in large RAM: the host loads them at the beginning of every session"
            )
        if build.program.config.external_bits:
            notes.append("the host loads the external memory once, in the first session after power-on")
    program = build.program
    times: Report | Timing = build.report
    if program.memory and board.memory and made.hertz:
        # The chip at this clock, whatever memory the program was compiled for.
        times = timing(program, board.memory.external(made.hertz).timing)
    cycles, link = times.frame_cycles, board.link_time(program, made.hertz)
    core_seconds = times.cycles / made.hertz if made.hertz else 0.0
    batch, memory = build.report.batch, MEMORY_PACKAGES if build.program.config.external_bits else ()
    return Implementation(
        board=board.name,
        device=board.device_name,
        clock_mhz=round(made.hertz / 1e6, 3),
        fmax_mhz=round(made.fmax_hz / 1e6, 2),
        used=made.used,
        available=dict(device.resources) if device else {},
        cells=made.cells,
        link=board.link,
        address=f"udp://{board.addresses.ip}" if board.link == "ethernet" else "",
        baud=board.rate(made.hertz) if made.hertz else board.rate(job.wanted),
        cycles=cycles,
        core_frames_per_second=round(batch * made.hertz / cycles, 1),
        frames_per_second=round(batch * link.frames_per_second(core_seconds), 1) if core_seconds else 0.0,
        link_bytes=link.bytes,
        link_requests=link.requests,
        link_share=round(link.share(core_seconds), 4) if core_seconds else 0.0,
        bitstream=made.bitstream,
        notes=tuple(notes),
        attempts=made.attempts,
        seed=made.seed,
        seconds=round(monotonic() - begin, 1),
        versions=installed("hwquant", *dict.fromkeys((*PACKAGES, *LINK_PACKAGES[board.link], *memory)))
        | (tools.native_versions(device.family) if device else {}),
    )


def _on_device(
    build: Build, board: Board, device: Device, job: _Job, report: Progress, folder: Path
) -> _Made:
    """Synthesize, route at the highest clock that is found, and pack."""
    family, budget = device.family, dsp_budget(build.program.config, device)
    config = build.program.config
    core = accelerator(build.program, loadable=weights_in_large_ram(config, device), hosted=True)
    top = BoardTop(board, core, job.wanted, tunable=isinstance(family.flow, OpenFlow))
    report("synthesis", 0, 1)
    write_bytes(folder / "top.il", to_rtlil(top, "top", budget).encode())
    for source, content in top.sources.items():
        write_bytes(folder / source, content.encode())
    cells = tools.synthesize(folder / "top.il", device, "top", "", list(top.sources))
    used = family.count(cells)
    _check_size(used, device)
    name, text = constraints(board, family, board.memory if config.external_bits else None)
    write_bytes(folder / name, text.encode())
    match family.flow:
        case VendorFlow() as flow:
            write_bytes(folder / "top.v", to_verilog(top, "top", budget).encode())
            write_bytes(folder / flow.script, flow.text(board.title, board.part, name).encode())
            return _Made(hertz=top.hertz, cells=cells, used=used)
        case OpenFlow() as flow:
            router = Router(board, device, flow, folder, name, report)
            used["cell"] = router.packed(top)
            _check_size(used, device)
            best = router.search(top, job.seed, EFFORTS[job.effort])
            bitstream = tools.pack(flow, device, folder).name
            return _Made(best.hertz, best.fmax_hz, cells, used, bitstream, router.count, best.seed)
        case _:
            assert_never(family.flow)


def _check_size(used: dict[str, int], device: Device) -> None:
    """Raise where the device has too little of a resource.

    The array takes only DSP blocks that are left, so that these are too few only for requantization by multipliers.
    """
    for resource, available in device.resources.items():
        if used.get(resource, 0) > available:
            other = "requantize by shifts alone" if resource == "dsp" else "with smaller memories"
            remedy = f"compile it for a smaller array, or {other}, or take a larger board"
            raise DoesNotFit(
                f"the design does not fit {device.name}: {resource} {used[resource]} needed, {available} "
                f"available, {used[resource] - available} too few; {remedy}",
                resource=resource,
                needed=used[resource],
                available=available,
                remedy=remedy,
            )
