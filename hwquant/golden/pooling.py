"""Max pooling of (height, width, channel, image) float blocks: over rows, then over columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwquant.golden.convolution import Block, covered
from hwquant.window import Window


class Pooling:
    """A max pool of a block, or of a range of its rows.

    Parameters
    ----------
    window : Window
        The window of the maxima.
    line : tuple of int
        Extent of a row of the input: columns, channels, images.
    rows : int
        The most output rows of one call.
    dtype : dtype
        The type of both blocks.
    """

    def __init__(self, window: Window, line: tuple[int, ...], rows: int, dtype: np.dtype[Any]) -> None:
        self.window = window
        self.row_maxima = np.empty((rows, *line), dtype)

    def __call__(self, source: Block, source_first: int, first: int, out: Block) -> None:
        """Write the output rows from ``first`` on; ``source`` begins at the input's row ``source_first``."""
        maxima, (kh, kw), (sy, sx) = self.row_maxima[: len(out)], self.window.kernel, self.window.stride
        (dy, dx), (top, left, _, _) = self.window.dilation, self.window.padding
        _maximum(source, maxima, 0, kh, sy, dy, first * sy - top - source_first)
        _maximum(maxima, out, 1, kw, sx, dx, -left)


def _maximum(x: Block, out: Block, axis: int, kernel: int, stride: int, dilation: int, origin: int) -> None:
    """Maximum over a window along one axis; position 0 sees ``origin`` first; padding counts as -inf."""
    count, size = out.shape[axis], x.shape[axis]
    lead = (slice(None),) * axis
    whole: list[tuple[Block, Block]] = []  # where the window position never falls on padding
    partial: list[tuple[Block, Block]] = []
    for start in range(origin, origin + kernel * dilation, dilation):
        first, last = covered(count, stride, start, size)
        if first < last:
            pixels = x[*lead, start + first * stride : start + (last - 1) * stride + 1 : stride]
            (whole if last - first == count else partial).append((out[*lead, first:last], pixels))
    if len(whole) > 1:  # one pass less
        np.maximum(whole[0][1], whole[1][1], out=out)
    else:
        out[...] = whole[0][1] if whole else -np.inf
    for view, pixels in [*whole[2:], *partial]:
        np.maximum(view, pixels, out=view)
