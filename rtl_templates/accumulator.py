"""The accumulators of one column of the array."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape


class Accumulator(Component):
    """The accumulators of one column: a memory with a sum for each pixel of a block.

    ::

        total <= (first ? bias : memory[read_address]) + sum

    Block RAM is slow to answer, so nothing stands between it and its register.

    Throughput: one pixel a cycle; the same one again :data:`~hwquant.program.array_shape.ACCUMULATE_HAZARD` cycles
    later, when it is written.

    Parameters
    ----------
    config : ArrayConfig
        Widths, the depth of the memory, and whether there are sums over windows.

    Attributes
    ----------
    latency : int
        Cycles from ``read_address`` to ``total``: memory, register, sum.
    sum_latency : int
        Cycles from ``sum`` to ``total``.

    Members
    -------
    read_address : In(index_bits(config.accumulator_depth))
        Place of the pixel in the memory.
    first : In(1)
        The sum of the pixel begins, with the bias. This port, ``hold``, ``bias`` and ``sum`` come
        ``latency - sum_latency`` cycles after the address.
    hold : In(1)
        The pixel adds to the total of the one before it; used with ``config.window_sums`` only.
    bias : In(signed(config.stored_bias_bits))
        Value at which a sum begins, without ``config.bias_zeros`` low bits.
    sum : In(signed(config.added_bits))
        Sum of the column for the pixel, or its product of two activations.
    write_address : In(index_bits(config.accumulator_depth))
        The value of ``read_address``, ``latency`` cycles later.
    write_enable : In(1)
        The total is written; it comes with ``write_address``.
    total : Out(signed(config.accumulator_bits))
        The sum so far.
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
                "bias": In(signed(config.stored_bias_bits)),
                "sum": In(signed(config.added_bits)),
                "write_address": In(address),
                "write_enable": In(1),
                "total": Out(signed(config.accumulator_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the memory, the register behind it, and the adder."""
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
        zeros = self.config.bias_zeros
        before = Mux(self.first, self.bias.shift_left(zeros) if zeros else self.bias, data)
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
            memories=[MemoryShape(config.accumulator_depth, bits, apart=True, register="data")],
        )
