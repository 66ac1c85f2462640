"""Groups of weights that are pruned together, by their L1 norm (CN111242287A), cut as the array is tiled.

A group is ``size`` consecutive input channels times ``filters`` consecutive output channels at one kernel
position. The published group is ``filters=1``; with ``size`` the array's rows and ``filters`` its columns a
group is one tile, which costs the hardware nothing once it is zero.

The compiler does not lay all tiles out that way, and groups follow it: where the first layer's kernel rows are
packed into words, consecutive "channels" run along a kernel row; a depthwise tile holds several kernel
positions of a channel each; a word's channels are divided among passes over the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.program.array_shape import ArrayShape
from hwquant.pruning.mapping import map_convolutions

Polarity = Literal["below", "above"]
"""Which groups are pruned: those below their layer's threshold, or those above it."""

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Groups:
    """A convolution's weights, divided into groups.

    Attributes
    ----------
    labels : IntArray
        Int64, the shape of the weight, the number of the group that a weight is in.
    count : int
        Number of groups.
    """

    labels: IntArray
    count: int

    @property
    def sizes(self) -> IntArray:
        """Weights in each group, int64 [count]; at the edges of a layer there may be fewer."""
        return np.bincount(self.labels.ravel(), minlength=self.count)

    def norms(self, weight: Array) -> Array:
        """L1 norm of each group, float64 [count]."""
        norms: Array = np.bincount(self.labels.ravel(), np.abs(weight).ravel(), self.count)  # type: ignore[assignment]
        return norms

    def zeros(self, weight: Array) -> Mask:
        """Which groups are zero altogether, bool [count]."""
        return np.bincount(self.labels.ravel(), weight.ravel() != 0, self.count) == 0

    def thresholds(self, weight: Array) -> Array:
        """``theta = (group / all) * Sum_j |w_j|``, float64 [count], over the groups that are not zero already.

        The mean L1 norm of a group, in proportion where groups differ in size.
        """
        sizes, alive = self.sizes, ~self.zeros(weight)
        remaining = sizes[alive].sum()
        return sizes * (np.abs(weight).sum() / remaining if remaining else 0.0)

    def pruned(
        self, weight: Array, factor: float = 1.0, prune: Polarity = "below", step: float = 1.0
    ) -> Mask:
        """Which groups pruning with ``factor * theta`` leaves at zero, bool [count].

        Groups that are zero already are among them. ``prune="above"`` prunes the groups above the threshold, as
        the claim literally says, instead of those below. Of the groups that are left, at most the share ``step``
        is pruned, at least one: those farthest from the threshold.
        """
        if prune not in get_args(Polarity):
            raise HwquantError(f"prune must be one of {', '.join(get_args(Polarity))}, not {prune!r}")
        zeros = self.zeros(weight)
        excess = self.norms(weight) - factor * self.thresholds(weight)
        if prune == "below":
            excess = -excess
        candidates = np.flatnonzero((excess > 0) & ~zeros)
        most = max(1, int(step * (~zeros).sum()))
        # Relative to the size of a group, which differs at the edges of a layer.
        farthest = np.argsort(-excess[candidates] / self.sizes[candidates], kind="stable")[:most]
        zeros[candidates[farthest]] = True
        return zeros

    def keep(self, weight: Array, factor: float = 1.0, prune: Polarity = "below", step: float = 1.0) -> Mask:
        """The mask after pruning: bool, the shape of the weight, False where it is pruned."""
        return ~self.pruned(weight, factor, prune, step)[self.labels]


@dataclass(frozen=True)
class GroupShape:
    """How a network's weights are cut into groups for an array.

    Attributes
    ----------
    array : tuple[int, int], default (8, 8)
        Rows and columns of the systolic array.
    size : int | None, optional
        Consecutive input channels in a group; the array's rows where None.
    filters : int | None, optional
        Consecutive output channels in a group; the array's columns where None.
    """

    array: tuple[int, int] = (8, 8)
    size: int | None = None
    filters: int | None = None

    def __post_init__(self) -> None:
        ArrayShape(*self.array)  # raises for a side out of range
        for name in ("size", "filters"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise HwquantError(f"{name} of a group must be at least 1, not {value}")

    def cut(self, graph: Graph, node: Conv) -> Groups:
        """The groups of one of the graph's convolutions."""
        config = ArrayShape(*self.array)
        out, per_group, kernel_rows, kernel_columns = node.weight.shape
        filters = np.arange(out)[:, None, None, None]
        channel = filters // (out // node.groups) * per_group + np.arange(per_group)[None, :, None, None]
        y = np.arange(kernel_rows)[None, None, :, None]
        x = np.arange(kernel_columns)[None, None, None, :]
        columns = filter_blocks(filters, config, self.filters)
        mapped = map_convolutions(graph, self.array)[node.name]
        if mapped.filters is not None:
            coordinates = [columns, mapped.filters[y, x]]
        else:
            lane, position = channel, x
            if mapped.packed:
                lane, position = x * (per_group * node.groups) + channel, np.zeros_like(x)
            coordinates = [columns, blocks(lane, self.size or config.rows, config.rows), y, position]
        arrays = np.broadcast_arrays(*coordinates, np.empty(node.weight.shape))[:-1]
        flat = np.ravel_multi_index([a.ravel() for a in arrays], [int(a.max()) + 1 for a in arrays])
        found, labels = np.unique(flat, return_inverse=True)
        return Groups(labels.reshape(node.weight.shape).astype(np.int64), len(found))


def convolutions(graph: Graph) -> list[Conv]:
    """The nodes that have weights to prune, in order."""
    return [node for node in graph.nodes if isinstance(node, Conv)]


def filter_blocks(index: IntArray, config: ArrayShape, filters: int | None = None) -> IntArray:
    """Number of the group along the output channels; those of one column tile where ``filters`` is None."""
    # A write covers no more than a word.
    return blocks(index, filters or min(config.columns, config.lanes), config.lanes)


def blocks(index: IntArray, size: int, word: int) -> IntArray:
    """Number of the block of ``size`` that an index is in; blocks begin anew with each ``word``."""
    word = max(word, size)
    return index // word * -(-word // size) + index % word // size
