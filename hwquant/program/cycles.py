"""The cycle model: when the hardware does what, from the program alone.

Two jobs are under way at any time, one being loaded and one being streamed; each instruction takes a cycle
unless it waits. The recurrences are those of the dispatcher and the sequencer
(:mod:`hwquant.rtl_templates.dispatcher`, :mod:`hwquant.rtl_templates.sequencer`); the result is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.isa import LAYER, SOURCE, Instruction, Opcode
from hwquant.program.program import Program
from hwquant.program.weight_format import WeightFormat

FETCH_CYCLES = 3
"""Cycles from the beginning of an inference to the execution of its first word."""

INPUT_CYCLES, OUTPUT_CYCLES = 2, 4
"""Cycles that INPUT and OUTPUT take beyond one for each word."""


@dataclass(frozen=True)
class Timing:
    """Cycles of one inference.

    Attributes
    ----------
    cycles : int
        Cycles from the last beat of the input to the moment when the first output word may be fetched.
    layers : tuple of int
        The share of each layer in ``cycles``, divided where a layer's first tile begins to stream.
    frame_cycles : int
        Cycles from the beginning of one inference to that of the next, with a host that never waits.
    """

    cycles: int
    layers: tuple[int, ...]
    frame_cycles: int


@dataclass
class _Machine:
    """The state of sequencer and dispatcher; times are cycles after the last beat of the input."""

    program: Program
    executed: int = 0
    loaded: int = -1
    started: int = -1
    pixels: int = 0
    parameters: int = -(1 << 30)
    pending: int = -1
    begun: int = -1
    count: int = 0
    lead: int = 0
    wait: int = 0
    format: WeightFormat = field(default_factory=WeightFormat)

    def tile(self, values: dict[str, int]) -> None:
        config = self.program.config
        # The waiting slot is free after the cycle in which the tile before is taken for loading.
        self.executed = max(self.executed + 1, self.loaded + 1)
        if values["source"] or values["layer"]:
            self.executed = max(self.executed, self.pending + 1)
        if values["layer"]:
            self.executed = max(self.executed, self.begun + 1)
        load = max(self.executed + 1, self.started)
        start = load + (1 if values.get("product") else self.format.load_cycles(config) + values["offsets"])
        if self.started >= 0:
            start = max(start, self.started + self.pixels)
            if values.get("settle"):
                start = max(start, self.started + self.pixels + ACCUMULATE_HAZARD - 1)
            if values["layer"]:
                wait = self.wait if config.overlap else config.drain_latency - 1
                start = max(start, self.started + self.pixels + wait)
        if values["parameters"]:
            start = max(start, self.parameters + config.columns)
            self.parameters = start
        if values["source"] or values["layer"]:
            self.pending = start
        if values["layer"]:
            self.begun = start + self._first_output(values) + config.write_latency
        self.loaded, self.started, self.pixels = load, start, self.count

    def _first_output(self, values: dict[str, int]) -> int:
        """How much later than in any tile the first output of a depthwise tile, or of a product, is on its way."""
        config = self.program.config
        if values.get("product"):
            return 1 + config.product_latency - config.array_latency
        return self.lead if values.get("taps") else 0


def jobs(instructions: tuple[Instruction, ...]) -> Iterator[Instruction]:
    """Go through a program's instructions, with repeated tiles written out."""
    repeat = 0
    for instruction in instructions:
        if instruction.opcode is Opcode.REPEAT:
            repeat = instruction.values["count"]
        yield instruction
        if instruction.opcode is Opcode.TILE and repeat:
            plain = dict.fromkeys(instruction.values, 0) | {"settle": instruction.values.get("settle", 0)}
            for _ in range(repeat):
                yield Instruction(Opcode.TILE, plain)
            repeat = 0


def _input_cycles(program: Program, values: Mapping[str, int]) -> tuple[int, int]:
    """Cycles from the first word of a frame to the last one in memory, and how many of them follow the last beat."""
    config = program.config
    if not config.raw_inputs:
        return values["count"], 0
    moving = sum(item.cycles(config.frame_values, config.lanes) for item in config.raw_inputs)
    return moving, config.raw_inputs[-1].tail(config.lanes)


def timing(program: Program) -> Timing:
    """Predict the cycles of a program, exactly: as the hardware's counter has them."""
    machine = _Machine(program)
    starts: list[int] = []
    before = after = cycles = 0
    for instruction in jobs(program.instructions):
        opcode, values = instruction.opcode, instruction.values
        if opcode is Opcode.INPUT:
            # Time begins anew with the last beat of the input, of which a packer writes words still.
            moving, tail = _input_cycles(program, values)
            before += machine.executed + moving - tail + INPUT_CYCLES
            machine.executed = 0 if values.get("early") else tail
        elif opcode is Opcode.OUTPUT:
            if not after:
                finished = machine.started + machine.pixels + program.config.drain_latency - 1
                cycles = max(machine.executed + 1, finished)
            after += values["count"] + OUTPUT_CYCLES
        elif opcode is Opcode.TILE:
            machine.tile(dict(values))
            if values["layer"]:
                starts.append(machine.started)
        elif opcode in SOURCE:
            machine.executed = max(machine.executed + 1, machine.pending + 1)
        elif opcode in LAYER:
            machine.executed = max(machine.executed + 1, machine.begun + 1)
        else:
            machine.executed += 1
        if opcode is Opcode.COUNT:
            machine.count = values["count"]
        elif opcode is Opcode.TAPS:
            machine.lead = values["lead"]
        elif opcode is Opcode.WRITE:
            machine.wait = values.get("wait", 0)
        elif opcode is Opcode.FORMAT:
            machine.format = WeightFormat.of(1 << values["packing"], program.config)
    edges = [0, *starts[1:], cycles]
    layers = tuple(end - begin for begin, end in pairwise(edges))
    return Timing(cycles, layers, FETCH_CYCLES - 1 + before + cycles + after + 1)
