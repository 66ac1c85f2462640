"""Arrays of which a part is idle: a smaller one, that the cycle model says is as fast.

A word of the activation memory has as many channels as the array has rows, and a pass over the columns never crosses
words that it cannot fill: columns beyond a multiple of the rows wait, and so do rows and columns beyond the channels of
all layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from hwquant.advice import Advice
from hwquant.errors import DoesNotFit, Unsupported
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.program import Program
from hwquant.program.sides import MAX_SIDE, MIN_SIDE, array_name, short_array
from hwquant.qgraph import QGraph

Sides = tuple[int, int]
"""Rows and columns."""


def judge_array(
    qgraph: QGraph, program: Program, limits: Mapping[str, int] | None = None
) -> tuple[Advice, ...]:
    """Judge whether a smaller array would be as fast; both are compiled, and their cycles are exact.

    Parameters
    ----------
    qgraph : QGraph
        The network that ``program`` was compiled from.
    program : Program
        The network compiled for the array to judge.
    limits : mapping of int, optional
        What the program was compiled with, as for :func:`hwquant.program.compiler.compile_network`.

    Returns
    -------
    tuple of Advice
        One piece of the kind "idle_array", or none; none with external memory.
    """
    if program.memory:
        return ()  # which array is as fast hangs on the memory more than on what is idle
    arrays, sides = program.config.arrays, (program.config.rows, program.config.columns)
    known = {sides: timing(program).cycles}

    def cycles(shape: Sides) -> int | None:
        if shape not in known:
            offset = "auto" if program.config.offset == "none" else program.config.offset
            try:
                array = short_array(arrays, *shape)
                known[shape] = timing(compile_network(qgraph, array, offset=offset, limits=limits)).cycles
            except (DoesNotFit, Unsupported):
                return None
        return known[shape]

    best = sides
    while better := next((new for new in _smaller(best, qgraph) if _within(cycles(new), known[sides])), None):
        best = better
    if best == sides:
        return ()
    rows, columns = sides

    def name(shape: Sides) -> str:
        return array_name(short_array(arrays, *shape))

    text = (
        f"a part of array {name(sides)} is idle: {name(best)} takes {known[best]:,} cycles with "
        f"{arrays * math.prod(best)} multipliers, {name(sides)} {known[sides]:,} with {arrays * math.prod(sides)}"
    )
    larger = (rows + -rows % min(sides), columns + -columns % min(sides))
    if larger != sides and max(larger) <= MAX_SIDE:
        taken = cycles(larger)
        if taken is not None and taken < known[best]:
            text += f"; {name(larger)} takes {taken:,}"
    return (Advice("idle_array", name(sides), text, f"--array {name(best)}", float(known[best])),)


def _smaller(shape: Sides, qgraph: QGraph) -> Iterator[Sides]:
    """Arrays that may be as fast, the least first.

    They have as many rows and columns as the layers fill in as many passes, or rows and columns of which one is a
    multiple of the other, or half of either.
    """
    rows, columns = shape
    filled = _filled(rows, (qgraph.tensors[name].shape[0] for node in qgraph.nodes for name in node.inputs))
    served = _filled(columns, (qgraph.tensors[node.name].shape[0] for node in qgraph.nodes))
    least = min(shape)
    for candidate in (
        (filled, served),
        (rows - rows % least, columns - columns % least),
        (rows, columns // 2),
        (rows // 2, columns),
    ):
        if candidate != shape and min(candidate) >= MIN_SIDE:
            yield candidate


def _filled(side: int, channels: Iterable[int]) -> int:
    """The least side that takes these numbers of channels in as many passes as ``side`` does."""
    return max(-(-count // -(-count // side)) for count in channels)


def _within(taken: int | None, most: int) -> bool:
    return taken is not None and taken <= most
