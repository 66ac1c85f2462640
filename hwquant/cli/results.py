"""What the methods report, as tables: the front of a search, parity, savings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hwquant.printable import printable

if TYPE_CHECKING:
    from hwquant.optimize import Candidate as OptimizeCandidate
    from hwquant.optimize import OptimizeResult
    from hwquant.search.result import Candidate, SearchResult
    from hwquant.truncation.parity import Error, ParityReport


def front_table(result: SearchResult, picked: Candidate | None = None) -> Table:
    """The table of a search's front, a row for each candidate.

    It has bits, accuracy, its change in points against the constraints' reference, and costs relative to int8.
    """
    from hwquant.search.objectives import ACCURACY, OBJECTIVES
    from hwquant.search.space import BIASES

    reference = result.options.constraints.drop_from
    order = ", ".join(
        f"{item.name} (biases)" if item.kind == BIASES else item.name for item in result.task.space.variables
    )
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption=Text(f"bits of {order}"),
        caption_justify="left",
    )
    table.add_column("bits")
    table.add_column("accuracy", justify="right")
    table.add_column(f"to {reference}", justify="right")
    trained = any(item.trained for item in result.front)
    if trained:
        table.add_column("untrained", justify="right")
    costs = [name for name in result.options.objectives if name != ACCURACY]
    for name in costs:
        table.add_column(OBJECTIVES[name].title, justify="right")
        table.add_column("to int8", justify="right")
    table.add_column()
    for item in result.front:
        cells = [
            " ".join(map(str, item.configuration)),
            f"{item.measures[ACCURACY]:.2%}",
            f"{-result.drop(item, reference):+.2f}",
        ]
        if trained:
            cells.append("" if item.untrained is None else f"{item.untrained:.2%}")
        for name in costs:
            objective, value = OBJECTIVES[name], item.measures[name]
            cells += [objective.show(value), f"{objective.ratio(value, result.int8.measures[name]) - 1:+.1%}"]
        table.add_row(*(Text(cell) for cell in cells), Text("picked" if item == picked else ""))
    return table


def designs_table(result: OptimizeResult, picked: OptimizeCandidate | None = None) -> Table:
    """The table of an optimization's front, a row for each candidate, and of the best 8-bit dense build.

    Bytes moved are those through the board's memory; they have a column where some candidate has any.
    """
    from hwquant.program.sides import array_name

    order = ", ".join(result.task.space.layers)
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption=Text(f"bits of the activations, then of {order}"),
        caption_justify="left",
    )
    for name in ("network", "bits", "offset", "array"):
        table.add_column(name)
    rows = list(result.front)
    if result.baseline is not None and result.baseline not in rows:
        rows.append(result.baseline)
    titles = {
        "cycles": "cycles",
        "fps": "inferences/s",
        "lut": "LUT",
        "dsp": "DSP",
        "ram": "RAM",
        "bytes": "bytes",
        "moved_bytes": "moved",
        "energy_nj": "nJ",
    }
    if not any(item.measures["moved_bytes"] for item in rows):
        del titles["moved_bytes"]
    for name in ("accuracy", "to float", *titles.values()):
        table.add_column(name, justify="right")
    table.add_column()
    for item in rows:
        design, measures = item.design, item.measures
        names = {id(picked): "picked", id(result.baseline): "8-bit dense"}
        table.add_row(
            Text(item.variant + (", trained" if item.trained else "")),
            f"{design.activation_bits} | {' '.join(map(str, design.bits.values()))}",
            design.offset,
            array_name(item.array),
            f"{item.accuracy:.2%}",
            f"{result.change(item):+.2f}",
            *(f"{measures[name]:,.0f}" for name in titles),
            names.get(id(item), ""),
        )
    return table


def operators_table(report: ParityReport) -> Table:
    """The table of parity by operator, each alone."""
    table = Table(
        box=SIMPLE_HEAD, pad_edge=False, title=f"each operator alone, {report.to}", title_justify="left"
    )
    for name in ("operator", "kind"):
        table.add_column(name)
    for name in ("max error", "mean error", "SQNR dB"):
        table.add_column(name, justify="right")
    for row in report.operators:
        table.add_row(Text(printable(row.name)), row.kind, *_cells(row.error))
    return table


def layers_table(report: ParityReport) -> Table:
    """The table of parity by layer, the network truncated up to there."""
    title = f"truncated to {report.to} up to each layer, {report.samples} samples"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in ("up to", "operators"):
        table.add_column(name)
    for name in ("tensor: max", "mean", "SQNR dB", "output: max", "mean", "SQNR dB", "accuracy"):
        table.add_column(name, justify="right")
    for row in report.layers:
        operators = Text(printable(", ".join(row.operators) or "input"))
        accuracy = "" if row.accuracy is None else f"{row.accuracy:.2%}"
        table.add_row(
            Text(printable(row.name)), operators, *_cells(row.tensor), *_cells(row.output), accuracy
        )
    if report.float_accuracy is not None:
        table.caption, table.caption_justify = f"float: {report.float_accuracy:.2%}", "right"
    return table


def pruning_table(content: dict[str, Any]) -> Table:
    """The table of pruning by layer: which weights it took, and what the hardware saves."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("layer")
    for heading in ("drop alone", "weights", "pruned", "tiles", "skipped", "tile cycles", "dense"):
        table.add_column(heading, justify="right")
    for layer in content["layers"]:
        drops = [f"{100 * content['sensitivity'][name]:.1f}" for name in layer["convolutions"]]
        table.add_row(
            Text(printable(" + ".join(layer["convolutions"]) or layer["name"])),
            ", ".join(drops),
            f"{layer['weights']:,}",
            f"{layer['pruned'] / layer['weights']:.1%}" if layer["weights"] else "",
            f"{layer['tiles']:,}",
            f"{layer['skipped']:,}",
            f"{layer['tile_cycles']:,}",
            f"{layer['dense_tile_cycles']:,}",
        )
    return table


def _cells(error: Error) -> list[str]:
    ratio = "" if error.sqnr_db is None else f"{error.sqnr_db:.1f}"
    if error.largest == 0:
        ratio = "exact"
    return [f"{error.largest:.3g}", f"{error.mean:.3g}", ratio]
