"""The memories of an accelerator, and what of their contents is hardware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwquant.boards.memories import Memory
from hwquant.link.protocol import MAX_PACKET
from hwquant.program.config import ArrayConfig, index_bits
from hwquant.program.isa import program_bits
from hwquant.program.program import Program
from hwquant.rtl_templates.activations import BANK

PIECE = 16
"""Words of a bit that are one function of four address bits."""

TABLE_DEPTH = 8192
"""Memories of more words never become tables of LUTs."""


@dataclass(frozen=True)
class Contents:
    """What of the read-only memories is hardware: synthesis leaves out bits that are the same in all words.

    Attributes
    ----------
    program, weights, parameters : bits of a word that are not
    program_table, weights_table, parameters_table : bits of a table of LUTs, where a memory of few words may become
        one: of the pieces of :data:`PIECE` words of a bit, those that are neither constant nor as another one
    shift : those of the requantization shift, as a mask
    """

    program: int
    weights: int
    parameters: int
    program_table: int
    weights_table: int
    parameters_table: int
    shift: int

    @classmethod
    def of(cls, config: ArrayConfig) -> Contents:
        """All bits."""
        program, weights = program_bits(config), config.columns * config.slot_bits
        return cls(
            program=program,
            weights=weights,
            parameters=config.parameter_bits,
            program_table=program * config.program_depth,
            weights_table=weights * config.weight_depth,
            parameters_table=config.parameter_bits * config.parameter_depth,
            shift=(1 << config.shift_bits) - 1,
        )

    @classmethod
    def of_images(cls, config: ArrayConfig, images: Mapping[str, Sequence[int]]) -> Contents:
        """Those of an accelerator's ``images``."""
        program, program_table = _columns(images["program"], config.program_depth)
        weights, weights_table = _columns(images["weights"], config.weight_depth)
        parameters, parameters_table = _columns(images["parameters"], config.parameter_depth)
        shift = _changing(images["parameters"], config.parameter_depth) >> config.accumulator_bits
        return cls(
            program=program,
            weights=weights,
            parameters=parameters,
            program_table=program_table,
            weights_table=weights_table,
            parameters_table=parameters_table,
            shift=shift & ((1 << config.shift_bits) - 1),
        )

    @classmethod
    def of_program(cls, program: Program) -> Contents:
        """Those of a compiled network."""
        images = {
            "program": program.words,
            "weights": program.weight_image,
            "parameters": program.parameter_image,
        }
        return cls.of_images(program.config, images)


def _changing(words: Sequence[int], depth: int) -> int:
    """The bits that are not the same in all words, as a mask; words beyond the image are zero."""
    first = words[0] if len(words) == depth else 0
    changing = 0
    for word in words:
        changing |= word ^ first
    return changing


def _columns(words: Sequence[int], depth: int) -> tuple[int, int]:
    """How many bits are not the same in all words, and the bits of their different pieces.

    Pieces are only told apart in memories of at most :data:`TABLE_DEPTH` words.
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


def used_columns(config: ArrayConfig) -> int:
    """Columns whose accumulators synthesis keeps: those with a lane in the activation memory.

    It may not leave out what has the attribute "keep": processing elements, and products of requantization, for which
    all columns accumulate.
    """
    return config.columns if config.multiplier_bits else min(config.columns, config.lanes)


def activation_memories(config: ArrayConfig) -> list[Memory]:
    """One a write group and a bank."""
    return [
        Memory(
            min(BANK, config.activation_depth - start),
            len(config.group_lanes(group)) * config.activation_bits,
            read_first=True,
        )
        for start in range(0, config.activation_depth, BANK)
        for group in range(config.groups)
    ]


def accumulator_memories(config: ArrayConfig) -> list[Memory]:
    """One a column."""
    return [Memory(config.accumulator_depth, config.accumulator_bits, read_first=True)] * used_columns(config)


def line_memories(config: ArrayConfig) -> list[Memory]:
    """Of the depthwise mode, one a kernel row but the last."""
    line = Memory(1 << index_bits(config.tap_depth), config.columns * config.activation_bits, read_first=True)
    return [line] * max(0, config.tap_lines - 1)


def weight_memory(config: ArrayConfig, contents: Contents) -> Memory:
    """The weights', where they are not loaded."""
    return Memory(config.weight_depth, contents.weights, rom=True, table=contents.weights_table)


def parameter_memory(config: ArrayConfig, contents: Contents) -> Memory:
    """The parameters'."""
    return Memory(config.parameter_depth, contents.parameters, rom=True, table=contents.parameters_table)


def program_memory(config: ArrayConfig, contents: Contents) -> Memory:
    """The program's."""
    return Memory(config.program_depth, contents.program, rom=True, table=contents.program_table)


def core_memories(config: ArrayConfig, contents: Contents, *, loadable: bool) -> list[Memory]:
    """The memories of an accelerator; without the weights' if the host loads it into large RAM."""
    found = activation_memories(config) + accumulator_memories(config) + line_memories(config)
    found += [parameter_memory(config, contents), program_memory(config, contents)]
    return found + ([] if loadable else [weight_memory(config, contents)])


def link_memories(link: bool) -> list[Memory]:
    """A request and a response, where there is a link."""
    return [Memory(MAX_PACKET, 8, read_first=True)] * (2 if link else 0)
