"""TensorFlow Lite files as MLPerf Tiny publishes them, from the file to hardware, with LiteRT as the oracle.

Files of integers keep them, without calibration data: accuracy beside that of LiteRT's three sets of kernels
(reference, optimized, and XNNPACK, its default, which differ from each other by their rounding); how many of the
integers of every layer are LiteRT's own, for the whole network and layer by layer from LiteRT's inputs; simulated
hardware against the golden model. Float files are quantized here, beside the ONNX model of the same network. Writes
``benchmarks/results/tflite_files.json``. Needs the data sets (HWQUANT_DATA), and the packages ``tflite`` and
``ai-edge-litert``; takes about twenty minutes.

    HWQUANT_ZOO=/path/to/zoo python benchmarks/tflite_files.py [--no-simulation] [NAME ...]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from datasets import data_folder
from mlperf_networks import data, halves, model
from numpy.typing import NDArray
from results import write_results
from rich.console import Console
from rich.table import Table

from hwquant import floating, golden
from hwquant.frontends import from_onnx, load_model
from hwquant.graph import Graph
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.qgraph import QGraph, QNode
from hwquant.quantize import quantize
from hwquant.sim.check import verify

Array = NDArray[Any]

KERNELS = {
    "reference": OpResolverType.BUILTIN_REF,
    "optimized": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "default": OpResolverType.AUTO,
}
COMPARED = 64
"""Samples whose layers are compared."""
SIMULATED = 2
ARRAY = (8, 8)
FEW = 4
RANDOM = 64
"""Samples of random numbers, for networks without data."""


@dataclass(frozen=True)
class Case:
    """A file, samples as it takes them, and their labels."""

    path: Path
    x: Array
    y: Array | None = None


def integer_cases() -> Iterator[tuple[str, Case]]:
    """The files of integers, by name."""
    folder = data_folder() / "mlperf_tiny"
    with np.load(data_folder() / "cifar10" / "cifar10_raw_test_subset.npz", allow_pickle=False) as file:
        images, labels = (file["images"].astype(int) - 128).astype(np.int8), file["labels"]
    yield "ic", Case(folder / "ic_int8.tflite", images, labels)
    with np.load(folder / "kws01.npz", allow_pickle=False) as file:
        yield "kws", Case(folder / "kws_int8.tflite", file["inputs"].reshape(-1, 49, 10, 1), file["labels"])
    for name in ("vww", "ad"):
        with np.load(folder / f"{name}_reference.npz", allow_pickle=False) as file:
            yield name, Case(folder / f"{name}_int8.tflite", file["input_int8"])
    zoo = Path(os.environ.get("HWQUANT_ZOO", ""), "mlperf_str_ww.tflite")
    if zoo.is_file():
        samples = np.random.default_rng(0).integers(-128, 128, (RANDOM, 30, 1, 40)).astype(np.int8)
        yield "str_ww", Case(zoo, samples)


class Runtime:
    """LiteRT with a file, one sample after the other."""

    def __init__(self, path: Path, kernels: str, every: bool = False) -> None:
        self.interpreter = Interpreter(
            str(path),
            num_threads=1,
            experimental_op_resolver_type=KERNELS[kernels],
            experimental_preserve_all_tensors=every,
        )
        self.interpreter.allocate_tensors()

    def outputs(self, x: Array) -> list[Array]:
        """All outputs of samples (N, ...)."""
        details = self.interpreter.get_output_details()
        found = [[self.interpreter.get_tensor(item["index"]) for item in details] for _ in self.samples(x)]
        return [np.concatenate(parts) for parts in zip(*found)]

    def samples(self, x: Array) -> Iterator[None]:
        """Compute one sample after the other."""
        (item,) = self.interpreter.get_input_details()
        for sample in x:
            self.interpreter.set_tensor(item["index"], sample[None])
            self.interpreter.invoke()
            yield

    def tensors(self, x: Array) -> dict[str, Array]:
        """The integers of every tensor, (N, C, H, W) of images, by name."""
        found: dict[str, list[Array]] = {}
        for _ in self.samples(x):
            for item in self.interpreter.get_tensor_details():
                if item["dtype"] is np.int8 and item["name"]:
                    value = self.interpreter.get_tensor(item["index"]).astype(np.int64)
                    if value.shape[:1] == (1,):
                        value = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
                        found.setdefault(item["name"], []).append(value)
        return {name: np.concatenate(parts) for name, parts in found.items()}


def steps(got: Array, want: Array) -> dict[str, float]:
    """How far integers are from each other."""
    off = np.abs(got.reshape(want.shape) - want)
    return {
        "equal": round(float((off == 0).mean()), 5),
        "within_1": round(float((off <= 1).mean()), 5),
        "most": int(off.max()),
    }


def alone(qgraph: QGraph, node: QNode, inputs: dict[str, Array]) -> Array:
    """What one node makes of integers."""
    names = dict.fromkeys(node.inputs)
    tensors = {name: qgraph.tensors[name] for name in (*names, node.name)}
    single = QGraph(
        "single",
        tuple(Input(name, tensors[name].shape, tensors[name].shape) for name in names),
        (node,),
        (Output(node.name, node.name, tensors[node.name].shape),),
        tensors,
    )
    return golden.run(single, {name: inputs[name] for name in names})[node.name]


def layers(qgraph: QGraph, case: Case) -> list[dict[str, Any]]:
    """Every tensor's integers against those of the reference kernels: in the whole network, and from their inputs."""
    x = case.x[:COMPARED]
    source = Runtime(case.path, "reference", every=True).tensors(x)
    whole = golden.run(qgraph, golden.quantize_input(qgraph, x), keep=list(qgraph.tensors))
    known = {
        name: source[base].reshape(len(x), *tensor.shape)
        for name, tensor in qgraph.tensors.items()
        if (base := name.removesuffix("/QuantizeLinear")) in source
    }
    rows = []
    for node in qgraph.nodes:
        got = alone(qgraph, node, known)
        if node.name in known:
            want = known[node.name]
            rows.append(
                {"layer": node.name, "whole": steps(whole[node.name], want), "alone": steps(got, want)}
            )
        else:
            known[node.name] = got
    return rows


def measured(name: str, case: Case, simulated: bool) -> dict[str, Any]:
    """All that is said of a file of integers."""
    qgraph = quantize(load_model(case.path))
    wants = {kernels: Runtime(case.path, kernels).outputs(case.x)[0] for kernels in KERNELS}
    got = golden.predict(qgraph, case.x)[0].reshape(len(case.x), -1)
    (item,) = Runtime(case.path, "reference").interpreter.get_output_details()
    scale, zero = item["quantization"]
    codes = np.clip(np.floor(got / scale + 0.5) + zero, -128, 127).astype(np.int64)
    result: dict[str, Any] = {
        "samples": len(case.x),
        "outputs": {kernels: steps(codes, want.astype(np.int64)) for kernels, want in wants.items()},
        "layers": layers(qgraph, case),
    }
    answers = {"hwquant": codes.argmax(axis=1)} | {
        kernels: want.argmax(axis=1) for kernels, want in wants.items()
    }
    if case.y is not None:
        result["right"] = {who: int((found == case.y).sum()) for who, found in answers.items()}
    if name == "ad":
        real = (case.x.astype(float) - 89) * 0.39101523
        errors = {who: _errors(scale * (want.astype(float) - zero), real) for who, want in wants.items()}
        mine = _errors(got, real)
        result["reconstruction_error_off_by"] = {
            who: round(float(np.abs(mine / theirs - 1).max()), 5) for who, theirs in errors.items()
        }
    else:
        result["same_answer"] = {
            kernels: int((answers["hwquant"] == answers[kernels]).sum()) for kernels in KERNELS
        }
        pairs = [("reference", "optimized"), ("reference", "default")]
        result["same_answer_within_litert"] = {
            f"{a}, {b}": int((answers[a] == answers[b]).sum()) for a, b in pairs
        }
    if simulated:
        program = compile_network(qgraph, ARRAY)
        run = verify(program, qgraph, golden.quantize_input(qgraph, case.x[:SIMULATED]), watch=1)
        result["simulation"] = {
            "array": "x".join(map(str, ARRAY)),
            "images": run.samples,
            "mismatches": run.mismatches,
            "cycles": run.cycles,
        }
    return result


def _errors(output: Array, x: Array) -> Array:
    return np.asarray(((output - x) ** 2).mean(axis=1))


def float_file(name: str) -> dict[str, Any]:
    """A float file and the ONNX model of the same network, both quantized here on the same data."""
    inputs, path = data(name.split("_")[0]), data_folder() / "mlperf_tiny" / f"{name}_float.tflite"
    want = Runtime(path, "reference").outputs(inputs.reference)[0].astype(np.float64)
    graphs = {"tflite": load_model(path), "onnx": from_onnx(model(name.split("_")[0]))}
    exact = floating.predict(graphs["tflite"], inputs.reference)[0].reshape(want.shape)
    result: dict[str, Any] = {"float_off_by": float(np.abs(exact - want).max() / np.abs(want).max())}
    for kind, graph in graphs.items():
        result[kind] = quality(graph, *_parts(inputs))
        if inputs.y is None:
            calibration = inputs.calibration
            qgraph = quantize(graph, calibration)
            got, real = (
                run.predict(net, inputs.reference)[0] for run, net in ((golden, qgraph), (floating, graph))
            )
            noise = float(((got - real) ** 2).sum())
            result[kind]["sqnr_db"] = round(float(10 * np.log10((real**2).sum() / noise)), 2)
    return result


def _parts(inputs: Any) -> tuple[list[tuple[Array, Array]], Array | None]:
    """Pairs of calibration data and samples, and the labels; each sample is of a network not calibrated on it."""
    if len(inputs.calibration):
        return [(inputs.calibration, inputs.x)], inputs.y
    return [(inputs.x[seen], inputs.x[tested]) for seen, tested in halves(inputs.x)], np.concatenate(
        [inputs.y[tested] for _, tested in halves(inputs.x)]
    )


def quality(graph: Graph, parts: list[tuple[Array, Array]], y: Array | None) -> dict[str, Any]:
    """Right answers, float and integer."""
    if y is None:
        return {}
    pairs = [
        (
            floating.predict(graph, x)[0].argmax(axis=1),
            golden.predict(quantize(graph, seen), x)[0].argmax(axis=1),
        )
        for seen, x in parts
    ]
    exact, integer = (np.concatenate(found) for found in zip(*pairs))
    return {"float": int((exact == y).sum()), "integer": int((integer == y).sum()), "of": len(y)}


def published(path: Path) -> dict[str, Any]:
    """A float file without data: the float network against LiteRT, and integers against the float network."""
    graph = load_model(path)
    (item,) = graph.network_inputs
    x = np.random.default_rng(0).uniform(-1, 1, (2 * FEW, *item.shape)).astype(np.float32)
    wants = Runtime(path, "reference").outputs(x[FEW:])
    reals = floating.predict(graph, x[FEW:])
    gots = golden.predict(quantize(graph, x[:FEW]), x[FEW:])
    off = [
        float(np.abs(real.reshape(want.shape) - want).max() / np.abs(want).max())
        for real, want in zip(reals, wants)
    ]
    noise = [10 * np.log10((real**2).sum() / ((got - real) ** 2).sum()) for got, real in zip(gots, reals)]
    return {
        "host_share": round(graph.host_share, 4),
        "float_off_by": max(off),
        "sqnr_db": [round(float(value), 2) for value in noise],
    }


def main() -> None:
    """Measure all files, or those that are named."""
    names = [item for item in sys.argv[1:] if not item.startswith("-")]
    simulated = "--no-simulation" not in sys.argv
    results: dict[str, Any] = {"integers": {}, "float": {}}
    console = Console()
    for name, case in integer_cases():
        if not names or name in names:
            results["integers"][name] = measured(name, case, simulated)
            console.print(
                name, {key: value for key, value in results["integers"][name].items() if key != "layers"}
            )
    for name in ("ic", "kws", "kws_savedmodel", "vww", "ad"):
        if not names or name in names:
            results["float"][name] = float_file(name)
            console.print(f"{name}, float", results["float"][name])
    for path in sorted(Path(os.environ.get("HWQUANT_ZOO", "")).glob("*.tflite")):
        if path.stem != "mlperf_str_ww" and (not names or path.stem in names):
            results["float"][path.stem] = published(path)
            console.print(path.stem, results["float"][path.stem])
    table = Table("file", "layer", "equal", "within 1", "most", "equal alone", "most alone")
    for name, row in results["integers"].items():
        for layer in row["layers"]:
            whole, single = layer["whole"], layer["alone"]
            cells = (*whole.values(), single["equal"], single["most"])
            table.add_row(name, layer["layer"][-40:], *map(str, cells))
    console.print(table)
    if not names:
        write_results("tflite_files", results)


if __name__ == "__main__":
    main()
