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

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.graph import Add, Clip, Conv, Graph, MaxPool
from hwquant.program.config import TAP_COLUMNS, ArrayConfig
from hwquant.program.depthwise import MAX_LINES

POLARITIES = ("below", "above")

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Groups:
    """A convolution's weights, divided into groups.

    Attributes
    ----------
    labels : int64, the shape of the weight, the number of the group that a weight is in
    count : number of groups
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

    def pruned(self, weight: Array, factor: float = 1.0, prune: str = "below", step: float = 1.0) -> Mask:
        """Which groups pruning with ``factor * theta`` leaves at zero, bool [count].

        Groups that are zero already are among them. ``prune="above"`` prunes the groups above the threshold, as
        the claim literally says, instead of those below. Of the groups that are left, at most the share ``step``
        is pruned, at least one: those farthest from the threshold.
        """
        if prune not in POLARITIES:
            raise HwquantError(f"prune must be one of {', '.join(POLARITIES)}, not {prune!r}")
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

    def keep(self, weight: Array, factor: float = 1.0, prune: str = "below", step: float = 1.0) -> Mask:
        """The mask after pruning: bool, the shape of the weight, False where it is pruned."""
        return ~self.pruned(weight, factor, prune, step)[self.labels]


@dataclass(frozen=True)
class GroupShape:
    """How a network's weights are cut into groups for an array.

    Attributes
    ----------
    array : rows and columns of the systolic array
    size : consecutive input channels in a group; the array's rows where None
    filters : consecutive output channels in a group; the array's columns where None
    """

    array: tuple[int, int] = (8, 8)
    size: int | None = None
    filters: int | None = None

    def __post_init__(self) -> None:
        ArrayConfig(*self.array)  # raises for a side out of range
        for name in ("size", "filters"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise HwquantError(f"{name} of a group must be at least 1, not {value}")

    def cut(self, graph: Graph, node: Conv) -> Groups:
        """The groups of one of the graph's convolutions."""
        config = ArrayConfig(*self.array)
        out, per_group, kernel_rows, kernel_columns = node.weight.shape
        filters = np.arange(out)[:, None, None, None]
        channel = filters // (out // node.groups) * per_group + np.arange(per_group)[None, :, None, None]
        y = np.arange(kernel_rows)[None, None, :, None]
        x = np.arange(kernel_columns)[None, None, None, :]
        columns = filter_blocks(filters, config, self.filters)
        if uses_taps(graph, node, config):
            lines = min(MAX_LINES, config.rows // TAP_COLUMNS)
            (sy, sx) = node.stride
            coordinates = [columns, y % sy, y // sy // lines, x % sx, x // sx // TAP_COLUMNS]
        else:
            lane, position = channel, x
            if is_packed(graph, node, config):
                lane, position = x * (per_group * node.groups) + channel, np.zeros_like(x)
            coordinates = [columns, blocks(lane, self.size or config.rows, config.rows), y, position]
        arrays = np.broadcast_arrays(*coordinates, np.empty(node.weight.shape))[:-1]
        flat = np.ravel_multi_index([a.ravel() for a in arrays], [int(a.max()) + 1 for a in arrays])
        found, labels = np.unique(flat, return_inverse=True)
        return Groups(labels.reshape(node.weight.shape).astype(np.int64), len(found))


def convolutions(graph: Graph) -> list[Conv]:
    """The nodes that have weights to prune, in order."""
    return [node for node in graph.nodes if isinstance(node, Conv)]


def is_packed(graph: Graph, node: Conv, config: ArrayConfig) -> bool:
    """Whether the compiler packs the kernel rows of this convolution into words of the network's input."""
    (source,) = node.inputs
    inputs, outputs = {item.name for item in graph.inputs}, {item.tensor for item in graph.outputs}
    readers = graph.consumers(node.name)
    if source not in inputs or source in outputs or len(graph.consumers(source)) != 1:
        return False
    if len(readers) == 1 and isinstance(readers[0], Add):
        return False  # a term among others
    channels, kernel = graph.shapes[source][0], node.weight.shape[3]
    return kernel > 1 and -(-channels * kernel // config.rows) < kernel * -(-channels // config.rows)


def uses_taps(graph: Graph, node: Conv, config: ArrayConfig) -> bool:
    """Whether the compiler runs this convolution as depthwise tiles, several kernel positions each."""
    out, per_group, *kernel = node.weight.shape
    depthwise = per_group == 1 and out == node.groups > 1 and kernel != [1, 1] and node.dilation == (1, 1)
    reader = _reader(graph, node.name)
    while isinstance(reader, Clip):
        reader = _reader(graph, reader.name)
    pooled = isinstance(reader, MaxPool) and not any(reader.padding) and reader.stride >= reader.kernel
    fits = config.columns <= config.rows and config.rows >= TAP_COLUMNS
    return depthwise and fits and not pooled and not isinstance(_reader(graph, node.name), Add)


def filter_blocks(index: IntArray, config: ArrayConfig, filters: int | None = None) -> IntArray:
    """Number of the group along the output channels; those of one column tile where ``filters`` is None."""
    # A write covers no more than a word.
    return blocks(index, filters or min(config.columns, config.lanes), config.lanes)


def _reader(graph: Graph, tensor: str) -> object:
    """The only node that reads a tensor, None where there are several or none."""
    readers = graph.consumers(tensor)
    return readers[0] if len(readers) == 1 else None


def blocks(index: IntArray, size: int, word: int) -> IntArray:
    """Number of the block of ``size`` that an index is in; blocks begin anew with each ``word``."""
    word = max(word, size)
    return index // word * -(-word // size) + index % word // size
