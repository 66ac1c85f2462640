"""Streams cut in two by a register."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from hwquant.rtl_templates.facts import Facts


class StreamRegister(Component):
    """Holds one item, so that nothing goes through from one side to the other within a cycle.

    An item every two cycles.

    Parameters
    ----------
    shape : ShapeLike
        Of an item.

    Attributes
    ----------
    latency : int
        Cycles from ``i`` to ``o``.

    Members
    -------
    i : In(stream)
        Items.
    o : Out(stream)
        The same.
    """

    latency = 1

    def __init__(self, shape: ShapeLike):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
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
        """Of items of so many bits."""
        return Facts(registers={"item": bits, "control": 1})
