"""Which memory goes into a device's large RAMs (iCE40 UP5K), and when.

A bitstream initializes block RAMs, but not large RAMs, and these have one port. Of the memories only the weights' can
be there: inference only reads them, in one order, and the host can send them at start.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.boards.device import Device
from hwquant.link.protocol import MAX_PACKET
from hwquant.program.config import ArrayConfig, index_bits
from hwquant.program.isa import program_bits
from hwquant.rtl_templates.activations import BANK

RAM_WIDTHS = (2, 4, 8, 16)
LARGE_RAM_WIDTH = 16
ROM_BITS, RAM_BITS = 1024, 64
"""Bits of a memory below which Yosys prefers logic to a block RAM (its costs of iCE40: 64 a block RAM, 1 a bit that
can be written, 1/16 of one that cannot)."""


@dataclass(frozen=True)
class Shape:
    """Of a memory: ``depth`` words of ``width`` bits; ``constant`` where nothing writes it."""

    width: int
    depth: int
    constant: bool = False


def other_memories(config: ArrayConfig, *, link: bool) -> list[Shape]:
    """All memories of an accelerator but the weights'; with ``link`` also those of a board's top."""
    lanes = [len(config.group_lanes(group)) * config.activation_bits for group in range(config.groups)]
    starts = range(0, config.activation_depth, BANK)
    found = [Shape(width, min(BANK, config.activation_depth - start)) for start in starts for width in lanes]
    found += [Shape(config.accumulator_bits, config.accumulator_depth)] * config.columns
    line = Shape(config.columns * config.activation_bits, 1 << index_bits(config.tap_depth))
    found += [line] * max(0, config.tap_lines - 1)
    found += [
        Shape(config.parameter_bits, config.parameter_depth, constant=True),
        Shape(program_bits(config), config.program_depth, constant=True),
    ]
    return found + [Shape(8, MAX_PACKET)] * (2 if link else 0)


def weight_memory(config: ArrayConfig) -> Shape:
    """The memory of the weights."""
    return Shape(config.columns * config.slot_bits, config.weight_depth, constant=True)


def block_rams(memory: Shape, device: Device) -> int:
    """Block RAMs of ``device.ram_bits`` bits that a memory takes: in the shape that needs the fewest, or logic."""
    shapes = ((width, device.ram_bits // width) for width in RAM_WIDTHS)
    count = min(-(-memory.width // width) * -(-memory.depth // depth) for width, depth in shapes)
    logic = memory.width * memory.depth <= count * (ROM_BITS if memory.constant else RAM_BITS)
    return 0 if logic else count


def large_rams(memory: Shape, device: Device) -> int:
    """Large RAMs that a memory takes."""
    depth = device.large_ram_bits // LARGE_RAM_WIDTH
    return -(-memory.width // LARGE_RAM_WIDTH) * -(-memory.depth // depth)


def weights_in_large_ram(config: ArrayConfig, device: Device) -> bool:
    """Whether the host loads the weights into large RAM: where a board's block RAMs do not hold all memories."""
    if not device.large_rams:
        return False
    rest = sum(block_rams(memory, device) for memory in other_memories(config, link=True))
    return rest + block_rams(weight_memory(config), device) > device.rams
