"""Networks for people, layer by layer."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hwquant.describe import describe, times
from hwquant.graph import Graph
from hwquant.printable import printable
from hwquant.qgraph import QGraph

_COLUMNS = {
    "name": "layer",
    "operation": "operation",
    "shape": "output",
    "bits": "bits",
    "offset": "offset",
    "shift": "shift",
    "sqnr_db": "SQNR",
    "pruned": "pruned",
    "parameters": "weights",
    "macs": "MACs",
}


def network_table(network: Graph | QGraph) -> Group:
    """A row for every input and layer."""
    content = describe(network)
    rows = [
        *(
            {**item, "operation": f"input {times(item['shape'])}", "shape": item["tensor_shape"]}
            for item in content["inputs"]
        ),
        *content["layers"],
    ]
    used = [key for key in _COLUMNS if any(_shown(row.get(key)) for row in rows)]
    title = f"{network.name}: {content['kind']} network, {content['parameters']:,} weights and biases, "
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for key in used:
        left = key in ("name", "operation", "shape")
        table.add_column(_COLUMNS[key], justify="left" if left else "right", no_wrap=not left)
    for row in rows:
        table.add_row(*(Text(printable(_cell(key, row.get(key)))) for key in used))
    return Group(Text(printable(f"{title}{content['macs']:,} MACs")), table)


def sqnr_line(measured: Any) -> str:
    """Signal to noise of every output and of the worst tensor, from ``QGraph.options``."""

    def decibels(value: float | None) -> str:
        return "exact" if value is None else f"{value:.1f} dB"

    text = ", ".join(f"{name} {decibels(value)}" for name, value in measured["outputs"].items())
    if measured["worst"] is not None:
        text += f"; the worst is {measured['worst']['tensor']} with {decibels(measured['worst']['sqnr_db'])}"
    return f"SQNR: {text}; measured on {measured['samples']} samples of the {measured['data']}"


def _shown(value: object) -> bool:
    return value is not None and value != 0


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "shape":
        return times(value)
    if key == "sqnr_db":
        return f"{value:.1f} dB"
    if isinstance(value, list):
        low, high = min(value), max(value)
        return f"{low}" if low == high else f"{low}..{high}"
    return f"{value:,}" if isinstance(value, int) else str(value)
