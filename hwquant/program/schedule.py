"""The schedule: which tiles are executed, in which order, for which pixels.

Loop order: column blocks, within them pixel blocks, within them terms and tiles. So a layer's outputs appear in the
order of their addresses, and a column block's parameters are read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwquant.errors import Unsupported
from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayProduct, ArrayTerm
from hwquant.program.layout import Placement
from hwquant.program.mapping import NO_PIECES, MappedLayer
from hwquant.program.placement import Placed
from hwquant.program.taps import tap_tiles, tap_weights
from hwquant.program.tiling import (
    ColumnBlock,
    PixelBlock,
    Tile,
    column_blocks,
    connected_tiles,
    dense_tiles,
    dense_weights,
    pixel_blocks,
    product_tile,
)
from hwquant.program.widths import bits_for
from hwquant.qgraph import IntArray


@dataclass(frozen=True, eq=False)
class TermTiles:
    """The tiles of a term that one column block executes.

    Attributes
    ----------
    term : ArrayTerm or ArrayProduct
        The term that the tiles are cut from; or a product, whose tile has no weights.
    tiles : tuple of Tile
        Tiles that are not zero; a column block without any keeps one, since its outputs have to appear.
    dense : int
        How many tiles there would be if none were zero.
    """

    term: ArrayTerm | ArrayProduct
    tiles: tuple[Tile, ...]
    dense: int


@dataclass(frozen=True, eq=False)
class ColumnPass:
    """What is executed for one column block of a layer.

    Attributes
    ----------
    block : ColumnBlock
        The output channels.
    terms : tuple of TermTiles
        Terms with tiles to execute, in order.
    dense : int
        Tiles of all terms that there would be if none were zero.
    skipped : int
        Tiles among them that are zero and cost nothing.
    """

    block: ColumnBlock
    terms: tuple[TermTiles, ...]
    dense: int
    skipped: int

    @property
    def count(self) -> int:
        """Tiles that are executed for each pixel block."""
        return sum(len(item.tiles) for item in self.terms)


@dataclass(frozen=True, eq=False)
class LayerSchedule:
    """A layer's part of the schedule.

    Attributes
    ----------
    mapped : MappedLayer
        The layer, and how it uses the array.
    output : Placement
        Place of the tensor that the layer writes.
    inputs : tuple of Placement
        Places of the tensors that the terms or the product read.
    pixel_blocks : tuple of PixelBlock
        The output's pixels, in order.
    passes : tuple of ColumnPass
        The output's channels, in order; each pass goes through all pixel blocks.
    """

    mapped: MappedLayer
    output: Placement
    inputs: tuple[Placement, ...]
    pixel_blocks: tuple[PixelBlock, ...]
    passes: tuple[ColumnPass, ...]

    def sweeps(self) -> Iterator[Sweep]:
        """The layer's sweeps, in order of execution."""
        places = {item.name: item for item in self.inputs}
        for column_pass in self.passes:
            for number, pixel_block in enumerate(self.pixel_blocks):
                done = 0
                for item in column_pass.terms:
                    yield Sweep(
                        block=column_pass.block,
                        pixels=pixel_block,
                        streamed=self.mapped.streamed(pixel_block),
                        term=item.term,
                        source=places[item.term.tensor],
                        tiles=item.tiles,
                        done=done,
                        count=column_pass.count,
                        parameters=number == 0 and done == 0,
                        factors=places[item.term.factors] if isinstance(item.term, ArrayProduct) else None,
                    )
                    done += len(item.tiles)


@dataclass(frozen=True, eq=False)
class Sweep:
    """A row of the schedule: the tiles of one term, one after the other, over one pixel block.

    Attributes
    ----------
    block : ColumnBlock
        The output channels.
    pixels : PixelBlock
        The output's pixels.
    streamed : int
        Pixels that each tile streams.
    term : ArrayTerm or ArrayProduct
        The term that the tiles are cut from; or a product, whose tile has no weights.
    source : Placement
        Place of the tensor that is read; of a product, that of the pixels.
    tiles : tuple of Tile
        The tiles, in order of execution.
    done : int
        Tiles of the pixel block that sweeps before this one have executed.
    count : int
        Tiles of the pixel block in all.
    parameters : bool
        Whether the column block begins, so that its outputs' parameters are read.
    factors : Placement, optional
        Place of the tensor that a product's pixels are multiplied with.
    """

    block: ColumnBlock
    pixels: PixelBlock
    streamed: int
    term: ArrayTerm | ArrayProduct
    source: Placement
    tiles: tuple[Tile, ...]
    done: int
    count: int
    parameters: bool
    factors: Placement | None = None


def make_schedule(
    mapped: Sequence[MappedLayer],
    placed: Placed,
    shape: ArrayShape,
    whole: Mapping[str, str] = NO_PIECES,
) -> tuple[LayerSchedule, ...]:
    """Put what every layer executes in order.

    Parameters
    ----------
    mapped : sequence of MappedLayer
        All layers in order of execution.
    placed : Placed
        Where their tensors lie.
    shape : ArrayShape
        The array, with the modes that the layers use.
    whole : mapping of str, optional
        By name of each piece of a tensor, the name of the tensor (:mod:`hwquant.program.steps`).

    Raises
    ------
    Unsupported
        A layer would have to fill lanes without a channel with zeros, and its range has none.
    DoesNotFit
        A pooling window has more pixels than there are accumulators.
    """
    full = _full_words(mapped, shape, whole)
    return tuple(
        _layer(item, whole.get(item.layer.tensor, item.layer.tensor) in full, placed, shape)
        for item in mapped
    )


def _layer(mapped: MappedLayer, complete: bool, placed: Placed, shape: ArrayShape) -> LayerSchedule:
    """The schedule of a layer; ``complete`` says whether it fills the lanes without a channel, too."""
    layer, output = mapped.layer, placed.tensors[mapped.layer.tensor]
    if complete and output.shape[0] % shape.lanes and layer.idle(shape.multiplier_bits > 0) is None:
        raise Unsupported(
            f"layer {layer.name!r} only gives values above or below zero, so that lanes without a channel "
            "cannot hold zero, and a layer that reads it has no weight zero to leave them out; quantize it "
            "without the literal range",
            where=layer.name,
        )
    blocks = column_blocks(output.shape[0], shape, complete)
    inputs = tuple(placed.tensors[name] for name in dict.fromkeys(layer.reads))
    grids = {
        term: dense_tiles(term, placed.tensors[term.tensor], shape)
        for term in ([] if mapped.plan else layer.terms)
    }
    passes = []
    for block in blocks:
        terms = []
        for term in layer.terms:
            if mapped.plan:
                grid = tap_tiles(mapped.plan, block, placed.tensors[term.tensor])
                dense = len(grid)
            else:
                grid, dense = grids[term], connected_tiles(term, block, shape)
            terms.append((TermTiles(term, _executed(mapped, term, block, grid, shape), dense), grid[0]))
        if layer.product:
            tile = product_tile(block, output)
            passes.append(ColumnPass(block, (TermTiles(layer.product, (tile,), 1),), dense=1, skipped=0))
        else:
            passes.append(_column_pass(block, terms))
    pixels = pixel_blocks(layer, shape.accumulator_depth, summed=mapped.summed)
    return LayerSchedule(mapped, output, inputs, tuple(pixels), tuple(passes))


def _column_pass(block: ColumnBlock, terms: Sequence[tuple[TermTiles, Tile]]) -> ColumnPass:
    """The terms that have tiles to execute; of a block that is zero, the first tile of the first term."""
    executed = tuple(item for item, _ in terms if item.tiles)
    dense = sum(item.dense for item, _ in terms)
    skipped = dense - sum(len(item.tiles) for item in executed)
    if not executed:
        (first, tile), *_ = terms
        executed = (TermTiles(first.term, (tile,), first.dense),)
    return ColumnPass(block, executed, dense, skipped)


def _executed(
    mapped: MappedLayer, term: ArrayTerm, block: ColumnBlock, grid: Sequence[Tile], shape: ArrayShape
) -> tuple[Tile, ...]:
    """The tiles of a grid that are not zero: all that the schedule asks of the weights."""
    nonzero = np.asarray(tile_weights(mapped, term, block, shape).any(axis=(1, 2)))
    return tuple(tile for tile in grid if nonzero[tile.number])


def tile_weights(mapped: MappedLayer, term: ArrayTerm, block: ColumnBlock, shape: ArrayShape) -> IntArray:
    """Cut a term's adjusted weights into a column block's tiles.

    Returns
    -------
    ndarray of int64, shape (tiles, rows, columns)
        Adjusted weights by number of tile.
    """
    if mapped.plan:
        return tap_weights(term, mapped.plan, block, shape)
    return dense_weights(term, block, shape)


def _full_words(mapped: Sequence[MappedLayer], shape: ArrayShape, whole: Mapping[str, str]) -> set[str]:
    """Names of the tensors that a term reads which cannot give weight zero to the lanes that hold no channel.

    Odd weights are mapped such that they need no zero there, and such that a layer of which full words are needed has
    none. What a product makes of such lanes is the zero point where its factors are.
    """
    full = {
        whole.get(term.tensor, term.tensor)
        for item in mapped
        for term in item.layer.terms
        if term.step == 1 and bits_for(*term.zero_limits) > shape.weight_bits
    }
    for item in reversed(mapped):
        if item.layer.product and whole.get(item.layer.tensor, item.layer.tensor) in full:
            full |= {whole.get(name, name) for name in item.layer.reads}
    return full
