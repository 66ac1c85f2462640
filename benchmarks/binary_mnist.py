"""Fully connected networks with weights of +1 and -1 on MNIST, against their 8-bit form.

    python benchmarks/binary_mnist.py [--synthesize]

Three networks of the same layers (784-128-64-10, ReLU, pixels from 0 to 1), each for three seeds that decide the first
weights and the order of the images:

- "8 bits": a float network, quantized with the default options.
- "fine-tuned": the same float network, fine-tuned to one bit a weight on a mid-rise grid (``finetune_all_at_once``:
  gradients straight through, weights clamped between the two numbers, as in BinaryConnect).
- "literal": a network that was trained with weights of +a and -a in PyTorch, outside of hwquant, one ``a`` for each
  layer, and then quantized with ``bits=1``: it must come through exactly.

All are trained on the same 10,000 images for the same number of epochs (the fine-tuned one after those of the float
network), at the same learning rate; the last 5,000 training images decide, and the
10,000 test images measure. The networks of the first seed are compiled for one array and simulated in CXXRTL on 10
images, and their exports run in onnxruntime on 1,000; every integer must be the golden model's. LUTs and flip-flops are
those of the resource model, with ``--synthesize`` also what Yosys counts. Writes benchmarks/results/binary_mnist.json,
and exits 1 if an integer differs, or weights of +1 and -1 did not come through.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from core_resources import synthesize
from datasets import mnist
from results import write_results
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from hwquant import floating, golden
from hwquant.boards.device import DEVICES
from hwquant.boards.resources import estimate_resources
from hwquant.export import to_onnx
from hwquant.frontends import from_torch
from hwquant.graph import Conv, Graph
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.program import Program
from hwquant.qgraph import Layer, QGraph
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.rtl_templates.build import accelerator
from hwquant.sim.check import verify
from hwquant.training import TrainableNetwork, Training, TrainOptions, finetune_all_at_once, fit

LAYERS = (784, 128, 64, 10)
SEEDS = (0, 1, 2)
TRAINED, VALIDATION, CALIBRATION, SIMULATED, EXPORTED = 10_000, 5000, 500, 10, 1000
EPOCHS, RATE = 2.0, 1e-3
ARRAY, DEVICE, SIMULATOR = (16, 16), "ecp5-25k", "cxxrtl"
BITS = QuantizeOptions(bits=1, grid="mid_rise", symmetric=True)
Data = tuple[np.ndarray, np.ndarray]


class Sign(torch.autograd.Function):
    """+1 or -1, with the gradient of what it is of (straight-through)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.where(x < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class BinaryLinear(nn.Linear):
    """A fully connected layer whose weights are +a and -a: the mean size of what is trained behind them."""

    def binary(self) -> Tensor:
        """The weights that multiply."""
        return self.weight.abs().mean().detach() * Sign.apply(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer."""
        return nn.functional.linear(input, self.binary(), self.bias)


def network(kind: type[nn.Linear], seed: int) -> nn.Sequential:
    """Layers of a kind, with weights of a seed."""
    torch.manual_seed(seed)
    modules: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(LAYERS):
        modules += [kind(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def training(train: Data, validation: Data, seed: int) -> Training:
    return Training(train, TrainOptions(epochs=EPOCHS, lr=RATE, seed=seed), validation=validation)


def trained_float(train: Data, validation: Data, seed: int) -> Graph:
    """The float network."""
    graph = from_torch(network(nn.Linear, seed), torch.zeros(1, 1, 28, 28))
    module = TrainableNetwork(graph)
    fit(module, training(train, validation, seed))
    return module.to_graph()


def trained_binary(train: Data, validation: Data, seed: int) -> Graph:
    """The network of +a and -a, as PyTorch exports it."""
    module = network(BinaryLinear, seed)
    fit(module, training(train, validation, seed))
    plain = network(nn.Linear, seed)
    with torch.no_grad():
        for target, layer in zip(plain, module):
            if isinstance(layer, BinaryLinear) and isinstance(target, nn.Linear):
                target.weight.copy_(layer.binary())
                target.bias.copy_(layer.bias)
    return from_torch(plain, torch.zeros(1, 1, 28, 28))


def accuracy(outputs: np.ndarray, y: np.ndarray) -> float:
    return float((outputs.argmax(axis=1) == y).mean())


def came_through(graph: Graph, qgraph: QGraph) -> bool:
    """Whether the integer weights stand for exactly the float ones, as far as 32-bit floats tell."""
    terms = [term for node in qgraph.nodes if isinstance(node, Layer) for term in node.terms]
    weights = [node.weight for node in graph.nodes if isinstance(node, Conv)]
    return all(
        term.bits == 1 and np.allclose(term.weight * term.scale, weight, rtol=1e-6, atol=0)
        for term, weight in zip(terms, weights, strict=True)
    )


def exported_alike(qgraph: QGraph, x: np.ndarray) -> bool:
    """Whether onnxruntime gives the golden model's outputs."""
    session = onnxruntime.InferenceSession(to_onnx(qgraph).SerializeToString())
    (got,) = session.run(None, {session.get_inputs()[0].name: x})
    return bool(np.array_equal(got, golden.predict(qgraph, x)[0].astype(got.dtype)))


def hardware(qgraph: QGraph, x: np.ndarray, yosys: bool) -> dict[str, Any]:
    """Cycles, mismatches and what the core takes of the device."""
    program = compile_network(qgraph, ARRAY)
    checked = verify(program, qgraph, golden.quantize_input(qgraph, x[:SIMULATED]), simulator=SIMULATOR)
    resources = estimate_resources(program.config, DEVICES[DEVICE], link=False)
    row = {
        "weight_bits": program.config.weight_bits,
        "weight_memory_bits": program.config.weight_depth * program.config.columns * program.config.slot_bits,
        "cycles": checked.cycles,
        "predicted_cycles": timing(program).cycles,
        "simulated": checked.samples,
        "mismatches": checked.mismatches,
        "export_alike": exported_alike(qgraph, x[:EXPORTED]),
        "estimated": asdict(resources),
    }
    return row | ({"synthesized": counted(program)} if yosys else {})


def counted(program: Program) -> dict[str, int]:
    """Cells of the core as Yosys makes it for ECP5."""
    with tempfile.TemporaryDirectory() as work:
        return synthesize(accelerator(program), program.config, Path(work))


def show(rows: dict[str, Any]) -> Table:
    table = Table("network", "test accuracy", "seeds", "weight bits", "cycles", "LUT", "FF", "DSP", "RAM")
    for name, row in rows.items():
        seeds = " ".join(f"{value:.2%}" for value in row["accuracies"])
        made = row["hardware"]
        cells = [
            made["weight_memory_bits"],
            made["cycles"],
            *(made["estimated"][key] for key in ("lut", "ff", "dsp", "ram")),
        ]
        table.add_row(name, f"{row['accuracy']:.2%}", seeds, *(f"{cell:,}" for cell in cells))
    return table


def main(yosys: bool) -> int:
    torch.set_num_threads(1)
    images, labels = mnist("train")
    test_images, test_labels = mnist("t10k")
    x, x_test = (part.astype(np.float32) / 255 for part in (images, test_images))
    y, y_test = labels.astype(np.int64), test_labels.astype(np.int64)
    train, validation = (x[:TRAINED], y[:TRAINED]), (x[-VALIDATION:], y[-VALIDATION:])
    calibration = x[:CALIBRATION]
    rows: dict[str, Any] = {
        name: {"accuracies": [], "float": []} for name in ("8 bits", "fine-tuned", "literal")
    }
    good = True
    for seed in SEEDS:
        graph, literal = trained_float(train, validation, seed), trained_binary(train, validation, seed)
        made = {
            "8 bits": quantize(graph, calibration),
            "fine-tuned": finetune_all_at_once(graph, training(train, validation, seed), calibration, BITS),
            "literal": quantize(literal, calibration, bits=1),
        }
        good &= came_through(literal, made["literal"])
        for name, qgraph in made.items():
            row, source = rows[name], literal if name == "literal" else graph
            row["float"].append(accuracy(floating.predict(source, x_test, dtype=np.float32)[0], y_test))
            row["accuracies"].append(accuracy(golden.predict(qgraph, x_test)[0], y_test))
            if seed == SEEDS[0]:
                row["hardware"] = hardware(qgraph, x_test, yosys)
                good &= row["hardware"]["mismatches"] == 0 and row["hardware"]["export_alike"]
                good &= row["hardware"]["cycles"] == row["hardware"]["predicted_cycles"]
            row["accuracy"] = float(np.mean(row["accuracies"]))
        path = write_results("binary_mnist", report(rows, good))  # what is there if it is stopped
    Console().print(show(rows))
    print(path)
    return 0 if good else 1


def report(rows: dict[str, Any], good: bool) -> dict[str, Any]:
    """Everything that was measured, and how."""
    setting = {
        "layers": LAYERS,
        "training": f"{EPOCHS:g} epochs of {TRAINED:,} images, seeds {SEEDS}; {VALIDATION:,} others decide",
        "array": ARRAY,
        "device": DEVICE,
    }
    return {**setting, "exact": good, "networks": rows}


if __name__ == "__main__":
    sys.exit(main("--synthesize" in sys.argv[1:]))
