"""Block RAMs and distributed RAMs of a family, as Yosys' ``memory_libmap`` knows them."""

from __future__ import annotations

from dataclasses import dataclass

NARROW, WIDE, WIDEST = (1, 2, 4, 9, 18), (1, 2, 4, 9, 18, 36), (1, 2, 4, 9, 18, 36, 72)
"""Widths of ports with a parity bit for each byte."""


@dataclass(frozen=True)
class Ram:
    """One mode of a family's RAM.

    Source: the family's ``brams*.txt`` and ``lutrams*.txt`` in Yosys' share folder.

    Attributes
    ----------
    address_bits : int
        At ``widths[0]``; one fewer for each width after it.
    widths : tuple[int, ...]
        Of a port, in bits.
    byte : int
        Bits that share a write enable.
    cost : int
        Of one, in Yosys' units.
    scaled : int
        What of the cost is in proportion to the bits in use.
    blocks : float
        Block RAMs that it takes.
    luts : int
        LUTs that it takes.
    writable : bool
        It has a write port beside the read port.
    rom : bool
        Memories that are only read may use it.
    least_write : int
        Index of the least width of the write port.
    read_first : bool
        A read in the cycle of a write gives the old word.
    """

    address_bits: int
    widths: tuple[int, ...]
    byte: int
    cost: int
    scaled: int = 0
    blocks: float = 0.0
    luts: int = 0
    writable: bool = True
    rom: bool = True
    least_write: int = 0
    read_first: bool = False


@dataclass(frozen=True)
class LogicCost:
    """What a bit of a memory costs that becomes no RAM, in Yosys' units.

    Attributes
    ----------
    register : float
        Of a memory made of flip-flops.
    table : float
        Of a table made of LUTs.
    """

    register: float
    table: float


@dataclass(frozen=True)
class ShiftRegisters:
    """LUTs that are shift registers, which synthesis makes of delays that nothing else reads.

    Attributes
    ----------
    least : int
        Cycles of the shortest delay that becomes one.
    bits : int
        Cycles of delay in one LUT.
    """

    least: int
    bits: int
