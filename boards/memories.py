"""Which RAM a memory of the accelerator becomes, by the rules of Yosys' ``memory_libmap``.

That pass knows the RAMs of a family by the files of its share folder, gives each way to build a memory a cost, and
takes the cheapest. The families' tables (:class:`~hwquant.boards.families.ram.Ram`) are those files, the costs here
those of the pass; so the counts are exact. All memories here have one read port, registered, and at most one write
port, of whole words; or two such read ports and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.boards.families.family import Family
from hwquant.boards.families.ram import Ram

MULTIPLEXER_COST = 0.5
EMULATION_COST = 2.0
READ_FIRST_SCORE = 6
"""Score of the logic that gives a read the word as it was before a write in the same cycle."""


@dataclass(frozen=True)
class Memory:
    """A memory of the accelerator, before it becomes RAM or logic.

    Attributes
    ----------
    depth : int
        Number of words.
    width : int
        Bits of a word.
    rom : bool
        Whether it is only read.
    read_first : bool
        Whether a read in the cycle of a write of the same word must give the old word.
    table : int or None
        Bits of the table of LUTs that a memory which is only read may become; None for all of its bits.
    reads : int
        Number of read ports.
    """

    depth: int
    width: int
    rom: bool = False
    read_first: bool = False
    table: int | None = None
    reads: int = 1


@dataclass(frozen=True)
class MemoryResources:
    """What a memory becomes.

    Attributes
    ----------
    blocks : float
        Number of block RAMs; halves of them for Xilinx.
    luts : int
        Number of LUTs of distributed RAM.
    chosen_bits : int
        Bits of two-input multiplexers that choose between RAMs one above the other.
    address_bits : int
        Bits of the registered address that these multiplexers need.
    output_bits : int
        Flip-flops behind distributed RAM and tables.
    table_bits : int
        Bits of a memory that is only read and is made of LUTs.
    register_bits : int
        Bits of a memory made of flip-flops.
    emulated_bits : int
        Bits of a write that waits a cycle, and of a read that finds it, where a block RAM must but cannot give the
        word as it was before a write in the same cycle.
    registered : bool
        Whether a register that stands directly behind the memory is one of the block RAMs'.
    """

    blocks: float = 0.0
    luts: int = 0
    chosen_bits: int = 0
    address_bits: int = 0
    output_bits: int = 0
    table_bits: int = 0
    register_bits: int = 0
    emulated_bits: int = 0
    registered: bool = False


def memory_resources(memory: Memory, family: Family) -> MemoryResources:
    """What Yosys makes of a memory on a family of FPGAs."""
    if memory.width == 0:
        return MemoryResources()
    per_bit = family.logic_cost.table if memory.rom else family.logic_cost.register
    cheapest: dict[bool, tuple[float, MemoryResources]] = {}
    for ram in family.rams:
        if not (ram.rom if memory.rom else ram.writable):
            continue
        candidate = _geometry(memory, ram)
        distributed = ram.blocks == 0
        if distributed not in cheapest or candidate[0] < cheapest[distributed][0]:
            cheapest[distributed] = candidate
    bits = memory.depth * memory.width
    table = bits if memory.table is None else memory.table
    logic = (
        MemoryResources(table_bits=memory.reads * table, output_bits=memory.reads * memory.width)
        if memory.rom
        else MemoryResources(register_bits=bits, output_bits=memory.width)
    )
    best = (int(bits * per_bit), logic)
    for cost, result in cheapest.values():
        if cost < best[0]:
            best = (int(cost), result)
    return best[1]


def _geometry(memory: Memory, ram: Ram) -> tuple[float, MemoryResources]:
    """The lowest cost of a memory made of one kind of RAM, and the RAMs and logic that have it."""
    emulates = memory.read_first and not ram.read_first
    emulated = 1 + (READ_FIRST_SCORE if emulates else 0)
    byte_index = max((index for index, width in enumerate(ram.widths) if width <= ram.byte), default=0)
    best: tuple[int, float, MemoryResources] | None = None
    for index, width in enumerate(ram.widths):
        if not memory.rom and index < ram.least_write and index < byte_index:
            continue
        byte = 1 if memory.rom else min(ram.byte, width)
        padded = -(-memory.width // byte) * byte
        above = -(-memory.depth // (1 << (ram.address_bits - index)))
        # A RAM of one read port is there once for each of the memory's.
        copies = 1 if ram.dual else memory.reads
        count = copies * -(-above * padded // width)
        chosen = (above - 1) * memory.width * memory.reads
        cost = (ram.cost - ram.scaled) * count + ram.scaled * above * memory.width / width
        cost += MULTIPLEXER_COST * chosen + EMULATION_COST * emulated
        if above > 1 and not memory.rom:
            cost += MULTIPLEXER_COST * above
        if best is None or cost < best[0]:
            distributed = ram.blocks == 0
            result = MemoryResources(
                blocks=count * ram.blocks,
                luts=count * ram.luts,
                chosen_bits=chosen,
                address_bits=0 if distributed else (above - 1).bit_length() * memory.reads,
                output_bits=memory.width * memory.reads if distributed else 0,
                emulated_bits=memory.width if emulates else 0,
                registered=ram.registered and above == 1 and not emulates,
            )
            best = (int(cost), cost, result)
    assert best is not None
    return best[1], best[2]
