"""Which memory goes into a device's large RAMs (iCE40 UP5K), and when.

A bitstream initializes block RAMs, but not large RAMs, and these have one port. Of the memories only the weights' can
be there: inference only reads them, in one order, and the host can send them at start.
"""

from __future__ import annotations

from hwquant.boards.contents import DIVISOR, block_rams
from hwquant.boards.families.family import Device
from hwquant.boards.memories import Memory
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.board import SerialAccelerator


def weight_memory(config: ArrayConfig) -> Memory:
    """The memory of the weights, with room for any."""
    return Memory(config.weight_depth, config.columns * config.slot_bits)


def large_rams(memory: Memory, device: Device) -> int:
    """Number of large RAMs that a memory takes."""
    depth = device.large_ram_bits // device.large_ram_width
    return -(-memory.width // device.large_ram_width) * -(-memory.depth // depth)


def weights_in_large_ram(config: ArrayConfig, device: Device) -> bool:
    """Whether the host loads the weights into large RAM, as the block RAMs do not hold all memories.

    The answer depends on the configuration alone, not on the memories' contents, although bits of a program or of
    parameters that never change need no RAM.
    """
    if not device.large_rams:
        return False
    facts = SerialAccelerator.facts(config, DIVISOR, device.family.window)
    return block_rams(facts, config, device.family) > device.rams
