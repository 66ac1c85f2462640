"""MLPerf Tiny on the generated hardware: accuracy, exact cycles, and the RTL against the golden model.

Official weights, quantized after training (int8, shift-only, per layer, error-compensated rounding), compiled
for 16x16 and 8x8, and simulated in Verilator under cocotb: every layer's tensor of some images, the outputs
of ten times as many. Also ResNet8 with half of its tiles pruned at random. Writes
``benchmarks/results/mlperf_tiny.json`` and ``mlperf_tiny.png`` (cycles by layer against each layer's ideal;
needs matplotlib). Needs the data sets (HWQUANT_DATA); takes about ten minutes.

    python benchmarks/mlperf_tiny.py [--no-simulation] [ic kws vww ad]
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
from mlperf_networks import NAMES, Data, data, halves, model
from numpy.typing import NDArray
from results import FOLDER, write_results
from rich.console import Console
from rich.table import Table

from hwquant import floating, golden
from hwquant.frontends import from_onnx
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.memories import memory_bits
from hwquant.program.program import Program
from hwquant.qgraph import Layer, QGraph
from hwquant.quantize import quantize
from hwquant.sim.check import verify

ARRAYS = ((16, 16), (8, 8))
IDEAL = {"ic": (50_240, 200_832), "kws": (19_064, 54_128), "vww": (55_792, 144_112), "ad": (16_640, 33_024)}
"""Cycles of perfect tiling: a pixel of every dense tile a cycle, a depthwise kernel row a tile; see methods."""
WATCHED = {"ic": 3, "kws": 20, "vww": 2, "ad": 20}
SEED = 2026


def quantized(graph: Graph, calibration: NDArray[np.float32], **options: Any) -> QGraph:
    """The default of this benchmark: int8, shift-only, error-compensated rounding."""
    return quantize(graph, calibration, **options)


def accuracy(graph: Graph, inputs: Data, **options: Any) -> dict[str, float]:
    """Share of right answers, float and integer; each sample by a network that was not calibrated on it."""
    if inputs.y is None:
        return {}
    everything = slice(0, len(inputs.x))
    parts = halves(inputs.x) if not len(inputs.calibration) else [(slice(0, 0), everything)]
    right = 0
    for seen, tested in parts:
        calibration = inputs.calibration if len(inputs.calibration) else inputs.x[seen]
        answers = golden.predict(quantized(graph, calibration, **options), inputs.x[tested])[0].argmax(axis=1)
        right += int((answers == inputs.y[tested]).sum())
    exact = floating.predict(graph, inputs.x)[0].argmax(axis=1)
    return {"float": float((exact == inputs.y).mean()), "integer": right / len(inputs.y)}


def fidelity(name: str, graph: Graph, qgraph: QGraph, inputs: Data) -> dict[str, Any]:
    """How close the outputs are to the float network's on the reference inputs."""
    exact = floating.predict(graph, inputs.reference)[0]
    got = golden.predict(qgraph, inputs.reference)[0]
    noise = float(((got - exact) ** 2).sum())
    result: dict[str, Any] = {"sqnr_db": round(10 * np.log10(float((exact**2).sum()) / noise), 2)}
    if name == "vww":
        same = np.sign(got[:, 1] - got[:, 0]) == np.sign(exact[:, 1] - exact[:, 0])
        result["same_sign"] = f"{int(same.sum())} of {len(same)}"
    if name == "ad":
        errors = [((output - inputs.reference) ** 2).mean(axis=1) for output in (got, exact)]
        result["relative_error_of_reconstruction_error"] = round(
            float(np.abs(errors[0] / errors[1] - 1).max()), 4
        )
    return result


def dense(qgraph: QGraph) -> QGraph:
    """The network with the smallest weights in place of those that are zero, so that no tile can be left out.

    For its cycles only.
    """
    nodes = []
    for node in qgraph.nodes:
        if isinstance(node, Layer):
            terms = []
            for term in node.terms:
                step = np.where(term.codes < 0, 1, -1)
                codes = np.where(term.weight == 0, term.codes + step, term.codes)
                terms.append(dataclasses.replace(term, codes=codes.astype(np.int8), mask=None))
            node = dataclasses.replace(node, terms=tuple(terms))
        nodes.append(node)
    return dataclasses.replace(qgraph, nodes=tuple(nodes))


def pruned(qgraph: QGraph, side: int, share: float) -> QGraph:
    """The network with a share of the side x side tiles of each convolution set to zero, at random."""
    rng = np.random.default_rng(SEED)
    nodes = []
    for node in qgraph.nodes:
        if isinstance(node, Layer):
            terms = []
            for term in node.terms:
                out, channels, kh, kw = term.codes.shape
                if term.groups == 1 and kh * kw * channels >= side:
                    packed = channels < side  # the first layer: a kernel row is one tile
                    grid = (-(-out // side), 1 if packed else -(-channels // side), kh, 1 if packed else kw)
                    keep = np.ones(int(np.prod(grid)), bool)
                    keep[rng.permutation(keep.size)[: round(share * keep.size)]] = False
                    mask = keep.reshape(grid).repeat(side, 0)[:out]
                    mask = mask.repeat(channels if packed else side, 1)[:, :channels]
                    mask = mask.repeat(kw, 3) if packed else mask
                    codes = np.where(mask, term.codes, -term.offset if term.anchor == "min" else term.offset)
                    term = dataclasses.replace(term, codes=codes.astype(np.int8))
                terms.append(term)
            node = dataclasses.replace(node, terms=tuple(terms))
        nodes.append(node)
    return dataclasses.replace(qgraph, nodes=tuple(nodes))


def simulate(program: Program, qgraph: QGraph, x: NDArray[np.float32], watched: int) -> dict[str, Any]:
    """Verilator under cocotb, with every layer's tensor, then outputs alone."""
    rng = np.random.default_rng(SEED)
    count = 10 * watched
    picked = x[rng.permutation(len(x))[: min(count, len(x))]]
    q = golden.quantize_input(qgraph, picked)
    result = verify(program, qgraph, q, watch=watched)
    return {
        "images": result.samples,
        "images_with_every_layer": result.watched,
        "mismatches": result.mismatches,
        "cycles": result.cycles,
        "cycles_a_second": round(result.simulated_cycles / result.seconds),
    }


def plot(rows: list[dict[str, Any]]) -> None:
    """Cycles by layer against each layer's ideal, one panel a network (16x16)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [row for row in rows if row["array"] == "16x16"]
    figure, axes = pyplot.subplots(len(shown), 1, figsize=(10, 3 * len(shown)), squeeze=False)
    for axis, row in zip(axes[:, 0], shown):
        places = np.arange(len(row["layers"]))
        axis.bar(places, [layer["cycles"] for layer in row["layers"]], color="tab:blue", label="cycles")
        axis.bar(
            places, [layer["ideal"] for layer in row["layers"]], width=0.4, color="tab:orange", label="ideal"
        )
        axis.set_title(f"{row['network']}, 16x16: {row['cycles']:,} cycles", loc="left")
        axis.set_xticks(
            places, [layer["name"] for layer in row["layers"]], rotation=60, ha="right", fontsize=6
        )
        axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(FOLDER / "mlperf_tiny.png", dpi=110)


def main() -> None:
    simulated = "--no-simulation" not in sys.argv
    names = [name for name in sys.argv[1:] if name in NAMES] or list(NAMES)
    rows: list[dict[str, Any]] = []
    console = Console()
    for name in names:
        graph, inputs = from_onnx(model(name)), data(name)
        calibration = inputs.calibration if len(inputs.calibration) else inputs.x[: len(inputs.x) // 2]
        qgraph = quantized(graph, calibration)
        quality = {
            "accuracy": accuracy(graph, inputs),
            "accuracy_per_channel": accuracy(graph, inputs, per_channel=True),
            **fidelity(name, graph, qgraph, inputs),
        }
        console.print(NAMES[name], quality)
        cases = [(NAMES[name], qgraph)]
        if name == "ic":
            cases.append(("ResNet8, half of the tiles pruned", pruned(qgraph, 16, 0.5)))
        for (title, network), array in [(case, array) for case in cases for array in ARRAYS]:
            program = compile_network(network, array)
            times = timing(program)
            row: dict[str, Any] = {
                "network": title,
                "array": f"{array[0]}x{array[1]}",
                "cycles": times.cycles,
                "tiles_skipped": sum(layer.tiles_skipped for layer in program.layers),
                "cycles_dense": timing(compile_network(dense(network), array)).cycles,
                "ideal": IDEAL[name][ARRAYS.index(array)],
                "executed_tiles_ideal": sum(layer.ideal_cycles for layer in program.layers),
                "macs": program.macs,
                "utilization": round(program.useful_macs / (array[0] * array[1] * times.cycles), 4),
                "block_ram_kib": {
                    key: round(bits / 8192, 1) for key, bits in memory_bits(program.config).items()
                },
                "layers": [
                    {"name": layer.name, "cycles": cycles, "ideal": layer.ideal_cycles}
                    for layer, cycles in zip(program.layers, times.layers)
                ],
                "quality": quality if title == NAMES[name] else {},
            }
            if simulated:
                row["simulation"] = simulate(program, network, inputs.x, WATCHED[name])
            rows.append(row)
            console.print({key: value for key, value in row.items() if key not in ("layers", "quality")})
    table = Table("network", "array", "cycles", "ideal", "MACs a cycle", "simulated", "mismatches")
    for row in rows:
        run = row.get("simulation", {})
        table.add_row(
            row["network"],
            row["array"],
            f"{row['cycles']:,}",
            f"{row['ideal']:,}",
            f"{row['utilization'] * np.prod([int(side) for side in row['array'].split('x')]):.1f}",
            f"{run['cycles']:,}" if run else "-",
            str(run.get("mismatches", "-")),
        )
    console.print(table)
    write_results("mlperf_tiny", rows)
    plot(rows)


if __name__ == "__main__":
    main()
