"""Progressive quantization on three networks, against all at once and against quantization without training.

    python benchmarks/progressive.py [NETWORK ...]

The networks are of benchmarks/networks, trained on Fashion-MNIST by fashion_cnn.py and fashion_others.py. Weights have
4, 3 or 2 bits, one scale a layer; activations have 8. All methods train on the same 10,000 training images for one
epoch, with the same calibration images. The start and the learning rate of a network and its bits are found once, with
seed 0, on 2,000 validation images, which are not trained on and on which the guard decides, too; the short trainings
that find them count besides. Seeds decide the order of the images. The published method trains on the labels, with
that learning rate, and is returned as it is. The accuracies are those of the 10,000 test images, on which nothing was
chosen. The networks of seed 0 are compiled for an 8x8 array and simulated on the first 10 test images.

Each run's result is kept in build/progressive, and not repeated. Writes benchmarks/results/progressive.json when all
runs are there, and exits 1 if a target is missed or a value differs.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import fashion_mnist
from results import write_results
from rich.console import Console
from rich.table import Table

from hwquant import floating, golden, hwq
from hwquant.frontends import load_model
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.sim.check import verify
from hwquant.training import (
    ProgressiveOptions,
    Training,
    TrainOptions,
    TuneOptions,
    finetune_all_at_once,
    progressive,
)

ROOT = Path(__file__).resolve().parent
KEPT = ROOT.parent / "build" / "progressive"
NETWORKS = ("cnn", "residual", "depthwise")
BITS = (4, 3, 2)
SEEDS = (0, 1, 2)
METHODS = ("direct", "compensated", "literal", "all at once", "progressive")
REPORTS = {"literal": "progressive", "all at once": "finetuned", "progressive": "progressive"}
"""The methods that train, and where in a network's options they report."""
IMAGES, EPOCHS = 10_000, 1.0
CALIBRATION_IMAGES, VALIDATION_IMAGES, SIMULATED_IMAGES = 500, 2000, 10
ARRAY, SIMULATOR = (8, 8), "cxxrtl"
TOLERANCE = 0.001
"""Points that progressive may be below the best, of 1."""
Data = dict[str, tuple[np.ndarray, np.ndarray]]


def data() -> Data:
    """Images and labels by part."""
    parts = {"train": IMAGES, "validation": VALIDATION_IMAGES, "test": None}
    found = {part: (fashion_mnist(part), count) for part, count in parts.items()}
    return {part: (x[:count], y[:count].astype(np.int64)) for part, ((x, y), count) in found.items()}


def accuracy(qgraph: QGraph | Graph, x: np.ndarray, y: np.ndarray) -> float:
    return float((golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean())


def make(method: str, graph: Graph, bits: int, training: Training) -> QGraph:
    """The network that a method gives."""
    calibration, quantizer = training.data[0][:CALIBRATION_IMAGES], QuantizeOptions(bits=bits)
    match method:
        case "direct" | "compensated":
            return quantize(
                graph, calibration, replace(quantizer, error_compensation=method == "compensated")
            )
        case "all at once":
            return finetune_all_at_once(graph, training, calibration, quantizer)
        case _:
            stages = ProgressiveOptions(literal=method == "literal")
            return progressive(graph, training, calibration, quantizer, stages)


def run(name: str, bits: int, seed: int, method: str, samples: Data) -> dict[str, Any]:
    """One method with one seed: kept, or made and kept."""
    place = KEPT / f"{name}-{bits}-{seed}-{method.replace(' ', '_')}.json"
    if place.exists():
        return json.loads(place.read_text())
    options, tuning = TrainOptions(epochs=EPOCHS, seed=seed), TuneOptions()
    if method in REPORTS and (seed, method) != (SEEDS[0], "all at once"):
        found = run(name, bits, SEEDS[0], "all at once", samples)["report"]
        options, tuning = replace(options, lr=found["lr"]), TuneOptions(start=found["start"])
    graph, start = load_model(ROOT / "networks" / f"fashion_{name}.onnx"), time.process_time()
    training = Training(samples["train"], options, validation=samples["validation"], tuning=tuning)
    qgraph = make(method, graph, bits, training)
    result = {
        "seconds": round(time.process_time() - start, 1),
        "accuracy": accuracy(qgraph, *samples["test"]),
    }
    if method in REPORTS:
        report: Any = qgraph.options[REPORTS[method]]
        result["report"] = {key: report[key] for key in ("start", "lr", "trials", "guard")}
    if seed == SEEDS[0]:
        hwq.save(qgraph, place.with_suffix(".hwq"))
    place.write_text(json.dumps(result) + "\n")
    print(name, bits, "bits, seed", seed, method, f"{result['accuracy']:.2%}", file=sys.stderr, flush=True)
    return result


def simulate(name: str, bits: int, x: np.ndarray) -> dict[str, int]:
    """Cycles of an image on the array, and images in which the hardware differs from the golden model."""
    place = KEPT / f"{name}-{bits}-rtl.json"
    if not place.exists():
        qgraph = hwq.load(KEPT / f"{name}-{bits}-{SEEDS[0]}-progressive.hwq")
        program, q = compile_network(qgraph, ARRAY), golden.quantize_input(qgraph, x[:SIMULATED_IMAGES])
        result = verify(program, qgraph, q, simulator=SIMULATOR)
        found = {"images": result.samples, "cycles": result.cycles, "mismatches": result.mismatches}
        place.write_text(json.dumps(found) + "\n")
    return json.loads(place.read_text())


def row(name: str, bits: int, samples: Data) -> dict[str, Any]:
    """All methods on one network with one number of bits."""
    runs = {
        method: [
            run(name, bits, seed, method, samples) for seed in (SEEDS if method in REPORTS else SEEDS[:1])
        ]
        for method in METHODS
    }
    found = runs["all at once"][0]["report"]
    returned = {
        method: [item["report"]["guard"]["returned"] for item in runs[method]]
        for method in ("all at once", "progressive")
    }
    return {
        "network": name,
        "bits": bits,
        "found": {key: found[key] for key in ("start", "lr", "trials")},
        "accuracies": {method: [item["accuracy"] for item in items] for method, items in runs.items()},
        "means": {
            method: float(np.mean([item["accuracy"] for item in items])) for method, items in runs.items()
        },
        "returned": returned,
        "seconds_a_run": {method: items[-1]["seconds"] for method, items in runs.items()},
        "simulation": simulate(name, bits, samples["test"][0]),
    }


def report(rows: list[dict[str, Any]], exact: dict[str, float]) -> dict[str, Any]:
    """Everything that was measured, and which targets are met."""
    targets = {}
    for item in rows:
        what, means = f"{item['network']}, {item['bits']} bits", item["means"]
        ours, rivals = means["progressive"], [means[method] for method in ("compensated", "all at once")]
        targets[f"{what}: progressive at most 0.1 points below the best"] = ours >= max(rivals) - TOLERANCE
        targets[f"{what}: progressive not below compensation"] = ours >= means["compensated"]
        targets[f"{what}: no mismatch in simulation"] = item["simulation"]["mismatches"] == 0
    return {
        "training": f"{EPOCHS:g} epoch of {IMAGES:,} images, seeds {SEEDS}",
        "calibration": f"first {CALIBRATION_IMAGES} training images",
        "validation": f"{VALIDATION_IMAGES:,} images",
        "test": "10,000 images",
        "simulation": f"{SIMULATOR}, {ARRAY[0]}x{ARRAY[1]}, progressive, seed {SEEDS[0]}",
        "float_accuracy": exact,
        "rows": rows,
        "targets": targets,
    }


def show(content: dict[str, Any]) -> None:
    table = Table(
        "network", "float", "bits", *METHODS, "start", "rate", title="test accuracy, mean (least, most)"
    )
    for item in content["rows"]:
        cells = []
        for method in METHODS:
            values = item["accuracies"][method]
            spread = f" ({min(values):.2%}, {max(values):.2%})" if len(values) > 1 else ""
            cells.append(f"{item['means'][method]:.2%}{spread}")
        exact = f"{content['float_accuracy'][item['network']]:.2%}"
        found = item["found"]
        table.add_row(item["network"], exact, str(item["bits"]), *cells, found["start"], f"{found['lr']:g}")
    Console(width=170).print(table)
    for target, met in content["targets"].items():
        print(f"{'met   ' if met else 'MISSED'} {target}")


def main() -> int:
    torch.set_num_threads(1)
    KEPT.mkdir(parents=True, exist_ok=True)
    samples, names = data(), sys.argv[1:] or NETWORKS
    # For what there is if it is stopped, the first seed comes first, and the published method last.
    wanted = sorted(
        product(SEEDS, names, BITS, METHODS), key=lambda item: (item[3] == "literal" and item[0], item[0])
    )
    for seed, name, bits, method in wanted:
        if method in REPORTS or seed == SEEDS[0]:
            run(name, bits, seed, method, samples)
    rows = [row(name, bits, samples) for name in names for bits in BITS]
    x, y = samples["test"]
    graphs = {name: load_model(ROOT / "networks" / f"fashion_{name}.onnx") for name in names}
    exact = {
        name: float((floating.predict(graph, x, dtype=np.float32)[0].argmax(axis=1) == y).mean())
        for name, graph in graphs.items()
    }
    content = report(rows, exact)
    show(content)
    if tuple(names) == NETWORKS:
        print(write_results("progressive", content))
    return 0 if all(content["targets"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
