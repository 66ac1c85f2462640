"""One layer on float blocks: accumulate, pool, requantize."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwquant.golden.convolution import Block, Convolution
from hwquant.golden.pooling import Pooling
from hwquant.qgraph import Layer, MaxPool, QGraph

BLOCK_BYTES = 1 << 20
"""Working set of a block of rows: about a second-level cache."""


class LayerStep:
    """A layer and the max pool, if any, that alone reads it; a block of rows at a time.

    Writes ``floor(acc * m / 2^s + 1/2)``, clamped; why the sums are exact: :mod:`hwquant.golden.fast`.

    Parameters
    ----------
    layer, pool : the layer, and the pool or None
    qgraph : describes the tensors
    sources : the blocks that the layer's terms read
    out : the block of the layer's output, or of the pool's
    dtype : float32 or float64, whichever holds every sum exactly
    """

    def __init__(
        self,
        layer: Layer,
        pool: MaxPool | None,
        qgraph: QGraph,
        sources: list[Block],
        out: Block,
        dtype: np.dtype[Any],
    ) -> None:
        tensor = qgraph.tensors[layer.name]
        channels, self.height, columns = tensor.shape
        images = out.shape[-1]
        self.out = out
        self.low, self.high = layer.low - tensor.zero_point, layer.high - tensor.zero_point
        self.stride, self.before, self.extent = 1, 0, 1  # rows of a pool window
        if pool is not None:
            self.stride, self.before = pool.stride[0], pool.padding[0]
            self.extent = (pool.kernel[0] - 1) * pool.dilation[0] + 1
            seen = (out.shape[1] - 1) * pool.stride[1] + (pool.kernel[1] - 1) * pool.dilation[1] + 1
            columns = min(columns, seen - pool.padding[1])

        shifts = np.broadcast_to(layer.shift, channels)
        factors = (
            np.ones(channels) if layer.multiplier is None else np.broadcast_to(layer.multiplier, channels)
        )
        factors = np.ldexp(factors.astype(np.float64), -shifts)
        bias = (layer.bias * factors + np.where(shifts > 0, 0.5, 0.0)).astype(dtype)
        self.bias = np.repeat(bias[:, None], images, axis=1)

        elements = columns * channels  # of a row of sums, and of the input rows gathered for it
        for term, source in zip(layer.terms, sources):
            elements += columns * term.stride[1] * term.codes.shape[2] * source.shape[2]
        affordable = BLOCK_BYTES // (elements * images * dtype.itemsize)
        self.rows = max(1, min(len(out), (affordable - self.extent) // self.stride + 1))
        sum_rows = min(self.height, (self.rows - 1) * self.stride + self.extent)
        self.convolutions = []
        for term, source in zip(layer.terms, sources):
            weight = np.ldexp(term.weight * factors.reshape(-1, 1, 1, 1), term.shift).astype(dtype)
            self.convolutions.append(Convolution(term, weight, source, sum_rows, columns))
        self.sums = np.empty((sum_rows, columns, channels, images), dtype)
        self.addend = np.empty_like(self.sums if len(layer.terms) > 1 else self.sums[:0])
        self.pooling = None
        if pool is not None:
            self.pooling = Pooling(pool, (columns, channels, images), self.rows, dtype)
            self.pooled = np.empty((self.rows, *out.shape[1:]), dtype)

    def __call__(self) -> None:
        for first in range(0, len(self.out), self.rows):
            out = self.out[first : first + self.rows]
            begin = first * self.stride - self.before
            end = min(self.height, begin + (len(out) - 1) * self.stride + self.extent)
            begin = max(0, begin)
            sums = self._accumulate(begin, end)
            if self.pooling is not None:
                pooled = self.pooled[: len(out)]
                self.pooling(sums, begin, first, pooled)
                sums = pooled
            sums += self.bias
            np.floor(sums, out=sums)
            np.clip(sums, self.low, self.high, out=out)

    def _accumulate(self, begin: int, end: int) -> Block:
        """The sums of the rows ``begin .. end``, without bias."""
        sums = self.sums[: end - begin]
        self.convolutions[0](begin, sums)
        for convolution in self.convolutions[1:]:
            addend = self.addend[: end - begin]
            convolution(begin, addend)
            sums += addend
        return sums
