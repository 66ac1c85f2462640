"""Channels whose ranges differ so much that one scale cannot serve them: made alike, exactly.

A channel may be multiplied by a positive factor where it is computed and divided by it where it is read, as long as
only ReLUs, pools and concatenations lie between (Nagel et al., Data-free quantization through weight equalization and
bias correction, 2019). With powers of two the float network computes the same numbers. Here it is done only where a
reader would otherwise lose its signal, whatever the options; ``balance`` goes on where that lowers the noise.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwquant.graph import AveragePool, Clip, Concat, Conv, Graph, MaxPool
from hwquant.progress import Progress
from hwquant.quantize.calibration import Data, TensorStatistics, observe
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.mid_rise import lies_on_grid
from hwquant.quantize.plans import Plan
from hwquant.quantize.weight_scheme import Array

LEAST_RATIO = 100.0
"""Signal over noise, 20 dB, that a reader must keep of what it reads. Healthy networks keep 30 dB and more."""
_STEPS = 255
"""Steps of a range in 8 bits. The bits that are chosen later do not count: a network's plan is one for all of them."""
LEAST_EXCESS = 6
"""Bits of the reader's weights that channels which are always zero must cost before they are touched."""
_LARGEST_POWER = 24
_GRID_BITS = 2
"""Weights such as +1 and -1, or -3, -1, 1 and 3, would not be that when multiplied: they stay as they are."""

Factors = Mapping[str, Array]
"""Positive numbers, float64 [out], by convolution; powers of two are exact."""


@dataclass(frozen=True, eq=False)
class Read:
    """Channels of a tensor that are those of a convolution.

    Attributes
    ----------
    reader : Conv
        What reads them.
    tensor : str
        The tensor.
    start : int
        The first of them.
    """

    reader: Conv
    tensor: str
    start: int


def equalize(
    graph: Graph, data: Data, progress: Progress | None = None
) -> tuple[Plan, dict[str, TensorStatistics], Factors]:
    """Make a network's channels alike where that matters, without changing what it computes.

    Parameters
    ----------
    graph : Graph
        The float network.
    data : mapping of ndarray
        Calibration samples (N, *shape) by input name.
    progress : Progress or None, optional
        Told of the observation of the tensors.

    Returns
    -------
    plan : Plan
        The layers of the network whose channels are alike.
    statistics : dict of TensorStatistics
        Statistics of its tensors, by name.
    factors : Factors
        What channels were multiplied by, by convolution.
    """
    plan = plan_layers(graph)
    statistics = observe(plan.graph, data, plan.observed, progress)
    equalized: dict[str, Array] = {}
    healthy = {item.name for item in graph.nodes} - spoiled(plan, statistics)
    kept: set[str] = set()
    # What a depthwise layer hands on is only known to matter once the layer behind it is served.
    while True:
        if factors := channel_factors(plan, statistics, kept):
            equalized |= {name: equalized.get(name, 1.0) * factor for name, factor in factors.items()}
        elif harmed := spoiled(plan, statistics) & healthy & equalized.keys():
            # Where the small channels come from small inputs, their weights would take the scale from all others.
            kept |= harmed
            equalized = {name: factor for name, factor in equalized.items() if name not in harmed}
        else:
            return plan, statistics, equalized
        plan = plan_layers(rescale(graph, equalized))
        statistics = observe(plan.graph, data, plan.observed, progress)


def channel_factors(
    plan: Plan, statistics: Mapping[str, TensorStatistics], kept: Collection[str] = ()
) -> Factors:
    """Choose what to multiply the output channels of convolutions by.

    Parameters
    ----------
    plan : Plan
        The layers of the network.
    statistics : mapping of TensorStatistics
        Statistics of its tensors, by name.
    kept : collection of str, optional
        Convolutions that stay as they are.

    Returns
    -------
    Factors
        Powers of two, only of those convolutions of which a channel changes.
    """
    graph = plan.graph
    result = {}
    for node in graph.nodes:
        if not isinstance(node, Conv) or node.name in kept:
            continue
        reads = channel_reads(graph, node.name)
        if not reads or not all(read.tensor in statistics for read in reads):
            continue
        if any(lies_on_grid(item.weight, _GRID_BITS) for item in (node, *(read.reader for read in reads))):
            continue
        wanted = [_wanted(node, read, statistics[read.tensor]) for read in reads]
        powers = np.min([powers for powers, _ in wanted], axis=0)
        if any(needed for _, needed in wanted) and powers.any():
            result[node.name] = 2.0 ** np.minimum(powers, _LARGEST_POWER)
    return result


def _wanted(node: Conv, read: Read, item: TensorStatistics) -> tuple[Array, bool]:
    """The power of two by which each channel should grow for one reader, and whether that reader needs it."""
    part = slice(read.start, read.start + len(node.weight))
    step = (item.high - item.low) / _STEPS
    largest = float(item.peak.max()) or 1.0
    peak, variance, weights = item.peak[part], item.variance[part], largest_weights(read.reader)
    lost = (variance > 0) & (variance < LEAST_RATIO * step**2 / 12)
    powers = np.where(lost, np.floor(np.log2(largest / np.where(peak > 0, peak, largest))), 0.0)
    # A channel that is always zero does nothing, but its weights in the reader may take the scale from all others; it
    # may grow for as long as it does not do the same where it is computed.
    alive = float(weights[item.peak > 0].max(initial=0.0)) or np.inf
    excess = np.floor(np.log2(np.maximum(weights[part] / alive, 1.0)))
    own = np.abs(node.weight).reshape(len(node.weight), -1).max(axis=1)
    room = np.floor(np.log2(own.max() / np.where(own > 0, own, own.max()))) if own.any() else 0.0 * own
    powers = np.where((peak == 0) & (excess >= LEAST_EXCESS), np.minimum(excess, room), powers)
    return powers, _loses(read.reader, item, step, part) or bool((powers[peak == 0] > 0).any())


def largest_weights(reader: Conv) -> Array:
    """The largest magnitude of the weights of each input channel."""
    return _grouped(np.abs(reader.weight), reader).max(axis=(1, 3)).reshape(-1)


def _grouped(values: Array, reader: Conv) -> Array:
    """Values of the weights as [groups, outputs of a group, inputs of a group, kernel positions]."""
    return values.reshape(reader.groups, -1, values.shape[1], math.prod(values.shape[2:]))


def channel_reads(graph: Graph, name: str) -> list[Read]:
    """Find where the channels of a tensor end up, if only in convolutions; otherwise nothing."""
    found: list[Read] = []
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
                        found.append(Read(node, tensor, start))
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
    gains = _grouped(np.square(reader.weight), reader).sum(axis=(1, 3)).reshape(-1)
    noise = float(gains[part] @ _noise(item.variance[part], step))
    return noise * LEAST_RATIO > float(gains @ item.variance)


def spoiled(plan: Plan, statistics: Mapping[str, TensorStatistics]) -> set[str]:
    """Convolutions that would lose too much of what they compute by rounding their weights alone, to one scale."""
    result = set()
    for node in plan.graph.nodes:
        if isinstance(node, Conv):
            share = statistics[node.inputs[0]].variance.reshape(node.groups, 1, -1, 1)
            squares = np.square(_grouped(node.weight, node))
            step = (max(0.0, node.weight.max()) - min(0.0, node.weight.min())) / _STEPS
            if (share * _noise(squares, step)).sum() * LEAST_RATIO > (share * squares).sum():
                result.add(node.name)
    return result


def _noise(variance: Array, step: float) -> Array:
    """The noise of rounding to a step; what is rounded to a single value loses no more than it had."""
    return np.minimum(step**2 / 12, variance)


def rescale(graph: Graph, factors: Factors) -> Graph:
    """Multiply the channels of a network by ``factors``, and divide by them where they are read."""
    nodes = {node.name: node for node in graph.nodes}
    for name, factor in factors.items():
        node = nodes[name]
        assert isinstance(node, Conv)
        nodes[name] = replace(node, weight=node.weight * factor.reshape(-1, 1, 1, 1), bias=node.bias * factor)
        for read in channel_reads(graph, name):
            reader = nodes[read.reader.name]
            assert isinstance(reader, Conv)
            nodes[reader.name] = replace(reader, weight=_divided(reader, factor, read.start))
    return replace(graph, nodes=tuple(nodes.values()))


def _divided(reader: Conv, factor: Array, start: int) -> Array:
    """The weights of a reader, those for the input channels from ``start`` on divided by ``factor``."""
    weight = reader.weight.copy()
    out, per_group = weight.shape[:2]
    for channel, value in enumerate(factor.tolist(), start):
        group, column = divmod(channel, per_group)
        rows = out // reader.groups
        weight[group * rows : (group + 1) * rows, column] /= value
    return weight
