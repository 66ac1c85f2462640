"""Which array a network gets on a board, how fast it is, and what is missing: before any synthesis.

Every array of :data:`hwquant.boards.shapes.SHAPES` is judged roughly first, from the network's weights and tensors
alone. Those that are far from fitting are left out; the others are compiled, the largest first, where they can be
faster than the best: an array does at most ``rows * columns`` multiply-accumulates a cycle. Cycles are exact, resources
those of :mod:`hwquant.boards.resources`, clocks those of :mod:`hwquant.boards.clock_estimate`: the fuller a device, the
slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from hwquant.boards.board import Board
from hwquant.boards.candidate import Candidate, Fit, MemoryUse
from hwquant.boards.families.family import Device
from hwquant.boards.needs import needs, shortage, worst
from hwquant.boards.outside import ExternalChoice, board_clock, board_memory, compiled_for, promising
from hwquant.boards.shapes import TYPICAL, Shapes, regular
from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.array_shape import ArrayShape
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.memories import memory_bits
from hwquant.program.sides import Array, whole_array
from hwquant.progress import Progress
from hwquant.qgraph import QGraph

HOPELESS = 1.25
"""A shape is not compiled if a rough estimate takes more than this share of what may be used."""

TRIES = 3
"""Number of hopeless shapes that are compiled, to say what the next faster one would need."""

MODEST = {"activation": 1 << 14, "weight": 1 << 16}
"""Bits of the memories in what is called the largest array of a board: a small convolutional network."""


def choose_array(
    network: QGraph | Shapes,
    board: Board,
    array: Array | None = None,
    *,
    external: ExternalChoice = "none",
    progress: Progress | None = None,
) -> Fit:
    """Choose an array for a network on a board, or judge a given one.

    Where the board's memory takes part, a few arrays are compiled for: those that would be the fastest with nothing to
    be moved.

    Parameters
    ----------
    network : QGraph or Shapes
        The network, as :class:`~hwquant.boards.shapes.Shapes` where several boards are asked about it.
    board : Board
        A board with a device.
    array : tuple of int, optional
        (rows, columns), or (arrays, rows, columns), to judge instead of choosing.
    external : {"none", "auto", "axi", "axi16", "axi32", "axi64", "axi128"}
        Whether the board's memory takes part: never, where the network does not fit without, or always.
    progress : Progress or None, optional
        Called with what is being done, the number of arrays compiled, and 0 for a total that nobody knows.

    Raises
    ------
    HwquantError
        The board has no device, or no such memory, or the network cannot be compiled.
    """
    shapes = network if isinstance(network, Shapes) else Shapes(network)
    device = board.device
    if device is None:
        raise Unsupported(
            f"the board {board.name!r} has no device that a network could fit; choose another",
            where=board.name,
        )
    memory = board_memory(board, external)
    if external == "auto" and memory:
        inside = _fitting_inside(shapes, board, device, array, progress)
        if inside:
            return inside
        try:
            found = _outside(shapes, board, device, array, memory, progress)
        except (DoesNotFit, Unsupported) as error:
            refused = str(error)
        else:
            if found.fits:
                return found
            refused = f"{found.chosen.shape} needs {shortage(found.chosen.needs)}"
        return replace(choose_array(shapes, board, array, progress=progress), refused=refused)
    if memory:
        return _outside(shapes, board, device, array, memory, progress)
    if array:
        return _answer(board, _candidate(shapes, array, board, device), None, [], 1)
    return _inside(shapes, board, device, progress)


def choose_fitting(
    shapes: Shapes,
    board: Board,
    array: Array | None = None,
    *,
    external: ExternalChoice = "none",
    progress: Progress | None = None,
) -> Fit:
    """Choose an array that fits, as :func:`choose_array` does; one that is given is judged, and kept.

    Raises
    ------
    DoesNotFit
        None fits; the message says what the nearest one lacks.
    HwquantError
        The board has no device, or no such memory, or the network cannot be compiled.
    """
    found = choose_array(shapes, board, array, external=external, progress=progress)
    if array is None and not found.fits:
        raise found.shortfall()
    return found


def _fitting_inside(
    shapes: Shapes, board: Board, device: Device, array: Array | None, progress: Progress | None
) -> Fit | None:
    """What is chosen with all inside; None where it does not fit so."""
    try:
        guesses = [shapes.guess(array, device)] if array else list(shapes.rough(device).values())
        if all(worst(needs(item, device, kind=board.link)).excess > HOPELESS for item in guesses):
            return None
        found = choose_array(shapes, board, array, progress=progress)
    except DoesNotFit:
        return None
    return found if found.fits else None


def _outside(
    shapes: Shapes,
    board: Board,
    device: Device,
    array: Array | None,
    memory: ExternalMemory,
    progress: Progress | None,
) -> Fit:
    """Choose an array, or judge a given one, for a network that uses the board's memory."""
    arrays = [array] if array else list(promising(shapes, board, device, memory))
    compiled, refused = list[Candidate](), list[HwquantError]()
    for item in arrays:
        if progress:
            progress(f"compile for {board.name} with its memory", len(compiled), 0)
        try:
            compiled.append(_candidate(shapes, item, board, device, memory))
        except (DoesNotFit, Unsupported) as error:
            refused.append(error)
    if not compiled and refused:
        raise refused[0]
    if not compiled:
        raise DoesNotFit(
            f"no array fits {device.name} beside memories for what comes from outside",
            resource="lut",
            remedy="a larger board",
        )
    chosen = min(compiled, key=lambda item: (max(1.0, item.worst.excess), *_merit(item)))
    return _answer(board, chosen, None, compiled if not array else [], len(arrays))


def _inside(shapes: Shapes, board: Board, device: Device, progress: Progress | None) -> Fit:
    """Choose an array for a network whose tensors and weights are all inside."""
    rough, excess = shapes.rough(device), dict[Array, float]()
    compiled: list[Candidate] = []
    refused: list[HwquantError] = []
    best: Candidate | None = None
    for shape in sorted(rough, key=lambda item: -math.prod(item)):
        least = needs(rough[shape], device, kind=board.link)
        excess[shape] = worst(least).excess
        fastest = shapes.macs / math.prod(shape) / (board_clock(board, device, least).megahertz * 1e3)
        if excess[shape] > HOPELESS or (best and fastest > best.milliseconds):
            continue
        if progress:
            progress(f"compile for {board.name}", len(compiled), 0)
        compiled += _attempt(shapes, shape, board, device, refused)
        best = min((item for item in compiled if item.fits), key=_merit, default=None)
    if best is None:
        if not compiled:
            compiled += _attempt(shapes, min(excess, key=lambda shape: excess[shape]), board, device, refused)
        if not compiled:
            raise refused[0]
        nearest = min(compiled, key=lambda item: item.worst.excess)
        return _answer(board, nearest, None, compiled, len(rough))
    if not any(item.milliseconds < best.milliseconds for item in compiled):
        # For the reason that is given: the next larger ones, though they are hopeless.
        area = math.prod(best.array)
        larger = [shape for shape in excess if excess[shape] > HOPELESS and math.prod(shape) > area]
        nearest_first = sorted(larger, key=lambda item: excess[item])
        for shape in nearest_first[:TRIES]:
            compiled += _attempt(shapes, shape, board, device, refused)
    faster = [item for item in compiled if item.milliseconds < best.milliseconds]
    runner_up = min(faster, key=lambda item: item.worst.excess, default=None)
    return _answer(board, best, runner_up, compiled, len(rough))


def fitting_arrays(shapes: Shapes, board: Board) -> list[Candidate]:
    """Compile a network for every array that may fit a board, and list those that do, the largest first.

    Raises
    ------
    DoesNotFit
        None fits; the message says what the nearest one lacks.
    HwquantError
        The board has no device, or the network cannot be compiled.
    """
    nearest = choose_array(shapes, board)
    if board.device is None or not nearest.fits:
        raise nearest.shortfall()
    device, refused = board.device, list[HwquantError]()
    hopeful = [
        shape
        for shape, config in shapes.rough(device).items()
        if worst(needs(config, device, kind=board.link)).excess <= HOPELESS
    ]
    largest_first = sorted(hopeful, key=lambda shape: -math.prod(shape))
    found = [item for shape in largest_first for item in _attempt(shapes, shape, board, device, refused)]
    return [item for item in found if item.fits]


def largest_array(device: Device) -> Array | None:
    """The largest array, its sides at most 2:1, that a device has room for; None where there is none.

    Activations and weights are taken to have 8 bits, and memories those of :data:`MODEST`; what a network really
    needs, :func:`choose_array` says.
    """
    fitting = (shape for shape in regular(2) if worst(needs(_modest(shape), device)).excess <= 1)
    return next(fitting, None)


def _attempt(
    shapes: Shapes, shape: Array, board: Board, device: Device, refused: list[HwquantError]
) -> list[Candidate]:
    """The candidate of a shape; none where the compiler refuses, as the user's limits are too narrow."""
    try:
        return [_candidate(shapes, shape, board, device)]
    except (DoesNotFit, Unsupported) as error:
        refused.append(error)
        return []


def _candidate(
    shapes: Shapes, shape: Array, board: Board, device: Device, memory: ExternalMemory | None = None
) -> Candidate:
    item = compiled_for(shapes, shape, device, memory, board.link)
    config, report = item.program.config, item.report
    bits, used = memory_bits(config), needs(config, device, item.contents, kind=board.link)
    return Candidate(
        arrays=config.arrays,
        rows=config.rows,
        columns=config.columns,
        offset=config.offset,
        cycles=report.cycles,
        frame_cycles=report.frame_cycles,
        utilization=report.utilization,
        clock=board_clock(board, device, used, external=memory is not None),
        link=board.link_time(item.program, board.target(external=memory is not None) * 1e6),
        largest_memory=max(bits, key=lambda name: bits[name]),
        needs=used,
        outside=MemoryUse.of(report.external),
    )


def _merit(candidate: Candidate) -> tuple[float, int]:
    """A key for sorting: the least time first, then the fewest LUTs."""
    return candidate.milliseconds, next(need.needed for need in candidate.needs if need.resource == "lut")


def _answer(
    board: Board, chosen: Candidate, runner_up: Candidate | None, compiled: Sequence[Candidate], shapes: int
) -> Fit:
    return Fit(
        board=board.name,
        device=board.device_name,
        link=board.link,
        chosen=chosen,
        runner_up=runner_up,
        compiled=max(1, len(compiled)),
        fitting=sum(item.fits for item in compiled) if compiled else int(chosen.fits),
        shapes=shapes,
        memory=board.memory.name if board.memory else "",
        ddr=board.ddr,
    )


def _modest(shape: Array) -> ArrayConfig:
    """The configuration of an array with the memories of a small network."""
    _, rows, columns = whole_array(shape)
    array = ArrayShape(rows, columns, accumulator_depth=64)
    depths = {
        "activation_depth": max(2, MODEST["activation"] // array.word_bits),
        "weight_depth": max(2, MODEST["weight"] // (columns * array.slot_bits)),
        "parameter_depth": 128,
        "program_depth": 256,
    }
    return ArrayConfig.of(array, TYPICAL | depths)
