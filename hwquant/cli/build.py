"""``hwquant build``: a bitstream for a board."""

from __future__ import annotations

from dataclasses import asdict, replace
from ipaddress import IPv4Address
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hwquant.cli.common import check_writable, emit, json_option, link_option, rates_line, write_report
from hwquant.cli.outputs import check_ignored
from hwquant.cli.progress import progress

if TYPE_CHECKING:
    from hwquant.boards.clock_search import Effort
    from hwquant.boards.implement import Implementation


class _Address(click.ParamType):
    name = "address"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> IPv4Address:
        try:
            return IPv4Address(value)
        except ValueError as error:
            self.fail(str(error), param, context)


ADDRESS = _Address()


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="BUILD/")
@click.option(
    "--board", required=True, metavar="BOARD", help="A name (hwquant boards), or a TOML file of your own."
)
@click.option(
    "--clock",
    type=click.FloatRange(min=1),
    metavar="MHZ",
    help="Of the accelerator, tried first; the board's target otherwise. The generic board has none: say what its "
    "pin gets.",
)
@click.option(
    "--effort",
    type=click.Choice(["quick", "normal", "high"]),
    default="normal",
    show_default=True,
    help="How long the highest clock is searched for: up to 5 routings, or 24 with 8 seeds; quick stops at the first "
    "clock that is reached.",
)
@click.option(
    "--seed", type=click.IntRange(0, (1 << 31) - 1), default=1, show_default=True, help="Of the placement."
)
@link_option
@click.option(
    "--ip", type=ADDRESS, metavar="ADDRESS", help="Of the board on its network.  [default: 192.168.1.50]"
)
@json_option
@click.pass_context
def build(
    context: click.Context,
    folder: Path,
    board: str,
    clock: float | None,
    effort: Effort,
    seed: int,
    link: str,
    ip: IPv4Address | None,
    as_json: bool,
) -> None:
    """Make the bitstream of BUILD for a board.

    Synthesis, place and route, bitstream, report: in BUILD/boards/BOARD/.
    """
    from hwquant.boards.board import load_board
    from hwquant.boards.implement import implement
    from hwquant.build import BOARDS, load_build
    from hwquant.page import load_record
    from hwquant.page.boards import board_results

    chosen = load_board(board).linked(link)
    if chosen.link != "ethernet":
        check_ignored(context, "ip", reason=f"means nothing where the link is {chosen.link}; leave it out")
    if ip is not None:
        chosen = replace(chosen, addresses=replace(chosen.addresses, ip=ip))
    source = load_build(folder)
    # What the report shows besides is read now: damage must not be found after minutes of routing.
    check_writable(folder)
    load_record(folder)
    board_results(folder, replaced=chosen.name)
    with progress() as track:
        result = implement(source, chosen, clock_mhz=clock, seed=seed, effort=effort, progress=track)
    page = write_report(source, f"build {chosen.name}")
    place = folder / BOARDS / chosen.name
    lines = []
    if result.clock_mhz:
        reached = (
            f", reached {result.fmax_mhz:g} MHz in {result.seconds:.0f} s ({result.attempts} routings)"
            if result.fmax_mhz
            else ""
        )
        lines.append(f"clock {result.clock_mhz:g} MHz{reached}")
    lines.append(f"{result.cycles} cycles a frame")
    if result.clock_mhz:
        rates = (result.core_frames_per_second, result.frames_per_second, result.link_share)
        lines.append(rates_line(*rates, result.link))
    lines += [f"note: {note}" for note in result.notes]
    vendor = chosen.vendor
    lines.append(f"wrote {place / (result.bitstream or (vendor.script if vendor else 'top.v'))}")
    if vendor:
        lines.append(f"with {vendor.tool}: cd {quote(str(place))} && {vendor.command}")
    if vendor or result.bitstream:
        lines.append(f"load it with: hwquant program {quote(str(folder))} --board {quote(board)}")
    lines.append(f"the report is {page}")
    port = f"{result.address or 'PORT'}{f' --baud {result.baud}' if result.baud else ''}"
    lines.append(f"with the board connected: hwquant run {folder} --port {port} -d DATA.npz")
    values = {**asdict(result), "folder": str(place), "page": str(page)}
    emit(as_json, values, *([_resources(result)] if result.used else []), *lines)


def _resources(result: Implementation) -> Table:
    """The table of a board's resources, a row for each."""
    table = Table(box=SIMPLE_HEAD)
    for title in ("", "used", "available"):
        table.add_column(title, justify="right")
    for name, used in result.used.items():
        table.add_row(name, str(used), str(result.available[name]))
    return table
