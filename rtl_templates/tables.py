"""Functions of one variable: tables in block RAM, behind requantization."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.latencies import TABLE_LATENCY
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape

COLUMNS = 2
"""Columns that share a memory: as many as a block RAM has ports."""


class Lookup(Component):
    """The tables of one or two columns.

    ::

        value = memory[page, address]

    A page is a table; its number is that of the layer. Block RAM is slow to answer, so nothing stands between it and
    its register.

    Throughput: one value a cycle, for each column.

    Parameters
    ----------
    config : ArrayConfig
        Widths, and the number of pages.
    init : Sequence of int
        Contents of the memory, unsigned words.
    columns : int
        Number of columns, 1 or 2.

    Attributes
    ----------
    latency : int
        Cycles from ``address`` to ``value``: the memory, then a register.

    Members
    -------
    page : In(index_bits(config.tables))
        Number of the page; constant during a layer.
    address{column} : In(signed(config.table_bits))
        The clamped integer.
    value{column} : Out(signed(config.activation_bits))
        The output.
    """

    latency = TABLE_LATENCY

    def __init__(self, config: ArrayConfig, init: Sequence[int], columns: int):
        self.config = config
        self.init = init
        self.columns = columns
        ports = {"page": In(index_bits(config.tables))}
        for column in range(columns):
            ports[f"address{column}"] = In(signed(config.table_bits))
            ports[f"value{column}"] = Out(signed(config.activation_bits))
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        """Build the memory, with a read port and a register for each column."""
        m = Module()
        bits = self.config.activation_bits
        m.submodules.memory = memory = Memory(shape=bits, depth=self.config.table_depth, init=self.init)
        for column in range(self.columns):
            port = memory.read_port()
            value = Signal(signed(bits), name=f"value{column}_", reset_less=True)
            address = getattr(self, f"address{column}")
            m.d.comb += port.addr.eq(Cat(address, self.page))
            m.d.sync += value.eq(port.data)
            m.d.comb += getattr(self, f"value{column}").eq(value)
        return m

    @staticmethod
    def facts(config: ArrayConfig, columns: int) -> Facts:
        """The memory, and a register for each column."""
        shape = MemoryShape(
            *(config.table_depth, config.activation_bits),
            writes=0,
            image="tables",
            reads=columns,
            register="value",
        )
        return Facts(registers={"value": columns * config.activation_bits}, memories=[shape])
