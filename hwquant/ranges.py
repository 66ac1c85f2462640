"""How large the integers of a network can get: what proves that a width is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import numpy as np

from hwquant.graph import Concat, MaxPool, Moving, Rearrange
from hwquant.qgraph import Layer, Product, QGraph, QNode, Tensor

Range = tuple[int, int]


def tensor_ranges(qgraph: QGraph) -> dict[str, Range]:
    """Find the least and the greatest integer of each tensor, by name, from the clamps of the layers."""
    ranges = {item.name: qgraph.tensors[item.name].limits for item in qgraph.inputs}
    for node in qgraph.nodes:
        ranges[node.name] = node_range(node, qgraph.tensors[node.name], ranges)
    return ranges


def node_range(node: QNode, tensor: Tensor, ranges: Mapping[str, Range]) -> Range:
    """Find the least and the greatest integer that a node produces, from the ranges of what it reads, by name."""
    if isinstance(node, Product):
        return node.low, node.high
    if isinstance(node, Layer):
        if node.table is None:
            return node.low, node.high
        reached = node.table.reached(node.low, node.high)
        return int(reached.min()), int(reached.max())
    if isinstance(node, Moving):
        lows, highs = zip(*(ranges[name] for name in node.inputs))
        zero = (tensor.zero_point,) if isinstance(node, Rearrange) and node.writes_zeros else ()
        return min((*lows, *zero)), max((*highs, *zero))
    return tensor.limits


def product_range(tensors: Sequence[Tensor], ranges: Sequence[Range]) -> Range:
    """Find the least and the greatest product ``(a_q - z_a) * (b_q - z_b)`` of two tensors.

    Parameters
    ----------
    tensors : sequence of Tensor
        The two tensors, for their zero points.
    ranges : sequence of tuple of int
        Least and greatest integer of each of them.
    """
    a, b = (
        [end - tensor.zero_point for end in limits] for tensor, limits in zip(tensors, ranges, strict=True)
    )
    corners = [x * y for x in a for y in b]
    return min(corners), max(corners)


def product_bound(node: Product, qgraph: QGraph, ranges: Mapping[str, Range]) -> int:
    """Bound ``|acc * m + (1 << (s-1))|`` of a product over all inputs; see :func:`accumulator_bound`."""
    names = node.inputs
    ends = product_range([qgraph.tensors[name] for name in names], [ranges[name] for name in names])
    largest = max(abs(end) for end in ends)
    return largest * (1 if node.multiplier is None else node.multiplier) + ((1 << node.shift) >> 1)


def largest_sum(node: QNode, qgraph: QGraph, ranges: Mapping[str, Range]) -> int:
    """Bound ``|acc * m + (1 << (s-1))|`` of a node over all inputs and output channels; 0 where nothing is computed."""
    match node:
        case Layer():
            return max(accumulator_bound(node, qgraph, ranges))
        case Product():
            return product_bound(node, qgraph, ranges)
        case MaxPool() | Concat() | Rearrange():
            return 0
        case _:
            assert_never(node)


def accumulator_bound(layer: Layer, qgraph: QGraph, ranges: Mapping[str, Range]) -> list[int]:
    """Bound ``|acc * m + (1 << (s-1))|`` over all inputs, for each output channel.

    The bound also holds for every partial sum, in any order of summation: it is the sum of the absolute values of
    the bias, of the rounding term, and of every product at its largest, ``|w| * max |x_q - z_x|``.

    Parameters
    ----------
    layer : Layer
        The layer.
    qgraph : QGraph
        Its network, for the zero points of tensors.
    ranges : mapping of tuple of int
        What :func:`tensor_ranges` says of the network.

    Returns
    -------
    list of int
        A bound for each output channel, exact however large it is.
    """
    channels = len(layer.bias)
    bound = [abs(int(bias)) for bias in layer.bias]
    for term in layer.terms:
        zero = qgraph.tensors[term.input].zero_point
        low, high = ranges[term.input]
        largest = max(abs(low - zero), abs(high - zero)) << term.shift
        weights = np.abs(term.weight).reshape(channels, -1).sum(axis=1)
        bound = [value + int(weight) * largest for value, weight in zip(bound, weights)]
    if layer.multiplier is not None:
        factors = np.broadcast_to(layer.multiplier, channels)
        bound = [value * int(factor) for value, factor in zip(bound, factors)]
    shifts = np.broadcast_to(layer.shift, channels)
    return [value + ((1 << int(shift)) >> 1) for value, shift in zip(bound, shifts)]


def sum_range(layer: Layer, tensors: Mapping[str, Tensor], ranges: Mapping[str, Range]) -> Range:
    """Find the least and the greatest sum ``acc`` of a layer over all inputs, padding included.

    Parameters
    ----------
    layer : Layer
        The layer.
    tensors : mapping of Tensor
        The tensors that it reads, by name, for their zero points.
    ranges : mapping of tuple of int
        Least and greatest integer of each of them, by name.

    Returns
    -------
    tuple of int
        The range of all output channels together.
    """
    lows = highs = [int(bias) for bias in layer.bias]
    for term in layer.terms:
        zero = tensors[term.input].zero_point
        ends = [min(0, ranges[term.input][0] - zero), max(0, ranges[term.input][1] - zero)]
        rows = term.weight.reshape(len(layer.bias), -1)
        positive = np.maximum(rows, 0).sum(axis=1).tolist()
        negative = np.minimum(rows, 0).sum(axis=1).tolist()
        lows = [
            low + ((up * ends[0] + down * ends[1]) << term.shift)
            for low, up, down in zip(lows, positive, negative)
        ]
        highs = [
            high + ((up * ends[1] + down * ends[0]) << term.shift)
            for high, up, down in zip(highs, positive, negative)
        ]
    return min(lows), max(highs)
