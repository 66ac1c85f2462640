"""Several arrays: which rows of a picture each of them computes, and so how high the strips of every tensor are.

Array ``k`` has bank ``k`` of the activation memory, and strip ``k`` of every tensor is in it. All arrays get the same
instructions and addresses; so they compute a layer together where array ``k`` reads what array 0 reads, ``k`` strips
further down, and writes to its own bank: where a strip of each input has as many rows as one of the output, times the
layer's stride. Where that is not so, or the output has a single strip, array 0 computes the layer alone: it reads from
any bank, and writes one strip after the other, or a tensor of one strip to all banks, in which every array finds it.

Heights of strips are chosen such that the layers take the fewest cycles together, then the least memory. The layers are
gone through in order; for every choice of the tensors that are still read, the best choice of those before is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from hwquant.errors import DoesNotFit
from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayLayer
from hwquant.program.mapping import MappedLayer, packings
from hwquant.program.tiling import column_blocks, connected_tiles, pixel_blocks
from hwquant.program.window_sums import revisits_early
from hwquant.qgraph import QGraph

MOST_HEIGHTS = 12
"""Heights of strips that are tried for a tensor, besides that of all rows: the lowest ones."""

MOST_CHOICES = 256
"""Choices for the tensors that are still read which are kept from layer to layer: the best ones."""


@dataclass(frozen=True)
class Divided:
    """A network's layers as several arrays compute them.

    Attributes
    ----------
    layers : tuple of MappedLayer
        The layers; ``pixels`` of those that are computed together are what each array computes.
    strips : mapping of int
        Rows of a strip, by name of tensor; empty where there is one array.
    """

    layers: tuple[MappedLayer, ...]
    strips: Mapping[str, int]


def divide(mapped: tuple[MappedLayer, ...], qgraph: QGraph, shape: ArrayShape) -> Divided:
    """Choose the strips of every tensor, and which layers the arrays compute together.

    Parameters
    ----------
    mapped : tuple of MappedLayer
        All layers in order of execution.
    qgraph : QGraph
        The network, for the shapes of tensors.
    shape : ArrayShape
        The array, with the modes that the layers use. Hardware that lays out inputs has strips for them already.

    Raises
    ------
    DoesNotFit
        A pooling window has more pixels than there are accumulators, or the strips of inputs that hardware lays out
        leave no way to compute a layer.
    """
    if shape.arrays == 1:
        return Divided(mapped, {})
    heights = _heights(mapped, qgraph)
    given = {
        item.name: raw.strip_rows for item, raw in zip(qgraph.inputs, shape.raw_inputs) if raw.strip_rows
    }
    strips = _Search(mapped, heights, shape, given).strips()
    layers = []
    for item in mapped:
        rows = rows_of_an_array(item, strips, heights, shape)
        layers.append(
            replace(item, alone=True) if rows is None else replace(item, layer=_local(item.layer, rows))
        )
    return Divided(tuple(layers), strips)


def rows_of_an_array(
    item: MappedLayer, strips: Mapping[str, int], heights: Mapping[str, int], shape: ArrayShape
) -> int | None:
    """Count the rows of a layer's output that each array computes; None where array 0 has to compute all of them.

    Parameters
    ----------
    item : MappedLayer
        The layer, with all its pixels.
    strips : mapping of int
        Rows of a strip of the tensors that the layer reads and writes.
    heights : mapping of int
        Rows of these tensors.
    shape : ArrayShape
        The arrays.
    """
    layer, rows, step = item.layer, strips[item.layer.tensor], 1
    if layer.into:
        first, step, count = (
            side[0] for side in (layer.into.grid.start, layer.into.grid.step, layer.into.grid.size)
        )
        # What arrays compute beyond the last row goes to rows of their strips, which must not be those of the picture.
        if rows % step or first >= step or first + step * count < heights[layer.tensor]:
            return None
    rows //= step
    if rows >= layer.pixels[0] or any(strips[name] != each * rows for name, each in _strides(layer)):
        return None
    if item.summed and not shape.settles and revisits_early(_local(layer, rows), shape):
        return None
    return rows


def _strides(layer: ArrayLayer) -> Iterator[tuple[str, int]]:
    """The tensors that a layer reads, and the rows of each from one row of its output to the next.

    A factor that is held is of one pixel, which every array has.
    """
    if layer.product:
        yield layer.product.tensor, 1
        if not layer.product.held:
            yield layer.product.factors, 1
    for term in layer.terms:
        yield term.tensor, layer.window_stride[0] * term.stride[0]


def _local(layer: ArrayLayer, rows: int) -> ArrayLayer:
    """A layer with only some rows of its output."""
    return replace(layer, pixels=(rows, layer.pixels[1]))


def _heights(mapped: Sequence[MappedLayer], qgraph: QGraph) -> dict[str, int]:
    """The rows of every tensor in the activation memory."""
    packed = packings(mapped)
    names = dict.fromkeys(item.name for item in qgraph.inputs)
    names |= dict.fromkeys(name for item in mapped for name in (*item.layer.reads, item.layer.tensor))
    return {
        name: packed[name].packed_shape[1] if name in packed else qgraph.tensors[name].shape[1]
        for name in names
    }


Choice = tuple[tuple[str, int], ...]
"""Rows of a strip of some tensors, sorted by name."""


@dataclass(frozen=True, eq=False)
class _Way:
    """Choices for the tensors of some layers.

    Attributes
    ----------
    cycles : int
        Cycles of these layers, about.
    room : int
        Rows of a strip of all tensors together: a measure of the memory that they take.
    added : mapping of int
        The latest choices.
    before : _Way or None
        The choices before them.
    """

    cycles: int
    room: int
    added: Mapping[str, int]
    before: _Way | None

    @property
    def merit(self) -> tuple[int, int]:
        """What is to be least."""
        return self.cycles, self.room

    def chosen(self) -> dict[str, int]:
        """All choices, by name of tensor."""
        choices: dict[str, int] = {}
        way: _Way | None = self
        while way:
            choices |= way.added
            way = way.before
        return choices


@dataclass(frozen=True, eq=False)
class _Search:
    """The search for the best heights of strips.

    Attributes
    ----------
    mapped : tuple of MappedLayer
        All layers in order of execution.
    heights : mapping of int
        Rows of every tensor.
    shape : ArrayShape
        The arrays.
    given : mapping of int
        Heights of the strips of some tensors, which are not to be chosen.
    """

    mapped: tuple[MappedLayer, ...]
    heights: Mapping[str, int]
    shape: ArrayShape
    given: Mapping[str, int]

    def strips(self) -> dict[str, int]:
        """The best heights, by name of tensor."""
        last = {name: index for index, item in enumerate(self.mapped) for name in _tensors(item.layer)}
        kept: dict[Choice, _Way] = {(): _Way(0, 0, {}, None)}
        for index, item in enumerate(self.mapped):
            names, found = _tensors(item.layer), dict[Choice, _Way]()
            known: dict[Choice, int | None] = {}
            for choice, way in kept.items():
                for more in self._choices(item.layer, dict(choice)):
                    every = dict(choice) | more
                    own = tuple((name, every[name]) for name in names)
                    if own not in known:
                        known[own] = self._cycles(item, dict(own))
                    if (cost := known[own]) is None:
                        continue
                    key = tuple(sorted((name, rows) for name, rows in every.items() if last[name] > index))
                    longer = _Way(way.cycles + cost, way.room + sum(more.values()), more, way)
                    if key not in found or longer.merit < found[key].merit:
                        found[key] = longer
            best = sorted(found.items(), key=lambda pair: (pair[1].merit, pair[0]))
            # What is not cut at all can always go on.
            whole = [pair for pair in best if all(rows == self.heights[name] for name, rows in pair[0])]
            kept = dict(best[:MOST_CHOICES] + whole)
            if not kept:
                raise DoesNotFit(
                    f"layer {item.layer.name!r} cannot be computed with the strips that the hardware makes of inputs",
                    resource="raw_inputs",
                    remedy="hardware made for this network",
                )
        return dict(self.heights) | min(kept.values(), key=lambda way: way.merit).chosen()

    def _choices(self, layer: ArrayLayer, strips: Mapping[str, int]) -> Iterator[dict[str, int]]:
        """The heights that there are for a layer's tensors which have none yet."""
        names = [name for name in _tensors(layer) if name not in strips]
        for rows in product(*(self.tried[name] for name in names)):
            yield dict(zip(names, rows))

    @cached_property
    def tried(self) -> dict[str, list[int]]:
        """The heights that are tried for each tensor: what evenly divides it, or another one that layers lead to."""
        least = {name: -(-height // self.shape.arrays) for name, height in self.heights.items()}
        tried = {name: {rows} for name, rows in least.items()}
        related = [
            (name, item.layer.tensor, each, item.layer.into.grid.step[0] if item.layer.into else 1)
            for item in self.mapped
            for name, each in _strides(item.layer)
            if each > 0
        ]
        grew = True
        while grew:
            before = sum(map(len, tried.values()))
            for read, written, each, step in related:
                down = {rows // each * step for rows in tried[read] if rows % each == 0}
                up = {rows // step * each for rows in tried[written] if rows % step == 0}
                for name, new in ((written, down), (read, up)):
                    fitting = sorted(
                        rows for rows in tried[name] | new if least[name] <= rows <= self.heights[name]
                    )
                    tried[name] = set(fitting[:MOST_HEIGHTS])
            grew = sum(map(len, tried.values())) > before
        return {
            name: [self.given[name]] if name in self.given else sorted(rows | {self.heights[name]})
            for name, rows in tried.items()
        }

    def _cycles(self, item: MappedLayer, strips: Mapping[str, int]) -> int | None:
        """About how many cycles a layer takes; None where it cannot be executed with these strips."""
        layer = item.layer
        rows = rows_of_an_array(item, strips, self.heights, self.shape)
        if rows is None and layer.into and strips[layer.tensor] < self.heights[layer.tensor]:
            return None  # array 0 alone writes to a part of a tensor of one strip
        both = layer.product and not layer.product.held  # pixels and factors, which have to lie alike
        if both and len({strips[name] for name in layer.reads}) > 1:
            return None
        local = item if rows is None else replace(item, layer=_local(layer, rows))
        blocks = pixel_blocks(local.layer, self.shape.accumulator_depth, summed=item.summed)
        return self._tiles[item] * sum(max(local.streamed(block), self.shape.load_cycles) for block in blocks)

    @cached_property
    def _tiles(self) -> dict[MappedLayer, int]:
        """The tiles of each layer that hold weights which the network has."""
        return {item: self._count(item) for item in self.mapped}

    def _count(self, item: MappedLayer) -> int:
        blocks = column_blocks(len(item.layer.bias), self.shape, complete=False)
        if item.plan:
            return len(item.plan.filters) * len(blocks)
        if item.layer.product:
            return len(blocks)
        return sum(connected_tiles(term, block, self.shape) for term in item.layer.terms for block in blocks)


def _tensors(layer: ArrayLayer) -> tuple[str, ...]:
    """The tensors that a layer reads and writes, each once."""
    return tuple(dict.fromkeys((*layer.reads, layer.tensor)))
