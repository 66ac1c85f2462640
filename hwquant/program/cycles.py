"""The cycle model: when the hardware does what, from the program alone.

Two jobs are under way at any time, one being loaded and one being streamed; each instruction takes a cycle
unless it waits. The recurrences are those of the dispatcher and the sequencer
(:mod:`hwquant.rtl_templates.dispatcher`, :mod:`hwquant.rtl_templates.sequencer`); the result is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.external import MemoryTiming
from hwquant.program.isa import LAYER, SOURCE, Instruction, MoveKind, Opcode
from hwquant.program.moving import LONG_AGO, MoverModel
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
    stalls : mapping of int, default empty
        Cycles among ``cycles`` in which the sequencer waited for external memory: by the number of the layer whose
        tile it then went on to (of all layers, where it went on to the output), and the kind of what was moved
        meanwhile.
    """

    cycles: int
    layers: tuple[int, ...]
    frame_cycles: int
    stalls: Mapping[tuple[int, int], int] = field(default_factory=dict)

    @property
    def stalled(self) -> int:
        """Cycles among ``cycles`` in which the sequencer waited for external memory."""
        return sum(self.stalls.values())


@dataclass
class _Machine:
    """The state of sequencer and dispatcher; times are cycles after the last beat of the input."""

    program: Program
    mover: MoverModel
    executed: int = 0
    loaded: int = -1
    started: int = -1
    pixels: int = 0
    busy: bool = False  # there has been a tile
    parameters: int = -(1 << 30)
    pending: int = -1
    begun: int = -1
    count: int = 0
    lead: int = 0
    wait: int = 0
    external: int = 0
    layers: int = 0  # begun
    stalls: Counter[tuple[int, int]] = field(default_factory=Counter)
    held: Counter[int] = field(default_factory=Counter)  # stalls since the latest tile, by kind
    format: WeightFormat = field(default_factory=WeightFormat)

    @property
    def finished(self) -> int:
        """The cycle in which the latest tile is finished, with its outputs written."""
        if not self.busy:
            return LONG_AGO
        return self.started + self.pixels + self.program.config.drain_latency

    def move(self, values: Mapping[str, int]) -> None:
        """Queue a move, as soon as the queue has room."""
        self._hold(self.mover.room())
        place = values["kind"], self.external, values["count"]
        self.mover.move(self.executed, self.finished, *place)

    def next_inference(self) -> int:
        """The cycle before the first word of the next inference is executed, with a host that never waits.

        The hardware fetches the first words of a program that comes from external memory.
        """
        begin, half = self.executed + 1, self.program.config.program_half
        if half:
            queued = max(begin + 1, self.mover.room())
            self.mover.move(queued, self.finished, MoveKind.PROGRAM, 0, half)
            begin = self.mover.waited(0)
        return begin + FETCH_CYCLES - 1

    def wait_for_moves(self, moves: int) -> None:
        """Wait until at most so many moves are not complete."""
        self._hold(self.mover.waited(moves))

    def shift(self, cycles: int) -> None:
        """Count time from so many cycles later on."""
        for name in ("loaded", "started", "parameters", "pending", "begun"):
            setattr(self, name, getattr(self, name) - cycles)
        self.mover.shift(cycles)

    def _hold(self, until: int) -> None:
        """Execute an instruction, not before a cycle."""
        begin = self.executed + 1
        for kind, cycles in self.mover.between(begin, until):
            self.held[kind] += cycles
        self.executed = max(begin, until)

    def charge(self, layer: int) -> None:
        """Charge the stalls since the latest tile to a layer."""
        for kind, cycles in self.held.items():
            self.stalls[layer, kind] += cycles
        self.held.clear()

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
        if self.busy:
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
            self.layers += 1
            self.begun = start + self._first_output(values) + config.write_latency
        self.charge(self.layers - 1)
        self.loaded, self.started, self.pixels, self.busy = load, start, self.count, True

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


def timing(program: Program, memory: MemoryTiming | None = None) -> Timing:
    """Predict the cycles of a program, exactly: as the hardware's counter has them.

    Parameters
    ----------
    program : Program
        The program, and its hardware.
    memory : MemoryTiming, optional
        When external memory serves bursts, for a program that has one; None: as ``program.memory`` has it.
    """
    machine = _Machine(program, MoverModel(program.config, memory or program.memory_timing))
    starts: list[int] = []
    before, cycles, stalls = _execute(machine, program.instructions, starts)
    begin = machine.next_inference()
    if program.config.external_bits:
        # What is before the input of the next inference meets the memory as this one leaves it.
        machine.mover.shift(begin)
        following = _Machine(program, machine.mover)
        before, _, _ = _execute(following, program.instructions, [], only_input=True)
    edges = [0, *starts[1:], cycles]
    layers = tuple(end - begin for begin, end in pairwise(edges))
    return Timing(cycles, layers, begin + before, stalls)


def _execute(
    machine: _Machine, instructions: tuple[Instruction, ...], starts: list[int], *, only_input: bool = False
) -> tuple[int, int, dict[tuple[int, int], int]]:
    """Execute an inference.

    Parameters
    ----------
    machine : _Machine
        The hardware as it is before.
    instructions : tuple of Instruction
        The program.
    starts : list of int
        Gets the cycle in which each layer's first tile begins to stream.
    only_input : bool
        End with the last input.

    Returns
    -------
    before : int
        Cycles from the beginning of the inference to the last beat of its input.
    cycles : int
        From there to the first output.
    stalls : dict of int
        What :attr:`Timing.stalls` says of them.
    """
    program = machine.program
    before = cycles = 0
    stalls: dict[tuple[int, int], int] = {}
    inputs = sum(item.opcode is Opcode.INPUT for item in instructions)
    for instruction in jobs(instructions):
        opcode, values = instruction.opcode, instruction.values
        if opcode is Opcode.INPUT:
            # Time begins anew with the last beat of the input, of which a packer writes words still.
            moving, tail = _input_cycles(program, values)
            elapsed = machine.executed + moving - tail + INPUT_CYCLES
            before += elapsed
            machine.executed = 0 if values.get("early") else tail
            machine.shift(elapsed)
            starts[:] = [max(0, start - elapsed) for start in starts]
            machine.stalls.clear()
            machine.held.clear()
            inputs -= 1
            if not inputs:
                machine.mover.origin = 0
                if only_input:
                    return before, 0, stalls
        elif opcode is Opcode.OUTPUT:
            begin = max(machine.executed + 1, machine.finished - 1)
            machine.charge(machine.layers)
            if not cycles:
                cycles, stalls = begin, dict(machine.stalls)
            machine.executed = begin + values["count"] + OUTPUT_CYCLES - 1
        elif opcode is Opcode.TILE:
            machine.tile(dict(values))
            if values["layer"]:
                starts.append(machine.started)
        elif opcode in SOURCE:
            machine.executed = max(machine.executed + 1, machine.pending + 1)
        elif opcode in LAYER:
            machine.executed = max(machine.executed + 1, machine.begun + 1)
        elif opcode is Opcode.MOVE:
            machine.move(values)
        elif opcode is Opcode.WAIT:
            machine.wait_for_moves(values["moves"])
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
        elif opcode is Opcode.EXTERNAL:
            machine.external = values["address"]
    return before, cycles, stalls
