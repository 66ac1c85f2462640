"""Convolutions whose channels do not mix, of (height, width, channel, image) float blocks.

Their matrix products would be a row of the kernel times a column of pixels, too small for BLAS. Where an
image is narrow, a few whole output rows are one product instead: the weight is a banded matrix of output
pixels by input pixels, mostly zeros, and no pixel is copied. A kernel of one weight is a multiplication.
Both take what :class:`hwquant.golden.convolution.Convolution` takes, and give the same sums.
"""

from __future__ import annotations

import numpy as np

from hwquant.golden.memory import Arena, Block
from hwquant.qgraph import Term

PIXELS = 8
"""Output pixels in a product, rounded up to whole rows."""

WASTE = 6
"""Most multiplications in a banded product for each weight of the kernel; beyond, small products are faster."""


class Scaling:
    """A kernel of one weight without padding: every channel times a number.

    Its parameters are those of :class:`hwquant.golden.convolution.Convolution`.
    """

    def __init__(
        self, term: Term, weight: Block, source: Block, rows: int, columns: int, arena: Arena
    ) -> None:
        lines, steps = term.window.stride
        self.pixels = source[::lines, : (columns - 1) * steps + 1 : steps]
        self.weight = np.repeat(weight.reshape(-1, 1), source.shape[-1], axis=1)

    @staticmethod
    def suits(term: Term) -> bool:
        """Whether this class can compute a term."""
        return len(term.codes) == term.groups and term.codes[0].size == 1 and not term.window.padded

    def __call__(self, first: int, sums: Block) -> None:
        """Write the output rows ``first .. first + len(sums)`` into ``sums`` [rows, columns, out, images]."""
        np.multiply(self.pixels[first : first + len(sums)], self.weight, out=sums)


class Banded:
    """A depthwise convolution of a narrow image, as products with banded matrices.

    Its parameters are those of :class:`hwquant.golden.convolution.Convolution`.
    """

    def __init__(
        self, term: Term, weight: Block, source: Block, rows: int, columns: int, arena: Arena
    ) -> None:
        self.term, self.weight, self.source, self.columns = term, weight, source, columns
        self.rows = _rows(columns)  # of a product
        self.matrices: dict[tuple[int, int, int], Block] = {}

    @staticmethod
    def suits(term: Term, weight: Block, source: Block, columns: int) -> bool:
        """Whether this class can compute a term, and is fast at it."""
        if source.dtype != weight.dtype or weight.shape[1] > 1 or not len(weight) == term.groups > 1:
            return False
        kernel_height, kernel_width = weight.shape[2:]
        extent = term.window.extent[0] + (_rows(columns) - 1) * term.window.stride[0]
        pixels = min(extent, len(source)) * source.shape[1]
        return pixels <= WASTE * kernel_height * kernel_width

    def __call__(self, first: int, sums: Block) -> None:
        """Write the output rows ``first .. first + len(sums)`` into ``sums`` [rows, columns, out, images]."""
        height, _, channels, images = self.source.shape
        window = self.term.window
        stride, span = window.stride[0], window.extent[0]
        for start in range(0, len(sums), self.rows):
            part = sums[start : start + self.rows]
            begin = (first + start) * stride - window.padding[0]
            end = min(height, begin + (len(part) - 1) * stride + span)
            seen = self.source[max(0, begin) : max(0, end)]
            matrix = self._matrix(min(0, begin), len(part), len(seen))
            pixels = seen.reshape(-1, channels, images).swapaxes(0, 1)
            np.matmul(matrix, pixels, out=part.reshape(-1, channels, images).swapaxes(0, 1))

    def _matrix(self, begin: int, rows: int, height: int) -> Block:
        """One of the few matrices that the top, the middle and the bottom of an image need."""
        key = begin, rows, height
        if key not in self.matrices:
            self.matrices[key] = self._banded(*key)
        return self.matrices[key]

    def _banded(self, begin: int, rows: int, height: int) -> Block:
        """The matrix [channels, output pixels, input pixels] from ``height`` input to ``rows`` output rows.

        The first output row begins to look at input row ``begin``, before the input where that is negative.
        """
        window, weight, width = self.term.window, self.weight[:, 0], self.source.shape[1]
        (sy, sx), (dy, dx), left = window.stride, window.dilation, window.padding[1]
        matrix = np.zeros((len(weight), rows, self.columns, height, width), weight.dtype)
        for row, column in np.ndindex(weight.shape[1:]):
            y = begin + np.arange(rows) * sy + row * dy
            x = np.arange(self.columns) * sx - left + column * dx
            (i,), (j,) = np.nonzero((y >= 0) & (y < height)), np.nonzero((x >= 0) & (x < width))
            places = np.ix_(i, j)
            matrix[:, *places, y[i][:, None], x[j]] = weight[:, row, column, None, None]
        return matrix.reshape(len(weight), rows * self.columns, -1)


def _rows(columns: int) -> int:
    return -(-PIXELS // columns)
