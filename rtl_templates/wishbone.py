"""The accelerator as a Wishbone peripheral: registers and words, 32 bits at a time."""

from enum import IntEnum

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.registers import Register
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.facts import Facts, Inside

BUS_BITS = 32
"""Width of the bus's data."""


class BusRegister(IntEnum):
    """Addresses behind those of :class:`~hwquant.program.registers.Register`, in words of 32 bits.

    Attributes
    ----------
    access : str
        Ways in which it is accessed: ``"read"``, ``"write"``, or ``"read, write"``.
    meaning : str
        What is read or written.
    bits : tuple of str
        Names of the bits, from the lowest one up; empty where all 32 are data.
    """

    access: str
    meaning: str
    bits: tuple[str, ...]

    def __new__(cls, address: int, access: str, meaning: str, *bits: str) -> "BusRegister":
        """Make a member of its address and what it is for."""
        member = int.__new__(cls, address)
        member._value_ = address
        member.access, member.meaning, member.bits = access, meaning, bits
        return member

    FRAME = len(Register), "write", "the next 32 bits of a beat of an input frame, low ones first"
    LAST = len(Register) + 1, "write", "likewise, of the frame's last beat"
    RESULT = len(Register) + 2, "read", "the next 32 bits of a word of the results, low ones first"
    STREAMS = (
        len(Register) + 3,
        "read, write",
        "bit 0: the accelerator takes input; bit 1: there is a result; written, the next access to FRAME, LAST or "
        "RESULT is to the beginning of a word",
        "takes_input",
        "has_result",
    )


class WishboneAccelerator(Component):
    """An accelerator behind a Wishbone B4 bus, classic cycles: registers and words, 32 bits at a time.

    Accesses to a stream that has no word, or takes none, are answered with ``err`` and change nothing: the bus
    never waits for an inference. Accesses are always to 32 bits. (OpenCores, "Wishbone B4", 2010.)

    Latency: an access is answered in the cycle after the request. Throughput: an access every two cycles.

    Parameters
    ----------
    accelerator : Accelerator
        The accelerator, with the program in its memories.

    Members
    -------
    cyc : In(1)
        A bus cycle is going on.
    stb : In(1)
        There is a request; it counts together with ``cyc``.
    we : In(1)
        The request writes.
    adr : In(index_bits(max(BusRegister) + 1))
        Address of the request, in words of 32 bits; see :class:`BusRegister`.
    dat_w : In(BUS_BITS)
        Data to write.
    ack : Out(1)
        The request was executed, in the cycle before.
    err : Out(1)
        The request was refused, in the cycle before.
    dat_r : Out(BUS_BITS)
        What was read, with ``ack``.
    """

    def __init__(self, accelerator: Accelerator):
        if accelerator.config.external_bits:
            raise HwquantError(
                "external memory is behind AXI4: a core with Wishbone has no port for it; choose the bus axi or stream"
            )
        self.accelerator = accelerator
        super().__init__(
            {
                "cyc": In(1),
                "stb": In(1),
                "we": In(1),
                "adr": In(index_bits(max(BusRegister) + 1)),
                "dat_w": In(BUS_BITS),
                "dat_r": Out(BUS_BITS),
                "ack": Out(1),
                "err": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the accelerator, the answer to a request, and the parts of words on their way."""
        m = Module()
        m.submodules.accelerator = accelerator = self.accelerator
        frames, results, bus = accelerator.frames, accelerator.results, accelerator.bus
        config = accelerator.config
        sent, parts = -(-config.frame_bits // BUS_BITS), -(-config.word_bits // BUS_BITS)
        low = Signal(BUS_BITS * max(1, sent - 1), reset_less=True)  # all parts of a beat but the last
        written = Signal(range(max(2, sent)))
        read = Signal(range(max(2, parts)))
        data = results.payload.data
        result = Array(data[BUS_BITS * n : BUS_BITS * (n + 1)] for n in range(parts))
        access = Signal()
        refused = Signal()
        value = Signal(BUS_BITS)
        m.d.comb += [
            access.eq(self.cyc & self.stb & ~self.ack & ~self.err),
            bus.address.eq(self.adr),
            bus.write_data.eq(self.dat_w),
            frames.payload.data.eq(Cat(low, self.dat_w)[-BUS_BITS * sent :]),
            frames.payload.last.eq(self.adr == BusRegister.LAST),
        ]
        m.d.sync += [self.ack.eq(access & ~refused), self.err.eq(access & refused)]
        with m.If(access):
            m.d.sync += self.dat_r.eq(value)
        with m.Switch(self.adr):
            with m.Case(*Register):
                m.d.comb += [bus.write.eq(access & self.we), value.eq(bus.read_data)]
            with m.Case(BusRegister.FRAME, BusRegister.LAST):
                final = written == sent - 1
                m.d.comb += [
                    refused.eq(~self.we | ~frames.ready),
                    frames.valid.eq(access & self.we & final),
                ]
                with m.If(access & ~refused):
                    m.d.sync += [
                        written.eq(Mux(final, 0, written + 1)),
                        low.eq(Cat(low, self.dat_w)[BUS_BITS:]),
                    ]
            with m.Case(BusRegister.RESULT):
                final = read == parts - 1
                m.d.comb += [
                    refused.eq(self.we | ~results.valid),
                    value.eq(result[read]),
                    results.ready.eq(access & ~refused & final),
                ]
                with m.If(access & ~refused):
                    m.d.sync += read.eq(Mux(final, 0, read + 1))
            with m.Case(BusRegister.STREAMS):
                m.d.comb += value.eq(Cat(frames.ready, results.valid))
                with m.If(access & self.we):
                    m.d.sync += [written.eq(0), read.eq(0)]
            with m.Default():
                m.d.comb += refused.eq(1)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The answer, and the parts of a word that has not come completely."""
        sent, parts = -(-config.frame_bits // BUS_BITS), -(-config.word_bits // BUS_BITS)
        return Facts(
            registers={
                "answer": BUS_BITS + 2,
                "word": BUS_BITS * max(1, sent - 1),
                "parts": index_bits(max(2, sent)) + index_bits(max(2, parts)),
            },
            inside=[Inside("accelerator", Accelerator.facts(config))],
        )
