"""Random float networks, and what onnxruntime's own quantizer makes of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

Shape = tuple[int, int, int]
FLAGS = (
    *("ActivationSymmetric", "WeightSymmetric", "AddQDQPairToWeight", "DedicatedQDQPair"),
    *("QDQKeepRemovableActivations", "ForceQuantizeNoInputCheck"),
)
SOME = ["Conv", "Gemm", "MatMul", "Add", "MaxPool", "GlobalAveragePool", "AveragePool", "ConvTranspose"]
"""Operators that are quantized where others stay float, as some vendors' runtimes want it."""
ACTIVATIONS = (
    *(
        "Relu",
        "Relu",
        "Clip",
        "LeakyRelu",
        "Sigmoid",
        "Tanh",
        "HardSwish",
        "HardSigmoid",
        "Elu",
        "Gelu",
        "PRelu",
    ),
    *("silu", ""),
)


class Network:
    """A float network in the making; a tensor is known by its name, its shape by that."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shapes: dict[str, Shape] = {}

    def yes(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, operator: str, inputs: list[str], shape: Shape, **attributes: Any) -> str:
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        self.shapes[name] = shape
        return name

    def conv(self, x: str, out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> str:
        channels, *sizes = self.shapes[x]
        pad = kernel // 2
        shape = (out, channels // groups, kernel, kernel)
        weight = self.rng.normal(0, 1, shape) / np.sqrt(np.prod(shape[1:]))
        weight *= np.exp(self.rng.normal(0, 0.5, (out, 1, 1, 1)))
        inputs = [x, self.constant(weight)]
        if self.yes():
            inputs.append(self.constant(self.rng.normal(0, 0.3, out)))
        height, width = ((size + 2 * pad - kernel) // stride + 1 for size in sizes)
        return self.node(
            "Conv", inputs, (out, height, width), pads=[pad] * 4, strides=[stride] * 2, group=groups
        )

    def activation(self, x: str) -> str:
        shape, kind = self.shapes[x], str(self.rng.choice(ACTIVATIONS))
        match kind:
            case "":
                return x
            case "Clip":
                return self.node(
                    "Clip", [x, self.constant(0.0), self.constant(self.rng.choice([1, 3, 6]))], shape
                )
            case "PRelu":
                return self.node(
                    "PRelu", [x, self.constant(self.rng.uniform(0.05, 0.5, (shape[0], 1, 1)))], shape
                )
            case "silu":
                return self.node("Mul", [x, self.node("Sigmoid", [x], shape)], shape)
        return self.node(kind, [x], shape)

    def step(self, x: str) -> str:
        """One of the patterns that networks are made of; nothing where it does not fit."""
        channels, height, width = shape = self.shapes[x]
        rng = self.rng
        match str(rng.choice(["conv", "residual", "concat", "pool", "resize", "depthwise", "transposed", "gate",
                              "norm", "factor", "pad", "shuffle"])):  # fmt: skip
            case "conv":
                return self.activation(
                    self.conv(x, int(rng.integers(2, 9)), int(rng.choice([1, 3])), int(rng.choice([1, 2])))
                )
            case "residual":
                both = [self.conv(self.activation(self.conv(x, channels)), channels), x]
                total = self.node("Add", both[:: int(rng.choice([1, -1]))], shape)
                return self.node("Relu", [total], shape) if self.yes() else total
            case "concat":
                parts = [self.activation(self.conv(x, int(rng.integers(1, 6)))), x]
                if self.yes():
                    parts[1] = self.activation(self.conv(x, int(rng.integers(1, 6)), 1))
                return self.node(
                    "Concat", parts, (sum(self.shapes[name][0] for name in parts), height, width), axis=1
                )
            case "pool" if min(height, width) >= 4:
                kernel, stride = int(rng.choice([2, 3])), int(rng.choice([1, 2]))
                sizes = [(size - kernel) // stride + 1 for size in (height, width)]
                kind = str(rng.choice(["MaxPool", "AveragePool"]))
                return self.node(
                    kind, [x], (channels, *sizes), kernel_shape=[kernel] * 2, strides=[stride] * 2
                )
            case "resize" if max(height, width) <= 8:
                how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                return self.node(
                    "Resize",
                    [x, "", self.constant([1, 1, 2, 2])],
                    (channels, 2 * height, 2 * width),
                    mode="nearest",
                    **how,
                )
            case "depthwise":
                return self.activation(self.conv(x, channels, groups=channels))
            case "transposed" if max(height, width) <= 8:
                out = int(rng.integers(1, 6))
                weight = self.constant(rng.normal(0, 0.5, (channels, out, 2, 2)))
                return self.node("ConvTranspose", [x, weight], (out, 2 * height, 2 * width), strides=[2, 2])
            case "gate":
                mean = self.node("GlobalAveragePool", [x], (channels, 1, 1))
                inner = self.node("Relu", [self.conv(mean, 2, 1)], (2, 1, 1))
                factor = self.node("Sigmoid", [self.conv(inner, channels, 1)], (channels, 1, 1))
                return self.node("Mul", [x, factor], shape)
            case "norm":
                numbers = [
                    rng.uniform(0.5, 1.5, channels),
                    *rng.normal(0, 0.2, (2, channels)),
                    rng.uniform(0.5, 1.5, channels),
                ]
                return self.activation(
                    self.node(
                        "BatchNormalization", [self.conv(x, channels), *map(self.constant, numbers)], shape
                    )
                )
            case "factor":
                value = rng.uniform(0.5, 2, (channels, 1, 1)) if self.yes() else rng.uniform(0.5, 2)
                return self.node(
                    str(rng.choice(["Mul", "Add", "Sub", "Div"])), [x, self.constant(value)], shape
                )
            case "pad":
                return self.node(
                    "Pad",
                    [x, self.constant([0, 0, 1, 0, 0, 0, 0, 1], np.int64)],
                    (channels, height + 1, width + 1),
                )
            case "shuffle" if channels % 2 == 0:
                view = self.node(
                    "Reshape", [x, self.constant([0, 2, channels // 2, height, width], np.int64)], shape
                )
                turned = self.node("Transpose", [view], shape, perm=[0, 2, 1, 3, 4])
                return self.node(
                    "Reshape", [turned, self.constant([0, channels, height, width], np.int64)], shape
                )
        return x

    def head(self, x: str) -> str:
        """What a network ends with."""
        shape, rng = self.shapes[x], self.rng
        if self.yes(0.2):
            return x
        if self.yes():
            shape = (shape[0], 1, 1)
            x = self.node("GlobalAveragePool", [x], shape)
        size = int(np.prod(shape))
        flat, weight = self.node("Flatten", [x], shape), rng.normal(0, 1, (size, 7)) / np.sqrt(size)
        if self.yes():
            y = self.node(
                "Add",
                [
                    self.node("MatMul", [flat, self.constant(weight)], shape),
                    self.constant(rng.normal(0, 0.3, 7)),
                ],
                shape,
            )
        else:
            y = self.node(
                "Gemm", [flat, self.constant(weight.T), self.constant(rng.normal(0, 0.3, 7))], shape, transB=1
            )
        return self.node("Softmax", [y], shape) if self.yes(0.3) else y


class _Reader(CalibrationDataReader):
    def __init__(self, x: NDArray[np.float32]) -> None:
        self._samples = iter([{"x": sample[None]} for sample in x])

    def get_next(self) -> Any:
        return next(self._samples, None)


def random_model(rng: np.random.Generator) -> tuple[onnx.ModelProto, Shape]:
    """A float network that begins with a convolution, and the shape of a sample."""
    net = Network(rng)
    shape = (int(rng.integers(1, 5)), int(rng.integers(6, 13)), int(rng.integers(6, 13)))
    net.shapes["x"] = shape
    x = net.activation(net.conv("x", int(rng.integers(2, 7))))
    for _ in range(int(rng.integers(1, 5))):
        x = net.step(x)
    output = helper.make_empty_tensor_value_info(net.head(x))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])]
    graph = helper.make_graph(net.nodes, "net", inputs, [output], net.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(made), shape


def random_quantized(seed: int, folder: Path) -> tuple[onnx.ModelProto, NDArray[np.float32]]:
    """A network that onnxruntime has quantized, as some options say, and samples for it."""
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer warns of what it is asked for
    rng = np.random.default_rng(seed)
    model, shape = random_model(rng)
    source, target = folder / "float.onnx", folder / "quantized.onnx"
    onnx.save(model, source)
    if rng.random() < 0.5:
        quant_pre_process(source, folder / "prepared.onnx", skip_symbolic_shape=True)
        source = folder / "prepared.onnx"
    integers = bool(rng.random() < 0.35)  # operators on integers, else pairs around those on real numbers
    signed = bool(rng.integers(2))
    kinds = [QuantType.QUInt8, QuantType.QInt8]
    flags = {name: True for name in FLAGS[: 2 if integers else None] if rng.random() < 0.2}
    x = rng.normal(0, 1, (28, *shape)).astype(np.float32)
    quantize_static(
        source,
        target,
        _Reader(x[:12]),
        quant_format=QuantFormat.QOperator if integers else QuantFormat.QDQ,
        per_channel=bool(rng.integers(2)),
        activation_type=kinds[signed],
        weight_type=kinds[1 if signed else int(rng.integers(2))],
        op_types_to_quantize=SOME if rng.random() < 0.2 else None,
        extra_options=flags,
    )
    return onnx.load(target), x[12:]
