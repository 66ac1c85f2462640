"""Networks that onnxruntime has quantized, here with the same integers: agreement, accuracy, hardware.

The three Fashion-MNIST networks and ResNet8 of MLPerf Tiny are quantized by onnxruntime's static quantizer, calibrated
on 100 training images, in two formats (QDQ: QuantizeLinear and DequantizeLinear around operators on real numbers;
QOperator: operators on integers), per channel and per tensor, with signed and unsigned activations. hwquant takes each
as it is, without data. Measured on all test images: accuracy of both, agreement of both; on some, every tensor
(hwquant.agreement); and simulated hardware of 8x8 against the golden model, with exact cycles. Writes
``benchmarks/results/quantized_models.json``. Needs the data sets (HWQUANT_DATA).

    python benchmarks/quantized_models.py [--no-simulation] [NETWORK ...]
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlperf_networks
import numpy as np
import onnx
import onnxruntime
from datasets import fashion_mnist
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from results import FOLDER, write_results

from hwquant import golden
from hwquant.agreement import compare
from hwquant.frontends import from_onnx
from hwquant.program.compiler import compile_network
from hwquant.qgraph import QGraph
from hwquant.quantize import quantize
from hwquant.sim.check import verify

NETWORKS = ("fashion_cnn", "fashion_depthwise", "fashion_residual", "resnet8")
CALIBRATION = 100
COMPARED = 500
"""Images of which every tensor is compared."""
SIMULATED = 2
RESULTS = "quantized_models"
BATCH = 500
ARRAY = (8, 8)


@dataclass(frozen=True)
class Variant:
    """How onnxruntime quantizes.

    Attributes
    ----------
    format : {"QDQ", "QOperator"}
        How integers are written.
    per_channel : bool
        Whether weights have a scale for each channel.
    activations, weights : {"QUInt8", "QInt8"}
        Their types.
    """

    format: str
    per_channel: bool
    activations: str
    weights: str

    def __str__(self) -> str:
        what = "per channel" if self.per_channel else "per tensor"
        return f"{self.format} {what}, activations {self.activations[1:].lower()}, weights {self.weights[1:].lower()}"


VARIANTS = (
    Variant("QDQ", True, "QUInt8", "QInt8"),
    Variant("QDQ", True, "QInt8", "QInt8"),
    Variant("QDQ", False, "QInt8", "QInt8"),
    Variant("QDQ", False, "QUInt8", "QUInt8"),
    Variant("QOperator", True, "QUInt8", "QInt8"),
    Variant("QOperator", False, "QUInt8", "QUInt8"),
)


@dataclass(frozen=True)
class Case:
    """A float network, images to calibrate with, and test images with labels."""

    model: onnx.ModelProto
    calibration: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.int64]


def case(name: str) -> Case:
    """A network with its data."""
    if name == "resnet8":
        data = mlperf_networks.data("ic")
        assert data.y is not None
        return Case(prepared(mlperf_networks.model("ic")), data.calibration, data.x, data.y)
    network = Path(__file__).resolve().parent / "networks" / f"{name}.onnx"
    train, _ = fashion_mnist("train")
    x, y = fashion_mnist("test")
    return Case(
        onnx.load(network), train[:CALIBRATION].astype(np.float32), x.astype(np.float32), y.astype(np.int64)
    )


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model with its batch norms folded into convolutions, as onnxruntime's quantizer asks for."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "prepared.onnx"
        onnx.save(model, source)
        quant_pre_process(source, target, skip_symbolic_shape=True)
        return onnx.load(target)


class Images(CalibrationDataReader):
    """Calibration images, one at a time, as onnxruntime asks for them."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._images: Iterator[dict[str, NDArray[np.float32]]] = iter(
            [{name: image[None]} for image in images]
        )

    def get_next(self) -> Any:
        """Hand out the next image."""
        return next(self._images, None)


def quantized(given: Case, variant: Variant) -> onnx.ModelProto:
    """The network as onnxruntime quantizes it."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        onnx.save(given.model, source)
        quantize_static(
            source,
            target,
            Images(given.model.graph.input[0].name, given.calibration[:CALIBRATION]),
            quant_format=QuantFormat[variant.format],
            per_channel=variant.per_channel,
            activation_type=QuantType[variant.activations],
            weight_type=QuantType[variant.weights],
        )
        return onnx.load(target)


def source_scores(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What onnxruntime gives, on one thread, without its optimizations: the operators as the model has them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i : i + BATCH]})[0] for i in range(0, len(x), BATCH)])


def scores(qgraph: QGraph, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the integers give."""
    return np.concatenate([golden.predict(qgraph, x[i : i + BATCH])[0] for i in range(0, len(x), BATCH)])


def hardware(qgraph: QGraph, x: NDArray[np.float32]) -> dict[str, Any]:
    """The simulated accelerator against the golden model, every tensor of some images."""
    program = compile_network(qgraph, ARRAY)
    images = golden.quantize_input(qgraph, x[:SIMULATED])
    found = verify(program, qgraph, images, simulator="cxxrtl", watch=SIMULATED)
    # Where the counted cycles are others than those predicted, verify says so as a difference.
    return {"images": SIMULATED, "differences": len(found.differences), "cycles": found.cycles}


def measured(name: str, given: Case, variant: Variant, simulation: bool) -> dict[str, Any]:
    """All figures of one network in one variant."""
    model = quantized(given, variant)
    qgraph = quantize(from_onnx(model))
    theirs, ours = source_scores(model, given.x).argmax(axis=1), scores(qgraph, given.x).argmax(axis=1)
    agreement = compare(model, qgraph, given.x[:COMPARED])
    worst = min(agreement.tensors, key=lambda item: item.equal)
    result: dict[str, Any] = {
        "network": name,
        "variant": str(variant),
        "images": len(given.x),
        "agreement": float((ours == theirs).mean()),
        "accuracy_source": float((theirs == given.y).mean()),
        "accuracy": float((ours == given.y).mean()),
        "compared": agreement.samples,
        "least_equal": {"tensor": worst.tensor, "equal": worst.equal, "within_a_step": worst.within},
        "largest_alone": max(item.alone for item in agreement.tensors),
    }
    if simulation:
        result["hardware"] = hardware(qgraph, given.x)
    return result


def main(arguments: list[str]) -> None:
    """Measure the networks that are named, or all of them."""
    logging.getLogger().setLevel(
        logging.ERROR
    )  # the quantizer's advice to prepare models, batch norms folded
    names = [item for item in arguments if not item.startswith("-")] or list(NETWORKS)
    stored = FOLDER / f"{RESULTS}.json"
    before = json.loads(stored.read_text())["results"] if stored.exists() else []
    results = [item for item in before if item["network"] not in names]  # those of other networks stay
    for name in names:
        given = case(name)
        for variant in VARIANTS:
            results.append(measured(name, given, variant, "--no-simulation" not in arguments))
            print(results[-1], flush=True)
    write_results(RESULTS, results)


if __name__ == "__main__":
    main(sys.argv[1:])
