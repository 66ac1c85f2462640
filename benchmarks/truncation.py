"""Truncation of the Fashion-MNIST network: float16, int8, binary weights, with parity layer after layer.

Parity is measured on the first 2,000 test images, accuracy on all 10,000. Binary weights without and with
fine-tuning (8 epochs), in all layers and in all but the first and the last. Every integer network is compiled
for an 8x8 array and simulated in CXXRTL on 10 images, every layer's tensor compared with the golden model.
Writes ``benchmarks/results/truncation.json``, after every case, and a plot for each. Cases that are not named
keep the results they had. Takes about 10 minutes of one core. Exits 1 if a simulation differs.

    python benchmarks/truncation.py [float16 int8 binary binary-ends binary-tuned binary-ends-tuned]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import fashion_mnist
from results import FOLDER, write_results
from rich.console import Console
from rich.table import Table

from hwquant import floating, golden
from hwquant.cli.results import layers_table, operators_table
from hwquant.data import Samples
from hwquant.frontends import load_model
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.qgraph import Layer, QGraph
from hwquant.sim.check import verify
from hwquant.training import Training, TrainOptions
from hwquant.truncation import truncate
from hwquant.truncation.report import parity_plot

NETWORK = Path(__file__).resolve().parent / "networks" / "fashion_cnn.onnx"
CALIBRATION, PARITY, SIMULATED = 500, 2000, 10
ARRAY = (8, 8)
TRAINING = TrainOptions(epochs=8, batch_size=128, seed=0)
CASES: dict[str, dict[str, Any]] = {
    "float16": {"to": "float16"},
    "int8": {"to": "int8"},
    "binary": {"to": "binary"},
    "binary-ends": {"to": "binary", "int8_ends": True},
    "binary-tuned": {"to": "binary", "training": TRAINING},
    "binary-ends-tuned": {"to": "binary", "int8_ends": True, "training": TRAINING},
}
"""``ends``: the first and the last layer keep 8 bits; ``tuned``: fine-tuned."""


def accuracy(network: Graph | QGraph, x: np.ndarray, y: np.ndarray) -> float:
    """Share of right answers, 0..1."""
    if isinstance(network, QGraph):
        scores = golden.predict(network, x)[0]
    else:
        scores = floating.predict(network, x, dtype=np.float32)[0]
    return float((scores.argmax(axis=1) == y).mean())


def weight_bytes(qgraph: QGraph) -> float:
    """Of all stored codes, packed."""
    layers = [node for node in qgraph.nodes if isinstance(node, Layer)]
    return sum(term.codes.size * term.bits for layer in layers for term in layer.terms) / 8


def measure(name: str, graph: Graph, console: Console) -> dict[str, Any]:
    """One case: truncated, measured, simulated."""
    start = time.process_time()
    arguments = dict(CASES[name])
    train, test = fashion_mnist("train"), fashion_mnist("test")
    if "training" in arguments:
        arguments["training"] = Training(
            train,
            arguments["training"],
            progress=lambda what, done, total, note="": console.print(f"{what} {done}/{total}: {note}"),
        )
    labelled = Samples(test[0][:PARITY], test[1][:PARITY].astype(np.int64))
    result = truncate(graph, train[0][:CALIBRATION], test=labelled, **arguments)
    console.print(operators_table(result.parity), layers_table(result.parity))
    network = result.graph if result.qgraph is None else result.qgraph
    row: dict[str, Any] = {
        "accuracy": accuracy(network, *test),
        "accuracy_on_parity_samples": result.parity.accuracy,
        "output_sqnr_db": result.parity.layers[-1].output.sqnr_db,
        "parity": result.parity.to_json(),
    }
    if result.qgraph is not None:
        program = compile_network(result.qgraph, ARRAY)
        q = golden.quantize_input(result.qgraph, test[0][:SIMULATED])
        checked = verify(program, result.qgraph, q, simulator="cxxrtl", watch=SIMULATED)
        row |= {"weight_bytes": weight_bytes(result.qgraph), "cycles": checked.cycles}
        row |= {"simulated": checked.samples, "mismatches": checked.mismatches}
    row["cpu_seconds"] = round(time.process_time() - start, 1)
    (FOLDER / f"truncation_{name}.png").write_bytes(parity_plot(result.parity))
    return row


def earlier() -> dict[str, Any]:
    """The cases of the results file, where there is one."""
    path = FOLDER / "truncation.json"
    return json.loads(path.read_text())["results"]["cases"] if path.exists() else {}


def summary(rows: dict[str, Any], reference: float) -> Table:
    """A row for each case."""
    table = Table(title=f"Fashion-MNIST, 10,000 test images; float {reference:.2%}")
    for heading in (
        "truncated to",
        "accuracy",
        "points",
        "output SQNR dB",
        "weight bytes",
        "cycles 8x8",
        "RTL",
    ):
        table.add_column(heading, justify="left" if heading == "truncated to" else "right")
    for name, row in rows.items():
        simulated = f"{row['mismatches']} of {row['simulated']} differ" if "simulated" in row else ""
        table.add_row(
            name,
            f"{row['accuracy']:.2%}",
            f"{100 * (row['accuracy'] - reference):+.2f}",
            f"{row['output_sqnr_db']:.1f}",
            f"{row['weight_bytes']:,.0f}" if "weight_bytes" in row else "",
            f"{row['cycles']:,}" if "cycles" in row else "",
            simulated,
        )
    return table


def main(names: list[str]) -> int:
    for name in names:
        if name not in CASES:
            print(f"there is no case {name!r}; there are {', '.join(CASES)}", file=sys.stderr)
            return 2
    torch.set_num_threads(1)
    console = Console(width=140)
    graph = load_model(NETWORK)
    reference = accuracy(graph, *fashion_mnist("test"))
    known, rows = earlier(), {}
    for name in names or CASES:
        console.rule(name)
        known[name] = measure(name, graph, console)
        rows = {case: known[case] for case in CASES if case in known}
        results = {
            "network": NETWORK.name,
            "float_accuracy": reference,
            "parity_samples": PARITY,
            "calibration_samples": CALIBRATION,
            "training": TRAINING.as_json(),
            "array": list(ARRAY),
            "cases": rows,
        }
        console.print(f"wrote {write_results('truncation', results)}")
    console.print(summary(rows, reference))
    return 1 if any(row.get("mismatches") for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
