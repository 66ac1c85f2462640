"""The integer network: the one meaning that the golden model, the compiler and the RTL share.

A node computes, or moves values. A :class:`Layer` accumulates terms and requantizes the sum; a convolution is one
term, a residual addition two, an average pooling one with constant weights. A :class:`Product` multiplies two tensors.
The float network's :class:`~hwquant.graph.MaxPool`, :class:`~hwquant.graph.Concat` and
:class:`~hwquant.graph.Rearrange` move integers as they do reals, without arithmetic: scale, zero point and bits pass
through, and what is zero is the zero point. Tensors are (channels, height, width) of signed integers.

Numbers (all exact)::

    x    = S_x * (x_q - z_x)
    w    = S_w * (w_q + o)            anchor "min"
    w    = S_w * (o - w_q)            anchor "max"
    w    = S_w * (o +- 2 * w_q)       step 2, o odd: a mid-rise grid, {-1, 1} at one bit
    acc  = b_q + Sum_terms 2^k * Sum (adjusted weight) * (x_q - z_x)
    y_q  = clamp(((acc * m + (1 << (s-1))) >> s) + z_y, low, high)      (m = 1 unless a multiplier is given;
                                                                         s = 0 adds no rounding term)
    y_q  = table[clamp(...)]              where the layer has one; z_y is then that of the table's address

Padding inserts z_x. A product has ``acc = (a_q - z_a) * (b_q - z_b)`` and no bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import Anchor, Coding, Step, integer_limits
from hwquant.ends import Ends
from hwquant.errors import HwquantError
from hwquant.graph import Concat, MaxPool, Rearrange, Shape, product_shape
from hwquant.interface import Input, Output, Whole, check_states
from hwquant.window import EACH_PIXEL, Window, check_kernel

IntArray = NDArray[np.int64]
WIDEST = 24
"""Most bits of a tensor: as many as 32-bit floats hold exactly."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """How the integers ``q`` of a tensor stand for real values: ``scale * (q - zero_point)``.

    Attributes
    ----------
    name : str
        Name of the tensor.
    shape : tuple of int
        Channels, height and width.
    scale : float
        Real value of a step.
    zero_point : int
        The integer that stands for 0.
    bits : int, default 8
        Width of an integer, signed: 2..8, or up to :data:`WIDEST` for the sums of a layer that are not rescaled.
    """

    name: str
    shape: Shape
    scale: float
    zero_point: int
    bits: int = 8

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest integer that the tensor can hold."""
        return integer_limits(self.bits)

    def quantize(self, x: NDArray[np.float64]) -> IntArray:
        """Turn real values into integers, int64 of the same shape: round half up, then saturate."""
        low, high = self.limits
        return np.clip(np.floor(x / self.scale + 0.5) + self.zero_point, low, high).astype(np.int64)

    def dequantize(self, q: IntArray) -> NDArray[np.float64]:
        """Turn integers into the real values that they stand for, float64 of the same shape."""
        return self.scale * (q - self.zero_point).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Term:
    """One linear map into an accumulator: ``2^shift * conv(adjusted weight, x_q - z_x)``.

    Attributes
    ----------
    input : str
        Name of the tensor that is read.
    codes : ndarray of int8, shape (out, in / groups, kernel height, kernel width)
        Stored codes ``w_q``, signed integers of ``bits`` bits.
    offset : ndarray of int64, shape (1,) or (out,)
        The offset ``o`` of method 1 (CN112085154A), one for all output channels or one for each.
    scale : ndarray of float64, shape (1,) or (out,)
        The scale ``S_w``, the real value of 1 of the adjusted weight, one for all output channels or one for each.
    anchor : {"min", "max"}
        Whether codes count up from the least weight (``w_q + o``) or down from the greatest (``o - w_q``).
    bits : int, default 8
        Bits of a stored code, 1..8.
    window : Window
        How the kernel moves; its kernel is that of ``codes``.
    groups : int, default 1
        Parts that the channels are divided into; each is a convolution of its own.
    shift : int, default 0
        Left shift of the whole term, 0..31.
    mask : ndarray of bool, of the shape of ``codes``, optional
        False where a weight is pruned; None where none is.
    step : {1, 2}
        What one more in a code changes in the adjusted weight; 2, with odd offsets, for a mid-rise grid.
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
    step: Step = 1

    def __post_init__(self) -> None:
        check_kernel(f"the term that reads {self.input!r}", self.window, self.codes)

    @property
    def coding(self) -> Coding:
        """What the codes stand for."""
        return Coding(self.bits, self.anchor, self.offset, self.step)

    @property
    def weight(self) -> IntArray:
        """The adjusted weights that multiply the input, int64 of the shape of ``codes``."""
        return self.coding.adjusted(self.codes)

    def output_shape(self, shape: Shape) -> Shape:
        """Find the shape of what the term adds to the accumulators, for the shape of its input."""
        return (len(self.codes), *self.window.output_size(shape[1:]))


MOST_TABLE_BITS = 12
"""Bits of the integer that a table is addressed with, at most."""


@dataclass(frozen=True, eq=False)
class Table:
    """A function of one variable, of integers: the output for each clamped integer, which is its address.

    Attributes
    ----------
    values : ndarray of int64, shape (2^bits,)
        The outputs, in the order of the signed addresses of 2..12 bits, the least first.
    scale : float
        Real value of a step of the address.
    zero_point : int
        The address that stands for 0.
    """

    values: IntArray
    scale: float
    zero_point: int

    @property
    def bits(self) -> int:
        """Width of an address, signed."""
        return (len(self.values) - 1).bit_length()

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest address."""
        return integer_limits(self.bits)

    def __call__(self, q: IntArray) -> IntArray:
        """Look up the output of every address."""
        return self.values[q - self.limits[0]]

    def reached(self, low: int, high: int) -> IntArray:
        """The outputs for the addresses from ``low`` to ``high``."""
        return self.values[low - self.limits[0] : high - self.limits[0] + 1]


@dataclass(frozen=True, eq=False)
class Layer:
    """Accumulate terms, add the bias, requantize, clamp, and look up.

    Attributes
    ----------
    name : str
        Name of the layer, and of its output tensor.
    terms : tuple of Term
        What is summed, at least one term.
    bias : ndarray of int64, shape (out,)
        What is added to each channel's sum, in units of the accumulator.
    shift : ndarray of int64, shape (1,) or (out,)
        The rounding right shift, 0..62.
    low : int
        The least output, within the output tensor's bits; ReLU has the tensor's zero point. With a table it is the
        least address.
    high : int
        The greatest output, within the output tensor's bits, or the greatest address.
    multiplier : ndarray of int64, shape (1,) or (out,), optional
        What the sum is multiplied by, positive; None where requantization is a shift alone.
    table : Table, optional
        What becomes of the clamped integer; None where that is the output.
    """

    name: str
    terms: tuple[Term, ...]
    bias: IntArray
    shift: IntArray
    low: int
    high: int
    multiplier: IntArray | None = None
    table: Table | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the tensors that the terms read, in order."""
        return tuple(term.input for term in self.terms)

    def constant(self, zero_points: Mapping[str, int]) -> IntArray:
        """Sum up what is added to a channel's sum of products with the stored integers ``x_q``.

        It is the bias with all zero points folded in and, where a shift alone requantizes, the rounding term: what
        hardware stores of a bias. Any other bias changes it by as much.

        Parameters
        ----------
        zero_points : mapping of int
            Zero points of the tensors that the layer reads and of its own, by name.

        Returns
        -------
        ndarray of int64, shape (out,)
            The constant of each channel, in units of the accumulator.
        """
        total = self.bias.copy()
        for term in self.terms:
            total -= zero_points[term.input] * (term.weight.sum(axis=(1, 2, 3)) << term.shift)
        if self.multiplier is None:
            half = np.where(self.shift > 0, np.int64(1) << np.maximum(self.shift - 1, 0), 0)
            zero_point = self.table.zero_point if self.table else zero_points[self.name]
            total += half + (zero_point << self.shift)
        return total

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor for the shapes of the inputs."""
        return self.terms[0].output_shape(shapes[0])

    def macs(self, *shapes: Shape) -> int:
        """Count the multiply-accumulates of one inference, with those on padding, for the shapes of the inputs."""
        return sum(
            math.prod(term.codes.shape) * math.prod(term.output_shape(shape)[1:])
            for term, shape in zip(self.terms, shapes)
        )


@dataclass(frozen=True, eq=False)
class Product:
    """Multiply two tensors element by element, requantize, clamp.

    Attributes
    ----------
    name : str
        Name of the product, and of its output tensor.
    inputs : tuple of str
        Names of the two tensors that it reads: of one shape, or the second with one factor a channel,
        (channels, 1, 1).
    shift : int
        The rounding right shift, 0..62.
    low : int
        The least output, within the output tensor's bits.
    high : int
        The greatest output, within the output tensor's bits.
    multiplier : int, optional
        What the product is multiplied by, positive; None where requantization is a shift alone.
    """

    name: str
    inputs: tuple[str, str]
    shift: int
    low: int
    high: int
    multiplier: int | None = None

    def output_shape(self, *shapes: Shape) -> Shape:
        """Find the shape of the output tensor for the shapes of the inputs."""
        return product_shape(self.name, *shapes)

    def macs(self, *shapes: Shape) -> int:
        """Count the multiplications of one inference, for the shapes of the inputs."""
        return math.prod(shapes[0])


QNode = Layer | Product | MaxPool | Concat | Rearrange
"""All kinds. What must know them ends its ``match`` in ``assert_never``, so that mypy names it for a new one."""


@dataclass(frozen=True, eq=False)
class QGraph(Whole):
    """An integer network.

    Attributes
    ----------
    name : str
        Name of the network.
    inputs : tuple of Input
        How the user's arrays become the first tensors.
    nodes : tuple of QNode
        The nodes in topological order.
    outputs : tuple of Output
        How the last tensors become the user's arrays.
    tensors : mapping of Tensor
        Every tensor by name, those of inputs and of nodes.
    options : mapping
        How the network was quantized, for people: plain JSON values.
    host : Ends or None, optional
        What stays with the host before ``inputs`` and after ``outputs``; None where that is nothing.

    Raises
    ------
    HwquantError
        A tensor is read that nothing produces, is not described, or has another shape than its node produces.
    """

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[QNode, ...]
    outputs: tuple[Output, ...]
    tensors: Mapping[str, Tensor]
    options: Mapping[str, object] = field(default_factory=dict)
    host: Ends | None = None

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
        check_states(self.inputs, self.outputs)

    def macs(self) -> int:
        """Count the multiply-accumulates of one inference."""
        return sum(node.macs(*(self.tensors[name].shape for name in node.inputs)) for node in self.nodes)
