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

from hwquant.coding import IntArray
from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.program.sides import Array as SystolicArray
from hwquant.program.sides import check_array, whole_array
from hwquant.pruning.mapping import MappedConv, map_convolutions

Polarity = Literal["below", "above"]
"""Which groups are pruned: those below their layer's threshold, or those above it."""

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Groups:
    """A convolution's weights, divided into groups.

    Attributes
    ----------
    labels : ndarray of int64, of the shape of the weight
        Number of the group that each weight is in.
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
        """Thresholds ``theta = (group / all) * Sum_j |w_j|`` over the groups that are not zero already.

        That is the mean L1 norm of a group, in proportion where groups differ in size (CN111242287A).

        Returns
        -------
        ndarray of float64, shape (count,)
            The threshold of each group.
        """
        sizes, alive = self.sizes, ~self.zeros(weight)
        remaining = sizes[alive].sum()
        return sizes * (np.abs(weight).sum() / remaining if remaining else 0.0)

    def pruned(
        self, weight: Array, factor: float = 1.0, prune: Polarity = "below", step: float = 1.0
    ) -> Mask:
        """Decide which groups are zero after pruning with ``factor * theta``; groups that are zero already stay so.

        Parameters
        ----------
        weight : ndarray of float64
            The weights that the groups were cut from.
        factor : float, default 1.0
            What the thresholds are multiplied by.
        prune : {"below", "above"}
            Whether the groups below the threshold are pruned, or those above it, as the claim literally says.
        step : float, default 1.0
            Share of the groups beyond the threshold, 0..1, that is pruned, though at least one group: the groups
            farthest from the threshold.

        Returns
        -------
        ndarray of bool, shape (count,)
            True where a group is zero after pruning.

        Raises
        ------
        HwquantError
            ``prune`` is neither of its values.
        """
        if prune not in get_args(Polarity):
            raise HwquantError(f"prune must be one of {', '.join(get_args(Polarity))}, not {prune!r}")
        zeros = self.zeros(weight)
        excess = self.norms(weight) - factor * self.thresholds(weight)
        if prune == "below":
            excess = -excess
        candidates = np.flatnonzero((excess > 0) & ~zeros)
        most = max(1, int(step * len(candidates)))
        # Relative to the size of a group, which differs at the edges of a layer.
        farthest = np.argsort(-excess[candidates] / self.sizes[candidates], kind="stable")[:most]
        zeros[candidates[farthest]] = True
        return zeros


@dataclass(frozen=True)
class GroupShape:
    """How a network's weights are cut into groups for an array.

    Attributes
    ----------
    array : tuple of int, default (8, 8)
        Rows and columns of the systolic array.
    size : int, optional
        Consecutive input channels in a group; None takes the array's rows.
    filters : int, optional
        Consecutive output channels in a group; None takes the array's columns.

    Raises
    ------
    HwquantError
        A number is out of range.
    """

    array: SystolicArray = (8, 8)
    size: int | None = None
    filters: int | None = None

    def __post_init__(self) -> None:
        check_array(self.array)  # raises for a side out of range
        for name in ("size", "filters"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise HwquantError(f"{name} of a group must be at least 1, not {value}")

    def cut(self, graph: Graph, node: Conv) -> Groups:
        """Divide one of the graph's convolutions into groups, as the compiler divides it into tiles."""
        mapped = map_convolutions(graph, self.array)[node.name]
        columns = filter_groups(mapped, self.filters)[:, None, None, None]
        if mapped.lanes is None:
            coordinates = [columns, mapped.tiles]
        else:
            rows = whole_array(self.array)[1]
            coordinates = [columns, _blocks(mapped.lanes, self.size or rows, rows), mapped.positions]
        arrays = np.broadcast_arrays(*coordinates)
        flat = np.ravel_multi_index([a.ravel() for a in arrays], [int(a.max()) + 1 for a in arrays])
        numbers, labels = np.unique(flat, return_inverse=True)
        return Groups(labels.reshape(node.weight.shape).astype(np.int64), len(numbers))


def convolutions(graph: Graph) -> list[Conv]:
    """List the nodes that have weights to prune, in order."""
    return [node for node in graph.nodes if isinstance(node, Conv)]


def filter_groups(mapped: MappedConv, filters: int | None) -> IntArray:
    """Number the groups along the output channels, int64 [out]: ``filters`` in a group, None for those of a tile."""
    if filters is None:
        return mapped.blocks
    width = int(mapped.columns.max()) + 1
    if filters > width:
        return np.arange(len(mapped.blocks)) // filters
    return mapped.blocks * -(-width // filters) + mapped.columns // filters


def _blocks(index: IntArray, size: int, word: int) -> IntArray:
    """Number the blocks of ``size`` indices; blocks begin anew with each ``word`` indices."""
    word = max(word, size)
    return index // word * -(-word // size) + index % word // size
