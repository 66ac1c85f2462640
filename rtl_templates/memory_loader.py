"""What fills external memory with what the host sends, before the first inference."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.ports import AxiMemoryPort


class MemoryLoader(Component):
    """What fills external memory from address 0 on, between the accelerator and the memory.

    Until all beats are there the accelerator begins no inference, so that it has nothing to write; then all that it
    wants passes. A session that begins before starts again with the first beat, one that begins later finds the memory
    filled.

    Throughput: a beat in as many cycles as the memory takes to answer a burst of one, and one more. Links are slower.

    Parameters
    ----------
    config : ArrayConfig
        Widths of the port.
    count : int
        Beats, one at least.

    Members
    -------
    beats : In(stream.Signature(config.external_bits))
        Beats, in order; those that come when all are there are ignored.
    restart : In(1)
        The first beat follows, unless all are there.
    missing : Out(1)
        Beats are missing.
    accelerator : In(AxiMemoryPort(config.external_bits))
        What the accelerator wants.
    memory : Out(AxiMemoryPort(config.external_bits))
        The memory.
    """

    def __init__(self, config: ArrayConfig, count: int):
        self.config, self.count = config, count
        super().__init__(
            {
                "beats": In(stream.Signature(config.external_bits)),
                "restart": In(1),
                "missing": Out(1, init=1),
                "accelerator": In(AxiMemoryPort(config.external_bits)),
                "memory": Out(AxiMemoryPort(config.external_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the burst of one beat, and the choice between it and the accelerator's."""
        m = Module()
        config, beats, memory = self.config, self.beats, self.memory
        taken = Signal(config.external_address_bits + 1)
        place = Signal(config.external_address_bits, reset_less=True)
        data = Signal(config.external_bits, reset_less=True)
        busy, addressing, writing = Signal(), Signal(), Signal()
        m.d.comb += beats.ready.eq(~busy)
        with m.If(memory.aw.ready):
            m.d.sync += addressing.eq(0)
        with m.If(memory.w.ready):
            m.d.sync += writing.eq(0)
        with m.If(beats.valid & beats.ready & self.missing):
            m.d.sync += [
                *(busy.eq(1), addressing.eq(1), writing.eq(1)),
                *(place.eq(taken), data.eq(beats.payload), taken.eq(taken + 1)),
            ]
        with m.If(memory.b.valid):
            m.d.sync += busy.eq(0)
            with m.If(taken == self.count):
                m.d.sync += self.missing.eq(0)
        with m.If(self.restart):
            m.d.sync += taken.eq(0)

        inner = flipped(self.accelerator)
        connect(m, inner.ar, flipped(memory.ar))
        connect(m, flipped(memory.r), inner.r)
        byte = (config.external_bits // 8).bit_length() - 1
        for outer, theirs, mine, payload in (
            (memory.aw, inner.aw, addressing, Cat(Const(0, byte), place, Const(0, 40 - byte - len(place)))),
            (memory.w, inner.w, writing, Cat(data, Const(1, 1))),
        ):
            m.d.comb += [
                outer.valid.eq(Mux(self.missing, mine, theirs.valid)),
                outer.payload.eq(Mux(self.missing, payload, theirs.payload.as_value())),
                theirs.ready.eq(outer.ready & ~self.missing),
            ]
        m.d.comb += [
            inner.b.valid.eq(memory.b.valid & ~self.missing),
            inner.b.payload.eq(memory.b.payload),
            memory.b.ready.eq(1),
        ]
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The beat, its address, and the choice of what is written."""
        address, data = config.external_address_bits, config.external_bits
        return Facts(
            registers={"taken": address + 1, "burst": address + data, "control": 4},
            adders={"taken": address + 1},
            muxes={"written": address + data},
            gates={"control": 1},
        )
