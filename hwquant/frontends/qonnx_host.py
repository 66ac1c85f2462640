"""QONNX's quantizers where ONNX's own operators have to stand for them: in shape inference, and on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.frontends.builder import Builder
from hwquant.frontends.onnx_types import REAL
from hwquant.frontends.qonnx import is_quantizer, quantizer
from hwquant.frontends.values import Array

if TYPE_CHECKING:
    import onnx

_TINY = 2.0**-25
"""Less than what twice the share of a float32 number behind the point can differ from 1 by."""


def standing_for(node: onnx.NodeProto) -> onnx.NodeProto:
    """A node of ONNX's own with the same type and shape: of a quantizer, Identity."""
    import onnx

    if not is_quantizer(node):
        return node
    return onnx.helper.make_node("Identity", node.input[:1], node.output[:1], node.name)


def with_standing(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as the onnx package understands it; the same object where there are no quantizers."""
    if not any(map(is_quantizer, model.graph.node)):
        return model
    copied = type(model)()
    copied.CopyFrom(model)
    nodes = [standing_for(node) for node in copied.graph.node]
    del copied.graph.node[:]
    copied.graph.node.extend(nodes)
    return copied


def standard_nodes(
    build: Builder, node: onnx.NodeProto, arrays: Mapping[str, Array], kind: str
) -> list[onnx.NodeProto]:
    """A node in operators that every runtime has had since operator set 8; itself where it is none of QONNX's.

    Parameters
    ----------
    build : Builder
        What makes the errors.
    node : onnx.NodeProto
        The node.
    arrays : mapping of ndarray
        All constants by name.
    kind : str
        The element type of what it rounds.
    """
    if not is_quantizer(node):
        return [node]
    build.where, build.operator = f"QONNX node {node.name or node.output[0]!r} ({node.op_type})", node.op_type
    made = quantizer(build, node, [None, *(arrays.get(name) for name in node.input[1:])])
    import onnx

    if kind not in REAL:
        raise build.refuse(f"it rounds numbers of the type {kind}; cast them to float before")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(onnx.TensorProto.DataType.Value(kind.upper()))
    return _Spelled(node, dtype).quantizer(made)


class _Spelled:
    """What a quantizer computes, operator by operator.

    Parameters
    ----------
    node : onnx.NodeProto
        The node.
    dtype : np.dtype
        The type that it computes in.
    """

    def __init__(self, node: onnx.NodeProto, dtype: Any) -> None:
        self._node, self._dtype = node, dtype
        self._made: list[onnx.NodeProto] = []

    def quantizer(self, made: Any) -> list[onnx.NodeProto]:
        """The nodes; the last one has the node's own output."""
        x = self._node.input[0]
        if made.factor != 1:
            x = self._add("Mul", x, made.factor)
        x = self._add("Add", self._add("Div", x, made.scale), made.zero)
        if made.bipolar:
            negative = self._add("Cast", self._add("Less", x, 0.0), to=self._code())
            integers = self._add("Sub", 1.0, self._add("Mul", negative, 2.0))
        else:
            low, high = made.limits
            integers = self._rounded(self._add("Min", self._add("Max", x, low), high), made.rounding)
        self._add("Mul", self._add("Sub", integers, made.zero), made.scale)
        self._made[-1].output[0] = self._node.output[0]
        return self._made

    def _rounded(self, x: str, rounding: str) -> str:
        match rounding:
            case "FLOOR" | "CEIL":
                return self._add(rounding.title(), x)
            case "ROUND" | "HALF_EVEN":  # Round is younger than these
                floor = self._add("Floor", x)
                odd = self._add(
                    "Sub", floor, self._add("Mul", self._add("Floor", self._add("Mul", floor, 0.5)), 2.0)
                )
                above = self._add("Sub", self._add("Mul", self._add("Sub", x, floor), 2.0), 1.0)
                up = self._add("Less", self._add("Mul", odd, -_TINY), above)
                return self._add("Add", floor, self._add("Cast", up, to=self._code()))
        size = self._add("Abs", x)
        match rounding:
            case "UP":
                size = self._add("Ceil", size)
            case "HALF_UP":
                size = self._add("Floor", self._add("Add", size, 0.5))
            case "HALF_DOWN":
                size = self._add("Ceil", self._add("Sub", size, 0.5))
            case _:
                size = self._add("Floor", size)
        negative = self._add("Cast", self._add("Less", x, 0.0), to=self._code())
        return self._add("Mul", self._add("Sub", 1.0, self._add("Mul", negative, 2.0)), size)

    def _add(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node, and a Constant for every number among its inputs; return the name of its output."""
        import onnx

        names = [item if isinstance(item, str) else self._constant(item) for item in inputs]
        output = f"{self._node.output[0]}/{len(self._made)}"
        label = f"{self._node.name or self._node.output[0]}/{len(self._made)}"
        self._made.append(onnx.helper.make_node(operator, names, [output], label, **attributes))
        return output

    def _constant(self, value: Any) -> str:
        import onnx

        array = np.asarray(value, self._dtype)
        return self._add("Constant", value=onnx.numpy_helper.from_array(array))

    def _code(self) -> int:
        import onnx

        return int(onnx.helper.np_dtype_to_tensor_dtype(self._dtype))
