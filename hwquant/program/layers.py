"""Layers on the array: what they compute, whatever the size of the array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwquant.qgraph import IntArray
from hwquant.window import Padding

ALL = slice(None)


@dataclass(frozen=True, eq=False)
class ArrayTerm:
    """A convolution into the accumulators.

    Attributes
    ----------
    tensor : str
        What is read.
    channels : int
        Of that tensor.
    weight : IntArray
        NDArray of int64
        [out, inputs, kernel height, kernel width], adjusted.
    reads : IntArray
        NDArray of int64
        [out, inputs], the tensor's channel that a weight multiplies, in increasing order; -1 where it is none. Tiles
        of channels that no output reads are neither executed nor counted as skipped.
    offset : IntArray
        NDArray of int64
        [1] or [out], what the hardware adds to the stored weight.
    stride : tuple of int
        Of the pixels that are read, (y, x).
    padding : Padding
        Around the tensor.
    dilation : tuple of int
        Of the kernel, (y, x).
    pad : int
        The value that padding inserts.
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

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
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
        """Whether all positions of a kernel weigh the same."""
        return bool((self.weight == self.weight[:, :, :1, :1]).all())

    @cached_property
    def weight_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight, with that of a zero that the array holds between the network's."""
        stored = self.weight - self.offset.reshape(-1, 1, 1, 1)
        values = [int(stored.min()), int(stored.max()), *(self.zero_limits if self.partial else ())]
        return min(values), max(values)

    @property
    def zero_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight of adjusted weight zero, over the output channels."""
        return int(-self.offset.max()), int(-self.offset.min())

    @property
    def stored_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight, those of adjusted weight zero included."""
        (low, high), zeros = self.weight_limits, self.zero_limits
        return min(low, zeros[0]), max(high, zeros[1])

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


@dataclass(frozen=True, eq=False)
class ArrayLayer:
    """A layer on the array: one pass over all its tiles.

    Attributes
    ----------
    name : str
        Of the tensor that it produces.
    covers : tuple of str
        The integer network's nodes that it executes.
    terms : tuple of ArrayTerm
        What the accumulators sum.
    bias : IntArray
        NDArray of int64
        [out], still relative to ``x - z``.
    shift : IntArray
        NDArray of int64
        [1] or [out].
    multiplier : IntArray | None
        NDArray of int64 or None
        [1] or [out]; None for shift-only requantization.
    zero_point : int
        Of the output.
    low : int
        The least output.
    high : int
        The greatest output.
    macs : int
        Of the network's layer.
    useful_macs : int
        Those of them whose results are read.
    pixels : tuple of int
        The output's (height, width).
    window : tuple of int
        Of the max pool on the way out, or what the accumulators sum over where it is mapped to window sums.
    window_stride : tuple of int
        From one window to the next.
    window_dilation : tuple of int
        From one pixel of a window to the next.
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

    @property
    def pooled(self) -> bool:
        """Whether outputs are visited other than one after the other."""
        return self.window != (1, 1) or self.window_stride != (1, 1)
