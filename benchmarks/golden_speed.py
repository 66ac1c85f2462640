"""The golden model's fast path against onnxruntime in float: same machine, same images, turn by turn.

Both start from float32 images and end in float outputs: the golden model quantizes its input and dequantizes
its output. onnxruntime runs with its default options, at the batch size that suits it best on this machine.
Of several rounds the least time counts, since others may use the machine too.
mnist-conv is the trained network on MNIST's test set; ResNet8 and DS-CNN have the shapes of the MLPerf Tiny
networks with random weights and images, since neither's speed depends on them.
Writes ``benchmarks/results/golden_speed.json``.

    python benchmarks/golden_speed.py [ROUNDS]
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from results import write_results

from hwquant import golden
from hwquant.frontends import from_onnx
from hwquant.quantize import quantize

DATA = Path(os.environ.get("HWQUANT_DATA", Path(__file__).parents[2] / "shared" / "data"))
BATCHES = (1, 10, 20, 50, 100, 1000)
GOLDEN = 0  # beside batch sizes
SEED = 2026
Array = np.ndarray[Any, np.dtype[np.float32]]


class Builder:
    """An ONNX graph of convolutions with random weights."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(SEED)
        self.shape, self.nodes, self.weights = shape, list[Any](), list[Any]()

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def weight(self, *shape: int) -> str:
        values = self.rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, f"weight{len(self.weights)}"))
        return self.weights[-1].name

    def conv(
        self,
        x: str,
        shape: tuple[int, ...],
        stride: int = 1,
        pads: tuple[int, ...] = (1, 1, 1, 1),
        groups: int = 1,
    ) -> str:
        weight = self.weight(*shape)
        return self.node("Conv", [x, weight], strides=[stride] * 2, pads=pads, group=groups)

    def relu(self, x: str) -> str:
        return self.node("Relu", [x])

    def model(self, x: str, channels: int, classes: int) -> onnx.ModelProto:
        """Global average pooling, a fully connected layer, and the model."""
        flat = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        self.node("Gemm", [flat, self.weight(classes, channels)], transB=1)
        image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *self.shape])
        output = helper.make_tensor_value_info(self.nodes[-1].output[0], TensorProto.FLOAT, [1, classes])
        graph = helper.make_graph(self.nodes, "network", [image], [output], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet8() -> onnx.ModelProto:
    builder = Builder((3, 32, 32))
    x = builder.relu(builder.conv("x", (16, 3, 3, 3)))
    depth = 16
    for channels in (16, 32, 64):
        stride = channels // depth
        pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
        y = builder.relu(builder.conv(x, (channels, depth, 3, 3), stride, pads))
        y = builder.conv(y, (channels, channels, 3, 3))
        if stride > 1:
            x = builder.conv(x, (channels, depth, 1, 1), stride, (0, 0, 0, 0))
        x, depth = builder.relu(builder.node("Add", [x, y])), channels
    return builder.model(x, 64, 10)


def ds_cnn() -> onnx.ModelProto:
    builder = Builder((1, 49, 10))
    x = builder.relu(builder.conv("x", (64, 1, 10, 4), 2, (4, 1, 5, 1)))
    for _ in range(4):
        x = builder.relu(builder.conv(x, (64, 1, 3, 3), groups=64))
        x = builder.relu(builder.conv(x, (64, 64, 1, 1), pads=(0, 0, 0, 0)))
    return builder.model(x, 64, 12)


def with_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A model for one image, made for ``batch``: its input, its outputs, and what is reshaped to one row."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {item.name for item in result.graph.initializer}
    for item in (*result.graph.input, *result.graph.output):
        if item.name not in constants:
            item.type.tensor_type.shape.dim[0].dim_value = batch
    targets = {node.input[1] for node in result.graph.node if node.op_type == "Reshape"}
    for item in result.graph.initializer:
        values = numpy_helper.to_array(item)
        if item.name in targets and values[0] == 1:
            item.CopyFrom(numpy_helper.from_array(np.array([-1, *values[1:]]), item.name))
    del result.graph.value_info[:]
    return result


def runner(model: onnx.ModelProto, x: Array, batch: int) -> Callable[[], Array]:
    """Runs all images through onnxruntime; ``batch`` divides their number."""
    session = onnxruntime.InferenceSession(
        with_batch(model, batch).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def run() -> Array:
        starts = range(0, len(x), batch)
        return np.concatenate([session.run(None, {name: x[i : i + batch]})[0] for i in starts])

    return run


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of all cores."""
    clock, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - clock, time.process_time() - cpu


def compare(
    name: str, model: onnx.ModelProto, x: Array, calibration: Array, rounds: int
) -> dict[str, object]:
    graph = from_onnx(model)
    shaped = x.reshape(len(x), *graph.inputs[0].shape)
    qgraph = quantize(graph, calibration.reshape(-1, *shaped.shape[1:]))
    batches = [batch for batch in (*BATCHES, len(x)) if len(x) % batch == 0]
    runs: dict[int, Callable[[], Array]] = {batch: runner(model, x, batch) for batch in batches}
    runs[GOLDEN] = lambda: golden.predict(qgraph, shaped)[0].reshape(len(x), -1)
    classes = {key: run().argmax(axis=1) for key, run in runs.items()}  # also warms everything up

    times: dict[int, list[tuple[float, float]]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            times[key].append(timed(run))
    least = {key: np.min(pairs, axis=0) for key, pairs in times.items()}
    best = min(batches, key=lambda batch: float(least[batch][0]))
    row: dict[str, object] = {"network": name, "images": len(x), "rounds": rounds, "onnxruntime_batch": best}
    row["load_average"] = round(os.getloadavg()[0], 2)  # above the number of cores: others disturbed it
    for column, unit in enumerate(("seconds", "cpu_seconds")):
        ours, theirs = float(least[GOLDEN][column]), float(least[best][column])
        row |= {f"golden_{unit}": round(ours, 4), f"onnxruntime_{unit}": round(theirs, 4)}
        row[f"ratio_{unit}"] = round(ours / theirs, 2)
    return row | {"same_class": float((classes[GOLDEN] == classes[best]).mean())}


def mnist(name: str) -> Array:
    """Images as the network wants them: float32 (N, 1, 28, 28), 0..255."""
    data = gzip.decompress((DATA / "mnist" / f"{name}-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    rng = np.random.default_rng(SEED)
    images = rng.normal(size=(846, 3, 32, 32)).astype(np.float32)
    sounds = rng.normal(size=(1000, 1, 49, 10)).astype(np.float32)
    mnist_conv = onnx.load(DATA / "mnist_conv" / "model.onnx")
    rows = [
        compare("mnist-conv", mnist_conv, mnist("t10k"), mnist("train")[:500], rounds),
        compare("ResNet8 (random)", resnet8(), images, images[:50], rounds),
        compare("DS-CNN (random)", ds_cnn(), sounds, sounds[:50], rounds),
    ]
    for row in rows:
        print(row)
    print(write_results("golden_speed", rows))


if __name__ == "__main__":
    main()
