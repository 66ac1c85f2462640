"""Mixed precision: what a search over the bits of each layer saves in weight memory, and at what accuracy.

Bits 2 to 8 for the weights of each layer, 8-bit activations, after training (error-compensated rounding;
fashion_cnn with a scale for each output channel), for an 8x8 array. What a search decides on is never what is reported:

* fashion_cnn on Fashion-MNIST: decided on the 5,000 validation images, reported on the 10,000 test images
* DS-CNN on kws01, two-fold: decided on one half, reported on the other, and the other way round
* ResNet8 on the exact CIFAR subset: decided on training images, reported on the test subset

Each pick is simulated in RTL (CXXRTL) on 10 images, every layer's tensor compared. Writes
``benchmarks/results/mixed_precision.json`` and ``mixed_precision.png``, and exits 1 if the first network's
pick does not save 40 % of the weight bytes at no more than 0.5 points below int8, or if the RTL differs. Needs
the data sets (HWQUANT_DATA); takes about twenty minutes of one core.

    python benchmarks/mixed_precision.py [--jobs N] [fashion kws ic]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import data_folder, fashion_mnist
from mlperf_networks import data, halves, model
from numpy.typing import NDArray
from results import FOLDER, write_results
from rich.console import Console

from hwquant import floating, golden
from hwquant.cli.results import front_table
from hwquant.data import Samples
from hwquant.frontends import from_onnx, load_model
from hwquant.graph import Graph
from hwquant.program.compiler import compile_network
from hwquant.quantize import QuantizeOptions
from hwquant.search import Candidate, Constraints, SearchOptions, SearchResult, search
from hwquant.search.report import front_plot
from hwquant.sim.check import verify

ARRAY = (8, 8)
TRIALS = {"fashion": 60, "kws": 40, "ic": 40}
CALIBRATION_IMAGES = 256
DECISION_IMAGES = 1000
"""Training images that decide for ResNet8."""
MARGIN = 0.25
"""Points below int8 that are allowed where is decided: half of what is allowed where is reported."""
ALLOWED_DROP, TARGET_SAVING = 0.5, 0.40
PER_CHANNEL = ("fashion",)
"""Networks with a scale for each output channel; the depthwise layers of DS-CNN would need wider offsets."""
SIMULATED = 10
SEED = 2026
NAMES = {"fashion": "fashion_cnn", "kws": "DS-CNN", "ic": "ResNet8"}


@dataclass(frozen=True)
class Case:
    """A search: calibration, the samples that decide, and those that are reported."""

    name: str
    per_channel: bool
    graph: Graph
    calibration: NDArray[Any]
    decide: Samples
    report: Samples


def cases(name: str) -> Iterator[Case]:
    """The searches of a network."""
    per_channel = name in PER_CHANNEL
    if name == "fashion":
        graph = load_model(FOLDER.parent / "networks" / "fashion_cnn.onnx")
        calibration = fashion_mnist("train")[0][:CALIBRATION_IMAGES]
        parts = (Samples(x, y.astype(np.int64)) for x, y in map(fashion_mnist, ("validation", "test")))
        yield Case(NAMES[name], per_channel, graph, calibration, *parts)
        return
    graph, inputs = from_onnx(model(name)), data(name)
    labels = inputs.y
    if labels is None:
        raise ValueError(f"{name} has no labels")
    if name == "kws":
        for number, (decide, report) in enumerate(halves(inputs.x), 1):
            yield Case(
                f"{NAMES[name]}, fold {number}",
                per_channel,
                graph,
                inputs.x[decide][:CALIBRATION_IMAGES],
                Samples(inputs.x[decide], labels[decide]),
                Samples(inputs.x[report], labels[report]),
            )
        return
    with np.load(data_folder() / "cifar10" / "cifar10_raw_train_subset.npz", allow_pickle=False) as file:
        x, y = file["images"].astype(np.float32), file["labels"].astype(np.int64)
    decide = slice(CALIBRATION_IMAGES, CALIBRATION_IMAGES + DECISION_IMAGES)
    yield Case(
        NAMES[name],
        per_channel,
        graph,
        x[:CALIBRATION_IMAGES],
        Samples(x[decide], y[decide]),
        Samples(inputs.x, labels),
    )


def measure(case: Case, result: SearchResult, candidate: Candidate) -> dict[str, Any]:
    """A candidate with its accuracy on the samples that are reported."""
    output = golden.predict(result.network(candidate), case.report.x)[0]
    reported = case.report.accuracy(output)
    saved = 1 - candidate.measures["weight_bytes"] / result.int8.measures["weight_bytes"]
    content = candidate.to_json()
    return {
        "bits": content["bits"],
        "accuracy_decided_on": candidate.measures["accuracy"],
        "accuracy_reported": reported,
        **{name: value for name, value in candidate.measures.items() if name != "accuracy"},
        "weight_bytes_saved": round(saved, 4),
    }


def simulate(case: Case, result: SearchResult, candidate: Candidate) -> dict[str, Any]:
    """The candidate in RTL against the golden model: every layer's tensor of some images."""
    qgraph = result.network(candidate)
    program = compile_network(qgraph, ARRAY)
    picked = np.random.default_rng(SEED).permutation(len(case.report))[:SIMULATED]
    q = golden.quantize_input(qgraph, np.asarray(case.report.x)[picked])
    run = verify(program, qgraph, q, simulator="cxxrtl", watch=SIMULATED)
    return {"images": run.samples, "mismatches": run.mismatches, "cycles": run.cycles}


def run(
    case: Case, trials: int, jobs: int, console: Console
) -> tuple[dict[str, Any], SearchResult, Candidate]:
    """Search, pick, and report."""
    options = SearchOptions(
        array=ARRAY,
        objectives=("accuracy", "cycles", "weight_bytes"),
        constraints=Constraints(MARGIN, "int8"),
        trials=trials,
        seed=SEED,
        quantizer=QuantizeOptions(per_channel=case.per_channel),
    )
    start = time.perf_counter()
    result = search(case.graph, case.calibration, case.decide, options, jobs=jobs)
    elapsed = time.perf_counter() - start
    picked = result.pick()
    console.print(case.name, f"{elapsed:.0f} s for {len(result.candidates)} candidates", markup=False)
    console.print(front_table(result, picked))
    exact = case.report.accuracy(floating.predict(case.graph, case.report.x)[0])
    row = {
        "network": case.name,
        "array": f"{ARRAY[0]}x{ARRAY[1]}",
        "options": {"per_channel": case.per_channel, "error_compensation": True},
        "searched_bits": list(options.bits),
        "configurations": result.task.space.size,
        "trials": trials,
        "seed": SEED,
        "allowed_drop_where_decided": MARGIN,
        "samples_calibrated": len(case.calibration),
        "samples_decided_on": len(case.decide),
        "samples_reported": len(case.report),
        "search_seconds": round(elapsed, 1),
        "float_accuracy_decided_on": result.float_accuracy,
        "float_accuracy_reported": exact,
        "int8": measure(case, result, result.int8),
        "picked": measure(case, result, picked),
        "front": [measure(case, result, item) for item in result.front],
        "simulation": simulate(case, result, picked),
    }
    return row, result, picked


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one network, over its folds: accuracies where it is reported, bytes saved."""
    samples = sum(row["samples_reported"] for row in rows)

    def share(key: str) -> float:
        return sum(row[key]["accuracy_reported"] * row["samples_reported"] for row in rows) / samples

    return {
        "float": sum(row["float_accuracy_reported"] * row["samples_reported"] for row in rows) / samples,
        "int8": share("int8"),
        "picked": share("picked"),
        "points_below_int8": round(100 * (share("int8") - share("picked")), 3),
        "weight_bytes_int8": [row["int8"]["weight_bytes"] for row in rows],
        "weight_bytes_picked": [row["picked"]["weight_bytes"] for row in rows],
        "weight_bytes_saved": min(row["picked"]["weight_bytes_saved"] for row in rows),
        "mismatches": sum(row["simulation"]["mismatches"] for row in rows),
    }


def write_plot(pictures: list[bytes]) -> None:
    """The fronts, one below the other."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    images = [pyplot.imread(io.BytesIO(picture)) for picture in pictures]
    height = sum(image.shape[0] for image in images)
    width = max(image.shape[1] for image in images)
    figure = pyplot.figure(figsize=(width / 110, height / 110))
    top = 1.0
    for image in images:
        share = image.shape[0] / height
        axis = figure.add_axes((0, top - share, image.shape[1] / width, share))
        axis.imshow(image)
        axis.set_axis_off()
        top -= share
    figure.savefig(FOLDER / "mixed_precision.png", dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; all if none is given")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--trials", type=int, help="instead of " + str(TRIALS))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"there is no {min(unknown)}; there are {', '.join(NAMES)}")
    console = Console()
    rows: list[dict[str, Any]] = []
    pictures: list[bytes] = []
    totals: dict[str, dict[str, Any]] = {}
    for name in arguments.names or NAMES:
        own = []
        for case in cases(name):
            row, result, picked = run(case, arguments.trials or TRIALS[name], arguments.jobs, console)
            own.append(row)
            pictures.append(front_plot(result, picked))
        totals[NAMES[name]] = summary(own)
        console.print(totals[NAMES[name]])
        rows += own
    write_plot(pictures)
    print(write_results("mixed_precision", {"summary": totals, "searches": rows}))
    first = next(iter(totals.values()))
    reached = first["points_below_int8"] <= ALLOWED_DROP and first["weight_bytes_saved"] >= TARGET_SAVING
    return 0 if reached and not any(total["mismatches"] for total in totals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
