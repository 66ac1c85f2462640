"""QONNX models that tests make, and what QONNX's own executor gives for them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"
CHANNELS_LAST = "qonnx.custom_op.channels_last"
NODES = ("Quant", "BipolarQuant", "Trunc")


class QonnxModel:
    """Nodes and constants of a model with one input "x", added one by one."""

    def __init__(self, rng: np.random.Generator, domain: str = DOMAIN) -> None:
        self.rng, self.domain = rng, domain
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, operator: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, domain=domain, **attributes))
        return name

    def quant(
        self,
        x: str,
        scale: Any,
        bits: float,
        *,
        zero: float = 0,
        signed: bool = True,
        narrow: bool = False,
        rounding: str = "ROUND",
    ) -> str:
        numbers = [self.constant(item) for item in (scale, zero, bits)]
        flags = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": rounding}
        return self.node("Quant", [x, *numbers], self.domain, **flags)

    def bipolar(self, x: str, scale: Any = 1.0) -> str:
        return self.node("BipolarQuant", [x, self.constant(scale)], self.domain)

    def weight(self, shape: tuple[int, ...], bits: int, scale: Any, narrow: bool = True) -> str:
        """A weight that is rounded to these bits; one bit is bipolar."""
        axes = (-1, *[1] * (len(shape) - 1))
        scale = np.asarray(scale, np.float32)
        scale = scale.reshape(axes) if scale.size > 1 else scale
        if bits == 1:
            return self.bipolar(self.constant(self.rng.normal(size=shape)), scale)
        real = self.rng.uniform(-1.2, 1.2, shape) * scale * 2.0 ** (bits - 1)
        return self.quant(self.constant(real), scale, bits, narrow=narrow)

    def model(self, output: str, shape: tuple[int, ...], opset: int = 13) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "qonnx",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
            [helper.make_empty_tensor_value_info(output)],
            self.constants,
        )
        graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
        version = 1 if self.domain.startswith("finn") else 2
        imports = [helper.make_opsetid("", opset), helper.make_opsetid(self.domain, version)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)


def executed(model: onnx.ModelProto, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Every tensor that QONNX's executor computes, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes

        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        copied.graph.input[0].type.tensor_type.shape.dim[0].dim_value = len(x)
        wrapped = ModelWrapper(copied).transform(InferShapes())
        found = execute_onnx(wrapped, {"x": x.astype(np.float32)}, return_full_exec_context=True)
    return {name: np.asarray(value) for name, value in found.items()}


def random_network(seed: int) -> tuple[onnx.ModelProto, tuple[int, ...], float]:
    """A convolutional network of 1 to 4 bits with scales that are powers of two: model, input shape, input's scale."""
    rng = np.random.default_rng(seed)
    made = QonnxModel(rng, str(rng.choice([DOMAIN, "onnx.brevitas", "finn.custom_op.general"])))
    shape = (int(rng.integers(1, 4)), 6, int(rng.integers(5, 8)))
    step, channels = 2.0 ** -int(rng.integers(0, 6)), shape[0]
    first = step
    x = made.quant("x", step, int(rng.integers(3, 9)), signed=bool(rng.integers(2)))
    for index in range(int(rng.integers(1, 4))):
        before, before_step = x, step
        depthwise = index > 0 and rng.integers(4) == 0
        out = channels if depthwise or rng.integers(2) else int(rng.integers(2, 6))
        x, step = _convolved(made, x, step, channels, out, depthwise)
        if out == channels and index > 0 and rng.integers(2):
            x, step = _joined(made, x, step, before, before_step)
        channels = out
        if index == 0 and rng.integers(2):
            x = made.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    if rng.integers(2):
        area = made.node("AveragePool", [x], kernel_shape=[2, 2], strides=[1, 1])
        total = made.node("Mul", [area, made.constant(4.0)])
        x = _truncated(made, total, step)
    x = made.node("Flatten", [x])
    return made.model(_classified(made, x, shape, step), shape), shape, first


def _convolved(
    made: QonnxModel, x: str, step: float, channels: int, out: int, depthwise: bool
) -> tuple[str, float]:
    rng = made.rng
    bits, groups = int(rng.integers(1, 5)), channels if depthwise else 1
    exponents = -rng.integers(1, 4, out if rng.integers(2) else 1)
    scale = 2.0 ** exponents.astype(float)
    weight = made.weight((out, channels // groups, 3, 3), bits, scale)
    inputs = [x, weight]
    if rng.integers(2):
        inputs.append(made.quant(made.constant(rng.normal(size=out)), step * scale.min(), 16))
    x = made.node("Conv", inputs, pads=[1] * 4, group=groups)
    if rng.integers(2):
        gamma = 2.0 ** rng.integers(-1, 2, out) * rng.choice([-1, 1], out)
        beta = rng.integers(-4, 5, out) * step * scale.min() / 2
        numbers = [made.constant(item) for item in (gamma, beta, np.zeros(out), np.ones(out))]
        x = made.node("BatchNormalization", [x, *numbers], epsilon=0.0)
    kind = rng.integers(4)
    if kind == 0:
        step = 2.0 ** -int(rng.integers(0, 3))
        return made.bipolar(x, step), step
    if kind > 1:
        x = made.node("Relu", [x])
    step = float(step * scale.min() * 2.0 ** rng.integers(0, 5))
    rounding = str(rng.choice(["ROUND", "HALF_EVEN", "FLOOR"]))
    signed, narrow = bool(kind == 1 or rng.integers(2)), bool(rng.integers(2))
    return made.quant(x, step, int(rng.integers(2, 5)), signed=signed, narrow=narrow, rounding=rounding), step


def _joined(made: QonnxModel, x: str, step: float, before: str, before_step: float) -> tuple[str, float]:
    """A sum of both at one scale, the coarser one."""
    step = max(step, before_step)
    both = [made.quant(item, step, 4) for item in (x, before)]
    return made.quant(made.node("Add", both), 2 * step, 4), 2 * step


def _truncated(made: QonnxModel, x: str, step: float) -> str:
    rng = made.rng
    rounding = str(rng.choice(["FLOOR", "ROUND"]))
    if made.domain.startswith("finn"):  # of which the executor has the first version
        numbers, flags = [step, 0.0, 6.0, 4.0], {}
    else:
        numbers, flags = [step, 0.0, 6.0, 4 * step, 4.0], {"signed": 1, "narrow": 0}
    inputs = [x, *(made.constant(item) for item in numbers)]
    return made.node("Trunc", inputs, made.domain, rounding_mode=rounding, **flags)


def _classified(made: QonnxModel, x: str, shape: tuple[int, ...], step: float) -> str:
    model = made.model(x, shape)
    size = executed(model, np.zeros((1, *shape)))[x].shape[1]
    out = int(made.rng.integers(2, 6))
    bits = int(made.rng.integers(1, 5))
    weight = made.weight((out, size), bits, 0.5)
    x = made.node("Gemm", [x, weight], transB=1)
    return made.quant(x, 4 * step, 5)
