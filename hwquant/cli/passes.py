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
from hwquant.printable import printable

if TYPE_CHECKING:
    from hwquant.program.listing import Listing, PassName
    from hwquant.program.sizing import OffsetChoice


def inspect_pass(
    network: Path,
    array: str,
    name: PassName,
    layer: str | None,
    offset: OffsetChoice,
    limits: Mapping[str, int],
) -> tuple[dict[str, Any], Group]:
    """Compile a network up to a pass: the result for ``--json``, and what is shown to people."""
    from hwquant import hwq
    from hwquant.program.array_shape import parse_array
    from hwquant.program.compiler import Compilation, lowered_network
    from hwquant.program.listing import listing
    from hwquant.program.sizing import Requirements

    qgraph = hwq.load(network)
    requirements = Requirements(parse_array(array), offset, limits)
    found = listing(Compilation(qgraph, lowered_network(qgraph), requirements), name, layer)
    result = {"network": qgraph.name, "array": array, "pass": name, **found.summary, "rows": list(found.rows)}
    return result, pass_table(f"{qgraph.name} on {array}, {name}", found)


def pass_table(title: str, found: Listing) -> Group:
    """A line with the summary, and a table of the rows; columns without a value are left out."""
    columns = [
        key for key in (found.rows[0] if found.rows else {}) if any(_has(row[key]) for row in found.rows)
    ]
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for key in columns:
        number = all(isinstance(row[key], int | None) for row in found.rows)
        table.add_column(key, justify="right" if number else "left", no_wrap=True)
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
