"""Convolution of (height, width, channel, image) float blocks, with numpy and BLAS alone.

Images are the innermost axis, so that every copy and every elementwise pass runs along contiguous memory,
whatever the channel count, and a matrix product is one output pixel's: [out, K] times [K, images]. Kernel
rows are gathered by copying, kernel columns by overlapping views, so that a 3 x 3 convolution copies its
input 3 times, not 9. Arrays and views are made once for a fixed number of images, then reused.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from hwquant.golden.memory import Arena, Block
from hwquant.qgraph import Term

PRODUCT_LIMITS = (1 << 18, 1_000_000)
"""Multiply-accumulates of one matrix product. Up to the first, OpenBLAS runs it in the calling thread; up to the
second, where it has kernels for small matrices, it also does so, and does not repack the operands."""

FEWEST_ROWS = 4
"""Rows of the weight in one product below which it is slower than one that OpenBLAS shares out to its threads."""


def covered(count: int, stride: int, origin: int, size: int) -> tuple[int, int]:
    """The ``i`` in 0..count, as (first, last + 1), for which ``origin + i * stride`` lies in 0..size."""
    first = min(max(0, -(origin // stride)), count)
    return first, max(first, min(count, (size - 1 - origin) // stride + 1))


class Convolution:
    """The weighted sums of one term, for any range of output rows.

    Parameters
    ----------
    term : Term
        The term, for its geometry.
    weight : Block
        What multiplies the input, [out, in / groups, kernel height, kernel width], in the dtype to use.
    source : Block
        The input block [height, width, in, images], 0 where the input is; read at every call.
    rows : int
        The most output rows of one call.
    columns : int
        The output columns to compute, from the left.
    arena : Arena
        The memory that the gathered lines are in.
    """

    def __init__(
        self, term: Term, weight: Block, source: Block, rows: int, columns: int, arena: Arena
    ) -> None:
        window = term.window
        self.stride, self.padding, self.dilation = window.stride, window.padding, window.dilation
        self.height, source_width, _, images = source.shape
        out, depth, self.kernel_height, kernel_width = weight.shape
        span = (kernel_width - 1) * self.dilation[1] + 1  # columns that a dilated kernel skips are weighted 0
        matrix = np.zeros((out, span, self.kernel_height, depth), weight.dtype)
        matrix[:, :: self.dilation[1]] = weight.transpose(0, 3, 2, 1)
        terms = span * self.kernel_height * depth
        part = _rows_at_once(out // term.groups, terms * images)
        self.parts = (term.groups, out // term.groups // part, part)
        self.weight = matrix.reshape(*self.parts, terms)

        width = (columns - 1) * self.stride[1] + span
        # [height, groups, width, in / groups, images]
        self.source = source.reshape(*source.shape[:2], term.groups, depth, images).transpose(0, 2, 1, 3, 4)
        self.direct = (
            self.kernel_height == 1
            and term.groups == 1
            and not any(self.padding)
            and source.dtype == weight.dtype
        )
        # [rows, groups, width, kernel height, in / groups, images]
        if self.direct:
            self.lines = self.source[:: self.stride[0], :, :, None]
        elif term.groups == 1 or depth == 1:  # channels stay together, so that copies are long
            lines = arena.zeros((rows, width, self.kernel_height, term.groups, depth, images), weight.dtype)
            self.lines = lines.transpose(0, 3, 1, 2, 4, 5)
        else:  # that would tear a group's terms apart
            shape = (rows, term.groups, width, self.kernel_height, depth, images)
            self.lines = arena.zeros(shape, weight.dtype)
        line, group, pixel, _, channel, image = self.lines.strides
        self.pixels = as_strided(
            self.lines,
            (len(self.lines), columns, term.groups, 1, terms, images),
            (
                line,
                pixel * self.stride[1],
                group,
                0,
                channel if depth > 1 else pixel // self.kernel_height,
                image,
            ),
            writeable=False,
        )
        first, last = covered(width, 1, -self.padding[1], source_width)
        self.into = (slice(first, last), slice(first - self.padding[1], last - self.padding[1]))

    def _gather(self, first: int, count: int) -> None:
        """Copy the input rows that the output rows ``first .. first + count`` see; padding rows become 0."""
        to, of = self.into
        stride = self.stride[0]
        for row in range(self.kernel_height):
            origin = first * stride - self.padding[0] + row * self.dilation[0]
            begin, end = covered(count, stride, origin, self.height)
            self.lines[:begin, :, :, row] = 0
            self.lines[end:count, :, :, row] = 0
            if begin < end:
                seen = slice(origin + begin * stride, origin + (end - 1) * stride + 1, stride)
                self.lines[begin:end, :, to, row] = self.source[seen, :, of]

    def __call__(self, first: int, sums: Block) -> None:
        """Write the output rows ``first .. first + len(sums)`` into ``sums`` [rows, columns, out, images]."""
        rows = len(sums)
        if self.direct:
            pixels = self.pixels[first : first + rows]
        else:
            self._gather(first, rows)
            pixels = self.pixels[:rows]
        np.matmul(self.weight, pixels, out=sums.reshape(*sums.shape[:2], *self.parts, sums.shape[-1]))


def _rows_at_once(rows: int, size: int) -> int:
    """How many of the weight's rows, each of ``size`` multiply-accumulates, to put into one product."""
    for limit in PRODUCT_LIMITS:
        part = max(
            part for part in range(1, rows + 1) if rows % part == 0 and (part == 1 or part * size <= limit)
        )
        if part >= min(rows, FEWEST_ROWS):
            return part
    return rows
