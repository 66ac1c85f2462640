"""Whether the first layer may begin while the packer still writes what follows the last beat of a frame.

Padding below and beside the picture belongs to windows that are written after the last pixel has come. When each of
their words is written is known, and when a word is read at the earliest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from hwquant.program.array_shape import ArrayShape
from hwquant.program.isa import LAYER, Instruction, Opcode
from hwquant.program.layout import Placement
from hwquant.program.pixel_order import Geometry, Job, starts
from hwquant.program.raw_inputs import RawInput

FIRST_START = 2
"""Cycles from the last beat, a cycle late as the sequencer sees it, to the start of a tile that has no weights to load:
its instruction, and the dispatcher's two slots."""


def with_early(
    code: Iterable[Instruction], inputs: Sequence[Placement], shape: ArrayShape
) -> Iterator[Instruction]:
    """Have INPUT say whether the first layer begins early: at once with the last beat.

    Parameters
    ----------
    code : iterable of Instruction
        A program.
    inputs : sequence of Placement
        Where the network's inputs lie, in the order of the frame.
    shape : ArrayShape
        The array, with the inputs that its packer lays out.

    Yields
    ------
    Instruction
        The same instructions; INPUT with its ``early``.
    """
    everything = list(code)
    early = int(_may_begin(everything, inputs[-1], shape))
    for instruction in everything:
        if instruction.opcode is Opcode.INPUT:
            instruction = replace(instruction, values={**instruction.values, "early": early})
        yield instruction


def _late_words(place: Placement, shape: ArrayShape) -> Iterator[tuple[tuple[int, int], int]]:
    """Banks and addresses of words that are written after the last beat, and how many cycles after it."""
    width = place.stored_shape[2]
    for window, plane, cycles in RawInput.of(place).late_words(shape.lanes):
        y, x = divmod(window, width)
        strip, row = place.locate(y)
        address = place.address + plane * place.plane + row * width + x
        for bank in [strip] if place.last_strip else range(shape.arrays):
            yield (bank, address), cycles


def _may_begin(code: Sequence[Instruction], last: Placement, shape: ArrayShape) -> bool:
    """Whether no word is read before it is written, and none of the layer's is written before all of these are."""
    jobs, alone = _first_layer(code)
    late, tail = dict(_late_words(last, shape)), RawInput.of(last).tail(shape.lanes)
    # One array latency, or what is shorter for products, and the cycle by which the sequencer is behind.
    latency = 1 + shape.write_latency - shape.array_latency
    latency += shape.product_latency if jobs[0].tile.get("product") else shape.array_latency
    for job, start in zip(jobs, starts(jobs, FIRST_START + jobs[0].load_cycles(shape), shape)):
        if job.outputs and start + 1 + job.step(0) + latency <= tail:
            return False
        for time, words in enumerate(job.reads(shape, alone=alone), start + 2):
            if time > tail:
                return True
            if any(time <= late.get((bank, address), 0) for bank, address, _ in words):
                return False
    return False  # the layer is over before the packer is done


def _first_layer(code: Sequence[Instruction]) -> tuple[list[Job], bool]:
    """The tiles of the first layer, and whether one array computes it alone."""
    geometry, jobs, alone = Geometry(), list[Job](), False
    layers = 0

    def first(instruction: Instruction) -> bool:
        nonlocal layers
        layers += instruction.opcode in (Opcode.WRITE, Opcode.OUTPUT)
        return layers < 2

    for instruction in takewhile(first, code):
        if instruction.opcode is Opcode.TILE:
            jobs.extend(geometry.jobs(instruction.values))
        elif instruction.opcode is Opcode.WRITE:
            alone = bool(instruction.values.get("alone", 0))
        elif instruction.opcode not in LAYER:
            geometry.set(instruction)
    return jobs, alone
