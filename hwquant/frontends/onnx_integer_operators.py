"""ONNX's operators on quantized integers, and those of onnxruntime's own domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Linear:
    """An operator on integers with scales.

    Attributes
    ----------
    operator : str
        The operator on real numbers.
    operands : tuple of int
        Where each operand's integers, scale and zero point begin among the inputs.
    result : int
        Where the scale and the zero point of the result begin.
    bias : int or None
        Where the bias is, integers in steps of the product of both scales.
    axes : tuple of int or None
        The axis of each operand's scales, where there are several.
    repeated : int or None
        From where on the rest are operands, three inputs each.
    """

    operator: str
    operands: tuple[int, ...]
    result: int
    bias: int | None = None
    axes: tuple[int | None, ...] = (None, None)
    repeated: int | None = None


_UNARY = {
    f"QLinear{name}": Linear(name, (0,), 3)
    for name in ("AveragePool", "GlobalAveragePool", "LeakyRelu", "ReduceMean", "Sigmoid", "Softmax")
}
LINEAR: Mapping[str, Linear] = {
    **_UNARY,
    "QLinearConv": Linear("Conv", (0, 3), 6, 8, (None, 0)),
    "QLinearMatMul": Linear("MatMul", (0, 3), 6, None, (None, 1)),
    "QGemm": Linear("Gemm", (0, 3), 7, 6, (None, 1)),
    "QLinearAdd": Linear("Add", (0, 3), 6),
    "QLinearMul": Linear("Mul", (0, 3), 6),
    "QLinearConcat": Linear("Concat", (), 0, repeated=2),
}
"""The operators with a scale for each operand, by name."""

COUNTING = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
"""The operators whose results are sums of integers."""

VIEWS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""What the reader does to integers as to any elements."""
MOVING = frozenset(
    {
        "Concat",
        "DepthToSpace",
        "Expand",
        "Gather",
        "MaxPool",
        "Pad",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Tile",
    }
)
"""What moves integers, and is written on real numbers."""
