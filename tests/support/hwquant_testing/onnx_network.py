"""An ONNX model in the making: its nodes, its constants, and the choices that a seed makes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

OLDEST, NEWEST = 7, onnx.defs.onnx_opset_version()
Shape = tuple[int, ...]
"""Without the batch."""


class Network:
    """A model in the making: the nodes so far, and the tensor at their end.

    Attributes
    ----------
    rng : source of all choices
    opset, batch, kind : operator set, batch (a number or a name), element type of the activations
    at, shape : the last tensor and its shape without the batch
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = int(self.rng.integers(OLDEST, NEWEST + 1))
        self.batch: int | str = self.pick([1, 2, 3, "N", "N", "N"])
        self.kind = self.pick([np.float32] * 8 + [np.float16, np.float64])
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.at, self.shape = "", ()
        self.earlier: list[tuple[str, Shape]] = []

    def pick(self, options: list) -> object:
        return options[int(self.rng.integers(len(options)))]

    def yes(self, share: float = 0.5) -> bool:
        return bool(self.rng.random() < share)

    def numbers(self, low: int, high: int, count: int) -> list[int]:
        return [int(number) for number in self.rng.integers(low, high + 1, count)]

    def input(self, shape: Shape, kind: int) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, kind, [self.batch, *shape]))
        return name

    def constant(self, array: object, kind: object = None) -> str:
        """By an initializer, or (less often) by a Constant node."""
        name = f"c{len(self.constants) + len(self.nodes)}"
        tensor = numpy_helper.from_array(np.asarray(array, kind or self.kind), name)
        if self.yes(0.1):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants.append(tensor)
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(self.rng.normal(0, 1 / np.sqrt(max(1, np.prod(shape[1:]))), shape))

    def node(self, operator: str, inputs: list[str], shape: Shape, **attributes: object) -> str:
        """Append a node that makes the last tensor."""
        name = f"t{len(self.nodes)}"
        label = f"n{len(self.nodes)}" if self.yes(0.7) else ""
        self.nodes.append(helper.make_node(operator, inputs, [name], name=label, **attributes))
        if self.at:
            self.earlier.append((self.at, self.shape))
        self.at, self.shape = name, shape
        return name

    def axis(self, axis: int) -> int:
        """The axis, or the same counted from the end."""
        return axis - (len(self.shape) + 1) if self.opset >= 11 and self.yes(0.3) else axis


def model(net: Network) -> onnx.ModelProto:
    """With the outputs' types and shapes as inference finds them."""
    graph = helper.make_graph(
        net.nodes, "net", net.inputs, [helper.make_empty_tensor_value_info(net.at)], net.constants
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", net.opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    made.graph.output[0].CopyFrom(inferred.graph.output[0])
    if net.yes(0.3):
        made.graph.value_info.extend(inferred.graph.value_info)
    if net.yes(0.3) and net.constants and net.opset < 9:
        made.graph.input.extend(
            helper.make_tensor_value_info(item.name, item.data_type, item.dims) for item in net.constants
        )
    return made
