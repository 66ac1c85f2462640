"""``hwquant inspect --pass``: what a pass of the compiler makes of a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hwquant.describe import times
from hwquant.errors import DoesNotFit, HwquantError
from hwquant.printable import printable

if TYPE_CHECKING:
    from hwquant.boards.outside import ExternalChoice
    from hwquant.program.compilation import Compilation
    from hwquant.program.external import ExternalMemory
    from hwquant.program.listing import Listing, PassName
    from hwquant.program.program import Program
    from hwquant.program.sizing import OffsetChoice
    from hwquant.qgraph import QGraph


def network_passes(
    network: Path,
    array: str,
    offset: OffsetChoice,
    limits: Mapping[str, int],
    external: ExternalMemory | None = None,
) -> Compilation:
    """The passes over the network of a .hwq file, for an array such as "8x8", and a memory outside, if any."""
    from hwquant import hwq
    from hwquant.program.compilation import best_compilation, lowered_network
    from hwquant.program.sides import parse_array
    from hwquant.program.sizing import Requirements

    qgraph = hwq.load(network)
    requirements = Requirements(parse_array(array), offset, limits, external=external)
    return best_compilation(qgraph, lowered_network(qgraph), requirements)


def board_passes(
    network: Path,
    board: str,
    array: str | None,
    offset: OffsetChoice,
    limits: Mapping[str, int],
    external: ExternalChoice,
) -> Compilation:
    """The passes over the network of a .hwq file for what ``hwquant compile --board`` makes of it.

    Parameters
    ----------
    network : Path
        The .hwq file.
    board : str
        Name of a board, or its file.
    array : str or None
        An array such as "8x8"; None: the fastest that fits.
    offset : {"auto", "edge", "sum"}
        Where integer offsets are added.
    limits : mapping of int
        Greatest depths and widths of memories.
    external : {"auto", "none", "axi", "axi16", "axi32", "axi64", "axi128"}
        Whether the board's memory takes part.

    Raises
    ------
    HwquantError
        The board has no device, or no such memory, or the network does not fit.
    """
    from hwquant import hwq
    from hwquant.boards.board import load_board
    from hwquant.boards.fit import choose_fitting
    from hwquant.boards.outside import compiled_for
    from hwquant.boards.shapes import Shapes
    from hwquant.program.sides import parse_array

    target, qgraph = load_board(board), hwq.load(network)
    shapes = Shapes(qgraph, offset=offset, limits=limits)
    fixed = parse_array(array) if array is not None else None
    found = choose_fitting(shapes, target, fixed, external=external)
    if target.device is None:
        raise found.shortfall()
    memory = found.chosen.outside.memory if found.chosen.outside else None
    compiled = compiled_for(shapes, found.chosen.array, target.device, memory, target.link)
    return _passes_of(qgraph, compiled.program)


def _passes_of(qgraph: QGraph, program: Program) -> Compilation:
    """The passes over a network, for the hardware of a program."""
    from hwquant.program.compilation import best_compilation, lowered_network
    from hwquant.program.sizing import Requirements

    config = program.config
    requirements = Requirements(config.array, config=config, external=program.memory)
    return best_compilation(qgraph, lowered_network(qgraph), requirements)


def build_passes(folder: Path) -> Compilation:
    """The passes over a build's network, for its hardware.

    Raises
    ------
    HwquantError
        They make another program than the build has: another version of hwquant compiled it, or, with external memory,
        the plan was made for deeper memories.
    """
    from hwquant.build import NETWORK, load_build

    build = load_build(folder)
    passes = _passes_of(build.qgraph, build.program)
    try:
        same = passes.program.checksum == build.program.checksum
    except DoesNotFit:
        same = False
    if same:
        return passes
    if build.program.memory:
        raise HwquantError(
            f"for the hardware of {folder}, whose memories are as deep as its program needs, the compiler makes "
            f"another program; inspect {folder / NETWORK} with the options that it was compiled with"
        )
    raise HwquantError(
        f"{folder} is of another version, whose compiler made another program; compile it again to see its passes"
    )


def inspect_pass(passes: Compilation, name: PassName, layer: str | None) -> tuple[dict[str, Any], Group]:
    """The result for ``--json``, and what is shown."""
    from hwquant.program.listing import listing
    from hwquant.program.sides import array_name

    array, found = array_name(passes.requirements.array), listing(passes, name, layer)
    result = {
        "network": passes.qgraph.name,
        "array": array,
        "pass": name,
        **found.summary,
        "rows": list(found.rows),
    }
    return result, pass_table(f"{passes.qgraph.name} on {array}, {name}", found)


def pass_table(title: str, found: Listing) -> Group:
    """A line with the summary, and a table of the rows; columns without a value are left out.

    What is wider than its column goes on in the next line: a number that is cut short helps nobody.
    """
    columns = [
        key for key in (found.rows[0] if found.rows else {}) if any(_has(row[key]) for row in found.rows)
    ]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for key in columns:
        number = all(isinstance(row[key], int | None) for row in found.rows)
        table.add_column(key, justify="right" if number else "left", overflow="fold")
    for row in found.rows:
        table.add_row(*(Text(printable(_cell(row[key]))) for key in columns))
    summary = "".join(f"; {key} {_cell(value)}" for key, value in found.summary.items())
    return Group(Text(printable(f"{title}{summary}")), table)


def _has(value: object) -> bool:
    return value is not None and value != ""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return times(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
