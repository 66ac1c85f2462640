"""One layer on float blocks: accumulate, pool, requantize."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwquant.golden.convolution import Block, Convolution
from hwquant.golden.depthwise import Banded, Scaling
from hwquant.golden.memory import Arena
from hwquant.golden.pooling import Pooling
from hwquant.qgraph import Layer, MaxPool, QGraph, Term

BLOCK_BYTES = 1 << 20
"""Working set of a block of rows: about a second-level cache."""


class LayerStep:
    """A layer and the max pool, if any, that alone reads it; a block of rows at a time.

    It writes ``floor(acc * m / 2^s + 1/2)``, clamped, and looked up where there is a table; why the sums are exact:
    :mod:`hwquant.golden.fast`.
    :mod:`hwquant.golden.fast`.

    Parameters
    ----------
    layer : Layer
        The layer.
    pool : MaxPool or None
        The pool behind it.
    qgraph : QGraph
        The network, which describes the tensors.
    sources : list of Block
        The blocks that the layer's terms read.
    out : Block
        The block of the layer's output, or of the pool's.
    dtype : dtype
        Float32 or float64, whichever holds every sum exactly.
    arena : Arena
        The memory that the working arrays are in.
    """

    def __init__(
        self,
        layer: Layer,
        pool: MaxPool | None,
        qgraph: QGraph,
        sources: list[Block],
        out: Block,
        dtype: np.dtype[Any],
        arena: Arena,
    ) -> None:
        tensor = qgraph.tensors[layer.name]
        channels, self.height, columns = tensor.shape
        images = out.shape[-1]
        self.out = out
        self.table = None
        zero_point = tensor.zero_point
        if layer.table is not None:
            zero_point = layer.table.zero_point
            self.table = (layer.table.values - tensor.zero_point).astype(np.float32)
            self.address = zero_point - layer.table.limits[0]  # of what stands for 0
        self.low, self.high = layer.low - zero_point, layer.high - zero_point
        self.stride, self.before, self.extent = 1, 0, 1  # rows of a pool window
        if pool is not None:
            self.stride, self.before = pool.window.stride[0], pool.window.padding[0]
            self.extent = pool.window.extent[0]
            seen = (out.shape[1] - 1) * pool.window.stride[1] + pool.window.extent[1]
            columns = min(columns, seen - pool.window.padding[1])

        shifts = np.broadcast_to(layer.shift, channels)
        factors = (
            np.ones(channels) if layer.multiplier is None else np.broadcast_to(layer.multiplier, channels)
        )
        factors = np.ldexp(factors.astype(np.float64), -shifts)
        bias = (layer.bias * factors + np.where(shifts > 0, 0.5, 0.0)).astype(dtype)
        self.bias = np.repeat(bias[:, None], images, axis=1)

        weights = [
            np.ldexp(term.weight * factors.reshape(-1, 1, 1, 1), term.shift).astype(dtype)
            for term in layer.terms
        ]
        kinds = [
            _kind(term, weight, source, columns)
            for term, weight, source in zip(layer.terms, weights, sources)
        ]
        elements = (
            columns * channels
        )  # of a row of sums, and of the input rows that are read or gathered for it
        for term, source, kind in zip(layer.terms, sources, kinds):
            lines = term.codes.shape[2] if kind is Convolution else 1
            elements += columns * term.window.stride[1] * lines * source.shape[2]
        affordable = BLOCK_BYTES // (elements * images * dtype.itemsize)
        self.rows = max(1, min(len(out), (affordable - self.extent) // self.stride + 1))
        sum_rows = min(self.height, (self.rows - 1) * self.stride + self.extent)
        self.convolutions = [
            kind(term, weight, source, sum_rows, columns, arena)
            for kind, term, weight, source in zip(kinds, layer.terms, weights, sources)
        ]
        sums = (sum_rows, columns, channels, images)
        self.sums = arena.shared("sums", BLOCK_BYTES, sums, dtype)
        if len(layer.terms) > 1:
            self.addend = arena.shared("addend", BLOCK_BYTES, sums, dtype)
        self.pooling = None
        if pool is not None:
            self.pooling = Pooling(pool.window, (columns, channels, images), self.rows, dtype)
            self.pooled = np.empty((self.rows, *out.shape[1:]), dtype)

    def __call__(self) -> None:
        """Compute the layer from what its sources hold now, and write its output."""
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
            sums.clip(self.low, self.high, out=out)  # np.clip does the same, and more around it
            if self.table is not None:
                out += self.address
                self.table.take(out.astype(np.intp), out=out, mode="clip")

    def _accumulate(self, begin: int, end: int) -> Block:
        """The sums of the rows ``begin .. end``, without bias."""
        sums = self.sums[: end - begin]
        self.convolutions[0](begin, sums)
        for convolution in self.convolutions[1:]:
            addend = self.addend[: end - begin]
            convolution(begin, addend)
            sums += addend
        return sums


def _kind(
    term: Term, weight: Block, source: Block, columns: int
) -> type[Convolution] | type[Scaling] | type[Banded]:
    """The class that computes a term fastest."""
    if Scaling.suits(term):
        return Scaling
    return Banded if Banded.suits(term, weight, source, columns) else Convolution
