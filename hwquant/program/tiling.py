"""Where the tiles of a layer lie, and which pixels are accumulated together: geometry first, weights when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hwquant.errors import DoesNotFit
from hwquant.program.array_shape import ArrayShape
from hwquant.program.isa import REPEAT_BITS
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.layout import Placement
from hwquant.qgraph import IntArray


@dataclass(frozen=True)
class ColumnBlock:
    """The output channels that one pass over the columns produces.

    Attributes
    ----------
    plane : int
        Number of the plane of words that the channels are in.
    group : int
        Number of the group of a word's lanes, which are written together.
    channels : range
        The channels of columns 0, 1 and so on.
    """

    plane: int
    group: int
    channels: range

    @property
    def outputs(self) -> slice:
        """The channels as a slice, to index arrays with."""
        return slice(self.channels.start, self.channels.stop)


def column_blocks(channels: int, shape: ArrayShape, complete: bool) -> list[ColumnBlock]:
    """Divide output channels into blocks, in the order in which the writer expects them.

    Parameters
    ----------
    channels : int
        Number of output channels.
    shape : ArrayShape
        The array.
    complete : bool
        Whether to keep the groups of the last word that hold no channel, so that their lanes are written too.
    """
    blocks = []
    for plane in range(-(-channels // shape.lanes)):
        for group in range(shape.groups):
            lanes = shape.group_lanes(group)
            start = min(plane * shape.lanes + lanes.start, channels)
            stop = min(plane * shape.lanes + lanes.stop, channels)
            if start < stop or complete:
                blocks.append(ColumnBlock(plane, group, range(start, stop)))
    return blocks


@dataclass(frozen=True, slots=True)
class Tile:
    """A place of ``rows`` x ``columns`` weights in a term: what it adds to a block's first pixel, and what it reads.

    Attributes
    ----------
    number : int
        Place of the tile's weights in what :func:`dense_weights` or :func:`hwquant.program.taps.tap_weights` returns.
    address : int
        What is added to the address of the block's first pixel; where tensors lie in strips, without what comes of
        ``y``.
    part : int
        Number of the part of a word whose lanes the rows take.
    y : int
        What is added to the row of the block's first pixel.
    x : int
        What is added to the column of the block's first pixel.
    """

    number: int
    address: int
    part: int
    y: int
    x: int


def dense_tiles(term: ArrayTerm, place: Placement, shape: ArrayShape) -> tuple[Tile, ...]:
    """Make the dense tiles of a term: one for each kernel position and each read of ``rows`` channels.

    They are the same for every column block, and ordered so that runs of addresses that are equally far apart are long.

    Parameters
    ----------
    term : ArrayTerm
        The term.
    place : Placement
        Where the tensor that is read lies in the activation memory.
    shape : ArrayShape
        The array.
    """
    kh, kw = term.kernel
    top, left = term.padding[:2]
    padding = any(term.padding)
    reads = range(-(-term.channels // shape.rows))
    positions = [(ky, kx) for ky in range(kh) for kx in range(kw)]
    in_order = sorted(reads, key=lambda read: (read % shape.reads_per_word, read))
    order = (
        [(position, read) for position in positions for read in in_order]
        if padding
        else [(position, read) for read in in_order for position in positions]
    )
    tiles = []
    for (ky, kx), read in order:
        plane, part = divmod(read, shape.reads_per_word)
        y, x = ky * term.dilation[0] - top, kx * term.dilation[1] - left
        tiles.append(
            Tile(
                number=(read * kh + ky) * kw + kx,
                address=place.offset(plane, y, x),
                part=part,
                # Without padding every position is inside, and equal coordinates let tiles share an instruction.
                y=y if padding or place.strip_rows else 0,
                x=x if padding else 0,
            )
        )
    return tuple(tiles)


def dense_weights(term: ArrayTerm, block: ColumnBlock, shape: ArrayShape) -> IntArray:
    """Cut a term's adjusted weights into a column block's dense tiles, int64 [tiles, rows, columns]."""
    weight = term.dense(block.outputs)
    out, channels, kh, kw = weight.shape
    reads = -(-channels // shape.rows)
    padded = np.zeros((reads * shape.rows, shape.columns, kh, kw), np.int64)
    padded[:channels, :out] = weight.transpose(1, 0, 2, 3)
    by_read = padded.reshape(reads, shape.rows, shape.columns, kh, kw)
    return by_read.transpose(0, 3, 4, 1, 2).reshape(-1, shape.rows, shape.columns)


def product_tile(block: ColumnBlock, place: Placement) -> Tile:
    """The only tile of a column block's product: its address is that of the first pixel."""
    return Tile(0, place.offset(block.plane, 0, 0), block.group, 0, 0)


def connected_tiles(term: ArrayTerm, block: ColumnBlock, shape: ArrayShape) -> int:
    """Count the tiles of a column block that hold weights which the network has, zero or not."""
    reads = -(-term.channels // shape.rows)
    channels = np.zeros(reads * shape.rows, bool)
    channels[: term.channels] = term.connected(block.outputs).any(axis=0)
    kh, kw = term.kernel
    return int(channels.reshape(reads, shape.rows).any(axis=1).sum()) * kh * kw


def runs(tiles: Sequence[Tile]) -> Iterator[tuple[int, int, int]]:
    """Split tiles into runs of consecutive ones whose addresses are equally far apart.

    Runs shorter than three are not worth their REPEAT and come out as single tiles.

    Yields
    ------
    begin : int
        Number of the first tile.
    count : int
        How many tiles there are.
    distance : int
        Words from the address of one tile to that of the next; 0 for a single tile.
    """
    begin = 0
    while begin < len(tiles):
        first = tiles[begin]
        stop, distance = begin + 1, 0
        if stop < len(tiles):
            distance = tiles[stop].address - first.address
        while (
            stop < len(tiles)
            and stop - begin < 1 << REPEAT_BITS
            and tiles[stop].address - tiles[stop - 1].address == distance
            and (tiles[stop].part, tiles[stop].y, tiles[stop].x) == (first.part, first.y, first.x)
        ):
            stop += 1
        if stop - begin < 3:
            stop, distance = begin + 1, 0
        yield begin, stop - begin, distance
        begin = stop


@dataclass(frozen=True)
class PixelBlock:
    """Output pixels that are accumulated together: whole rows, or a part of one.

    Attributes
    ----------
    y : int
        Row of the first pixel.
    x : int
        Column of the first pixel.
    count : int
        Accumulators, one for each pixel in the order in which they are visited.
    """

    y: int
    x: int
    count: int


def pixel_blocks(layer: ArrayLayer, depth: int, *, summed: bool = False) -> list[PixelBlock]:
    """Divide a layer's output into blocks of at most ``depth`` visited pixels, as equal as whole rows allow.

    Parameters
    ----------
    layer : ArrayLayer
        The layer.
    depth : int
        Depth of the accumulators.
    summed : bool, default False
        Whether the layer's windows are summed, in one accumulator each.

    Raises
    ------
    DoesNotFit
        A window has more pixels than there are accumulators.
    """
    height, width = layer.pixels
    area = 1 if summed else layer.window[0] * layer.window[1]
    if area > depth:
        raise DoesNotFit(
            f"layer {layer.name!r}: a pooling window of {area} pixels needs accumulators at least as deep "
            f"(accumulator_depth is {depth})",
            resource="accumulator_depth",
            needed=area,
            available=depth,
            remedy="deeper accumulators",
        )
    row = width * area
    if row <= depth:
        count = -(-height // (depth // row))
        rows = [height * (i + 1) // count - height * i // count for i in range(count)]
        starts = np.cumsum([0, *rows[:-1]]).tolist()
        return [PixelBlock(y, 0, n * row) for y, n in zip(starts, rows)]
    count = -(-width // (depth // area))
    edges = [width * i // count for i in range(count + 1)]
    return [
        PixelBlock(y, begin, (end - begin) * area) for y in range(height) for begin, end in pairwise(edges)
    ]
