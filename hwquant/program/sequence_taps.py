"""Depthwise layers over a sequence: their pixels lie on a line, along which the array's filters are placed.

What delays pixels by a row of an image in :mod:`~hwquant.program.taps` delays them here by ``pitch`` pixels of the same
line: a tile covers, for each of its lines, up to TAP_COLUMNS positions in a row, the lines ``pitch`` positions apart.
Two tiles so cover what lies between the lines, too. Nothing is streamed but the sequence, a little before and after.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from hwquant.graph import Shape
from hwquant.program.array_shape import TAP_COLUMNS
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.limits import MIN_TAP_DELAY
from hwquant.program.taps import Filter, TapPlan

NEAREST = TAP_COLUMNS + MIN_TAP_DELAY
"""The least pitch that the delay memories allow."""
MOST_APART = 32
"""Greatest pitch that is tried, but for those at which a dilated kernel's positions are."""
LONGEST = 1 << 10
"""Greatest pitch at all: a delay memory holds as many pixels."""


def plan_sequence_taps(layer: ArrayLayer, stored: Shape, lines: int) -> TapPlan | None:
    """Plan how a layer runs as depthwise tiles along a line; None where its pixels are not on one.

    Parameters
    ----------
    layer : ArrayLayer
        The layer, of which only the geometry matters.
    stored : tuple of int
        Channels, height and width of its input, as the activation memory holds it.
    lines : int
        Lines of pixels that a tile of the array covers; 0 where the array has no depthwise mode.
    """
    if len(layer.terms) != 1 or layer.pooled or not lines:
        return None
    (term,) = layer.terms
    axis = _axis(term, layer, stored)
    if axis is None or not term.separate or term.kernel == (1, 1):
        return None
    apart = term.dilation[axis] // math.gcd(term.dilation[axis], term.stride[axis])
    dilated = [pitch for pitch in (apart, 2 * apart, 3 * apart) if MOST_APART < pitch <= LONGEST]
    plans = [_plan(term, axis, lines, pitch) for pitch in (*range(NEAREST, MOST_APART + 1), *dilated)]
    count = layer.pixels[0] * layer.pixels[1]
    return min(plans, key=lambda plan: len(plan.filters) * plan.streamed_line(count))


def _axis(term: ArrayTerm, layer: ArrayLayer, stored: Shape) -> int | None:
    """The axis (0 for y, 1 for x) that all pixels of the input and of the output lie along; None for an image."""
    top, left, bottom, right = term.padding
    for axis, across in ((1, (top, bottom)), (0, (left, right))):
        other = 1 - axis
        if stored[1 + other] == layer.pixels[other] == term.kernel[other] == 1 and not any(across):
            return axis
    return None


def _plan(term: ArrayTerm, axis: int, lines: int, pitch: int) -> TapPlan:
    kernel, stride, dilation, before = (
        term.kernel[axis],
        term.stride[axis],
        term.dilation[axis],
        term.padding[axis],
    )
    filters = []
    for phase in dict.fromkeys(position * dilation % stride for position in range(kernel)):
        places = {
            position * dilation // stride: position
            for position in range(kernel)
            if position * dilation % stride == phase
        }
        for first, taps in _cover(places, lines, pitch):
            place = first * stride + phase - before
            filters.append(
                Filter(
                    tuple((row, 0, position) if axis else (row, position, 0) for row, position in taps),
                    y=0 if axis else place,
                    x=place if axis else 0,
                )
            )
    delay = pitch - TAP_COLUMNS
    lead = (lines - 1) * delay
    last = (lines - 1) * pitch + TAP_COLUMNS
    return TapPlan(tuple(filters), pitch, delay, lead, max(0, last - lead - 1), axis)


def _cover(places: dict[int, int], lines: int, pitch: int) -> Iterator[tuple[int, Sequence[tuple[int, int]]]]:
    """Cover the positions of a kernel, by their places in the stream, with as many of a tile's rows as reach them.

    Yields
    ------
    first : int
        The place of the tile's first row.
    taps : sequence of tuple of int
        Rows of the array, and the positions that they hold.
    """
    left = dict(places)
    while left:
        first = min(left)
        taps = []
        for line in range(lines):
            for column in range(TAP_COLUMNS):
                position = left.pop(first + line * pitch + column, None)
                if position is not None:
                    taps.append((TAP_COLUMNS * line + column, position))
        yield first, taps
