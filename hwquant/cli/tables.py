"""Networks and builds for people, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hwquant.describe import describe, times
from hwquant.graph import Graph
from hwquant.printable import printable
from hwquant.qgraph import QGraph

if TYPE_CHECKING:
    from hwquant.report import LayerReport, Report

_COLUMNS = {
    "name": "layer",
    "operation": "operation",
    "shape": "output",
    "bits": "bits",
    "step": "step",
    "offset": "offset",
    "shift": "shift",
    "sqnr_db": "SQNR",
    "pruned": "pruned",
    "parameters": "weights",
    "macs": "MACs",
}


HOST_NODES = 8
"""Nodes of the host that a line names; ``--json`` has all."""


def network_table(network: Graph | QGraph) -> Group:
    """The table of a network, a row for every input and layer."""
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


def history_lines(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for every step of a network's history."""
    return [f"{number}. {step['method']}: {step['text']}" for number, step in enumerate(steps, 1)]


def sqnr_line(measured: Any) -> str:
    """Signal to noise ratios of every output and of the worst tensor, from ``QGraph.options``."""

    def decibels(value: float | None) -> str:
        return "exact" if value is None else f"{value:.1f} dB"

    text = ", ".join(f"{name} {decibels(value)}" for name, value in measured["outputs"].items())
    if measured["worst"] is not None:
        text += f"; the worst tensor is {measured['worst']['tensor']} with {decibels(measured['worst']['sqnr_db'])}"
    return f"SQNR: {text}; measured on {measured['samples']} samples of the {measured['data']}"


def kept_lines(options: Mapping[str, Any], accuracy: Mapping[str, float | None]) -> list[str]:
    """What other scales than its own cost a network, from ``QGraph.options``; nothing where it keeps its own."""
    if "kept" not in options:
        return []
    costs = []
    for name, now in options["sqnr"]["outputs"].items():
        before = options["kept"]["outputs"][name]
        costs.append(f"{name} exact" if before is None or now is None else f"{name} {before - now:.1f} dB")
    lines = [f"other scales than those that the network had cost: {', '.join(costs)}"]
    if accuracy:
        lines.append(
            f"accuracy {accuracy['kept']:.2%} with the scales that it had, {accuracy['changed']:.2%} with these"
        )
    return lines


def host_lines(network: Graph | QGraph) -> list[str]:
    """What the array does of a network, and what stays with the host; nothing where that is nothing."""
    ends = network.host
    if ends is None:
        return []
    begin, end = (", ".join(item.name for item in items) for items in (network.inputs, network.outputs))
    lines = [f"on the array: {1 - ends.share:.2%} of {ends.macs:,} MACs, from {begin} to {end}"]
    for place, words in (("head", "before"), ("tail", "after")):
        nodes = [node for node in ends.nodes if node.end == place]
        if not nodes:
            continue
        first = [f"{node.name} ({node.operator})" for node in nodes[:HOST_NODES]]
        more = f" and {len(nodes) - HOST_NODES} more" if len(nodes) > HOST_NODES else ""
        reason = next((f"; {node.name}: {node.reason}" for node in nodes if node.reason), "")
        lines.append(f"on the host {words} it: {', '.join(first)}{more}{reason}")
    return lines


def chain_lines(chains: Any) -> list[str]:
    """A line for every chain of layers without rescaling between them, from ``QGraph.options``."""
    lines = []
    for chain in chains:
        scales = chain["scale"]
        scale = f"{scales[0]:.4g}" if len(scales) == 1 else f"{min(scales):.4g}..{max(scales):.4g}"
        end = "at the output" if chain["shift"] is None else f"by the rescaling of {chain['layers'][-1]}"
        bits = ", ".join(map(str, chain["bits"]))
        lines.append(
            f"no rescaling in {' -> '.join(chain['layers'])}: sums of {bits} bits are handed on; the product of the "
            f"scales, {scale}, is applied once, {end}"
        )
    return lines


def balancing_lines(options: Mapping[str, Any]) -> list[str]:
    """What balanced channels do to the noise, from ``QGraph.options``; nothing where they were not tried."""
    tried = options.get("balancing")
    if tried is None:
        return []
    figures = f"{tried['balanced_db']:.1f} dB at the outputs, {tried['as_is_db']:.1f} dB as they were"
    return [f"channels {'' if tried['kept'] else 'not '}balanced: balanced {figures}"]


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


def layer_table(report: Report) -> Group:
    """The table of a report, a row for every layer, and the total."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("layer")
    for heading in ("cycles", "MACs", "tiles", "skipped", "ideal", "utilization", "weight bytes"):
        table.add_column(heading, justify="right")
    for layer in _layer_rows(report):
        table.add_row(
            Text(printable(" + ".join(layer.covers) or layer.name)),
            f"{layer.cycles:,}",
            f"{layer.macs:,}",
            f"{layer.tiles:,}",
            f"{layer.tiles_skipped:,}",
            f"{layer.ideal_cycles:,}",
            f"{layer.utilization:.1%}",
            f"{layer.weight_bytes:,}",
        )
    table.add_section()
    table.add_row(
        "one inference",
        f"{report.cycles:,}",
        f"{report.macs:,}",
        f"{sum(layer.tiles for layer in report.layers):,}",
        f"{sum(layer.tiles_skipped for layer in report.layers):,}",
        f"{sum(layer.ideal_cycles for layer in report.layers):,}",
        f"{report.utilization:.1%}",
        f"{report.weight_bytes:,}",
    )
    return Group(Text(f"{report.name} on {report.array}"), table)


def _layer_rows(report: Report) -> list[LayerReport]:
    """The layers of a report; bands of a layer of the network as one."""
    if report.external is None:
        return list(report.layers)
    rows: dict[tuple[str, ...], list[LayerReport]] = {}
    for layer in report.layers:
        rows.setdefault(layer.covers, []).append(layer)
    return [_together(layers, report) for layers in rows.values()]


def _together(layers: Sequence[LayerReport], report: Report) -> LayerReport:
    """What bands of a layer are together."""
    names = ("cycles", "macs", "useful_macs", "tiles", "tiles_skipped", "ideal_cycles", "weight_bytes")
    sums = {name: sum(getattr(layer, name) for layer in layers) for name in names}
    area = report.arrays * report.rows * report.columns
    return replace(layers[0], **sums, utilization=sums["useful_macs"] / (area * sums["cycles"]))


def external_tables(report: Report) -> list[RenderableType]:
    """What external memory has to do with a report: a table of layers, and lines on all of them; else nothing."""
    external = report.external
    if external is None:
        return []
    table = Table(box=SIMPLE_HEAD)
    table.add_column("layer")
    for heading in ("bands", *external.moved, "stalled"):
        table.add_column(heading, justify="right")
    table.add_column("bound by")
    for layer in external.layers:
        table.add_row(
            Text(printable(" + ".join(layer.covers))),
            f"{layer.bands:,}",
            *(f"{count:,}" for count in layer.moved.values()),
            f"{sum(layer.stalled.values()):,}",
            layer.bound,
        )
    table.add_section()
    moved, stalled = external.moved, sum(external.stalled.values())
    table.add_row("one inference", "", *(f"{count:,}" for count in moved.values()), f"{stalled:,}", "")
    memory = external.memory
    waits = ", ".join(f"{count:,} for {name}" for name, count in external.stalled.items() if count)
    lines = [
        f"external memory, {memory.data_bits} bits: {sum(moved.values()):,} bytes an inference, beside "
        f"{external.products:,} multiplications; data move in {external.in_use:.1%} of the cycles",
        f"the array waits for it {stalled / report.cycles:.1%} of the time"
        + (f" ({waits})" if waits else ""),
    ]
    if not memory.exact:
        bounds = f"{external.least_cycles:,} to {report.cycles:,} cycles"
        lines.append(
            f"when it serves is known between bounds: {bounds}, from the quickest ({memory.quickest}) to the slowest "
            f"({memory.timing}); hwquant estimate --memory-timing says others"
        )
    return [Text("to and from external memory, in bytes and cycles"), table, *lines]


def hardware_table(report: Report) -> Table:
    """The table of a report's memories, widths and transfers."""
    table = Table(show_header=False, box=SIMPLE_HEAD)
    table.add_column()
    table.add_column(overflow="fold")
    memories = ", ".join(f"{name} {bits:,}" for name, bits in report.memory_bits.items())
    table.add_row("memory bits", f"{sum(report.memory_bits.values()):,} ({memories})")
    table.add_row(
        "widths",
        f"activations {report.activation_bits}, weights {report.weight_bits}, accumulators "
        f"{report.accumulator_bits} bits (proven from the weights: no input can overflow them)",
    )
    if report.rows_per_word > 1:
        table.add_row(
            "narrow weights",
            f"up to {report.rows_per_word} rows of a tile share a word of the weight memory, up to "
            f"{report.rows_per_cycle} are loaded in a cycle",
        )
    if report.batch > 1:
        table.add_row(
            "batch",
            f"{report.batch} samples an inference: {report.sample_cycles:,.1f} cycles for each of them",
        )
    table.add_row("offset", f"{report.offset}: {report.offset_reason}")
    table.add_row("program", f"{report.program_words} instructions, checksum {report.checksum:08x}")
    raw = report.frame_bits != report.word_bits
    sent = f"{report.words_in} beats of {report.frame_bits} bits in" if raw else f"{report.words_in} words in"
    table.add_row(
        "host", f"{sent}, {report.words_out}{' words' if raw else ''} out, of {report.word_bits} bits"
    )
    table.add_row("back to back", f"an inference every {report.frame_cycles:,} cycles, transfers included")
    return table
