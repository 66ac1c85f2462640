"""Memories of more words than a block RAM has: banks, each with a register of its own behind it.

Block RAM answers so late in a cycle that there is no time left to choose between several, and has a register which is
used only where nothing stands between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Module, Signal, Value, ValueLike
from amaranth.lib.memory import Memory

from hwquant.program.widths import index_bits

BANK = 2048
"""Words that a block RAM of the supported families holds at a useful width."""

READ_LATENCY = 2
"""Cycles from an address to the word: the memory, then a register."""


@dataclass(frozen=True)
class Bank:
    """A part of a memory.

    Attributes
    ----------
    number : int
        Number of the bank in its memory.
    start : int
        Address of its first word.
    depth : int
        Number of its words.
    address_bits : int
        Bits of an address within the bank.
    """

    number: int
    start: int
    depth: int
    address_bits: int

    def name(self, memory: str) -> str:
        """Name of the bank as a submodule, where the first one has that of the memory."""
        return f"{memory}_bank{self.number}" if self.number else memory

    def within(self, address: Value) -> Value:
        """The address of a word in the bank, from that in the memory."""
        return address[: self.address_bits]

    def has(self, address: Value) -> Value:
        """Whether an address of the memory is one of the bank."""
        return address[self.address_bits :] == self.start >> self.address_bits

    def part(self, words: Sequence[int]) -> list[int]:
        """What the bank has of the memory's contents."""
        return list(words[self.start : self.start + self.depth])


def banks(depth: int) -> list[Bank]:
    """The banks of a memory of so many words.

    At twice the width a block RAM has half the words. Of up to a half more, synthesis would make wider RAMs yet, and a
    choice between them; so these are two banks.
    """
    half = BANK // 2
    found: list[Bank] = []
    start = 0
    while start < depth:
        left = depth - start
        size = half if half < left <= half + half // 2 or start % BANK else BANK
        words = min(size, left)
        found.append(Bank(len(found), start, words, index_bits(depth if words == depth else size)))
        start += size
    return found


def write_from(m: Module, memory: Memory, bank: Bank, fill: Any) -> None:
    """Write a bank's words of a port like :class:`~hwquant.rtl_templates.ports.FillPort`."""
    write = memory.write_port()
    m.d.comb += [
        write.addr.eq(bank.within(fill.address)),
        write.data.eq(fill.data),
        write.en.eq(fill.enable & bank.has(fill.address)),
    ]


def read_only(
    m: Module,
    width: int,
    depth: int,
    init: Sequence[int],
    address: Value,
    advance: ValueLike = 1,
    fill: Any = None,
) -> Value:
    """Build a memory that is only read, or filled from outside, as submodules ``memory``.

    Parameters
    ----------
    m : Module
        Module that gets the memories and the registers behind them.
    width : int
        Bits of a word.
    depth : int
        Number of words.
    init : Sequence of int
        Contents, unsigned words.
    address : Value
        Address of the word that is read.
    advance : ValueLike, default 1
        Whether memory and register move on.
    fill : FillPort, optional
        Words that are written while others are read; the memory then begins empty. None where there are none.

    Returns
    -------
    Value
        The word that was read, :data:`READ_LATENCY` advancing cycles after its address.
    """
    parts, words = banks(depth), []
    for bank in parts:
        memory = Memory(
            shape=width,
            depth=bank.depth,
            init=[] if fill else bank.part(init),
            attrs={"no_rw_check": 1} if fill else {},
        )
        m.submodules[bank.name("memory")] = memory
        if fill:
            write_from(m, memory, bank, fill)
        port = memory.read_port()
        m.d.comb += [port.addr.eq(bank.within(address)), port.en.eq(advance)]
        word = Signal(width, name=bank.name("word"), reset_less=True)
        with m.If(advance):
            m.d.sync += word.eq(port.data)
        words.append(word)
    return choose(m, parts, address, words, advance)


def choose(
    m: Module, parts: Sequence[Bank], address: Value, words: Sequence[Value], advance: ValueLike = 1
) -> Value:
    """Choose between the registers behind banks.

    Parameters
    ----------
    m : Module
        Module that gets the registers of the choice.
    parts : Sequence of Bank
        The banks: of a whole memory, or of one that begins at a multiple of the words of each.
    address : Value
        The address of the memory that is read.
    words : Sequence of Value
        The register behind each bank.
    advance : ValueLike, default 1
        Whether memory and registers move on.

    Returns
    -------
    Value
        The word that was read, :data:`READ_LATENCY` advancing cycles after its address.
    """
    if len(parts) == 1:
        return words[0]
    start = parts[0].start
    low = min(bank.address_bits for bank in parts)
    chosen = address[low:]
    for stage in range(READ_LATENCY):
        register = Signal(len(chosen), name=f"chosen_{stage + 1}", reset_less=True)
        with m.If(advance):
            m.d.sync += register.eq(chosen)
        chosen = register
    slots = [word for bank, word in zip(parts, words) for _ in range(1 << bank.address_bits - low)]
    slots = [words[0]] * (start >> low) + slots
    return Array(slots)[chosen]


def choice_bits(depth: int) -> int:
    """Bits of the registers that :func:`choose` takes for a memory of so many words."""
    parts = banks(depth)
    if len(parts) == 1:
        return 0
    return READ_LATENCY * (index_bits(depth) - min(bank.address_bits for bank in parts))
