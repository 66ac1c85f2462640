"""The fast path: integers carried in floating point, bit-equal to :mod:`hwquant.golden.reference`.

Why it is exact. A tensor is carried as ``x_q - z_x``, so padding is 0. A layer's weights are multiplied by
``m * 2^(k - s)`` and its bias, with the rounding term, by ``2^-s``; then the matrix product plus that bias is
``(acc * m + (1 << (s-1))) / 2^s``, of which the floor is the requantized value. Up to the factor ``2^-s``,
which only changes exponents, every product and every partial sum in whatever order is an integer that
:func:`hwquant.ranges.accumulator_bound` bounds. Below 2^24 float32 holds it exactly, below 2^53 float64;
a layer beyond that runs in the reference. Requantization is monotone, so that a max pool which is a layer's
only reader is taken on the sums before it, and what the pool does not see is not computed. So is a table that never
falls.

Images are worked on in chunks whose arrays stay in the cache, one chunk a thread.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hwquant.golden import reference
from hwquant.golden.convolution import Block
from hwquant.golden.layer import LayerStep
from hwquant.golden.memory import Arena, borrowed
from hwquant.golden.pooling import Pooling
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, Product, QGraph, QNode, Rearrange
from hwquant.ranges import accumulator_bound, product_bound, tensor_ranges

IMAGES = 64
"""Most images in a chunk: enough for a matrix product to run at full speed, few enough for the cache."""

VECTOR = 16
"""Float32 values in the widest vector register: chunks are a multiple of it."""

ENGINE_BYTES = 1 << 28
"""About the most memory of one thread's arrays; networks with large tensors get smaller chunks."""

Source = Callable[[slice], Mapping[str, IntArray]]
Sink = Callable[[slice, Mapping[str, IntArray]], None]
Step = Callable[[], object]


def stream(qgraph: QGraph, count: int, source: Source, keep: Collection[str], sink: Sink) -> None:
    """Run many images through a network, in chunks, on all cores.

    Parameters
    ----------
    qgraph : QGraph
        The network, which is valid.
    count : int
        Number of images.
    source : callable
        A function from a slice of images to the integers (n, C, H, W) of each input, by name. It is called from
        several threads, once for each slice.
    keep : collection of str
        Names of the tensors to hand on.
    sink : callable
        A function that receives a slice of images and the integers (n, C, H, W) of the tensors in ``keep``, by name.
        It is called from several threads, once for each slice.
    """
    cores = _cores()
    width = _width(qgraph, count, cores)
    chunks = [slice(start, min(start + width, count)) for start in range(0, count, width)]
    workers = min(cores, len(chunks))

    def work(first: int) -> None:
        with borrowed() as arena:
            engine = Engine(qgraph, keep, width, arena)
            for chunk in chunks[first::workers]:
                sink(chunk, engine.run(source(chunk)))

    if workers == 1:
        work(0)
    elif workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, range(workers)))  # list: raises what a worker raised


def _width(qgraph: QGraph, count: int, cores: int) -> int:
    """Images in a chunk: the most allowed by which all cores get the same number of chunks."""
    values = sum(math.prod(tensor.shape) for tensor in qgraph.tensors.values())
    most = max(1, min(IMAGES, ENGINE_BYTES // (4 * values)))
    rounds = math.ceil(count / (cores * most))
    width = math.ceil(count / (cores * max(1, rounds)))
    if width > VECTOR:
        width += -width % VECTOR
    return max(1, min(width, most))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Engine:
    """A network with its arrays, made for a bounded number of images at a time.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    keep : collection of str
        Names of the tensors whose integers are wanted.
    images : int
        The most images at a time.
    arena : Arena
        The memory that the arrays are in.
    """

    def __init__(self, qgraph: QGraph, keep: Collection[str], images: int, arena: Arena) -> None:
        self.qgraph, self.keep, self.images, self.arena = qgraph, keep, images, arena
        ranges = tensor_ranges(qgraph)
        self.blocks: dict[str, Block] = {}
        self.free: list[Block] = []
        readers = {name: node.name for node in qgraph.nodes for name in node.inputs}  # the last ones
        for item in qgraph.inputs:
            self._allocate(item.name)
        self.steps: list[Step] = []
        for node in qgraph.nodes:
            if node.name in self.blocks:  # a pool that was merged into its layer
                continue
            match node:
                case Layer():
                    bound = max(accumulator_bound(node, qgraph, ranges))
                    self.steps.append(self._layer_step(node, bound))
                case Product():
                    self.steps.append(self._product_step(node, product_bound(node, qgraph, ranges)))
                case MaxPool():
                    self.steps.append(self._pool_step(node))
                case Concat():
                    self.steps.append(self._concat_step(node))
                case Rearrange():
                    self.steps.append(self._rearrange_step(node))
                case _:  # the authority is slow, and right
                    self.steps.append(self._reference_step(node))
            for name in dict.fromkeys(node.inputs):
                if readers[name] == node.name and name not in keep:
                    self.free.append(self.blocks[name].reshape(-1))

    def run(self, inputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """Compute the integers (n, C, H, W) of the kept tensors from those of the inputs; n <= ``images``."""
        for name, q in inputs.items():
            self._load(name, q)
        for step in self.steps:
            step()
        count = len(next(iter(inputs.values())))
        return {name: self._integers(name, count) for name in self.keep}

    def _allocate(self, name: str) -> Block:
        """The array of a tensor: float32 [height, width, channels, images] of ``q - zero_point``.

        In the memory of a tensor that nobody reads any more, where one is large enough: what stays in the
        cache is fast.
        """
        channels, height, width = self.qgraph.tensors[name].shape
        shape = (height, width, channels, self.images)
        size = math.prod(shape)
        fitting = [index for index, block in enumerate(self.free) if block.size >= size]
        if fitting:
            block = self.free.pop(min(fitting, key=lambda index: self.free[index].size))
        else:
            block = self.arena.zeros((size,))
        self.blocks[name] = block[:size].reshape(shape)
        return self.blocks[name]

    def _load(self, name: str, q: IntArray) -> None:
        block = self.blocks[name][..., : len(q)]
        zero = self.qgraph.tensors[name].zero_point
        np.subtract(q.transpose(2, 3, 1, 0), zero, out=block, dtype=np.float32, casting="unsafe")

    def _integers(self, name: str, count: int) -> IntArray:
        block = self.blocks[name][..., :count].transpose(3, 2, 0, 1)
        return block.astype(np.int64) + self.qgraph.tensors[name].zero_point

    def _layer_step(self, layer: Layer, bound: int) -> Step:
        sources = [self.blocks[name] for name in layer.inputs]
        if bound >= 1 << 53:
            return self._reference_step(layer)
        dtype = np.dtype(np.float32 if bound < 1 << 24 else np.float64)
        readers = [node for node in self.qgraph.nodes if layer.name in node.inputs]
        pool = None
        rises = layer.table is None or bool((np.diff(layer.table.reached(layer.low, layer.high)) >= 0).all())
        if rises and layer.name not in self.keep and len(readers) == 1 and isinstance(readers[0], MaxPool):
            pool = readers[0]
        out = self._allocate(layer.name if pool is None else pool.name)
        return LayerStep(layer, pool, self.qgraph, sources, out, dtype, self.arena)

    def _product_step(self, node: Product, bound: int) -> Step:
        if bound >= 1 << 53:
            return self._reference_step(node)
        a, b = (self.blocks[name] for name in node.inputs)
        out, zero = self._allocate(node.name), self.qgraph.tensors[node.name].zero_point
        low, high = node.low - zero, node.high - zero
        factor = math.ldexp(1 if node.multiplier is None else node.multiplier, -node.shift)
        dtype = np.float32 if bound < 1 << 24 else np.float64

        def run() -> None:  # a row at a time, which stays in the cache
            for row, target in enumerate(out):
                product = np.multiply(a[row], b[row if len(b) == len(a) else 0], dtype=dtype)
                product *= dtype(factor)
                product += dtype(0.5 if node.shift else 0.0)
                np.clip(np.floor(product, out=product), low, high, out=target, casting="unsafe")

        return run

    def _reference_step(self, node: QNode) -> Step:
        self._allocate(node.name)

        def run() -> None:
            inputs = {name: self._integers(name, self.images) for name in node.inputs}
            self._load(node.name, reference.evaluate(node, inputs, self.qgraph.tensors))

        return run

    def _pool_step(self, pool: MaxPool) -> Step:
        source, out = self.blocks[pool.inputs[0]], self._allocate(pool.name)
        pooling = Pooling(pool.window, source.shape[1:], len(out), source.dtype)
        return lambda: pooling(source, 0, 0, out)

    def _concat_step(self, node: Concat) -> Step:
        sources, out = [self.blocks[name] for name in node.inputs], self._allocate(node.name)
        return lambda: np.concatenate(sources, axis=2, out=out)

    def _rearrange_step(self, node: Rearrange) -> Step:
        sources, out = [self.blocks[name] for name in node.inputs], self._allocate(node.name)
        moves = []
        for copy in node.copies:
            read, target, own = copy.read, copy.target, np.flatnonzero(copy.channels >= 0)
            source = np.ix_(read.lines(0), read.lines(1), copy.channels[own])
            moves.append((sources[copy.input], source, np.ix_(target.lines(0), target.lines(1), own)))

        def run() -> None:
            if node.writes_zeros:  # the memory may have been another tensor's
                out[...] = 0
            for block, source, target in moves:
                out[target] = block[source]

        return run
