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
from hwquant.errors import HwquantError
from hwquant.printable import printable

if TYPE_CHECKING:
    from hwquant.program.compilation import Compilation
    from hwquant.program.external import ExternalMemory
    from hwquant.program.listing import Listing, PassName
    from hwquant.program.sizing import OffsetChoice


def network_passes(
    network: Path,
    array: str,
    offset: OffsetChoice,
    limits: Mapping[str, int],
    external: ExternalMemory | None = None,
) -> Compilation:
    """The passes over the network of a .hwq file, for an array such as "8x8", and a memory outside, if any."""
    from hwquant import hwq
    from hwquant.program.compilation import Compilation, lowered_network
    from hwquant.program.sides import parse_array
    from hwquant.program.sizing import Requirements

    qgraph = hwq.load(network)
    requirements = Requirements(parse_array(array), offset, limits, external=external)
    return Compilation(qgraph, lowered_network(qgraph), requirements)


def build_passes(folder: Path) -> Compilation:
    """The passes over a build's network, for its hardware.

    Raises
    ------
    HwquantError
        They make another program than the build has, which another version of hwquant compiled.
    """
    from hwquant.build import load_build
    from hwquant.program.compilation import Compilation, lowered_network
    from hwquant.program.sizing import Requirements

    build = load_build(folder)
    config = build.program.config
    requirements = Requirements(config.array, config=config, external=build.program.memory)
    passes = Compilation(build.qgraph, lowered_network(build.qgraph), requirements)
    if passes.program.checksum != build.program.checksum:
        raise HwquantError(
            f"{folder} is of another version, whose compiler made another program; compile it again to see its passes"
        )
    return passes


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
