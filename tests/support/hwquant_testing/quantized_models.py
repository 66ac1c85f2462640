"""Small ONNX models that are quantized already: random weights, written with integers and their scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Pair = tuple[float, int]
"""Scale and zero point."""


class QuantizedModel:
    """A model in the making, every tensor between QuantizeLinear and DequantizeLinear.

    Parameters
    ----------
    rng : numpy.random.Generator
        What draws weights and scales.
    kind : dtype
        Of activations.
    weights : dtype
        Of weights.
    """

    def __init__(self, rng: np.random.Generator, kind: Any = np.uint8, weights: Any = np.int8) -> None:
        self.rng, self.kind, self.weights = rng, np.dtype(kind), np.dtype(weights)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.pairs: dict[str, Pair] = {}
        self.pairs_of: dict[str, Pair] = {}
        self.output = ""
        self._count = 0

    def constant(self, value: Any, dtype: Any) -> str:
        self._count += 1
        name = f"c{self._count}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        self._count += 1
        name = f"{operator.lower()}{self._count}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, domain=domain, **attributes))
        return name

    def names(self, pair: Pair) -> list[str]:
        return [self.constant(pair[0], np.float32), self.constant(pair[1], self.kind)]

    def pair(self, reach: float = 4.0) -> Pair:
        """A scale and a zero point for numbers on both sides of 0."""
        info = np.iinfo(self.kind)
        return float(np.float32(self.rng.uniform(0.5, 1.0) * reach / 128)), int(
            self.rng.integers(info.min + 40, info.max - 40)
        )

    def around(self, x: str, pair: Pair | None = None) -> str:
        """A pair of QuantizeLinear and DequantizeLinear."""
        pair = pair or self.pair()
        names = self.names(pair)
        q = self.node("QuantizeLinear", [x, *names])
        self.pairs[q] = pair
        name = self.node("DequantizeLinear", [q, *names])
        self.pairs_of[name] = pair
        return name

    def weight(
        self, shape: tuple[int, ...], channels: int | None = None, axis: int = 0
    ) -> tuple[list[str], NDArray[Any]]:
        """Integers, scale and zero point of a weight, and the scale as an array."""
        info = np.iinfo(self.weights)
        count = channels or 1
        scale = self.rng.uniform(0.5, 1.5, count).astype(np.float32) / 256
        low = 0 if self.weights.kind == "u" else info.min
        zero = np.full(count, 120 if self.weights.kind == "u" else 0)
        shaped = (lambda a: a) if channels else (lambda a: a[0])
        names = [
            self.constant(self.rng.integers(low, info.max, shape, endpoint=True), self.weights),
            self.constant(shaped(scale), np.float32),
            self.constant(shaped(zero), self.weights),
        ]
        return names, scale

    def dequantized(self, names: list[str], axis: int | None = None) -> str:
        attributes = {} if axis is None else {"axis": axis}
        return self.node("DequantizeLinear", names, **attributes)

    def model(self, output: str, shape: tuple[int, ...], opset: int = 21) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "quantized",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_empty_tensor_value_info(output)],
            self.constants,
        )
        graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
        imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)


def every_operator(seed: int, kind: Any, weights: Any, per_channel: bool) -> QuantizedModel:
    """Convolutions, pools, a sum, a function, a product, a concatenation of several scales, a matrix product."""
    made = QuantizedModel(np.random.default_rng(seed), kind, weights)

    def conv(x: str, inside: int, out: int, groups: int = 1) -> str:
        names, _ = made.weight((out, inside // groups, 3, 3), out if per_channel else None)
        weight = made.dequantized(names, 0 if per_channel else None)
        return made.node("Conv", [x, weight], pads=[1] * 4, group=groups)

    a = made.around(made.node("Relu", [conv(made.around("x"), 2, 6)]))
    pool = made.around(made.node("MaxPool", [a], kernel_shape=[2, 2], strides=[2, 2]), made.pairs_of[a])
    total = made.around(made.node("Add", [made.around(conv(pool, 6, 6)), pool]))
    b = made.around(conv(total, 6, 6, groups=6))
    product = made.around(made.node("Mul", [b, made.around(made.node("Sigmoid", [b]))]))
    both = made.around(made.node("Concat", [product, total], axis=1))
    mean = made.around(made.node("GlobalAveragePool", [both]))
    names, _ = made.weight((12, 5), 5 if per_channel else None)
    weight = made.dequantized(names, 1 if per_channel else None)
    made.output = made.around(made.node("MatMul", [made.node("Flatten", [mean]), weight]))
    return made


def runtime(model: onnx.ModelProto, x: NDArray[Any], names: list[str] | None = None) -> list[NDArray[Any]]:
    """What onnxruntime gives, without its own optimizations: outputs, or tensors by name."""
    import onnxruntime

    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    if names is not None:
        del copied.graph.output[:]
        copied.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        copied.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x.astype(np.float32)})
