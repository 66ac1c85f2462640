"""Bitstreams: what networks become on boards, through place and route.

Each case is compiled for an array and built as ``hwquant build`` does it: resources, the clock that nextpnr says is
reached, frames a second at the clock that the PLL makes (of the core, and through the board's host link), time to
build. "MACs per DSP and cycle" is the network's
multiplications over cycles and the DSP multipliers in use. Cases are measured one at a time, and only those that are
named, or all. Writes ``benchmarks/results/boards.json``, keeping what other cases gave. MLPerf networks and mnist-conv
need the data sets (HWQUANT_DATA).

    python benchmarks/boards.py [--effort EFFORT] [CASE ...]
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from core_resources import network
from results import FOLDER, write_results
from rich.console import Console
from rich.table import Table

from hwquant.boards.board import load_board
from hwquant.boards.clock_search import EFFORTS, Effort
from hwquant.boards.implement import implement
from hwquant.build import write_build
from hwquant.program.compiler import compile_network
from hwquant.program.sides import parse_array

NAME = "boards"


@dataclass(frozen=True)
class Case:
    """A network on a board; ``megahertz`` is what routing aims at first."""

    network: str
    board: str
    array: str
    megahertz: float


CASES = {
    f"{case.network}@{case.board}": case
    for case in (
        Case("demo", "ulx3s-85f", "8x8", 125),
        Case("demo", "ulx3s-25f", "4x6", 100),
        Case("demo", "icebreaker", "4x4", 30),
        Case("demo", "tang-nano-9k", "4x4", 27),
        Case("demo", "tang-nano-20k", "8x8", 54),
        Case("resnet8", "ulx3s-85f", "2x16x16", 85),
        Case("ds-cnn", "ulx3s-85f", "16x16", 110),
        Case("vww", "ulx3s-85f", "4x8x8", 87.5),
        Case("ds-cnn", "ulx3s-25f", "8x8", 90),
        Case("mnist-conv", "icebreaker", "8x2", 30),
        Case("fashion-depthwise", "ulx3s-85f", "8x8", 125),
        Case("fashion-mobile", "ulx3s-85f", "8x8", 125),
    )
}


def measure(case: Case, effort: Effort) -> dict[str, Any]:
    """Builds one case, in a folder that is removed afterwards."""
    qgraph = network(case.network)
    board = load_board(case.board)
    program = compile_network(qgraph, parse_array(case.array))
    with tempfile.TemporaryDirectory() as folder:
        build = write_build(qgraph, program, Path(folder, "build"))
        result = implement(build, board, clock_mhz=case.megahertz, effort=effort)
    dsp = result.used["dsp"]
    cycles = build.report.cycles
    return {
        "network": case.network,
        "board": case.board,
        "array": case.array,
        "used": result.used,
        "available": result.available,
        "fmax MHz": result.fmax_mhz,
        "clock MHz": result.clock_mhz,
        "cycles": cycles,
        "ms": round(cycles / result.clock_mhz / 1000, 4),
        "frames a second of the core": result.core_frames_per_second,
        "frames a second": result.frames_per_second,
        "bytes on the link": result.link_bytes,
        "requests": result.link_requests,
        "MACs per DSP and cycle": round(build.report.useful_macs / cycles / dsp, 3),
        "effort": effort,
        "seconds to build": result.seconds,
        "attempts": result.attempts,
        "bitstream": result.bitstream,
        "notes": list(result.notes),
        "versions": result.versions,
    }


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice(list(CASES)))
@click.option("--effort", type=click.Choice(list(EFFORTS)), default="normal", help="As hwquant build has it.")
def main(cases: tuple[str, ...], effort: Effort) -> None:
    """Build, print, write."""
    rows: dict[str, Any] = {}
    for name in cases or CASES:
        row = measure(CASES[name], effort)
        print(name, row, flush=True)
        path = FOLDER / f"{NAME}.json"
        rows = json.loads(path.read_text())["results"] if path.exists() else {}
        rows[name] = row
        write_results(NAME, rows)
    table = Table(
        "case", "array", "LUT", "FF", "DSP", "RAM", "Fmax", "clock", "ms", "core/s", "fps", "build s"
    )
    for name, row in rows.items():
        used = [str(row["used"][kind]) for kind in ("lut", "ff", "dsp", "ram")]
        numbers = (
            "fmax MHz",
            "clock MHz",
            "ms",
            "frames a second of the core",
            "frames a second",
            "seconds to build",
        )
        table.add_row(name, row["array"], *used, *(str(row.get(key, "")) for key in numbers))
    Console().print(table)


if __name__ == "__main__":
    main()
