"""The numbers of a compiled network: cycles, utilization and memories, exact and from the program alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwquant.program.activity import activity
from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import Timing, timing
from hwquant.program.external import ExternalMemory
from hwquant.program.memories import memory_bits
from hwquant.program.port_use import KINDS, LayerUse, port_use
from hwquant.program.program import Program
from hwquant.program.sides import array_name, short_array


@dataclass(frozen=True)
class LayerReport:
    """A layer on the array in numbers.

    Attributes
    ----------
    name : str
        Name of the layer.
    covers : tuple of str
        Names of the network's nodes that it executes, such as a pooling behind the layer.
    cycles : int
        Cycles from its first pixel to the first of the next layer.
    macs : int
        Multiply-accumulates of the network, without the padding of channels.
    useful_macs : int
        Multiply-accumulates whose results are read.
    tiles : int
        Tiles that there would be if none were zero.
    tiles_skipped : int
        Tiles among them that are zero and cost nothing.
    ideal_cycles : int
        Sum of the executed tiles' pixels, or of their load cycles where those are more.
    utilization : float
        Share of the multipliers' time that is useful, 0..1: ``useful_macs / (arrays * rows * columns * cycles)``.
    weight_bytes : int
        Bytes of the weight memory that its tiles take, rounded up.
    rows_per_word : int
        Rows of a tile that share a word of the weight memory, as its weights are narrow.
    rows_per_cycle : int
        Rows of a tile that are loaded in a cycle.
    """

    name: str
    covers: tuple[str, ...]
    cycles: int
    macs: int
    useful_macs: int
    tiles: int
    tiles_skipped: int
    ideal_cycles: int
    utilization: float
    weight_bytes: int
    rows_per_word: int
    rows_per_cycle: int


@dataclass(frozen=True)
class ExternalReport:
    """What moves between the array and external memory, in numbers.

    Attributes
    ----------
    memory : ExternalMemory
        The memory: the report's cycles are those with its ``timing``.
    least_cycles : int
        Cycles of one inference with the quickest that the memory may be.
    frame_cycles : int
        Cycles from the beginning of one inference to that of the next.
    products : int
        Multiplications of the array in one inference, beside which the bytes are to be seen: a byte from outside costs
        far more energy than one of them.
    layers : tuple of LayerUse
        The layers of the network.
    """

    memory: ExternalMemory
    least_cycles: int
    frame_cycles: int
    products: int
    layers: tuple[LayerUse, ...]

    @property
    def moved(self) -> Mapping[str, int]:
        """Bytes that one inference moves, by kind."""
        return {name: sum(layer.moved[name] for layer in self.layers) for name in KINDS.values()}

    @property
    def stalled(self) -> Mapping[str, int]:
        """Cycles of one inference in which the array's program waits, by the kind of what is moved meanwhile."""
        return {name: sum(layer.stalled[name] for layer in self.layers) for name in KINDS.values()}

    @property
    def in_use(self) -> float:
        """Share of all cycles in which the port moves data, 0..1."""
        return sum(self.moved.values()) / (self.memory.data_bits // 8 * self.frame_cycles)

    def to_json(self) -> dict[str, Any]:
        """Give all numbers as plain JSON values."""
        return {
            "memory": self.memory.to_json(),
            "least_cycles": self.least_cycles,
            "moved_bytes": self.moved,
            "stalled_cycles": self.stalled,
            "port_in_use": self.in_use,
            "products": self.products,
            "layers": [
                {
                    "covers": list(layer.covers),
                    "bands": layer.bands,
                    "moved_bytes": dict(layer.moved),
                    "stalled_cycles": dict(layer.stalled),
                    "bound": layer.bound,
                }
                for layer in self.layers
            ],
        }


@dataclass(frozen=True)
class Report:
    """A build in numbers.

    Attributes
    ----------
    name : str
        Name of the network.
    arrays : int
        Arrays that share instructions and weights.
    rows : int
        Rows of an array.
    columns : int
        Columns of an array.
    cycles : int
        Cycles of one inference, from the last input word to the first output word.
    frame_cycles : int
        Cycles from the beginning of one inference to that of the next, host transfers included.
    macs : int
        Multiply-accumulates of one inference of the network, without the padding of channels.
    useful_macs : int
        Multiply-accumulates whose results are read.
    utilization : float
        Share of the multipliers' time that is useful, 0..1: ``useful_macs / (arrays * rows * columns * cycles)``.
    layers : tuple of LayerReport
        The layers on the array, in order of execution.
    activation_bits : int
        Width of an activation.
    weight_bits : int
        Width of the widest stored weight.
    accumulator_bits : int
        Width of an accumulator.
    offset : {"none", "edge", "sum"}
        Where the integer offsets are added, as in :class:`~hwquant.program.array_shape.ArrayShape`.
    offset_reason : str
        What that means for the hardware, in words.
    weight_bytes : int
        Bytes of their memory that the weights take, rounded up.
    rows_per_word : int
        Rows of a tile that the hardware can pack into a word of weights at most.
    rows_per_cycle : int
        Rows of a tile that the hardware can load in a cycle at most.
    memory_bits : dict of int
        Bits by name of memory.
    program_words : int
        Words of the program memory: instructions.
    words_in : int
        Words of an input frame, or beats of it where the hardware makes the words, over the host's stream.
    words_out : int
        Words of an output frame, over the host's stream.
    word_bits : int
        Bits of a word of the activation memory, and of an output frame.
    frame_bits : int
        Bits of a word, or beat, of an input frame.
    checksum : int
        32 bits over configuration and images, as the hardware's register gives them.
    batch : int, default 1
        Samples that one inference computes.
    external : ExternalReport, optional
        What moves to and from external memory; None where there is none.
    """

    name: str
    arrays: int
    rows: int
    columns: int
    cycles: int
    frame_cycles: int
    macs: int
    useful_macs: int
    utilization: float
    layers: tuple[LayerReport, ...]
    activation_bits: int
    weight_bits: int
    accumulator_bits: int
    offset: str
    offset_reason: str
    weight_bytes: int
    rows_per_word: int
    rows_per_cycle: int
    memory_bits: dict[str, int]
    program_words: int
    words_in: int
    words_out: int
    word_bits: int
    frame_bits: int
    checksum: int
    batch: int = 1
    external: ExternalReport | None = None

    @property
    def array(self) -> str:
        """The array as the command line has it, such as 8x8 or 2x16x16."""
        return array_name(short_array(self.arrays, self.rows, self.columns))

    @property
    def sample_cycles(self) -> float:
        """Cycles of one inference for each of its samples."""
        return self.cycles / self.batch

    def to_json(self) -> dict[str, Any]:
        """Give all numbers as plain JSON values."""
        plain = dataclasses.asdict(dataclasses.replace(self, external=None))
        del plain["external"]
        return {
            **plain,
            **({"external": self.external.to_json()} if self.external else {}),
            "layers": [{**dataclasses.asdict(layer), "covers": list(layer.covers)} for layer in self.layers],
        }


def make_report(program: Program) -> Report:
    """Make the report of a program, in milliseconds: nothing is simulated."""
    config, times = program.config, timing(program)
    words_in, words_out = program.frame_words
    area = config.arrays * config.rows * config.columns

    def weight_bytes(words: int) -> int:
        return -(-words * config.columns * config.slot_bits // 8)

    layers = tuple(
        LayerReport(
            name=layer.name,
            covers=layer.covers,
            cycles=cycles,
            macs=layer.macs,
            useful_macs=layer.useful_macs,
            tiles=layer.tiles,
            tiles_skipped=layer.tiles_skipped,
            ideal_cycles=layer.ideal_cycles,
            utilization=layer.useful_macs / (area * cycles),
            weight_bytes=weight_bytes(layer.weight_words),
            rows_per_word=layer.rows_per_word,
            rows_per_cycle=layer.rows_per_cycle,
        )
        for layer, cycles in zip(program.layers, times.layers, strict=True)
    )
    return Report(
        name=program.name,
        arrays=config.arrays,
        rows=config.rows,
        columns=config.columns,
        cycles=times.cycles,
        frame_cycles=times.frame_cycles,
        macs=program.macs,
        useful_macs=program.useful_macs,
        utilization=program.useful_macs / (area * times.cycles),
        layers=layers,
        activation_bits=config.activation_bits,
        weight_bits=config.weight_bits,
        accumulator_bits=config.accumulator_bits,
        offset=config.offset,
        offset_reason=_offset_reason(config),
        weight_bytes=weight_bytes(len(program.weights)),
        rows_per_word=config.weight_packing,
        rows_per_cycle=config.load_rows,
        memory_bits=memory_bits(config),
        program_words=len(program.words),
        words_in=words_in,
        words_out=words_out,
        word_bits=config.word_bits,
        frame_bits=config.frame_bits,
        checksum=program.checksum,
        batch=program.batch,
        external=_external(program, times),
    )


def _external(program: Program, times: Timing) -> ExternalReport | None:
    memory = program.memory
    if memory is None:
        return None
    return ExternalReport(
        memory=memory,
        least_cycles=times.cycles if memory.exact else timing(program, memory.quickest).cycles,
        frame_cycles=times.frame_cycles,
        products=activity(program).products,
        layers=port_use(program, times),
    )


def _offset_reason(config: ArrayConfig) -> str:
    if config.offset == "none" and config.odd_weights != "none":
        return "nothing is left to add: odd weights are stored ones with a 1 appended, and other offsets are zero"
    if config.offset == "none":
        return "every offset of the network is zero"
    if config.offset == "edge":
        # Here, since it loads Amaranth.
        from hwquant.boards.families import FAMILIES

        wide = {name for name, family in FAMILIES.items() if family.dsp.operand_bits >= config.operand_bits}
        return (
            f"{config.columns} adders where weights enter; multipliers take {config.operand_bits}-bit weights, "
            f"as DSP blocks of {', '.join(sorted(wide))} do"
        )
    adders = "a multiplier a column" if config.channel_offsets else "one multiplier"
    return (
        f"one more column sums the inputs, and {adders} adds the offset; multipliers take "
        f"{config.operand_bits}-bit weights (the adjusted ones would have {config.adjusted_bits})"
    )
