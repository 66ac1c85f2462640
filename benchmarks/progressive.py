"""Progressive quantization on Fashion-MNIST, against quantization without training and fine-tuning all at once.

    python benchmarks/progressive.py

The network is benchmarks/networks/fashion_cnn.onnx (its script: fashion_cnn.py). Every method sees the same
training images for the same number of epochs, and the same calibration images; seeds decide the order of the
images. Learning rates were chosen on the 5,000 validation images, which are not trained on; the accuracies are
those of the 10,000 test images. One network of each kind is compiled for an 8x8 array and simulated on the first
test images. Writes benchmarks/results/progressive.json, and exits 1 if a target is missed or a value differs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import fashion_mnist
from results import write_results
from rich.console import Console
from rich.progress import track
from rich.table import Table

from hwquant import floating, golden
from hwquant.frontends import load_model
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.sim.check import verify
from hwquant.training import ProgressiveOptions, Training, TrainOptions, finetune_all_at_once, progressive

NETWORK = Path(__file__).resolve().parent / "networks" / "fashion_cnn.onnx"
CALIBRATION_IMAGES, SIMULATED_IMAGES = 500, 10
SEEDS = (0, 1, 2)
EPOCHS = 1.0
RATES = {8: 1e-5, 4: 1e-3, 3: 3e-3, 2: 3e-3}
"""Learning rates by bits of the weights, the same for all methods."""
ARRAY, SIMULATOR = (8, 8), "cxxrtl"
TOLERANCE = 0.001
"""Points that 8-bit weights may lose against float, of 1."""
METHODS = {
    "progressive": progressive,
    "progressive, as published": lambda *arguments: progressive(
        *arguments, ProgressiveOptions(compensate=False, anticipate=False)
    ),
    "all at once": finetune_all_at_once,
}
METHODS_OF_4_BITS = ("progressive", "all at once", "progressive, as published")
RUNS = [
    *((method, 4, 5000) for method in METHODS_OF_4_BITS),
    ("progressive", 8, 5000),
    *((method, bits, 20_000) for bits in (3, 2, 4) for method in ("progressive", "all at once")),
]
"""Methods, bits of the weights (activations have 8), and training images."""


def accuracy(qgraph: QGraph, x: np.ndarray, y: np.ndarray) -> float:
    return float((golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean())


def simulate(qgraph: QGraph, x: np.ndarray) -> dict[str, int]:
    """Cycles of an image on the array, and images in which the hardware differs from the golden model."""
    program = compile_network(qgraph, ARRAY)
    result = verify(program, qgraph, golden.quantize_input(qgraph, x[:SIMULATED_IMAGES]), simulator=SIMULATOR)
    return {"images": result.samples, "cycles": result.cycles, "mismatches": result.mismatches}


def direct(graph: Graph, calibration: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[dict[str, Any]]:
    """Quantization without training, with nearest and with error-compensated rounding."""
    rows = []
    for bits in RATES:
        for compensated in (False, True):
            qgraph = quantize(graph, calibration, bits=bits, error_compensation=compensated)
            method = "no training, error compensation" if compensated else "no training"
            found = [accuracy(qgraph, x, y)]
            rows.append({"bits": bits, "method": method, "images": 0, "accuracies": found})
    return rows


def trained(
    method: str, bits: int, graph: Graph, train: tuple[np.ndarray, np.ndarray], x: np.ndarray, y: np.ndarray
) -> dict[str, Any]:
    """One method with one number of bits: the test accuracy of every seed, and a simulation of the first."""
    accuracies, seconds = [], 0.0
    for seed in SEEDS:
        options = TrainOptions(epochs=EPOCHS, lr=RATES[bits], seed=seed)
        start = time.process_time()
        qgraph = METHODS[method](
            graph, Training(train, options), train[0][:CALIBRATION_IMAGES], QuantizeOptions(bits=bits)
        )
        seconds += time.process_time() - start
        accuracies.append(accuracy(qgraph, x, y))
        if seed == SEEDS[0]:
            simulation = simulate(qgraph, x)
    return {
        "bits": bits,
        "method": method,
        "images": len(train[0]),
        "learning_rate": RATES[bits],
        "accuracies": accuracies,
        "seconds_a_run": round(seconds / len(SEEDS), 1),
        "simulation": simulation,
    }


def report(rows: list[dict[str, Any]], exact: float) -> dict[str, Any]:
    """Everything that was measured, and which targets are met."""
    for row in rows:
        row["accuracy"] = float(np.mean(row["accuracies"]))
    means = {(row["method"], row["bits"]): row["accuracy"] for row in rows if row["images"] <= 5000}
    ours = means.get(("progressive", 4), 0.0)
    targets = {
        "8 bits: progressive at most 0.1 points below float": means.get(("progressive", 8), 0.0)
        >= exact - TOLERANCE,
        "4 bits: progressive above no training": ours > means[("no training", 4)],
        "4 bits: progressive above all at once": ours > means.get(("all at once", 4), 1.0),
        "simulation: no mismatch": not any(
            row["simulation"]["mismatches"] for row in rows if "simulation" in row
        ),
    }
    return {
        "model": f"networks/{NETWORK.name}",
        "training": f"{EPOCHS:g} epoch of the first training images, seeds {SEEDS}",
        "calibration": f"first {CALIBRATION_IMAGES} training images",
        "test": "10,000 test images",
        "simulation": f"{SIMULATOR}, {ARRAY[0]}x{ARRAY[1]}, the network of the first seed",
        "float_accuracy": exact,
        "rows": sorted(rows, key=lambda row: (-row["bits"], row["images"], row["method"])),
        "targets": targets,
    }


def show(content: dict[str, Any]) -> None:
    table = Table(
        "weights",
        "method",
        "images",
        "test accuracy",
        "seeds",
        "cycles",
        "mismatches",
        title=f"{content['model']}, float {content['float_accuracy']:.2%}",
    )
    for row in content["rows"]:
        seeds = " ".join(f"{value:.2%}" for value in row["accuracies"])
        simulation = row.get("simulation", {"cycles": "", "mismatches": ""})
        table.add_row(
            f"{row['bits']} bits",
            row["method"],
            f"{row['images']:,}",
            f"{row['accuracy']:.2%}",
            seeds,
            str(simulation["cycles"]),
            str(simulation["mismatches"]),
        )
    Console().print(table)
    for target, met in content["targets"].items():
        print(f"{'met   ' if met else 'MISSED'} {target}")


def main() -> int:
    torch.set_num_threads(1)
    graph = load_model(NETWORK)
    images, labels = fashion_mnist("train")
    x, y = fashion_mnist("test")
    exact = float((floating.predict(graph, x, dtype=np.float32)[0].argmax(axis=1) == y).mean())
    rows = direct(graph, images[:CALIBRATION_IMAGES], x, y)
    for method, bits, count in track(RUNS, "training", console=Console(stderr=True)):
        train = images[:count], labels[:count].astype(np.int64)
        rows.append(trained(method, bits, graph, train, x, y))
        path = write_results("progressive", report(rows, exact))  # what is there if it is stopped
    content = report(rows, exact)
    show(content)
    print(path)
    return 0 if all(content["targets"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
