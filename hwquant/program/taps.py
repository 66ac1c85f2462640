"""Layers whose channels do not mix, as filters along the columns.

A depthwise tile covers up to ``tap_lines`` x TAP_COLUMNS kernel positions at once. Pixels are streamed row by
row; row ``TAP_COLUMNS * line + k`` of the array multiplies the stream of kernel row ``line``, which is
``delay`` cycles older than that of the next one. With a row pitch of ``pitch`` pixels, an output's taps meet
its sum where ``delay = pitch - TAP_COLUMNS``. Padding columns at the end of a row and at the beginning of the
next are one and the same where both exist.

A stride splits the kernel by the parity of its positions: each of these is a filter of stride 1 on every
``stride``-th pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwquant.graph import Shape
from hwquant.program.array_shape import TAP_COLUMNS, ArrayShape
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.layout import Placement
from hwquant.program.limits import MIN_TAP_DELAY
from hwquant.program.tiling import ColumnBlock, Tile
from hwquant.qgraph import IntArray

MAX_LINES = 3
"""Most kernel rows of a depthwise tile: 3x3 is the kernel that networks have."""


@dataclass(frozen=True)
class Filter:
    """The part of a kernel that one depthwise tile covers.

    Attributes
    ----------
    taps : tuple of tuple of int
        Row of the array, and row and column of the kernel, of each tap.
    y : int
        Row of the pixel that the first tap of output (0, 0) reads.
    x : int
        Column of the pixel that the first tap of output (0, 0) reads.
    """

    taps: tuple[tuple[int, int, int], ...]
    y: int
    x: int

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of the kernel that have taps."""
        return tuple(dict.fromkeys(ky for _, ky, _ in self.taps))

    @property
    def columns(self) -> tuple[int, ...]:
        """Columns of the kernel that have taps."""
        return tuple(dict.fromkeys(kx for _, _, kx in self.taps))


@dataclass(frozen=True)
class TapPlan:
    """How a depthwise layer is streamed; all its tiles alike.

    Attributes
    ----------
    filters : tuple of Filter
        What the tiles of a column block cover, a filter for each tile.
    pitch : int
        Pixels streamed for a row of outputs.
    delay : int
        Cycles from the stream of one kernel row to that of the next.
    lead : int
        Pixels streamed before the first output.
    tail : int
        Pixels streamed after the last output.
    axis : int, optional
        The axis, 0 for y and 1 for x, of the line that all pixels lie on; None for an image, whose rows are streamed
        one after the other.
    """

    filters: tuple[Filter, ...]
    pitch: int
    delay: int
    lead: int
    tail: int
    axis: int | None = None

    def streamed_line(self, count: int) -> int:
        """Count the pixels that a tile streams to make ``count`` outputs on a line."""
        return self.lead + count + self.tail

    def streamed(self, rows: int, width: int) -> int:
        """Count the pixels that a tile streams to make ``rows`` rows of ``width`` outputs."""
        return self.lead + (rows - 1) * self.pitch + width + self.tail


def plan_taps(layer: ArrayLayer, stored: Shape, lines: int, depth: int) -> TapPlan | None:
    """Plan how a layer runs as depthwise tiles; None where it cannot.

    Parameters
    ----------
    layer : ArrayLayer
        The layer, of which only the geometry matters.
    stored : tuple of int
        Channels, height and width of its input, as the activation memory holds it.
    lines : int
        Kernel rows that a tile of the array covers; 0 where the array has no depthwise mode.
    depth : int
        Depth of the accumulators, which must hold a row of outputs.
    """
    if len(layer.terms) != 1 or layer.pooled or not lines:
        return None
    (term,) = layer.terms
    kernel, width = term.kernel, layer.pixels[1]
    if not term.separate or kernel == (1, 1) or term.dilation != (1, 1) or width > depth:
        return None
    rows = list(_positions(kernel[0], term.stride[0], term.padding[0], lines))
    columns = list(_positions(kernel[1], term.stride[1], term.padding[1], TAP_COLUMNS))
    filters = tuple(Filter(_product(ky, kx), y, x) for y, ky in rows for x, kx in columns)
    size = stored[2]
    pitch = max(
        TAP_COLUMNS + MIN_TAP_DELAY, *(_pitch(x, len(kx), width, term.stride[1], size) for x, kx in columns)
    )
    delay = pitch - TAP_COLUMNS
    lead = (lines - 1) * delay
    # The streams of a tile must outlast its last output's last tap.
    last = max((len(ky) - 1) * pitch + len(kx) for _, ky in rows for _, kx in columns)
    return TapPlan(filters, pitch, delay, lead, max(0, last - lead - 1))


def _product(rows: tuple[int, ...], columns: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """The taps of a part of a kernel: a line of the array for each of its rows."""
    return tuple(
        (TAP_COLUMNS * line + k, ky, kx) for line, ky in enumerate(rows) for k, kx in enumerate(columns)
    )


def _positions(kernel: int, stride: int, before: int, most: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Split a kernel axis into runs of at most ``most`` positions that are ``stride`` apart.

    Yields
    ------
    first : int
        The coordinate that the first position of the run reads for output 0.
    run : tuple of int
        The positions.
    """
    for phase in range(min(stride, kernel)):
        positions = range(phase, kernel, stride)
        for start in range(0, len(positions), most):
            run = tuple(positions[start : start + most])
            yield run[0] - before, run


def _pitch(first: int, taps: int, width: int, stride: int, size: int) -> int:
    """Pixels streamed for a row, whose padding at the end is also the padding at the beginning of the next row."""
    reads = [first + stride * i for i in range(width + taps - 1)]
    before = sum(1 for x in reads if x < 0)
    after = sum(1 for x in reads if x >= size)
    return len(reads) - min(before, after, taps - 1)


def tap_tiles(plan: TapPlan, block: ColumnBlock, place: Placement) -> tuple[Tile, ...]:
    """Make the tiles of a column block, one for each filter.

    Parameters
    ----------
    plan : TapPlan
        What the tiles cover.
    block : ColumnBlock
        The output channels, which are also those that are read.
    place : Placement
        Where the tensor that is read lies in the activation memory.
    """
    return tuple(
        Tile(number, place.offset(block.plane, item.y, item.x), block.group, item.y, item.x)
        for number, item in enumerate(plan.filters)
    )


def tap_weights(term: ArrayTerm, plan: TapPlan, block: ColumnBlock, shape: ArrayShape) -> IntArray:
    """Cut a term's adjusted weights into a column block's depthwise tiles, int64 [tiles, rows, columns]."""
    weight = term.weight[block.outputs, 0]  # channels, kernel height, kernel width
    tiles = np.zeros((len(plan.filters), shape.rows, shape.columns), np.int64)
    for tile, item in zip(tiles, plan.filters):
        for row, ky, kx in item.taps:
            tile[row, : len(weight)] = weight[:, ky, kx]
    return tiles


def tap_levels(plan: TapPlan, stride: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Make the loop levels of a depthwise layer, the innermost first.

    Returns
    -------
    list of tuple of int
        The last index of each level, and what a pixel adds to y and to x.
    """
    sy, sx = stride
    if plan.axis is not None:
        onward = (0, sx) if plan.axis else (sy, 0)
        return [(0, 0, 0), (0, 0, 0), (plan.pitch - 1, *onward), (0, *onward)]
    return [(0, 0, 0), (0, 0, 0), (plan.pitch - 1, 0, sx), (0, sy, -(plan.pitch - 1) * sx)]
