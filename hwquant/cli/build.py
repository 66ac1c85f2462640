"""``hwquant build``: a bitstream for a board."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwquant.cli.common import emit, json_option, progress, write_report


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--board", required=True, metavar="BOARD", help="A name (hwquant boards), or a TOML file of your own."
)
@click.option(
    "--clock",
    type=click.FloatRange(min=1),
    metavar="MHZ",
    help="Of the accelerator; the board's target otherwise.",
)
@click.option("--seed", default=1, show_default=True, help="Of the placement.")
@json_option
def build(folder: Path, board: str, clock: float | None, seed: int, as_json: bool) -> None:
    """Synthesis, place and route, bitstream, report: in BUILD/boards/BOARD/."""
    from hwquant.boards.board import load_board
    from hwquant.boards.implement import implement
    from hwquant.build import BOARDS, load_build

    chosen = load_board(board)
    source = load_build(folder)
    with progress() as track:
        result = implement(source, chosen, clock_mhz=clock, seed=seed, progress=track)
    page = write_report(source, f"build {chosen.name}")
    table = Table(box=SIMPLE_HEAD)
    for title in ("", "used", "available"):
        table.add_column(title, justify="right")
    for name, used in result.used.items():
        table.add_row(name, str(used), str(result.available[name]))
    place = folder / BOARDS / chosen.name
    lines = [f"clock {result.clock_mhz:g} MHz, reached {result.fmax_mhz:g} MHz in {result.seconds:.0f} s"]
    lines.append(f"{result.cycles} cycles a frame, {result.frames_per_second:.1f} frames a second")
    lines += [f"note: {note}" for note in result.notes]
    lines.append(f"wrote {place / (result.bitstream or 'top.v')}")
    lines.append(f"the report is {page}")
    lines.append(f"with the board at PORT: hwquant run {folder} --port PORT --baud {result.baud} -d DATA.npz")
    emit(as_json, {**asdict(result), "folder": str(place), "page": str(page)}, table, *lines)
