"""Group pruning on Fashion-MNIST with nothing but defaults: what is pruned, skipped and saved in RTL; array 8x8.

Each network is pruned with :class:`PruneOptions` as they are, retrained with :class:`RetrainOptions` as they are on the
training images, and judged, as integers, on the validation images, the last 5,000 of the training set. The test images
are looked at once, at the end. The methods differ in one option: the layers of a pass (each in turn, the most sensitive
first; by the cycles that are saved for the accuracy that it costs; all together) or the group (the
published one of a single filter, also with like-patterned filters packed into tiles). Each pruned network is simulated
(CXXRTL) on 10 images, on hardware that its dense form runs on too, and compared with the golden model. The seed orders
the training images.

``promised`` is the share of the dense network's tile cycles (one a pixel, at least those of loading a tile) that
the skipped tiles take; a network keeps its promise where the simulated cycles of an inference fall by that share.

    python benchmarks/pruning.py [--network cnn|residual|depthwise] [--seeds N] [METHOD ...]

Writes ``benchmarks/results/pruning.json``, in which rows that are not measured again are kept; needs Fashion-MNIST
(HWQUANT_DATA). About 4 minutes of a core a row; rows are measured on all cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import Any

import torch
from datasets import fashion_mnist
from results import FOLDER, write_results
from rich.console import Console
from rich.table import Table

from hwquant import golden
from hwquant.frontends import load_model
from hwquant.program.compiler import compile_network
from hwquant.program.program import Program
from hwquant.pruning import PruneOptions, RetrainOptions, prune
from hwquant.pruning.report import savings
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.sim.check import verify
from hwquant.training import TrainableNetwork, Training, accuracy

ARRAY = (8, 8)
NETWORKS = Path(__file__).resolve().parent / "networks"
CALIBRATION_IMAGES, SIMULATED_IMAGES = 500, 10
QUANTIZER = QuantizeOptions()
METHODS = {
    "sensitivity": PruneOptions(ARRAY),
    "cycles": PruneOptions(ARRAY, order="cycles"),
    "together": PruneOptions(ARRAY, order="together"),
    "filters": PruneOptions(ARRAY, filters=1),
    "packed": PruneOptions(ARRAY, filters=1, reorder=True),
}
"""What is pruned in which order: of column tiles, the layers of a pass; of groups of one filter, their packing."""


def integer_accuracy(qgraph: QGraph) -> float:
    """On the test images."""
    x, y = fashion_mnist("test")
    return float((golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean())


def simulated(program: Program, qgraph: QGraph) -> dict[str, int]:
    """Cycles that the RTL counts, and images in which anything differs from the golden model."""
    q = golden.quantize_input(qgraph, fashion_mnist("test")[0][:SIMULATED_IMAGES])
    result = verify(program, qgraph, q, simulator="cxxrtl")
    return {"images": result.samples, "mismatches": result.mismatches, "cycles": result.cycles}


class Subject:
    """A network, its data, and what it costs while it is dense."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.graph = load_model(NETWORKS / f"fashion_{name}.onnx")
        self.train = fashion_mnist("train")
        self.calibration = self.train[0][:CALIBRATION_IMAGES]
        qgraph = quantize(self.graph, self.calibration, QUANTIZER)
        fitting = compile_network(qgraph, ARRAY).config
        # Spare bits, so that the pruned networks run on the same hardware.
        roomy = dataclasses.replace(
            fitting,
            accumulator_bits=fitting.accumulator_bits + 2,
            offset_bits=9,
            adjusted_bits=9,
            shift_bits=5,
            program_depth=1024,
        )
        self.program = compile_network(qgraph, ARRAY, config=roomy)
        self.dense = {
            "float": accuracy(TrainableNetwork(self.graph), *fashion_mnist("test")),
            "integer": integer_accuracy(qgraph),
            "tiles": sum(layer.tiles for layer in self.program.layers),
            "rtl": simulated(self.program, qgraph),
        }

    def row(self, method: str, seed: int) -> dict[str, Any]:
        """Prune the network, and measure all figures of the result."""

        def report(what: str, done: int, total: int, note: str = "", /) -> None:
            print(f"{self.name}, {method}, seed {seed}, {what}: {note}", file=sys.stderr, flush=True)

        options = dataclasses.replace(RetrainOptions(), seed=seed)
        training = Training(self.train, options, progress=report)
        validation = fashion_mnist("validation")
        result = prune(self.graph, training, validation, self.calibration, METHODS[method], QUANTIZER)
        program = compile_network(result.qgraph, ARRAY, config=self.program.config)
        found, rtl = (
            savings(result.graph, result.qgraph, program, self.program),
            simulated(program, result.qgraph),
        )
        saved, promise = (
            self.dense["rtl"]["cycles"] - rtl["cycles"],
            found.promised * self.dense["rtl"]["cycles"],
        )
        return {
            "network": self.name,
            "method": method,
            "seed": seed,
            "epochs": sum(item.epochs for item in result.passes),
            "validation": {"before": vars(result.before), "after": vars(result.after)},
            "accuracy": {
                "float": accuracy(TrainableNetwork(result.graph), *fashion_mnist("test")),
                "integer": integer_accuracy(result.qgraph),
            },
            **found.to_json(),
            "kept_promise": saved / promise if promise else 1.0,
            "predicted": found.cycles,
            "rtl": rtl,
            "dense": self.dense,
            "sensitivity": {item.layer: item.drop for item in result.sensitivities},
            "passes": [dataclasses.asdict(item) for item in result.passes],
        }


@cache
def subject(name: str) -> Subject:
    torch.set_num_threads(1)
    return Subject(name)


def measure(case: tuple[str, str, int]) -> dict[str, Any]:
    """The row of a network, a method and a seed."""
    network, method, seed = case
    return subject(network).row(method, seed)


def table(rows: list[dict[str, Any]]) -> Table:
    view = Table(title="accuracies and drops in points are on the test images")
    headings = (
        "seed",
        "epochs",
        "int8",
        "lost",
        "pruned",
        "skipped",
        "cycles",
        "saved",
        "kept promise",
        "RTL",
    )
    for heading in ("network", "method"):
        view.add_column(heading)
    for heading in headings:
        view.add_column(heading, justify="right")
    for row in rows:
        dense = row["dense"]
        view.add_row(
            row["network"],
            row["method"],
            str(row["seed"]),
            f"{row['epochs']:g}",
            f"{row['accuracy']['integer']:.2%}",
            f"{100 * (dense['integer'] - row['accuracy']['integer']):.2f}",
            f"{row['pruned']:.1%}",
            f"{row['skipped']:.1%}",
            f"{row['rtl']['cycles']:,}",
            f"{1 - row['rtl']['cycles'] / dense['rtl']['cycles']:.1%}",
            f"{row['kept_promise']:.1%}",
            f"{row['rtl']['mismatches']} of {row['rtl']['images']}",
        )
    return view


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument("--network", default="cnn", choices=("cnn", "residual", "depthwise"))
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    cases = [
        (given.network, method, seed) for method in given.methods or METHODS for seed in range(given.seeds)
    ]
    file = FOLDER / "pruning.json"
    kept = json.loads(file.read_text())["results"]["rows"] if file.exists() else []
    rows = [row for row in kept if (row["network"], row["method"], row["seed"]) not in cases]
    settings = {
        "training_images": len(fashion_mnist("train")[0]),
        "quantizer": QUANTIZER.as_json(),
        "retraining": RetrainOptions().as_json(),
        "methods": {name: options.as_json() for name, options in METHODS.items()},
    }
    with ProcessPoolExecutor(min(len(cases), os.cpu_count() or 1)) as pool:
        for job in as_completed([pool.submit(measure, case) for case in cases]):
            rows.append(job.result())
            order = list(METHODS)
            rows.sort(key=lambda row: (row["network"], order.index(row["method"]), row["seed"]))
            write_results("pruning", {"settings": settings, "rows": rows})
    Console(width=140).print(table(rows))


if __name__ == "__main__":
    main()
