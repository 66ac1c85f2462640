"""Channels whose ranges differ so much that one scale cannot serve them: made alike, exactly.

A channel may be multiplied by a positive factor where it is computed and divided by it where it is read, as long as
only ReLUs, pools and concatenations lie between (Nagel et al., Data-free quantization through weight equalization and
bias correction, 2019). With powers of two the float network computes the same numbers. It is done only where a reader
would otherwise lose its signal: elsewhere a network's channels stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwquant.graph import AveragePool, Clip, Concat, Conv, Graph, MaxPool
from hwquant.quantize.calibration import TensorStatistics
from hwquant.quantize.structure import Plan
from hwquant.quantize.weights import Array

LEAST_RATIO = 100.0
"""Signal over noise, 20 dB, that a reader must keep of what it reads. Healthy networks keep 30 dB and more."""
_STEPS = 255
"""Steps of a range in 8 bits. The bits that are chosen later do not count: a network's plan is one for all of them."""
_LARGEST_POWER = 24

Factors = Mapping[str, Array]
"""Powers of two, float64 [out], by convolution."""


@dataclass(frozen=True, eq=False)
class _Read:
    """Channels ``start`` on of ``tensor``, which a convolution reads, are those of another convolution."""

    reader: Conv
    tensor: str
    start: int


def channel_factors(plan: Plan, statistics: Mapping[str, TensorStatistics]) -> Factors:
    """By what to multiply the output channels of convolutions; only those of which a channel changes are named."""
    graph = plan.graph
    result = {}
    for node in graph.nodes:
        if not isinstance(node, Conv):
            continue
        reads = _reads(graph, node.name)
        if not reads or not all(read.tensor in statistics for read in reads):
            continue
        channels = len(node.weight)
        powers = np.full(channels, np.inf)
        needed = False
        for read in reads:
            item = statistics[read.tensor]
            step = (item.high - item.low) / _STEPS
            part = slice(read.start, read.start + channels)
            needed = needed or _loses(read.reader, item, step, part)
            peak, variance = item.peak[part], item.variance[part]
            largest = float(item.peak.max()) or 1.0
            wanted = np.log2(largest / np.where(peak > 0, peak, largest))
            lost = (variance > 0) & (variance < LEAST_RATIO * step**2 / 12)
            powers = np.minimum(powers, np.where(lost, np.floor(wanted), 0))
        if needed and powers.any():
            result[node.name] = 2.0 ** np.minimum(powers, _LARGEST_POWER)
    return result


def _reads(graph: Graph, name: str) -> list[_Read]:
    """Where the channels of a tensor end up, if only in convolutions; else nothing."""
    found: list[_Read] = []
    pending = [(name, 0)]
    while pending:
        tensor, start = pending.pop()
        if any(output.tensor == tensor for output in graph.outputs):
            return []
        for node in graph.nodes:
            for position, source in enumerate(node.inputs):
                if source != tensor:
                    continue
                match node:
                    case Conv():
                        found.append(_Read(node, tensor, start))
                    case MaxPool() | AveragePool():
                        pending.append((node.name, start))
                    case Clip() if {abs(node.low), abs(node.high)} <= {0.0, math.inf}:
                        pending.append((node.name, start))
                    case Concat():
                        before = sum(graph.shapes[item][0] for item in node.inputs[:position])
                        pending.append((node.name, start + before))
                    case _:
                        return []
    return found


def _loses(reader: Conv, item: TensorStatistics, step: float, part: slice) -> bool:
    """Whether rounding these channels to the tensor's step would cost the reader too much of its signal."""
    per_group = reader.weight.shape[1]
    grouped = np.square(reader.weight).reshape(
        reader.groups, -1, per_group, math.prod(reader.weight.shape[2:])
    )
    gains = grouped.sum(axis=(1, 3)).reshape(-1)
    noise = float(gains[part] @ _noise(item.variance[part], step))
    return noise * LEAST_RATIO > float(gains @ item.variance)


def _noise(variance: Array, step: float) -> Array:
    """Of rounding to a step, in each channel; one that is rounded to a single value loses no more than it had."""
    return np.minimum(step**2 / 12, variance)


def rescale(graph: Graph, factors: Factors) -> Graph:
    """The same network with channels multiplied by ``factors``, and divided by them where they are read."""
    nodes = {node.name: node for node in graph.nodes}
    for name, factor in factors.items():
        node = nodes[name]
        assert isinstance(node, Conv)
        nodes[name] = replace(node, weight=node.weight * factor.reshape(-1, 1, 1, 1), bias=node.bias * factor)
        for read in _reads(graph, name):
            reader = nodes[read.reader.name]
            assert isinstance(reader, Conv)
            nodes[reader.name] = replace(reader, weight=_divided(reader, factor, read.start))
    return replace(graph, nodes=tuple(nodes.values()))


def _divided(reader: Conv, factor: Array, start: int) -> Array:
    """The reader's weights for input channels ``start`` on, divided."""
    weight = reader.weight.copy()
    out, per_group = weight.shape[:2]
    for channel, value in enumerate(factor.tolist(), start):
        group, column = divmod(channel, per_group)
        rows = out // reader.groups
        weight[group * rows : (group + 1) * rows, column] /= value
    return weight
