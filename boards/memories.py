"""Which RAM a memory of the accelerator becomes, by the rules of Yosys' ``memory_libmap``.

That pass knows the RAMs of a family by the files of its share folder (``brams*.txt``, ``lutrams*.txt``), gives each
way to build a memory a cost, and takes the cheapest. The tables here are those files, the costs those of the pass;
so the counts are exact. All memories here have one read port, registered, and at most one write port, of whole words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MULTIPLEXER_COST = 0.5
EMULATION_COST = 2.0
READ_FIRST_SCORE = 6
"""Of logic that gives a read the word as it was before a write in the same cycle."""


@dataclass(frozen=True)
class Ram:
    """One mode of a family's RAM.

    Attributes
    ----------
    address_bits : at ``widths[0]``, one fewer for each width after it
    widths : of a port
    byte : bits that share a write enable
    cost : of one; of which ``scaled`` is in proportion to the bits in use
    blocks : block RAMs that it takes; luts : LUTs
    writable : it has a write port beside the read port; rom : memories that are only read may use it
    least_write : index of the least width of the write port
    read_first : a read in the cycle of a write gives the old word
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


NARROW, WIDE, WIDEST = (1, 2, 4, 9, 18), (1, 2, 4, 9, 18, 36), (1, 2, 4, 9, 18, 36, 72)
RAMS: Mapping[str, tuple[Ram, ...]] = {
    "ecp5": (
        Ram(4, (4,), 4, 4, luts=6, rom=False, read_first=True),  # TRELLIS_DPR16X4
        Ram(14, NARROW, 9, 128, blocks=1),  # DP16KD
        Ram(14, WIDE, 9, 128, blocks=1, least_write=5),  # PDPW16KD
    ),
    "ice40": (Ram(11, (2, 4, 8, 16), 1, 64, blocks=1),),  # SB_RAM40_4K
    "gowin": (
        Ram(4, (4,), 4, 4, scaled=4, luts=6, rom=False, read_first=True),  # RAM16SDP4
        Ram(14, WIDE, 9, 128, blocks=1, writable=False),  # SP
        Ram(14, NARROW, 9, 128, blocks=1),  # DP
        Ram(14, WIDE, 9, 128, blocks=1),  # SDP
    ),
    "xilinx7": (
        Ram(5, (6,), 6, 8, scaled=7, luts=4, rom=False, read_first=True),  # RAM32M
        Ram(6, (3,), 3, 8, scaled=7, luts=4, rom=False, read_first=True),  # RAM64M
        Ram(14, NARROW, 9, 129, blocks=0.5, read_first=True),  # RAMB18E1
        Ram(15, WIDE, 9, 257, blocks=1, read_first=True),  # RAMB36E1
        Ram(16, (1,), 1, 513, blocks=2, read_first=True),  # two of them, cascaded
        Ram(14, WIDE, 9, 129, blocks=0.5, read_first=True),  # RAMB18E1, simple dual port
        Ram(15, WIDEST, 9, 257, blocks=1, read_first=True),
    ),
}
LOGIC_COST = {"ecp5": (1.0, 1 / 16), "ice40": (1.0, 1 / 16), "gowin": (1.0, 1 / 16), "xilinx7": (1.0, 1 / 64)}
"""Of a bit of a memory made of flip-flops, of a bit of a table made of LUTs."""


@dataclass(frozen=True)
class Memory:
    """``depth`` words of ``width`` bits.

    ``rom`` is only read, and would be a table of ``table`` bits (None: of all); ``read_first`` demands the old word
    where a word is read while it is written.
    """

    depth: int
    width: int
    rom: bool = False
    read_first: bool = False
    table: int | None = None


@dataclass(frozen=True)
class Mapped:
    """What a memory becomes.

    Attributes
    ----------
    blocks : block RAMs (halves, for Xilinx); luts : LUTs of distributed RAM
    chosen_bits : two-input multiplexers that choose between RAMs one above the other, in bits
    address_bits : of the address that these need, registered
    output_bits : flip-flops behind distributed RAM and tables
    table_bits : of a memory that is only read, made of LUTs
    register_bits : of a memory made of flip-flops
    emulated_bits : of a write that waits a cycle, and of a read that finds it, where a block RAM must but cannot give
        the word as it was before a write in the same cycle
    """

    blocks: float = 0.0
    luts: int = 0
    chosen_bits: int = 0
    address_bits: int = 0
    output_bits: int = 0
    table_bits: int = 0
    register_bits: int = 0
    emulated_bits: int = 0


def mapped(memory: Memory, family: str) -> Mapped:
    """What Yosys makes of a memory on a family."""
    if memory.width == 0:
        return Mapped()
    per_bit = LOGIC_COST[family][memory.rom]
    found: dict[bool, tuple[float, Mapped]] = {}
    for ram in RAMS[family]:
        if not (ram.rom if memory.rom else ram.writable):
            continue
        candidate = _geometry(memory, ram)
        distributed = ram.blocks == 0
        if distributed not in found or candidate[0] < found[distributed][0]:
            found[distributed] = candidate
    bits = memory.depth * memory.width
    table = bits if memory.table is None else memory.table
    logic = (
        Mapped(table_bits=table, output_bits=memory.width)
        if memory.rom
        else Mapped(register_bits=bits, output_bits=memory.width)
    )
    best = (int(bits * per_bit), logic)
    for cost, result in found.values():
        if cost < best[0]:
            best = (int(cost), result)
    return best[1]


def _geometry(memory: Memory, ram: Ram) -> tuple[float, Mapped]:
    """The cheapest width for a memory made of one kind of RAM, and its cost."""
    emulates = memory.read_first and not ram.read_first
    emulated = 1 + (READ_FIRST_SCORE if emulates else 0)
    byte_index = max((index for index, width in enumerate(ram.widths) if width <= ram.byte), default=0)
    best: tuple[int, float, Mapped] | None = None
    for index, width in enumerate(ram.widths):
        if not memory.rom and index < ram.least_write and index < byte_index:
            continue
        byte = 1 if memory.rom else min(ram.byte, width)
        padded = -(-memory.width // byte) * byte
        above = -(-memory.depth // (1 << (ram.address_bits - index)))
        count = -(-above * padded // width)
        chosen = (above - 1) * memory.width
        cost = (ram.cost - ram.scaled) * count + ram.scaled * above * memory.width / width
        cost += MULTIPLEXER_COST * chosen + EMULATION_COST * emulated
        if above > 1 and not memory.rom:
            cost += MULTIPLEXER_COST * above
        if best is None or cost < best[0]:
            distributed = ram.blocks == 0
            result = Mapped(
                blocks=count * ram.blocks,
                luts=count * ram.luts,
                chosen_bits=chosen,
                address_bits=0 if distributed else (above - 1).bit_length(),
                output_bits=memory.width if distributed else 0,
                emulated_bits=memory.width if emulates else 0,
            )
            best = (int(cost), cost, result)
    assert best is not None
    return best[1], best[2]
