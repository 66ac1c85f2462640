"""The memories of an accelerator, and what of their contents is hardware."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from hwquant.boards.families.family import Family
from hwquant.boards.memories import Memory, memory_resources
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import program_bits
from hwquant.program.program import Program
from hwquant.rtl_templates.banks import banks
from hwquant.rtl_templates.facts import Facts, MemoryShape

PIECE = 16
"""Words whose values of one bit are one function of four address bits: the content of a LUT."""

TABLE_DEPTH = 8192
"""Memories of more words never become tables of LUTs."""

DIVISOR = Fraction(1601, 16)
"""Clock cycles of a bit of the UART, where a board's clock is not known."""


@dataclass(frozen=True)
class Contents:
    """What of the read-only memories is hardware: synthesis leaves out bits that all words share.

    Attributes
    ----------
    program, weights, parameters : int
        Number of bits of a memory's word that are not the same in all words.
    program_table, weights_table, parameters_table : int
        Bits of the table of LUTs that a memory of few words may become: the pieces of :data:`PIECE` words of a bit
        that are neither constant nor equal to another one.
    shift : int
        Mask of the bits of the requantization shift that are not the same in all words.
    tables, tables_table : int
        The same of the table memories.
    banks : mapping of str to sequence of (int, int, int), optional
        By image, of the banks that its memory is divided into, where the words of each are known: the address of the
        first one, bits that are not the same in all words of the bank, and bits of its table.
    """

    program: int
    weights: int
    parameters: int
    program_table: int
    weights_table: int
    parameters_table: int
    shift: int
    tables: int = 0
    tables_table: int = 0
    banks: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)

    def of_bank(self, image: str, start: int) -> tuple[int, int]:
        """Bits that are not the same in all words of a bank, and bits of its table; of the memory, where not known."""
        for first, bits, table in self.banks.get(image, ()):
            if first == start:
                return bits, table
        return getattr(self, image), getattr(self, f"{image}_table")

    @classmethod
    def of(cls, config: ArrayConfig) -> Contents:
        """The contents that are not known: every bit of every word is hardware."""
        program, weights = program_bits(config), config.columns * config.slot_bits
        return cls(
            program=program,
            weights=weights,
            parameters=config.parameter_bits,
            program_table=program * config.program_depth,
            weights_table=weights * config.weight_depth,
            parameters_table=config.parameter_bits * config.parameter_depth,
            shift=(1 << config.shift_bits) - 1,
            tables=config.activation_bits if config.tables else 0,
            tables_table=config.activation_bits * config.table_depth,
        )

    @classmethod
    def of_images(cls, config: ArrayConfig, images: Mapping[str, Sequence[int]]) -> Contents:
        """The contents of an accelerator's memory images, by name of the memory."""
        program, program_table = _columns(images["program"], config.program_depth)
        weights, weights_table = _columns(images["weights"], config.weight_depth)
        parameters, parameters_table = _columns(images["parameters"], config.parameter_depth)
        tables, tables_table = _columns(images.get("tables", ()), config.table_depth)
        shift = _changing(images["parameters"], config.parameter_depth) >> config.stored_bias_bits
        return cls(
            program=program,
            weights=weights,
            parameters=parameters,
            program_table=program_table,
            weights_table=weights_table,
            parameters_table=parameters_table,
            shift=shift & ((1 << config.shift_bits) - 1),
            tables=tables,
            tables_table=tables_table,
            banks={
                name: [(bank.start, *_columns(bank.part(images[name]), bank.depth)) for bank in banks(depth)]
                for name, depth in (
                    ("program", config.program_depth),
                    ("weights", config.weight_depth),
                    ("parameters", config.parameter_depth),
                )
            },
        )

    @classmethod
    def of_program(cls, program: Program) -> Contents:
        """The contents of a compiled network's memories; those that external memory fills are not known."""
        images = {
            "program": () if program.config.program_half else program.words,
            "weights": program.weight_image,
            "parameters": program.parameter_image,
            "tables": program.table_image,
        }
        if not program.config.external_bits:
            return cls.of_images(program.config, images)
        known = cls.of_images(program.config, {**images, "weights": (), "parameters": ()})
        names = ("weights", "weights_table", "parameters", "parameters_table", "shift")
        anything = cls.of(program.config)
        return replace(known, **{name: getattr(anything, name) for name in names})


def _changing(words: Sequence[int], depth: int) -> int:
    """Mask of the bits that are not the same in all words; words beyond the image are zero."""
    first = words[0] if 0 < len(words) == depth else 0
    changing = 0
    for word in words:
        changing |= word ^ first
    return changing


def _columns(words: Sequence[int], depth: int) -> tuple[int, int]:
    """Number of bits that are not the same in all words, and the bits of their different pieces.

    Pieces are told apart only in memories of at most :data:`TABLE_DEPTH` words.
    """
    changing = _changing(words, depth)
    varying = changing.bit_count()
    if depth > TABLE_DEPTH or not varying:
        return varying, varying * depth
    size = -(-changing.bit_length() // 8)
    raw = b"".join((word & changing).to_bytes(size, "little") for word in words)
    bits = np.zeros((-(-depth // PIECE) * PIECE, 8 * size), np.uint8)
    bits[: len(words)] = np.unpackbits(np.frombuffer(raw, np.uint8).reshape(len(words), size), axis=1)
    pieces = bits.reshape(-1, PIECE, 8 * size).transpose(0, 2, 1).reshape(-1, PIECE)
    different = {piece.tobytes() for piece in pieces if piece.any() and not piece.all()}
    return varying, PIECE * len(different)


def as_synthesized(shape: MemoryShape, contents: Contents) -> Memory | None:
    """The memory without the bits that never change; None for one that the host fills: a large RAM."""
    if shape.image is None:
        return Memory(shape.depth, shape.width, read_first=not shape.apart, reads=shape.reads)
    if shape.writes:
        return None
    width, table = contents.of_bank(shape.image, shape.start)
    return Memory(shape.depth, width, rom=True, table=table, reads=shape.reads)


def used_columns(config: ArrayConfig) -> int:
    """Number of columns whose accumulators synthesis keeps: those with a lane in the activation memory.

    Synthesis may not leave out what has the attribute "keep": processing elements, and products of requantization,
    for which all columns accumulate.
    """
    return config.columns if config.multiplier_bits else min(config.columns, config.lanes)


def kept(facts: Facts, config: ArrayConfig) -> Iterator[tuple[str, int, Facts]]:
    """Walk over facts as :meth:`Facts.walk` does, without the accumulators that synthesis leaves out."""
    for path, count, own in facts.walk():
        used = config.arrays * used_columns(config) if path.endswith("collector.accumulator") else count
        yield path, used, own


def memories(facts: Facts, config: ArrayConfig, contents: Contents) -> list[tuple[Memory, int]]:
    """The memories of a component and of all within it, as synthesis sees them, each with its number."""
    return [
        (memory, count)
        for _, count, own in kept(facts, config)
        for shape in own.memories
        if (memory := as_synthesized(shape, contents)) is not None
    ]


def block_rams(facts: Facts, config: ArrayConfig, family: Family) -> float:
    """The block RAMs of a component and of all within it, whatever its memories hold."""
    found = memories(facts, config, Contents.of(config))
    return sum(count * memory_resources(memory, family).blocks for memory, count in found)
