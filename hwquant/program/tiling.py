"""Cuts a step's weights into tiles, and its pixels into blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hwquant.errors import DoesNotFit
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import REPEAT_BITS
from hwquant.program.layout import Placement
from hwquant.program.lowering import ArrayLayer, ArrayTerm
from hwquant.qgraph import IntArray


@dataclass(frozen=True)
class ColumnBlock:
    """The output channels that one pass over the columns produces: ``channels`` are columns 0, 1, ..."""

    plane: int
    group: int
    channels: range


def column_blocks(channels: int, config: ArrayConfig, complete: bool) -> list[ColumnBlock]:
    """Output channels in the order in which the writer expects them.

    ``complete`` keeps the groups of the last word that hold no channel, so that its lanes are written too.
    """
    blocks = []
    for plane in range(-(-channels // config.lanes)):
        for group in range(config.groups):
            lanes = config.group_lanes(group)
            start = min(plane * config.lanes + lanes.start, channels)
            stop = min(plane * config.lanes + lanes.stop, channels)
            if start < stop or complete:
                blocks.append(ColumnBlock(plane, group, range(start, stop)))
    return blocks


@dataclass(frozen=True, eq=False)
class Tile:
    """``rows`` x ``columns`` adjusted weights at one kernel position and one read of the input's channels.

    ``address``, ``y``, ``x`` are what the kernel position adds to those of a block's first pixel.
    """

    weight: IntArray
    address: int
    part: int
    y: int
    x: int


@dataclass(frozen=True, eq=False)
class TermTiles:
    """A term's executed tiles for one column block, and how many there would be without zeros."""

    term: ArrayTerm
    tiles: tuple[Tile, ...]
    dense: int


def term_tiles(term: ArrayTerm, block: ColumnBlock, tensor: Placement, config: ArrayConfig) -> TermTiles:
    """The tiles of one term that are not zero, ordered so that runs of equal address steps are long."""
    rows, columns = config.rows, config.columns
    _, height, width = tensor.stored_shape
    weight = term.weight[block.channels.start : block.channels.stop]
    out, channels, kh, kw = weight.shape
    reads = -(-channels // rows)
    padded = np.zeros((reads * rows, columns, kh, kw), np.int64)
    padded[:channels, :out] = weight.transpose(1, 0, 2, 3)
    structure = np.zeros((reads * rows, columns), bool)
    structure[:channels, :out] = term.structure[block.channels.start : block.channels.stop].T
    by_read = padded.reshape(reads, rows, columns, kh, kw)
    nonzero = np.asarray(by_read.any(axis=(1, 2)))  # reads, kernel height, kernel width
    connected = structure.reshape(reads, rows, columns).any(axis=(1, 2))

    top, left = term.padding[:2]
    padding = any(term.padding)
    positions = [(ky, kx) for ky in range(kh) for kx in range(kw)]
    read_order = sorted(range(reads), key=lambda read: (read % config.reads_per_word, read))
    order = (
        [(position, read) for position in positions for read in read_order]
        if padding
        else [(position, read) for read in read_order for position in positions]
    )
    tiles = []
    for (ky, kx), read in order:
        if not nonzero[read, ky, kx]:
            continue
        plane, part = divmod(read, config.reads_per_word)
        y, x = ky * term.dilation[0] - top, kx * term.dilation[1] - left
        tiles.append(
            Tile(
                weight=by_read[read, :, :, ky, kx],
                address=plane * height * width + y * width + x,
                part=part,
                # Without padding every position is inside, and equal coordinates let tiles share an instruction.
                y=y if padding else 0,
                x=x if padding else 0,
            )
        )
    return TermTiles(term, tuple(tiles), int(connected.sum()) * kh * kw)


def runs(tiles: tuple[Tile, ...]) -> Iterator[tuple[int, int, int]]:
    """Splits tiles into (begin, count, step): consecutive ones whose addresses are ``step`` apart.

    Runs shorter than three are not worth their REPEAT and come out as single tiles.
    """
    begin = 0
    while begin < len(tiles):
        first = tiles[begin]
        stop, step = begin + 1, 0
        if stop < len(tiles):
            step = tiles[stop].address - first.address
        while (
            stop < len(tiles)
            and stop - begin < 1 << REPEAT_BITS
            and tiles[stop].address - tiles[stop - 1].address == step
            and (tiles[stop].part, tiles[stop].y, tiles[stop].x) == (first.part, first.y, first.x)
        ):
            stop += 1
        if stop - begin < 3:
            stop, step = begin + 1, 0
        yield begin, stop - begin, step
        begin = stop


@dataclass(frozen=True)
class PixelBlock:
    """``count`` accumulators in visiting order from output pixel (y, x) on: whole output rows, or a part of one."""

    y: int
    x: int
    count: int


def pixel_blocks(step: ArrayLayer, depth: int) -> list[PixelBlock]:
    """Blocks of at most ``depth`` visited pixels, as equal as whole rows allow."""
    height, width = step.pixels
    area = 1 if step.summed else step.window[0] * step.window[1]
    if area > depth:
        raise DoesNotFit(
            f"layer {step.name!r}: a pooling window of {area} pixels needs accumulators at least as deep "
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
