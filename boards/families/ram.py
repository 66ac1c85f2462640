"""Block RAMs and distributed RAMs of a family, as Yosys' ``memory_libmap`` knows them."""

from __future__ import annotations

from dataclasses import dataclass

NARROW, WIDE, WIDEST = (1, 2, 4, 9, 18), (1, 2, 4, 9, 18, 36), (1, 2, 4, 9, 18, 36, 72)
"""Widths of ports with a parity bit for each byte."""


@dataclass(frozen=True)
class Ram:
    """A mode of a family's RAM.

    Source: the family's ``brams*.txt`` and ``lutrams*.txt`` in Yosys' share folder.

    Attributes
    ----------
    address_bits : int
        Bits of an address at ``widths[0]``; one fewer for each width after it.
    widths : tuple of int
        Widths that a port can have, in bits, in ascending order.
    byte : int
        Number of bits that share a write enable.
    cost : int
        Cost of one RAM in Yosys' units.
    scaled : int
        Part of the cost that is in proportion to the bits in use.
    blocks : float
        Number of block RAMs that one takes.
    luts : int
        Number of LUTs that one takes.
    writable : bool
        Whether it has a write port beside the read port.
    rom : bool
        Whether memories that are only read may use it.
    least_write : int
        Index in ``widths`` of the least width of the write port.
    read_first : bool
        Whether a read in the cycle of a write gives the old word.
    dual : bool
        Whether both ports can read.
    registered : bool
        Whether the register behind a port is one of its own.
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
    dual: bool = False
    registered: bool = False


@dataclass(frozen=True)
class LogicCost:
    """Costs of memories that become no RAM, in Yosys' units.

    Attributes
    ----------
    register : float
        Cost of a bit of a memory made of flip-flops.
    table : float
        Cost of a bit of a table made of LUTs.
    """

    register: float
    table: float


@dataclass(frozen=True)
class ShiftRegisters:
    """LUTs that are shift registers, which synthesis makes of delays that nothing else reads.

    Attributes
    ----------
    least : int
        Shortest delay in cycles that becomes one.
    bits : int
        Longest delay in cycles that one LUT holds.
    """

    least: int
    bits: int
