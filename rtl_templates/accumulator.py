"""The accumulators of one column."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape


class Accumulator(Component):
    """``total = (first ? bias : memory[pixel]) + sum``, written back to ``memory[pixel]``.

    With ``hold``, ``total`` itself is added to instead: the pixel is one more of the same window.

    One pixel a cycle; the same one again :data:`~hwquant.program.array_shape.ACCUMULATE_HAZARD` cycles later, when it
    is written. Block RAM is slow to answer, so nothing stands between it and its register.

    Parameters
    ----------
    config : ArrayConfig
        Widths and depth.

    Attributes
    ----------
    latency : int
        Cycles from ``read_address`` to ``total``: memory, register, sum.
    sum_latency : int
        Cycles from ``sum`` to ``total``.

    Members
    -------
    read_address : In(unsigned)
        The pixel's place in the memory.
    first : In(1)
        ``latency - sum_latency`` cycles after its address, as the next three: the sum begins.
    hold : In(1)
        The pixel adds to the total of the one before.
    bias : In(signed(config.accumulator_bits))
        Where the sum begins.
    sum : In(signed(config.column_bits))
        The column's sum.
    write_address : In(unsigned)
        ``latency`` cycles after ``read_address``, the same.
    write_enable : In(1)
        Likewise: the total counts.
    total : Out(signed(config.accumulator_bits))
        The sum up to here.
    """

    latency = 3
    sum_latency = 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        address = index_bits(config.accumulator_depth)
        super().__init__(
            {
                "read_address": In(address),
                "first": In(1),
                "hold": In(1),
                "bias": In(signed(config.accumulator_bits)),
                "sum": In(signed(config.column_bits)),
                "write_address": In(address),
                "write_enable": In(1),
                "total": Out(signed(config.accumulator_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.config.accumulator_bits
        m.submodules.memory = memory = Memory(
            shape=signed(bits), depth=self.config.accumulator_depth, init=[], attrs={"no_rw_check": 1}
        )
        write, read = memory.write_port(), memory.read_port()
        data = Signal(signed(bits), reset_less=True)
        total = Signal(signed(bits), reset_less=True)
        m.d.comb += [
            read.addr.eq(self.read_address),
            write.addr.eq(self.write_address),
            write.en.eq(self.write_enable),
            write.data.eq(total),
            self.total.eq(total),
        ]
        before = Mux(self.first, self.bias, data)
        if self.config.window_sums:
            before = Mux(self.hold, total, before)
        m.d.sync += [data.eq(read.data), total.eq(before + self.sum)]
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The memory, the register behind it, and the total."""
        bits = config.accumulator_bits
        return Facts(
            registers={"data": bits, "total": bits},
            adders={"total": bits},
            muxes={"hold": bits if config.window_sums else 0},
            memories=[MemoryShape(config.accumulator_depth, bits)],
        )
