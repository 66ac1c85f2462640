"""The best network for three boards, against the best 8-bit dense build that fits, at most 0.5 points lost.

ULX3S-25F and Tang Nano 20K get the network of ``fashion_cnn.py``; it does not fit an iCEBreaker in 8 bits, so that
one gets a smaller one (three strided convolutions, 16, 32 and 64 channels, trained here). The validation images, the
last 5,000 of the training set, decide everything; the test images are looked at once, at the end. ``improvement`` is
the ratio of inferences a second of the core (clock / cycles), at the same clock, the board's target. Pick and baseline
are simulated (CXXRTL) on 10 images and compared with the golden model, and built for the board: ``routed`` is the ratio
at the clocks that place and route reached.

    python benchmarks/optimize.py FOLDER [BOARD ...]

What was done is in FOLDER/BOARD.work: the same command goes on after an interruption. The builds are FOLDER/BOARD and
FOLDER/BOARD-baseline. Writes ``benchmarks/results/optimize.json``, a row a board; rows of boards that are not named
stay. Needs Fashion-MNIST (HWQUANT_DATA); about half an hour of one idle core for a board, and as much for both builds.
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
from fashion_cnn import NETWORK
from results import FOLDER as RESULTS
from results import write_results
from rich.console import Console
from torch import nn

from hwquant import floating, golden
from hwquant.boards.board import load_board
from hwquant.boards.implement import implement
from hwquant.build import write_build
from hwquant.data import Samples
from hwquant.frontends import from_torch, load_model
from hwquant.graph import Graph
from hwquant.optimize import OptimizeOptions, optimize
from hwquant.optimize.report import comparison
from hwquant.program.program import Program
from hwquant.qgraph import QGraph
from hwquant.sim.check import verify
from hwquant.training import TrainableNetwork, Training, TrainOptions, fit

BOARDS = {"icebreaker": "strided", "ulx3s-25f": "fashion_cnn", "tang-nano-20k": "fashion_cnn"}
CALIBRATION_IMAGES = 300
SIMULATED_IMAGES = 10
MARGIN = 0.25
"""Points that may be lost on the validation images: half of the 0.5 that may be lost on the test images."""
OPTIONS = OptimizeOptions(max_drop=MARGIN, trials=120, passes=4, prune_epochs=0.5, finalists=3)
TRAINING = TrainOptions(epochs=3.0, batch_size=128)
FLOAT_TRAINING = TrainOptions(epochs=8.0, lr=2e-3, batch_size=64)


def labelled(part: str) -> Samples:
    x, y = fashion_mnist(part)
    return Samples(x, y.astype(np.int64))


def strided() -> Graph:
    """A network that fits an iCEBreaker in 8 bits: 25,000 parameters, 0.3 million multiply-accumulates."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
    module = nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        module[0].weight /= 128  # pixels are 0..255
    network = TrainableNetwork(from_torch(module.eval(), torch.zeros(2, 1, 28, 28)))
    fit(network, Training(labelled("train").pair(), FLOAT_TRAINING))
    return network.to_graph()


def network(name: str) -> Graph:
    return load_model(NETWORK) if name == "fashion_cnn" else strided()


def accuracies(networks: dict[str, QGraph], graph: Graph) -> dict[str, Any]:
    """On the test images."""
    test = labelled("test")
    return {
        "float": test.accuracy(floating.predict(graph, test.x)[0]),
        **{key: test.accuracy(golden.predict(item, test.x)[0]) for key, item in networks.items()},
    }


def built(qgraph: QGraph, program: Program, board: str, place: Path) -> dict[str, Any]:
    """Simulate a network, and make its bitstream."""
    q = golden.quantize_input(qgraph, fashion_mnist("test")[0][:SIMULATED_IMAGES])
    simulated = verify(program, qgraph, q, simulator="cxxrtl")
    made = implement(write_build(qgraph, program, place), load_board(board))
    return {
        "rtl": {
            "images": simulated.samples,
            "mismatches": simulated.mismatches,
            "cycles": simulated.cycles,
        },
        "used": made.used,
        "available": made.available,
        "fmax_mhz": made.fmax_mhz,
        "clock_mhz": made.clock_mhz,
        "fps": made.clock_mhz * 1e6 / made.cycles,
        "bitstream": made.bitstream,
        "notes": list(made.notes),
        "seconds": made.seconds,
    }


def measure(board: str, folder: Path, console: Console) -> dict[str, Any]:
    graph, start = network(BOARDS[board]), time.time()
    work = folder / f"{board}.work"
    train, validation = labelled("train"), labelled("validation")

    def report(what: str, done: int, total: int, note: str = "", /) -> None:
        console.print(f"{board} {time.time() - start:.0f} s: {what} {done}/{total} {note}", highlight=False)

    result = optimize(
        graph,
        board,
        Training(train.pair(), TRAINING),
        fashion_mnist("train")[0][:CALIBRATION_IMAGES],
        validation,
        OPTIONS,
        folder=work,
        resume=work.exists(),
        jobs=1,
        progress=report,
    )
    picked = result.pick()
    content = result.to_json()
    candidates = {key: item for key, item in (("pick", picked), ("baseline", result.baseline)) if item}
    networks = {key: result.network(item) for key, item in candidates.items()}
    places = {"pick": folder / board, "baseline": folder / f"{board}-baseline"}
    builds = {
        key: built(networks[key], result.program(item, networks[key]), board, places[key])
        for key, item in candidates.items()
    }
    routed = {key: item["fps"] for key, item in builds.items()}
    return {
        "network": BOARDS[board],
        "board": board,
        "improvement": result.improvement(picked),
        "comparison": comparison(result, picked),
        "baseline": content["baseline"],
        "pick": picked.to_json(),
        "validation": {"float": result.float_accuracy, "change": result.change(picked)},
        "test": accuracies(networks, graph),
        "builds": builds,
        "routed": routed["pick"] / routed["baseline"] if len(routed) > 1 else None,
        "front": content["front"],
        "candidates": len(content["candidates"]),
        "seconds": round(time.time() - start),
    }


def main(folder: str, *boards: str) -> int:
    console = Console()
    place = Path(folder)
    place.mkdir(exist_ok=True)
    path = RESULTS / "optimize.json"
    for board in boards or BOARDS:
        row = measure(board, place, console)
        console.print(
            f"{board}: {row['comparison']}; test {row['test']}, builds {row['builds']}", highlight=False
        )
        kept = json.loads(path.read_text())["results"] if path.exists() else {}
        write_results("optimize", {**kept, board: row})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
