"""The best array for an integer network on a board, found exactly, and its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwquant.boards.board import Board
from hwquant.boards.candidate import Candidate
from hwquant.boards.fit import choose_array, fitting_arrays
from hwquant.boards.outside import compiled_for
from hwquant.boards.shapes import Shapes
from hwquant.errors import Unsupported
from hwquant.optimize.options import External, Goal
from hwquant.program.activity import activity
from hwquant.program.memories import memory_bits
from hwquant.program.program import Program
from hwquant.program.sides import Array, short_array

SIDES = ("arrays", "rows", "columns")
"""Measures that say which array a candidate is for."""

HARDWARE = (
    *SIDES,
    "cycles",
    "clock_mhz",
    "fps",
    "lut",
    "ff",
    "dsp",
    "ram",
    "large_ram",
    "bytes",
    "moved_bytes",
    "energy_nj",
)
"""Names of what is known of a network on an array; ``moved_bytes`` are those of an inference to and from the board's
memory, 0 where that takes no part."""


@dataclass(frozen=True)
class Measure:
    """A goal as a number.

    Attributes
    ----------
    name : str
        Which of :data:`HARDWARE` it is.
    title : str
        What it is, in words for people.
    maximize : bool, default False
        Whether large is good.
    """

    name: str
    title: str
    maximize: bool = False

    def cost(self, measures: Mapping[str, float]) -> float:
        """Turn the number into something to make small."""
        return -measures[self.name] if self.maximize else measures[self.name]

    def better(self, measures: Mapping[str, float], than: Mapping[str, float]) -> float:
        """Say how many times better some measures are than others, above 1 where they are."""
        one, other = measures[self.name], than[self.name]
        return one / other if self.maximize else other / one


MEASURES: Mapping[Goal, Measure] = {
    "fps": Measure("fps", "inferences a second", maximize=True),
    "lut": Measure("lut", "LUTs"),
    "energy-proxy": Measure("energy_nj", "energy proxy, nJ"),
    "bytes": Measure("bytes", "memory bytes"),
}
"""The number of each goal."""


def best_hardware(
    shapes: Shapes, board: Board, goal: Goal, min_fps: float | None, external: External = "none"
) -> dict[str, float]:
    """Find the array on which a network does best, among all that fit a board.

    Parameters
    ----------
    shapes : Shapes
        The network.
    board : Board
        The board; inferences a second are those at the clock that is estimated.
    goal : {"fps", "lut", "energy-proxy", "bytes"}
        What is to be best.
    min_fps : float or None
        Inferences a second that the array must reach; where none does, the fastest array is taken.
    external : {"none", "auto", "axi"}
        Whether the board's memory takes part: never, where the network does not fit without, or always. Then the
        fastest of a few arrays is taken, whatever is to be best.

    Returns
    -------
    dict of float
        The numbers of :data:`HARDWARE`, by name.

    Raises
    ------
    DoesNotFit
        No array fits; the message says what the nearest one lacks.
    Unsupported
        The board has no device, or no such memory, or the array cannot execute the network.
    """
    fastest = choose_array(shapes, board, external=external)
    if not fastest.fits:
        raise fastest.shortfall()
    best = _numbers(fastest.chosen, shapes, board)
    if goal == "fps" or fastest.chosen.outside or (min_fps is not None and best["fps"] < min_fps):
        return best
    everything = [_numbers(item, shapes, board) for item in fitting_arrays(shapes, board)]
    enough = [item for item in everything if min_fps is None or item["fps"] >= min_fps]
    return min(enough, key=lambda item: (MEASURES[goal].cost(item), item["cycles"], item["lut"]))


def _numbers(candidate: Candidate, shapes: Shapes, board: Board) -> dict[str, float]:
    program = program_of(candidate, shapes, board)
    done = activity(program)
    needs = {need.resource: float(need.needed) for need in candidate.needs}
    return {
        "arrays": candidate.arrays,
        "rows": candidate.rows,
        "columns": candidate.columns,
        "cycles": candidate.cycles,
        "clock_mhz": candidate.clock.megahertz,
        "fps": candidate.clock.megahertz * 1e6 / candidate.cycles,
        **{name: needs.get(name, 0.0) for name in ("lut", "ff", "dsp", "ram", "large_ram")},
        "bytes": -(-sum(memory_bits(program.config).values()) // 8),
        "moved_bytes": done.bytes_moved,
        "energy_nj": done.energy_nj,
    }


def program_of(candidate: Candidate, shapes: Shapes, board: Board) -> Program:
    """The program of a network on an array that was judged for a board, with its memory or without."""
    if board.device is None:
        raise Unsupported(f"the board {board.name!r} has no device", where=board.name)
    memory = candidate.outside.memory if candidate.outside else None
    return compiled_for(shapes, candidate.array, board.device, memory, board.link).program


def array_of(measures: Mapping[str, float]) -> Array:
    """The array that a candidate's measures are of."""
    arrays, rows, columns = (int(measures[name]) for name in SIDES)
    return short_array(arrays, rows, columns)
