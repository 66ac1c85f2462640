"""Multiply-accumulates of ONNX nodes, from the shapes of what they read and give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

Shapes = Mapping[str, Sequence[int]]
"""Shapes by tensor; those that are not known are left out, and an open dimension is 0."""


def macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Count the multiply-accumulates of a node, with those on padding; in its branches too.

    What depends on a shape that is not known is not counted.

    Parameters
    ----------
    node : onnx.NodeProto
        The node.
    shapes : mapping
        Shapes of tensors by name.
    """
    inner = [item.g for item in node.attribute if item.HasField("g")]
    total = max((sum(macs(item, shapes) for item in graph.node) for graph in inner), default=0)
    if node.op_type not in _COUNTS:
        return total
    read = [shapes.get(name, ()) for name in node.input]
    return total + _COUNTS[node.op_type](node, read, shapes.get(node.output[0], ()))


_Count = Callable[["onnx.NodeProto", list[Sequence[int]], Sequence[int]], int]


def _conv(node: onnx.NodeProto, read: list[Sequence[int]], output: Sequence[int]) -> int:
    return _product(output) * _product(read[1][1:])


def _conv_transpose(node: onnx.NodeProto, read: list[Sequence[int]], output: Sequence[int]) -> int:
    return _product(read[0]) * _product(read[1][1:])


def _gemm(node: onnx.NodeProto, read: list[Sequence[int]], output: Sequence[int]) -> int:
    turned = any(item.name == "transA" and item.i for item in node.attribute)
    return _product(output) * _product(read[0][:1] if turned else read[0][-1:])


def _matmul(node: onnx.NodeProto, read: list[Sequence[int]], output: Sequence[int]) -> int:
    # A product of two vectors has no dimensions.
    return (_product(output) if output else 1) * _product(read[0][-1:])


def _einsum(node: onnx.NodeProto, read: list[Sequence[int]], output: Sequence[int]) -> int:
    equation = next((item.s.decode() for item in node.attribute if item.name == "equation"), "")
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if len(terms) < 2 or "." in equation:
        return 0
    sizes = {letter: size for term, shape in zip(terms, read) for letter, size in zip(term, shape)}
    return math.prod(sizes.values())


def _recurrent(node: onnx.NodeProto, read: list[Sequence[int]], output: Sequence[int]) -> int:
    """Both matrices of all gates, at every step of every sample."""
    steps = _product(read[0][:2]) or 1
    return steps * (_product(read[1]) + _product(read[2]))


def _product(shape: Sequence[int]) -> int:
    return math.prod(shape) if shape else 0


_COUNTS: Mapping[str, _Count] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "RNN": _recurrent,
}
