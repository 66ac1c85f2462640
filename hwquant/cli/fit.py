"""``hwquant fit``: does a network fit a board, on which array, how fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwquant.cli.common import emit, json_option, link_option, rates_line
from hwquant.cli.compile import pack_input_option
from hwquant.cli.progress import progress

if TYPE_CHECKING:
    from hwquant.boards.candidate import Candidate, Fit
    from hwquant.boards.outside import ExternalChoice
    from hwquant.program.raw_choice import PackInput

DOES_NOT_FIT = 1
"""Exit status where a network does not fit the board that was named."""


@click.command()
@click.argument("network", type=click.Path(path_type=Path), metavar="NET.hwq")
@click.option(
    "--board",
    metavar="BOARD",
    help="A name (hwquant boards), or a TOML file of your own; without it, all that come along.",
)
@click.option(
    "--array", metavar="[Kx]RxC", help="Judge this array instead of choosing the fastest one that fits."
)
@pack_input_option
@click.option(
    "--external",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "none", "axi"]),
    help="The board's memory, where it has one: where the network does not fit without, never, or always.",
)
@link_option
@json_option
@click.pass_context
def fit(
    context: click.Context,
    network: Path,
    board: str | None,
    array: str | None,
    pack_input: PackInput,
    external: ExternalChoice,
    link: str,
    as_json: bool,
) -> None:
    """Whether NET.hwq fits a board, on which array, and how fast.

    Before any synthesis: cycles are exact, resources and the clock estimated.
    """
    from hwquant import hwq
    from hwquant.boards.board import board_names, load_board
    from hwquant.boards.fit import choose_array
    from hwquant.boards.shapes import Shapes
    from hwquant.program.sides import parse_array

    shape = parse_array(array) if array else None
    loaded = [load_board(name) for name in ([board] if board else board_names())]
    boards = [item.linked(link) for item in loaded if board or link in ("auto", *item.links)]
    shapes = Shapes(hwq.load(network), pack_input=pack_input)
    with progress() as track:
        results = [
            choose_array(shapes, item, shape, external=external, progress=track)
            for item in boards
            if board or (item.device is not None and (item.memory or external != "axi"))
        ]
    if board:
        (result,) = results
        emit(as_json, _json(result), _needs(result), *_lines(result))
        if not result.fits:
            context.exit(DOES_NOT_FIT)
        return
    emit(as_json, {"boards": [_json(result) for result in results]}, _overview(results))


def _json(result: Fit) -> dict[str, Any]:
    values = dataclasses.asdict(result)
    needs = [
        {**dataclasses.asdict(need), "share": need.share, "fits": need.excess <= 1}
        for need in result.chosen.needs
    ]
    return {
        **values,
        "chosen": {**values["chosen"], "needs": needs},
        "fits": result.fits,
        "clock_mhz": result.clock_mhz,
        "core_frames_per_second": result.core_frames_per_second,
        "frames_per_second": result.frames_per_second,
        "link_share": result.link_share,
        "milliseconds": result.milliseconds,
        "reason": result.reason,
    }


def _needs(result: Fit) -> Table:
    """The table of a board's needs, a row for each resource."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column(result.board)
    for title in ("needed", "available", "used", "usable"):
        table.add_column(title, justify="right")
    table.add_column("")
    for need in result.chosen.needs:
        missing = "" if need.excess <= 1 else f"{need.needed - need.allowed:,} too few"
        table.add_row(
            need.resource.replace("_", " "),
            f"{need.needed:,}",
            f"{need.available:,}",
            f"{need.share:.0%}",
            f"{need.allowed:,}",
            missing,
        )
    return table


def _lines(result: Fit) -> list[str]:
    chosen = result.chosen
    routed = chosen.clock.designs
    basis = f"estimated from {routed} routed design" + "s" * (routed != 1) if routed else "the board's target"
    speed = (
        f"{chosen.shape}: {chosen.cycles:,} cycles, {result.milliseconds:.3f} ms an inference at "
        f"{result.clock_mhz:.1f} MHz, {basis} (what routing reaches is known after hwquant build); utilization "
        f"{chosen.utilization:.1%}"
    )
    rates = rates_line(
        result.core_frames_per_second, result.frames_per_second, result.link_share, result.link
    )
    return [result.reason, *([speed, *_external(chosen), rates] if result.fits else [])]


def _external(chosen: Candidate) -> list[str]:
    """A line on the memory of the board, where it takes part."""
    use = chosen.outside
    if use is None:
        return []
    return [
        f"external memory: {use.moved_bytes:,} bytes an inference; data move in {use.in_use:.1%} of the cycles, the "
        f"array waits for it in {use.stalled:,} cycles at most (with the quickest, {use.least_cycles:,} in all)"
    ]


def _memory(result: Fit) -> str:
    return "with the board's memory" if result.chosen.outside else ""


def _overview(results: list[Fit]) -> Table:
    """The table of several boards at their estimated clocks, a row for each."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("board")
    table.add_column("device")
    for title in ("array", "cycles", "MHz", "ms", "core/s", "frames/s", "cells", "DSP", "RAM"):
        table.add_column(title, justify="right")
    table.add_column("")
    for result in results:
        chosen = result.chosen
        shares = {need.resource: f"{need.share:.0%}" for need in chosen.needs}
        speed = [
            f"{result.clock_mhz:.0f}",
            f"{result.milliseconds:.3f}",
            f"{result.core_frames_per_second:,.0f}",
            f"{result.frames_per_second:,.1f}",
        ]
        table.add_row(
            result.board,
            result.device,
            *(chosen.shape, f"{chosen.cycles:,}"),
            *(speed if result.fits else [""] * len(speed)),
            shares.get("cell", shares["lut"]),
            *(shares[name] for name in ("dsp", "ram")),
            Text(
                _memory(result)
                if result.fits
                else f"too little {chosen.worst.resource.replace('_', ' ').upper()}"
            ),
        )
    return table
