"""The numbers of a compiled network: cycles, utilization and memories, exact and from the program alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from hwquant.program.config import ArrayConfig
from hwquant.program.cycles import timing
from hwquant.program.memories import memory_bits
from hwquant.program.program import Program


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
        Share of the multipliers' time that is useful, 0..1: ``useful_macs / (rows * columns * cycles)``.
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
class Report:
    """A build in numbers.

    Attributes
    ----------
    name : str
        Name of the network.
    rows : int
        Rows of the array.
    columns : int
        Columns of the array.
    cycles : int
        Cycles of one inference, from the last input word to the first output word.
    frame_cycles : int
        Cycles from the beginning of one inference to that of the next, host transfers included.
    macs : int
        Multiply-accumulates of one inference of the network, without the padding of channels.
    useful_macs : int
        Multiply-accumulates whose results are read.
    utilization : float
        Share of the multipliers' time that is useful, 0..1: ``useful_macs / (rows * columns * cycles)``.
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
        Words of an input frame, over the host's stream.
    words_out : int
        Words of an output frame, over the host's stream.
    word_bits : int
        Bits of a word of either stream.
    checksum : int
        32 bits over configuration and images, as the hardware's register gives them.
    batch : int, default 1
        Samples that one inference computes.
    """

    name: str
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
    checksum: int
    batch: int = 1

    @property
    def sample_cycles(self) -> float:
        """Cycles of one inference for each of its samples."""
        return self.cycles / self.batch

    def to_json(self) -> dict[str, Any]:
        """Give all numbers as plain JSON values."""
        return {
            **dataclasses.asdict(self),
            "layers": [{**dataclasses.asdict(layer), "covers": list(layer.covers)} for layer in self.layers],
        }


def make_report(program: Program) -> Report:
    """Make the report of a program, in milliseconds: nothing is simulated."""
    config, times = program.config, timing(program)
    words_in, words_out = program.frame_words
    area = config.rows * config.columns

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
        checksum=program.checksum,
        batch=program.batch,
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
