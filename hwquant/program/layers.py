"""Layers on the array: what they compute, whatever the size of the array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import Step
from hwquant.copies import Grid
from hwquant.qgraph import IntArray, Table
from hwquant.window import Padding

ALL = slice(None)


@dataclass(frozen=True, eq=False)
class ArrayTerm:
    """A convolution whose products are summed in the accumulators.

    ::

        adjusted weight = stored + offset              step 1
        adjusted weight = 2 (stored + offset) + 1      step 2: odd weights, of a mid-rise grid

    Attributes
    ----------
    tensor : str
        Name of the tensor that is read.
    channels : int
        Number of channels of that tensor.
    weight : ndarray of int64, shape (out, inputs, kernel height, kernel width)
        Adjusted weights.
    reads : ndarray of int64, shape (out, inputs)
        The tensor's channel that a weight multiplies, in increasing order; -1 where it is none. Tiles of channels that
        no output reads are neither executed nor counted as skipped.
    offset : ndarray of int64, shape (1,) or (out,)
        What is added to a stored weight to make the adjusted one, or what is then doubled.
    stride : tuple of int
        Pixels from one position of the kernel to the next, (y, x).
    padding : tuple of int
        Pixels around the tensor: top, left, bottom, right.
    dilation : tuple of int
        Pixels from one element of the kernel to the next, (y, x).
    pad : int
        The value that padding inserts.
    step : {1, 2}
        The distance of neighbouring weights; all of them are odd where it is 2.
    """

    tensor: str
    channels: int
    weight: IntArray
    reads: IntArray
    offset: IntArray
    stride: tuple[int, int]
    padding: Padding
    dilation: tuple[int, int]
    pad: int
    step: Step = 1

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return self.weight.shape[2], self.weight.shape[3]

    @cached_property
    def partial(self) -> bool:
        """Whether an output does not read all channels, so that the array holds zeros that the network has not."""
        return self.weight.shape[1] < self.channels or bool((self.reads < 0).any())

    @cached_property
    def separate(self) -> bool:
        """Whether each output channel reads the input channel of its own number, and no other."""
        out = len(self.reads)
        return out == self.channels and np.array_equal(self.reads, np.arange(out)[:, None])

    @cached_property
    def uniform(self) -> bool:
        """Whether all positions of the kernel have the same weights."""
        return bool((self.weight == self.weight[:, :, :1, :1]).all())

    @cached_property
    def weight_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight, with those of zeros that the array holds between the network's weights."""
        stored = self.stored(self.weight, self.offset.reshape(-1, 1, 1, 1))
        zeros = self.zero_limits if self.partial and self.step == 1 else ()
        values = [int(stored.min()), int(stored.max()), *zeros]
        return min(values), max(values)

    @property
    def zero_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight that stands for adjusted weight zero, over the output channels.

        Of odd weights, which have no zero, it is 1.
        """
        return int(-self.offset.max()), int(-self.offset.min())

    @property
    def stored_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight, those of :attr:`zero_limits` among them."""
        (low, high), zeros = self.weight_limits, self.zero_limits
        return min(low, zeros[0]), max(high, zeros[1])

    def stored(self, weight: IntArray, offset: IntArray) -> IntArray:
        """Turn adjusted weights into stored ones, for the offset of each; of odd weights, zero is taken for 1."""
        return weight // self.step - offset

    def adjusted(self, stored: IntArray, offset: IntArray) -> IntArray:
        """Turn stored weights into adjusted ones, for the offset of each."""
        return self.step * (stored + offset) + self.step - 1

    def dense(self, outputs: slice = ALL) -> IntArray:
        """The adjusted weights of all channels, int64 [outputs, channels, kernel height, kernel width]."""
        if not self.partial:
            return self.weight[outputs]
        weight, reads = self.weight[outputs], self.reads[outputs]
        dense = np.zeros((len(weight), self.channels, *self.kernel), np.int64)
        output, read = np.nonzero(reads >= 0)
        dense[output, reads[output, read]] = weight[output, read]
        return dense

    def connected(self, outputs: slice = ALL) -> NDArray[np.bool_]:
        """Which channels an output reads, bool [outputs, channels]."""
        reads = self.reads[outputs]
        connected = np.zeros((len(reads), self.channels), bool)
        output, read = np.nonzero(reads >= 0)
        connected[output, reads[output, read]] = True
        return connected


@dataclass(frozen=True)
class Destination:
    """Where a layer writes that makes only some pixels of a tensor.

    Attributes
    ----------
    tensor : str
        Name of the tensor.
    grid : Grid
        The pixels that the layer's outputs become.
    """

    tensor: str
    grid: Grid


@dataclass(frozen=True, eq=False)
class ArrayProduct:
    """What is multiplied below the array, in place of a convolution: the factors are read from the activation memory.

    ::

        product = (pixel - zero_points[0]) * (factor - zero_points[1])

    Attributes
    ----------
    tensor : str
        Name of the tensor whose pixels are multiplied.
    factors : str
        Name of the tensor that they are multiplied with.
    zero_points : tuple of int
        The zero points of both.
    held : bool
        Whether there is one factor a channel, which is read once a tile; otherwise there is one for each pixel.
    first : tuple of int, default (0, 0)
        The first row of the pixels' tensor that is multiplied, and that of the factors'.
    """

    tensor: str
    factors: str
    zero_points: tuple[int, int]
    held: bool
    first: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class ArrayLayer:
    """A layer on the array: one pass over all its tiles.

    Attributes
    ----------
    name : str
        Name of the layer: that of the tensor that it produces, or would if it did not write to another one.
    covers : tuple of str
        Names of the integer network's nodes that the layer executes.
    terms : tuple of ArrayTerm
        What the accumulators sum; nothing where there is a ``product``.
    bias : ndarray of int64, shape (out,)
        What is added to the sum of products with ``x - z``, as in the integer network.
    shift : ndarray of int64, shape (1,) or (out,)
        Rounding right shift of the sum.
    multiplier : ndarray of int64, shape (1,) or (out,), or None
        What the sum is multiplied by; None where requantization is a shift alone.
    zero_point : int
        What is added to the scaled sum: the zero point of the output, or of the table's addresses.
    low : int
        The least output, or address.
    high : int
        The greatest output, or address.
    macs : int
        Multiply-accumulates of the network's layer.
    useful_macs : int
        Multiply-accumulates whose results are read.
    pixels : tuple of int
        Height and width of the output.
    window : tuple of int
        Height and width of the max pool on the way out, or of what the accumulators sum over where the layer is mapped
        to window sums.
    window_stride : tuple of int
        Pixels from one window to the next, (y, x).
    window_dilation : tuple of int
        Pixels from one pixel of a window to the next, (y, x).
    product : ArrayProduct, optional
        The product that takes the place of the sum.
    table : Table or None, default None
        What becomes of the clamped integer, before any max pool; None where that is the output.
    output_zero : int, default 0
        Zero point of the output, where there is a table.
    into : Destination, optional
        Where the outputs go; None where they are a tensor of the layer's name.
    """

    name: str
    covers: tuple[str, ...]
    terms: tuple[ArrayTerm, ...]
    bias: IntArray
    shift: IntArray
    multiplier: IntArray | None
    zero_point: int
    low: int
    high: int
    macs: int
    useful_macs: int
    pixels: tuple[int, int]
    window: tuple[int, int] = (1, 1)
    window_stride: tuple[int, int] = (1, 1)
    window_dilation: tuple[int, int] = (1, 1)
    product: ArrayProduct | None = None
    table: Table | None = None
    output_zero: int = 0
    into: Destination | None = None

    @property
    def tensor(self) -> str:
        """Name of the tensor that the layer writes, or a part of it."""
        return self.into.tensor if self.into else self.name

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors that are read, in order."""
        if self.product:
            return self.product.tensor, self.product.factors
        return tuple(term.tensor for term in self.terms)

    def idle(self, multiplied: bool) -> int | None:
        """What an idle column's sum is to come to before the clamp, so that its output stands for zero.

        Parameters
        ----------
        multiplied : bool
            The array requantizes with multipliers, of which an idle column has 0: it comes to the zero point.

        Returns
        -------
        int or None
            None where no output stands for zero.
        """
        if self.table is None:
            return self.zero_point if self.low <= self.zero_point <= self.high else None
        zeros = self.low + np.flatnonzero(self.table.reached(self.low, self.high) == self.output_zero)
        if multiplied:
            zeros = zeros[zeros == min(max(self.zero_point, self.low), self.high)]
        return int(zeros[np.abs(zeros - self.zero_point).argmin()]) if len(zeros) else None

    @property
    def pooled(self) -> bool:
        """Whether outputs are visited other than one after the other."""
        return self.window != (1, 1) or self.window_stride != (1, 1)
