"""Streams cut in two by a register."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from hwquant.rtl_templates.facts import Facts


class StreamRegister(Component):
    """A register that cuts a stream in two.

    Nothing goes through from one side to the other within a cycle.

    Throughput: an item every two cycles.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.

    Attributes
    ----------
    latency : int
        Cycles from ``i`` to ``o``.

    Members
    -------
    i : In(stream.Signature(shape))
        Items that come in.
    o : Out(stream.Signature(shape))
        Items that go out, unchanged and in order.
    """

    latency = 1

    def __init__(self, shape: ShapeLike):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        """Build the register of an item, and the mark that it is full."""
        m = Module()
        full = Signal()
        item = Signal(self.i.payload.shape(), reset_less=True)
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(full), self.o.payload.eq(item)]
        with m.If(full):
            m.d.sync += full.eq(~self.o.ready)
        with m.Elif(self.i.valid):
            m.d.sync += [full.eq(1), item.eq(self.i.payload)]
        return m

    @staticmethod
    def facts(bits: int) -> Facts:
        """The register of an item of so many bits, and the mark that it is full."""
        return Facts(registers={"item": bits, "control": 1})
