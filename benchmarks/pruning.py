"""Group pruning on Fashion-MNIST: what is pruned, what the hardware skips, and what the RTL saves; array 8x8.

The network of ``fashion_cnn.py`` is pruned in groups of a whole column tile, and in groups of one filter with and
without packing like-patterned filters into tiles: in one pass, with a threshold factor for each layer, and a few
epochs over the 55,000 training images. These settings were chosen on the validation images, the last 5,000 of the
training set; the test images are looked at once, at the end. Quantization is int8, after training, with default
options. Each network is simulated (CXXRTL) on 10 images and compared with the golden model. The seed orders the
training images.

``promised`` is the share of the dense network's tile cycles (one a pixel, at least those of loading a tile) that
the skipped tiles take; a network keeps its promise where the simulated cycles of an inference fall by that share.

    python benchmarks/pruning.py [SEED ...]

Writes ``benchmarks/results/pruning.json``; needs Fashion-MNIST (HWQUANT_DATA). About 7 minutes of one core.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from datasets import fashion_mnist
from fashion_cnn import NETWORK
from results import write_results
from rich.console import Console
from rich.table import Table

from hwquant import golden
from hwquant.frontends import load_model
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.program.program import Program
from hwquant.progress import Progress
from hwquant.pruning import PruneOptions, PruneResult, permute, prune, reorder
from hwquant.pruning.report import savings
from hwquant.qgraph import QGraph
from hwquant.quantize import quantize
from hwquant.sim.check import verify
from hwquant.training import TrainableNetwork, Training, TrainOptions, accuracy

ARRAY = (8, 8)
SEEDS = (0, 1, 2)
CALIBRATION_IMAGES = 500
SIMULATED_IMAGES = 10
EPOCHS = {"tiles": 5.0, "filters": 1.0}
BATCH, RATE = 128, 2e-3
TILES = PruneOptions(
    ARRAY,
    threshold_factor={"conv1": 0.5, "conv2": 0.9, "conv3": 0.87, "conv4": 1.09, "scores": 0.95},
    step=1.0,
    max_drop=1.25,
    max_sensitivity=100,
    passes=1,
)
FILTERS = PruneOptions(
    ARRAY,
    filters=1,
    threshold_factor={"conv1": 0.5, "conv2": 0.9, "conv3": 0.9, "conv4": 1.07, "scores": 0.9},
    step=1.0,
    max_drop=3.0,
    max_sensitivity=100,
    passes=1,
)


def integer_accuracy(qgraph: QGraph) -> float:
    """On the test images."""
    x, y = fashion_mnist("test")
    return float((golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean())


def simulated(program: Program, qgraph: QGraph) -> dict[str, int]:
    """Cycles that the RTL counts, and images in which anything differs from the golden model."""
    q = golden.quantize_input(qgraph, fashion_mnist("test")[0][:SIMULATED_IMAGES])
    result = verify(program, qgraph, q, simulator="cxxrtl")
    return {"images": result.samples, "mismatches": result.mismatches, "cycles": result.cycles}


def measure(graph: Graph, qgraph: QGraph, dense: Program, dense_cycles: int) -> dict[str, Any]:
    """Savings, and a simulation of the hardware that the dense network runs on."""
    program = compile_network(qgraph, ARRAY, config=dense.config)
    found = savings(graph, qgraph, program, dense)
    rtl = simulated(program, qgraph)
    promise = found.promised * dense_cycles
    return {
        **found.to_json(),
        "rtl": {**rtl, "saved": dense_cycles - rtl["cycles"], "promised": round(promise)},
        "kept_promise": (dense_cycles - rtl["cycles"]) / promise if promise else 1.0,
    }


class Subject:
    """The network, its data, and what it costs while it is dense."""

    def __init__(self) -> None:
        self.graph = load_model(NETWORK)
        x, y = fashion_mnist("train")
        self.train = x, y
        self.calibration = x[:CALIBRATION_IMAGES]
        self.validation = fashion_mnist("validation")
        qgraph = quantize(self.graph, self.calibration)
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
        rtl = simulated(self.program, qgraph)
        self.cycles = rtl["cycles"]
        tested = fashion_mnist("test")
        self.summary = {
            "float": accuracy(TrainableNetwork(self.graph), *tested),
            "int8": integer_accuracy(qgraph),
            "tiles": sum(layer.tiles for layer in self.program.layers),
            "rtl": rtl,
        }

    def prune(self, options: PruneOptions, seed: int, report: Progress) -> PruneResult:
        epochs = EPOCHS["filters" if options.filters else "tiles"]
        chosen = TrainOptions(epochs=epochs, lr=RATE, batch_size=BATCH, seed=seed)
        return prune(self.graph, Training(self.train, chosen, progress=report), self.validation, options)

    def row(self, method: str, seed: int, result: PruneResult, qgraph: QGraph) -> dict[str, Any]:
        """All figures of one pruned network."""
        return {
            "method": method,
            "seed": seed,
            "accuracy": {
                "validation": result.accuracy,
                "float": accuracy(TrainableNetwork(result.graph), *fashion_mnist("test")),
                "integer": integer_accuracy(qgraph),
            },
            "passes": [vars(item) for item in result.passes],
            **measure(result.graph, qgraph, self.program, self.cycles),
        }


def tiles(subject: Subject, seed: int, report: Progress) -> Iterator[dict[str, Any]]:
    """Groups of a whole column tile."""
    result = subject.prune(TILES, seed, report)
    yield subject.row("tiles", seed, result, quantize(result.graph, subject.calibration))


def filters(subject: Subject, seed: int, report: Progress) -> Iterator[dict[str, Any]]:
    """Groups of one filter: as they are, packed into tiles afterwards, packed before pruning and afterwards."""
    result = subject.prune(FILTERS, seed, report)
    qgraph = quantize(result.graph, subject.calibration)
    row = subject.row("filters", seed, result, qgraph)
    yield row
    found = reorder(result.graph, ARRAY)
    packed = permute(qgraph, found.orders)
    x = fashion_mnist("test")[0]
    if not np.array_equal(golden.predict(packed, x)[0], golden.predict(qgraph, x)[0]):
        raise RuntimeError("reordering changed an output bit")
    after = measure(found.graph, packed, subject.program, subject.cycles)
    yield {**row, "method": "filters, then packed", **after}

    result = subject.prune(dataclasses.replace(FILTERS, reorder=True), seed, report)
    yield subject.row("packed, then filters", seed, result, quantize(result.graph, subject.calibration))


def table(content: dict[str, Any]) -> Table:
    network = content["network"]
    view = Table(title=f"float {network['float']:.2%}, int8 {network['int8']:.2%}, {network['tiles']} tiles")
    view.add_column("groups")
    for heading in ("seed", "float", "int8", "pruned", "skipped", "cycles", "saved", "kept promise", "RTL"):
        view.add_column(heading, justify="right")
    for row in content["rows"]:
        view.add_row(
            row["method"],
            str(row["seed"]),
            f"{row['accuracy']['float']:.2%}",
            f"{row['accuracy']['integer']:.2%}",
            f"{row['pruned']:.1%}",
            f"{row['skipped']:.1%}",
            f"{row['rtl']['cycles']:,}",
            f"{1 - row['rtl']['cycles'] / network['rtl']['cycles']:.1%}",
            f"{row['kept_promise']:.1%}",
            f"{row['rtl']['mismatches']} of {row['rtl']['images']}",
        )
    return view


def main() -> None:
    torch.set_num_threads(1)
    seeds = [int(text) for text in sys.argv[1:]] or list(SEEDS)
    start, found = time.process_time(), []
    subject = Subject()
    settings = {
        "array": list(ARRAY),
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "learning_rate": RATE,
        "tiles": TILES.as_json(),
        "filters": FILTERS.as_json(),
    }
    for method, seed in [(method, seed) for method in (tiles, filters) for seed in seeds]:

        def report(what: str, done: int, total: int, note: str, seed: int = seed) -> None:
            print(f"seed {seed}, {what}: {done}/{total} {note}", file=sys.stderr, flush=True)

        for row in method(subject, seed, report):
            found.append(row)
            content = {
                "settings": settings,
                "network": subject.summary,
                "cpu_seconds": round(time.process_time() - start),
                "rows": found,
            }
            write_results("pruning", content)
    Console(width=120).print(table(content))


if __name__ == "__main__":
    main()
