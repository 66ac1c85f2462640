"""Streams cut in two by a register."""

from amaranth.hdl import Module, Mux, ShapeLike, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from hwquant.rtl_templates.facts import Facts


class StreamRegister(Component):
    """A register that cuts a stream in two.

    Nothing goes through from one side to the other within a cycle, but for the readiness that ``follows``.

    Throughput: an item every two cycles.

    Parameters
    ----------
    shape : ShapeLike
        Shape of an item.
    follows : bool, default False
        Whether ``i`` is ready only while ``o`` is, for those who ask before they have an item.

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

    def __init__(self, shape: ShapeLike, *, follows: bool = False):
        self.follows = follows
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        """Build the register of an item, and the mark that it is full."""
        m = Module()
        full = Signal()
        item = Signal(self.i.payload.shape(), reset_less=True)
        ready = ~full & self.o.ready if self.follows else ~full
        m.d.comb += [self.i.ready.eq(ready), self.o.valid.eq(full), self.o.payload.eq(item)]
        with m.If(full):
            m.d.sync += full.eq(~self.o.ready)
        with m.Elif(self.i.valid & self.i.ready):
            m.d.sync += [full.eq(1), item.eq(self.i.payload)]
        return m

    @staticmethod
    def facts(bits: int) -> Facts:
        """The register of an item of so many bits, and the mark that it is full."""
        return Facts(registers={"item": bits, "control": 1})


class StreamQueue(Component):
    """Two registers that cut a stream in two without making it slower.

    Nothing goes through from one side to the other within a cycle.

    Throughput: an item a cycle.

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
        """Build the item that leaves, and the one that came while that one waited."""
        m = Module()
        full, spare = Signal(), Signal()
        item = Signal(self.i.payload.shape(), reset_less=True)
        behind = Signal(self.i.payload.shape(), reset_less=True)
        m.d.comb += [self.i.ready.eq(~spare), self.o.valid.eq(full), self.o.payload.eq(item)]
        with m.If(~spare):
            m.d.sync += behind.eq(self.i.payload)
        with m.If(self.o.ready | ~full):
            m.d.sync += [full.eq(spare | self.i.valid), spare.eq(0)]
            m.d.sync += item.eq(Mux(spare, Value.cast(behind), Value.cast(self.i.payload)))
        with m.Elif(self.i.valid):
            m.d.sync += spare.eq(1)
        return m

    @staticmethod
    def facts(bits: int) -> Facts:
        """The registers of two items of so many bits, and the marks that they are full."""
        return Facts(registers={"item": 2 * bits, "control": 2}, muxes={"item": bits})
