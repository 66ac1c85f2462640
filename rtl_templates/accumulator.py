"""The accumulators of one column."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig, index_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape


class Accumulator(Component):
    """``total = (first ? bias : memory[pixel]) + sum``, written back to ``memory[pixel]``.

    With ``hold``, ``total`` itself is added to instead: the pixel is one more of the same window.

    Stages, counted from ``read_address``: 0 address, 1 memory, 2 register and ``sum``, 3 ``total``, written
    at its end. One pixel may be visited again ACCUMULATE_HAZARD cycles later. Block RAM is slow to answer,
    so nothing stands between it and its register.

    Members
    -------
    read_address : In, stage 0; first, hold, bias, sum : In, stage 2
    write_address, write_enable : In, stage 3; total : Out, stage 3
    """

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

    def elaborate(self, platform):
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
