"""Filters with like patterns of zeros share a tile, so that whole tiles become zero.

A tile is skipped where all its filters are zero. With groups of single filters (``filters=1``) that is rarely so
by chance, but which filters share a tile is free: see :mod:`hwquant.pruning.permute`. The same order decides
which input channels of the next layers share a tile, so both sides count.

For every space of channels: the patterns are a table of bits, channel by group, and the value of an order is
the cycles of the groups that are zero in all channels of a block. Blocks are filled greedily, then channels are
swapped between blocks while that gains anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import IntArray
from hwquant.graph import Graph
from hwquant.program.sides import Array, whole_array
from hwquant.pruning.groups import GroupShape, Polarity, convolutions
from hwquant.pruning.mapping import map_convolutions
from hwquant.pruning.permute import ChannelSpaces, permute

PASSES = 3
"""Most rounds over all spaces: each changes what its neighbours see."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """What one convolution says about an order of channels.

    Attributes
    ----------
    zero : ndarray of bool, shape (channels, groups)
        True where a channel's share of a group is zero.
    block : ndarray of int64, shape (channels,)
        Number of the tile that each position in the order belongs to.
    cycles : int
        Cycles that a tile costs.
    """

    zero: NDArray[np.bool_]
    block: IntArray
    cycles: int

    def saved(self, order: IntArray) -> int:
        """Count the cycles of the tiles that are zero in an order of the channels."""
        starts = np.flatnonzero(np.diff(self.block, prepend=-1))
        return self.cycles * int(np.logical_and.reduceat(self.zero[order], starts, axis=0).sum())


@dataclass(frozen=True, eq=False)
class Reordering:
    """A network with its channels in another order.

    Attributes
    ----------
    graph : Graph
        The network in its new order.
    orders : mapping of ndarray of int64
        The new order by name of tensor, as :func:`hwquant.pruning.permute.permute` takes it.
    """

    graph: Graph
    orders: Mapping[str, IntArray]


def reorder(
    graph: Graph, array: Array = (8, 8), factor: float = 0.0, prune: Polarity = "below"
) -> Reordering:
    """Choose the order of all channels that are free to move.

    Parameters
    ----------
    graph : Graph
        The network; what it computes does not change.
    array : tuple of int, default (8, 8)
        Rows and columns of the systolic array.
    factor : float, default 0.0
        Threshold factor of a pruning to come, for networks that are still dense: groups that it would prune count as
        zero. With 0 only weights that are zero already count, and the number of tile cycles that are skipped is never
        lowered.
    prune : {"below", "above"}
        Which groups that pruning would take, those below the threshold or those above it.
    """
    original, orders = graph, dict[str, IntArray]()
    prune = prune if factor else "below"  # nothing but zeros is above nothing
    channels = ChannelSpaces(graph)
    for _ in range(PASSES):
        changed = False
        for space in channels.spaces:
            if not space.free or space.channels < 2:
                continue
            patterns = _patterns(graph, space.tensors, array, factor, prune)
            order = best_order(patterns, space.channels)
            if np.array_equal(order, np.arange(space.channels)):
                continue
            candidate = permute(graph, {space.tensors[0]: order})
            if factor == 0 and skipped_cycles(candidate, array) <= skipped_cycles(graph, array):
                continue
            graph, changed = candidate, True
            for name in space.tensors:
                orders[name] = orders.get(name, np.arange(space.channels))[order]
        if not changed:
            break
    return Reordering(permute(original, orders) if orders else original, orders)


def skipped_cycles(graph: Graph, array: Array) -> int:
    """Count the cycles of a network's tiles that are zero, for an array of (rows, columns)."""
    shape, mapped = GroupShape(array), map_convolutions(graph, array)
    return sum(
        mapped[node.name].cycles * int(shape.cut(graph, node).zeros(node.weight).sum())
        for node in convolutions(graph)
    )


def best_order(patterns: list[Pattern], channels: int) -> IntArray:
    """Search for the order that saves the most cycles; the order stays as it is where none saves more.

    Parameters
    ----------
    patterns : list of Pattern
        What the convolutions say about the channels; equal patterns give equal orders.
    channels : int
        Number of channels.

    Returns
    -------
    ndarray of int64, shape (channels,)
        The old numbers of the channels in their new order.
    """
    start = np.arange(channels)
    if not patterns:
        return start
    orders = [start, _improve(patterns, start), _improve(patterns, _greedy(patterns))]
    values = [sum(pattern.saved(order) for pattern in patterns) for order in orders]
    return orders[int(np.argmax(values))]


def _patterns(
    graph: Graph, tensors: tuple[str, ...], array: Array, factor: float, prune: Polarity
) -> list[Pattern]:
    """The patterns of every convolution that writes or reads the channels, where they have zeros."""
    patterns = []
    for node in convolutions(graph):
        reads, writes = node.inputs[0] in tensors, node.name in tensors
        mapped = map_convolutions(graph, array)[node.name]
        if writes:
            groups = GroupShape(array, filters=1).cut(graph, node)
            # A filter's groups are numbered consecutively.
            zero = groups.pruned(node.weight, factor, prune).reshape(len(node.weight), -1)
            patterns.append(Pattern(zero, mapped.blocks, mapped.cycles))
        if reads and node.groups == 1 and mapped.lanes is not None:
            groups = GroupShape(array, size=1).cut(graph, node)
            zero = groups.pruned(node.weight, factor, prune)[groups.labels]
            # The filters of a tile have one bit: its first filter's.
            _, first = np.unique(mapped.blocks, return_index=True)
            zero = zero[first].swapaxes(0, 1).reshape(zero.shape[1], -1)
            patterns.append(Pattern(zero, mapped.lanes[0, :, 0, 0] // whole_array(array)[1], mapped.cycles))
    return [pattern for pattern in patterns if pattern.zero.any()]


def _greedy(patterns: list[Pattern]) -> IntArray:
    """Fill block after block: first the channel with the most zeros, then those that keep most of them."""
    zero = np.concatenate([pattern.zero for pattern in patterns], axis=1)
    value = np.concatenate([np.full(pattern.zero.shape[1], float(pattern.cycles)) for pattern in patterns])
    sizes = np.bincount(patterns[0].block)
    left, order = list(range(len(zero))), []
    for size in sizes:
        common = np.ones(zero.shape[1], bool)
        for _ in range(size):
            gains = (zero[left] & common) @ value
            order.append(left.pop(int(np.argmax(gains))))
            common &= zero[order[-1]]
    return np.array(order, np.int64)


def _improve(patterns: list[Pattern], order: IntArray) -> IntArray:
    """Swap channels, the best partner for one after the other, until no swap gains anything."""
    order = order.copy()
    channels = len(order)
    while True:
        improved = False
        for position in range(channels):
            gains = sum((_swap_gains(pattern, order, position) for pattern in patterns), np.zeros(channels))
            partner = int(np.argmax(gains))
            if gains[partner] > 0:
                order[[position, partner]] = order[[partner, position]]
                improved = True
        if not improved:
            return order


def _swap_gains(pattern: Pattern, order: IntArray, position: int) -> NDArray[np.float64]:
    """Cycles gained by swapping the channel at ``position`` with that at each other position, [channels]."""
    nonzero = ~pattern.zero[order]
    starts = np.flatnonzero(np.diff(pattern.block, prepend=-1))
    counts = np.add.reduceat(nonzero, starts, axis=0, dtype=np.int64)  # blocks, groups
    index = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    here = index[position]
    leaves = nonzero[position].astype(np.int64)
    # The block here loses `position` and gets each other channel; each other block the other way round.
    after_here = (counts[here] - leaves + nonzero == 0).sum(axis=1)
    after_there = (counts[index] - nonzero + leaves == 0).sum(axis=1)
    zeros = (counts == 0).sum(axis=1)
    gains = after_here - zeros[here] + after_there - zeros[index]
    return pattern.cycles * np.where(index == here, 0, gains).astype(np.float64)
