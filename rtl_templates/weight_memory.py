"""The weight memory: in banks, or one that the host loads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.banks import Bank, banks, write_from

LOADED = "host_loaded"
"""Attribute of a memory whose initial contents :mod:`~hwquant.rtl_templates.verilog` leaves out."""


@dataclass(frozen=True)
class Loading:
    """The host's words for a memory that it loads.

    Attributes
    ----------
    enable : Value
        A word is written, and nothing is read.
    word : Value
        The word.
    """

    enable: Value
    word: Value


def weight_banks(config: ArrayConfig, loadable: bool) -> list[Bank]:
    """The banks of the memory: one where the host loads it, as large RAM holds all of it."""
    depth = config.weight_depth
    return [Bank(0, 0, depth, index_bits(depth))] if loadable else banks(depth)


def memory_words(
    m: Module,
    config: ArrayConfig,
    init: Sequence[int],
    pointer: Signal,
    loading: Loading | None,
    fill: Any = None,
) -> list[Signal]:
    """Build the banks of the memory as submodules ``memory``, and the register behind each of them.

    Parameters
    ----------
    m : Module
        Module that gets them.
    config : ArrayConfig
        Depth and widths.
    init : Sequence of int
        Contents of the memory, unsigned words; a memory that is loaded begins without.
    pointer : Signal
        The one address, for reading or writing, as large RAMs that bitstreams do not fill have one port.
    loading : Loading or None
        What the host writes; None where it writes nothing.
    fill : FillPort, optional
        Words that are written while others are read; None where there are none.

    Returns
    -------
    list of Signal
        The registers, as ``ArrayLayout(signed(config.slot_bits), config.columns)``.
    """
    layout = ArrayLayout(signed(config.slot_bits), config.columns)
    words = []
    for bank in weight_banks(config, loading is not None):
        memory = Memory(
            shape=layout.size,
            depth=bank.depth,
            init=[] if loading or fill else bank.part(init),
            attrs={LOADED: 1} if loading else {"no_rw_check": 1} if fill else {},
        )
        m.submodules[bank.name("memory")] = memory
        read = memory.read_port()
        m.d.comb += read.addr.eq(bank.within(pointer))
        if loading:
            write = memory.write_port()
            m.d.comb += [
                write.addr.eq(pointer),
                write.data.eq(loading.word),
                write.en.eq(loading.enable),
                read.en.eq(~loading.enable),
            ]
        if fill:
            write_from(m, memory, bank, fill)
        word = Signal(layout, name=bank.name("data"), reset_less=True)
        m.d.sync += word.as_value().eq(read.data)
        words.append(word)
    return words
