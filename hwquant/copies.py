"""Pixels that are copied from tensor to tensor: slices, shuffles, tilings, what interleaves and what joins.

A copy takes every ``step``-th pixel of a rectangle of one tensor to every ``step``-th pixel of a rectangle of another,
channel by channel. Several of them make a :class:`~hwquant.graph.Rearrange`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.window import Pair

Index = NDArray[np.int64]
Shape = tuple[int, int, int]

MOST_TARGETS = 256
"""Most targets that the copies of a node have: each is a layer on the array."""


@dataclass(frozen=True)
class Grid:
    """Pixels at equal distances, of a tensor.

    Attributes
    ----------
    start : tuple of int
        Row and column of the first pixel.
    step : tuple of int
        Rows and columns from one pixel to the next; where pixels are read it may be 0 or negative.
    size : tuple of int
        Rows and columns of pixels.
    """

    start: Pair
    step: Pair
    size: Pair

    def lines(self, axis: int) -> Index:
        """The rows (axis 0) or columns (axis 1) that the grid's pixels are in, in order."""
        return self.start[axis] + self.step[axis] * np.arange(self.size[axis], dtype=np.int64)

    def inside(self, size: Pair) -> bool:
        """Whether all pixels are within an image of (height, width)."""
        return all(
            min(first, first + step * (count - 1)) >= 0 and max(first, first + step * (count - 1)) < length
            for first, step, count, length in zip(self.start, self.step, self.size, size)
        )

    def meets(self, other: Grid) -> bool:
        """Whether a pixel belongs to both grids, of positive steps."""
        return all(
            _meet(
                (self.start[axis], self.step[axis], self.size[axis]),
                (other.start[axis], other.step[axis], other.size[axis]),
            )
            for axis in (0, 1)
        )


def _meet(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether two sequences (first, step, count) have a number in common."""
    (a, da, _), (b, db, _) = one, other
    common = math.gcd(da, db)
    if (b - a) % common:
        return False
    period = da // common * db
    # The first number of both that is not less than either begins.
    k = (b - a) // common * pow(da // common, -1, db // common) % (db // common)
    first = a + k * da
    first += -(-(max(a, b) - first) // period) * period
    return first <= min(start + step * (count - 1) for start, step, count in (one, other))


@dataclass(frozen=True, eq=False)
class Copy:
    """One copy: ``out[c, target] = inputs[input][channels[c], source]``, for every channel that there is one for.

    Attributes
    ----------
    input : int
        Number of the tensor that is read, among the inputs of the node.
    channels : ndarray of int64, shape (out,)
        The channel that each of the output's channels takes; -1 where the copy leaves it to another one.
    source : tuple of int
        Row and column of the first pixel that is read.
    step : tuple of int
        Rows and columns from one pixel that is read to the next; 0 repeats a pixel, negative numbers go backward.
    target : Grid
        Where the pixels go; its steps are positive.
    """

    input: int
    channels: Index
    source: Pair
    step: Pair
    target: Grid

    @property
    def read(self) -> Grid:
        """The pixels that are read."""
        return Grid(self.source, self.step, self.target.size)


def check_copies(where: str, shape: Shape, inputs: int, copies: Sequence[Copy]) -> None:
    """Raise unless the targets of copies divide an output of ``shape``, and no element is written twice.

    Copies with the same target divide its channels; those that none of them has are zero.

    Raises
    ------
    HwquantError
        They do not; the message begins with ``where``.
    """
    targets = list(dict.fromkeys(copy.target for copy in copies))
    if len(targets) > MOST_TARGETS:
        raise HwquantError(f"{where} copies to {len(targets)} places; {MOST_TARGETS} are possible")
    for number, target in enumerate(targets):
        if min(target.step) < 1 or min(target.size) < 1 or not target.inside(shape[1:]):
            raise HwquantError(f"{where} copies to {target}, which is not within {shape[1:]}")
        if any(target.meets(other) for other in targets[:number]):
            raise HwquantError(f"{where} copies to {target}, where it copies twice")
        taken = np.zeros(shape[0], np.int64)
        for copy in copies:
            if copy.target == target:
                if copy.channels.shape != shape[:1] or not 0 <= copy.input < inputs:
                    raise HwquantError(
                        f"{where} has a copy of {copy.channels.shape} channels, not {shape[:1]}"
                    )
                taken += copy.channels >= 0
        if (taken > 1).any():
            raise HwquantError(f"{where} writes channel {int(np.argmax(taken > 1))} of a pixel twice")
    if sum(math.prod(target.size) for target in targets) != math.prod(shape[1:]):
        raise HwquantError(f"{where} leaves pixels out, to which nothing is copied")


def check_sources(where: str, shapes: Sequence[Shape], copies: Sequence[Copy]) -> None:
    """Raise unless copies read what there is in inputs of these shapes.

    Raises
    ------
    HwquantError
        They do not; the message begins with ``where``.
    """
    for copy in copies:
        channels, *size = shapes[copy.input]
        if (
            not copy.read.inside((size[0], size[1]))
            or not -1 <= copy.channels.min() <= copy.channels.max() < channels
        ):
            raise HwquantError(f"{where} reads beyond its input {copy.input} of shape {shapes[copy.input]}")


def element_index(shape: Shape, shapes: Sequence[Shape], copies: Sequence[Copy]) -> Index:
    """Find the element that each element of the output is: all that copies mean.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of the output.
    shapes : sequence of tuple of int
        Those of the inputs.
    copies : sequence of Copy
        The copies.

    Returns
    -------
    ndarray of int64, shape ``shape``
        Numbers of elements of the inputs, one input after the other; what is behind the last is zero.
    """
    sizes = [channels * height * width for channels, height, width in shapes]
    starts = np.cumsum([0, *sizes])
    index = np.full(shape, starts[-1], np.int64)
    for copy in copies:
        _, height, width = shapes[copy.input]
        own = np.flatnonzero(copy.channels >= 0)
        read, target = copy.read, copy.target
        pixels = read.lines(0)[:, None] * width + read.lines(1)
        elements = starts[copy.input] + copy.channels[own, None, None] * (height * width) + pixels
        index[np.ix_(own, target.lines(0), target.lines(1))] = elements
    return index


def carry_out(
    shape: Shape, inputs: Sequence[NDArray[Any]], copies: Sequence[Copy], zero: float = 0
) -> NDArray[Any]:
    """Copy: inputs (N, C, H, W) of one dtype to an output (N, *shape); what no copy writes is ``zero``."""
    out = np.full((len(inputs[0]), *shape), zero, inputs[0].dtype)
    for copy in copies:
        own = np.flatnonzero(copy.channels >= 0)
        read, target = copy.read, copy.target
        taken = inputs[copy.input][:, copy.channels[own]][:, :, read.lines(0)][..., read.lines(1)]
        out[np.ix_(np.arange(len(out)), own, target.lines(0), target.lines(1))] = taken
    return out
