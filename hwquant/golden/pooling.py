"""Max pooling of (height, width, channel, image) float blocks: over rows, then over columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwquant.golden.convolution import Block, covered
from hwquant.qgraph import MaxPool


class Pooling:
    """A max pool of a block, or of a range of its rows.

    Parameters
    ----------
    pool : geometry
    line : extent of a row of the input: columns, channels, images
    rows : the most output rows of one call
    dtype : of both blocks
    """

    def __init__(self, pool: MaxPool, line: tuple[int, ...], rows: int, dtype: np.dtype[Any]) -> None:
        self.pool = pool
        self.row_maxima = np.empty((rows, *line), dtype)

    def __call__(self, source: Block, source_first: int, first: int, out: Block) -> None:
        """Write the output rows from ``first`` on; ``source`` begins at the input's row ``source_first``."""
        pool, maxima = self.pool, self.row_maxima[: len(out)]
        origin = first * pool.stride[0] - pool.padding[0] - source_first
        _maximum(source, maxima, 0, pool.kernel[0], pool.stride[0], pool.dilation[0], origin)
        _maximum(maxima, out, 1, pool.kernel[1], pool.stride[1], pool.dilation[1], -pool.padding[1])


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
