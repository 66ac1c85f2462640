"""A network on a board whose memory takes part: how deep the memories inside are, and which arrays are tried.

Of the block RAMs that are left, the activation memory gets as much as there is: the fewer tensors are outside, and the
fewer bands there are, the less is moved. Weights are read in the order of their use, so that a deeper buffer of them
brings little.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from hwquant.boards.board import Board
from hwquant.boards.clock_estimate import ClockEstimate, estimate_clock
from hwquant.boards.contents import Contents
from hwquant.boards.families.family import Device
from hwquant.boards.needs import Need, needs
from hwquant.boards.pins import LinkKind
from hwquant.boards.sdram import no_memory
from hwquant.boards.shapes import Compiled, Shapes, regular
from hwquant.errors import DoesNotFit, Unsupported
from hwquant.program.config import HALF_STEP, ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.moves import RING
from hwquant.program.planner import halves
from hwquant.program.sides import Array, array_name

ExternalChoice = Literal["auto", "none", "axi", "axi16", "axi32", "axi64", "axi128"]
"""Whether external memory is used: where a network does not fit without; never; always, of a width that may be said."""

CHOICES: tuple[ExternalChoice, ...] = get_args(ExternalChoice)

WEIGHTS = 1024
"""Words of the buffer of weights: one of twice as many saved YuNet, UltraFace and SqueezeNet no cycles on ULX3S."""

BUFFERS: Mapping[str, int] = {"weight_depth": WEIGHTS, "parameter_depth": RING}
"""Memories inside of what is read in order."""

SMALL = 2 * HALF_STEP
"""Words of two halves that are a block RAM deep each: what larger memories have multiples of."""

SHORT_PROGRAM = 2048
"""Instructions for which there is to be room before their number is known: of a network that is not large."""

SEVERAL = 3
"""Arrays that are compiled for: those that would be fastest if nothing had to be moved."""


def board_memory(board: Board, choice: ExternalChoice) -> ExternalMemory | None:
    """The memory of a board at its target clock; None where it has none that can be used, or none is to be used.

    Raises
    ------
    Unsupported
        A memory is asked for that the board does not have.
    """
    if choice == "none":
        return None
    if board.memory is None:
        if choice == "auto":
            return None
        missing = no_memory(board.name, board.ddr)
        raise Unsupported(
            f"{missing}; or leave out --external {choice}"
            if board.ddr
            else f"{missing}: leave out --external {choice}, or describe it in a board file",
            where=board.name,
        )
    if board.device is None or board.device.family.sdram is None:
        if choice == "auto":
            return None
        raise Unsupported(
            f"hwquant knows no cells of {board.device_name} for an SDRAM: leave out --external {choice}, or make a "
            "core with AXI for a system of your own",
            where=board.name,
        )
    memory = board.memory.external(board.target(external=True) * 1e6)
    if choice not in ("auto", "axi", f"axi{memory.data_bits}"):
        raise Unsupported(
            f"the memory of the board {board.name} has {memory.data_bits} bits: choose --external "
            f"axi{memory.data_bits}, not {choice}",
            where=board.name,
        )
    return memory


def compiled_for(
    shapes: Shapes, array: Array, device: Device, memory: ExternalMemory | None, kind: LinkKind
) -> Compiled:
    """Compile a network for an array; with external memory, with memories inside for which a device has room.

    Raises
    ------
    DoesNotFit
        No activation memory has room beside the array, or one that has is too small.
    """
    if memory is None:
        return shapes.compiled(array, device)
    limits = {**BUFFERS, **shapes.limits}
    if "activation_depth" in limits:
        return shapes.compiled(array, device, memory, limits)
    config = replace(shapes.guess(array, device, memory), program_depth=SHORT_PROGRAM)
    for words in _depths(config, limits, device, kind):
        found = shapes.compiled(array, device, memory, {**limits, "activation_depth": words})
        if _ram_fits(found.program.config, device, kind, found.contents):
            return found
    raise DoesNotFit(
        f"array {array_name(array)} leaves {device.name} no block RAM for activations and the program",
        resource="ram",
        remedy="a smaller array or a larger board",
    )


def _depths(config: ArrayConfig, limits: Mapping[str, int], device: Device, kind: LinkKind) -> Iterator[int]:
    """Words of activation memories, of two halves, that there may be room for, the most first."""
    steps = (SMALL * count for count in range(config.activation_depth // SMALL + 1, 0, -1))
    for words in (*steps, *(1 << bits for bits in range(HALF_STEP.bit_length() - 1, 5, -1))):
        if _ram_fits(_sized(config, words, limits), device, kind):
            yield words


def _sized(config: ArrayConfig, words: int, limits: Mapping[str, int]) -> ArrayConfig:
    """The hardware with an activation memory of so many words, in two halves, and buffers as the limits have them."""
    first, _ = halves(None, words) or (0, words)
    return replace(
        config,
        weight_depth=limits["weight_depth"],
        parameter_depth=1 << (limits["parameter_depth"].bit_length() - 1),
        activation_depth=words,
        half_depth=first,
    )


def _ram_fits(config: ArrayConfig, device: Device, kind: LinkKind, contents: Contents | None = None) -> bool:
    items = needs(config, device, contents, kind=kind)
    return all(need.excess <= 1 for need in items if need.resource == "ram")


def board_clock(
    board: Board, device: Device, used: Sequence[Need], *, external: bool = False
) -> ClockEstimate:
    """The clock of a design that takes so much; the board's target for a family of which nothing was routed."""
    found = estimate_clock(device, {need.resource: need.needed for need in used}, board.target_mhz)
    return replace(found, megahertz=min(found.megahertz, board.target(external=True))) if external else found


def promising(shapes: Shapes, board: Board, device: Device, memory: ExternalMemory) -> Iterator[Array]:
    """The arrays to compile for: those that fit beside small memories and take the least time of their own."""
    found: dict[Array, float] = {}
    least = 0  # multipliers: far smaller arrays are slower
    for array in regular(2):
        if math.prod(array) < least:
            break
        try:
            config = shapes.guess(array, device, memory)
        except (DoesNotFit, Unsupported):
            continue
        small = _sized(replace(config, program_depth=SHORT_PROGRAM), SMALL, {**BUFFERS, **shapes.limits})
        used = needs(small, device, kind=board.link)
        if all(need.excess <= 1 for need in used):
            least = least or math.prod(array) // 4
            clock = board_clock(board, device, used, external=True)
            found[array] = shapes.rough_cycles(array, device, memory) / clock.megahertz
    yield from sorted(found, key=lambda array: found[array])[:SEVERAL]
