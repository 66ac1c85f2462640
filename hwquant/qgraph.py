"""The integer network: the one meaning that the golden model, the compiler and the RTL share.

There are three layer kinds. A :class:`Layer` accumulates terms and requantizes the sum; a convolution is one
term, a residual addition two, an average pooling one with constant weights. The float network's
:class:`~hwquant.graph.MaxPool` and :class:`~hwquant.graph.Concat` move integers as they do reals, without
arithmetic: scale, zero point and bits pass through. Tensors are (channels, height, width) of signed integers.

Numbers (all exact)::

    x    = S_x * (x_q - z_x)
    w    = S_w * (w_q + o)            anchor "min"
    w    = S_w * (o - w_q)            anchor "max"
    acc  = b_q + Sum_terms 2^k * Sum (adjusted weight) * (x_q - z_x)
    y_q  = clamp(((acc * m + (1 << (s-1))) >> s) + z_y, low, high)      (m = 1 unless a multiplier is given;
                                                                         s = 0 adds no rounding term)
Padding inserts z_x.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import Anchor, Coding, integer_limits
from hwquant.errors import HwquantError
from hwquant.graph import Concat, Input, MaxPool, Output, Shape
from hwquant.window import EACH_PIXEL, Window, check_kernel

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Tensor:
    """An integer activation: real value ``scale * (q - zero_point)``, ``q`` in ``bits`` signed bits."""

    name: str
    shape: Shape
    scale: float
    zero_point: int
    bits: int = 8

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest representable integer."""
        return integer_limits(self.bits)

    def quantize(self, x: NDArray[np.float64]) -> IntArray:
        """Real values to integers: round half up, then saturate."""
        low, high = self.limits
        return np.clip(np.floor(x / self.scale + 0.5) + self.zero_point, low, high).astype(np.int64)

    def dequantize(self, q: IntArray) -> NDArray[np.float64]:
        """Integers to real values."""
        return self.scale * (q - self.zero_point).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Term:
    """One linear map into an accumulator: ``2^shift * conv(adjusted weight, x_q - z_x)``.

    Attributes
    ----------
    input : str
        Name of the tensor that is read.
    codes : NDArray[np.int8]
        Int8 [out, in / groups, kernel height, kernel width], the stored ``w_q`` (signed ``bits`` bits).
    offset : IntArray
        Int64 [1] or [out], the ``o`` of method 1.
    scale : NDArray[np.float64]
        Float64 [1] or [out], ``S_w``.
    anchor : Anchor, default 'min'
        "min" (``w_q + o``) or "max" (``o - w_q``).
    bits : int, default 8
        Storage bits of a weight, 1..8.
    window : Window, default EACH_PIXEL
        Its kernel is that of ``codes``.
    groups : int, default 1
        Parts that the channels are divided into; each is a convolution of its own.
    shift : int, default 0
        Left shift of the whole term.
    mask : NDArray[np.bool_] | None, optional
        Bool, the shape of ``codes``, False where a weight is pruned; None where nothing is.
    """

    input: str
    codes: NDArray[np.int8]
    offset: IntArray
    scale: NDArray[np.float64]
    anchor: Anchor = "min"
    bits: int = 8
    window: Window = EACH_PIXEL
    groups: int = 1
    shift: int = 0
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        check_kernel(f"the term that reads {self.input!r}", self.window, self.codes)

    @property
    def coding(self) -> Coding:
        """What the codes stand for."""
        return Coding(self.bits, self.anchor, self.offset)

    @property
    def weight(self) -> IntArray:
        """The adjusted weight that multiplies the input, int64, the shape of ``codes``."""
        return self.coding.adjusted(self.codes)

    def output_shape(self, shape: Shape) -> Shape:
        """Shape of what it adds to the accumulators, for the shape of its input."""
        return (len(self.codes), *self.window.output_size(shape[1:]))


@dataclass(frozen=True, eq=False)
class Layer:
    """Accumulate terms, add the bias, requantize, clamp. ``name`` is also its output tensor.

    Attributes
    ----------
    bias : IntArray
        Int64 [out], in units of the accumulator.
    shift : IntArray
        Int64 [1] or [out], the rounding right shift, 0..62.
    multiplier : IntArray | None, optional
        Int64 [1] or [out], positive, or None for shift-only requantization.
    low, high : int
        The clamp, within the output tensor's bits (ReLU: ``low = z_y``).
    """

    name: str
    terms: tuple[Term, ...]
    bias: IntArray
    shift: IntArray
    low: int
    high: int
    multiplier: IntArray | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(term.input for term in self.terms)

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.terms[0].output_shape(shapes[0])

    def macs(self, *shapes: Shape) -> int:
        """Multiply-accumulates of one inference (padding positions included)."""
        return sum(
            math.prod(term.codes.shape) * math.prod(term.output_shape(shape)[1:])
            for term, shape in zip(self.terms, shapes)
        )


QNode = Layer | MaxPool | Concat
"""All kinds. What must know them ends its ``match`` in ``assert_never``, so that mypy names it for a new one."""


@dataclass(frozen=True, eq=False)
class QGraph:
    """An integer network.

    Attributes
    ----------
    inputs : tuple[Input, ...]
        How the user's arrays become the first tensors.
    outputs : tuple[Output, ...]
        How the last tensors become the user's arrays.
    nodes : tuple[QNode, ...]
        In topological order.
    tensors : Mapping[str, Tensor]
        Every tensor by name (inputs and nodes).
    options : Mapping[str, object], optional
        How it was quantized, for people: plain JSON values.
    """

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[QNode, ...]
    outputs: tuple[Output, ...]
    tensors: Mapping[str, Tensor]
    options: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {item.name for item in self.inputs}
        for name in known:
            if name not in self.tensors:
                raise HwquantError(f"input {name!r} has no tensor description")
        for node in self.nodes:
            for name in node.inputs:
                if name not in known:
                    raise HwquantError(
                        f"layer {node.name!r} reads {name!r}, which nothing before it produces"
                    )
            if node.name not in self.tensors:
                raise HwquantError(f"layer {node.name!r} has no tensor description")
            shape = node.output_shape(*(self.tensors[name].shape for name in node.inputs))
            if shape != self.tensors[node.name].shape:
                raise HwquantError(
                    f"layer {node.name!r} produces {shape}, not {self.tensors[node.name].shape}"
                )
            known.add(node.name)
        for output in self.outputs:
            if output.tensor not in known:
                raise HwquantError(f"output {output.name!r} reads {output.tensor!r}, which nothing produces")

    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(node.macs(*(self.tensors[name].shape for name in node.inputs)) for node in self.nodes)
