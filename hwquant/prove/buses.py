"""Claims of the buses around the core: their protocols' rules, and that an access does what it says."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, ClockSignal, Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.registers import Register
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.prove.streams import holds_still
from hwquant.rtl_templates.axi import OKAY, SLVERR, AxiAccelerator
from hwquant.rtl_templates.ports import AxiMemoryPort, RegisterPort, frame_layout, word_layout
from hwquant.rtl_templates.wishbone import BUS_BITS, BusRegister, WishboneAccelerator


class Core(Component):
    """In the accelerator's place: what it answers is anything.

    Members
    -------
    frames : In(stream.Signature(frame_layout(config)))
        As :class:`~hwquant.rtl_templates.core.Accelerator` has them, like the others.
    results : Out(stream.Signature(word_layout(config)))
        Output words.
    bus : In(RegisterPort)
        Access to the registers.
    memory : Out(AxiMemoryPort(config.external_bits))
        The port to external memory; only where there is one.
    begins : Out(1)
        An inference begins; only with external memory.
    """

    def __init__(self, config: ArrayConfig, harness: Harness) -> None:
        self.config = config
        external = {"memory": Out(AxiMemoryPort(config.external_bits or 8)), "begins": Out(1)}
        super().__init__(
            {
                "frames": In(stream.Signature(frame_layout(config))),
                "results": Out(stream.Signature(word_layout(config))),
                "bus": In(RegisterPort()),
            }
            | (external if config.external_bits else {})
        )
        self._answers = [
            (Value.cast(port), harness.free("core_" + "_".join(map(str, path)), member.shape))
            for path, member, port in self.signature.flatten(self)
            if member.flow is Out
        ]

    def elaborate(self, platform: object) -> Module:
        """Build the answers."""
        m = Module()
        m.d.comb += [port.eq(Value.cast(answer)) for port, answer in self._answers]
        return m


def axi(config: ArrayConfig) -> Claim:
    """Registers answer as AXI4-Lite wants; streams are the core's."""

    def build(harness: Harness) -> None:
        core = Core(config, harness)
        dut = harness.component(AxiAccelerator(core), domain="bus", aclk=ClockSignal(), aresetn=1)
        before, always = harness.before, harness.always
        write, read = dut.s_axi_awvalid & dut.s_axi_awready, dut.s_axi_arvalid & dut.s_axi_arready
        answers = [_Answer(dut, "b", ("bresp",)), _Answer(dut, "r", ("rdata", "rresp"))]
        for asked, answer in zip((write, read), answers):
            holds_still(harness, answer)
            # One answer for each request, in the next cycle; it is there until it is taken, and none is without.
            always(answer.valid == before(asked | (answer.valid & ~answer.ready)))
        always(write == (dut.s_axi_wvalid & dut.s_axi_wready))
        whole = dut.s_axi_wstrb == 0xF
        always(core.bus.write == (write & whole))
        number = Mux(write, dut.s_axi_awaddr, dut.s_axi_araddr) >> 2
        always(~(write | read) | (core.bus.address == number))
        always(~core.bus.write | (core.bus.write_data == dut.s_axi_wdata))
        always(~(write & read))
        always(~before(write) | (dut.s_axi_bresp == Mux(before(whole), OKAY, SLVERR)))
        always(~before(read) | (dut.s_axi_rdata == before(core.bus.read_data)))
        always(dut.s_axi_rresp == OKAY)
        # Nobody waits for anything but an answer that is not taken, a read also for writes.
        asks = dut.s_axi_awvalid & dut.s_axi_wvalid
        always(~(asks & ~dut.s_axi_bvalid) | write)
        always(~(dut.s_axi_arvalid & ~dut.s_axi_rvalid) | read | write)
        always(core.frames.valid == dut.s_axis_tvalid)
        always(core.frames.ready == dut.s_axis_tready)
        always(
            Value.cast(core.frames.payload) == Cat(dut.s_axis_tdata[: config.frame_bits], dut.s_axis_tlast)
        )
        always(core.results.valid == dut.m_axis_tvalid)
        always(core.results.ready == dut.m_axis_tready)
        always(
            Cat(dut.m_axis_tdata[: config.word_bits], dut.m_axis_tlast) == Value.cast(core.results.payload)
        )
        always(dut.m_axis_tdata[config.word_bits :] == 0)

    return Claim(
        f"AxiAccelerator: words of {config.word_bits} bits, frames of {config.frame_bits}",
        "AXI4-Lite: each request is answered once, in the next cycle, and the answer stays, unchanged, until it is "
        "taken; a whole write is done, another one refused and not done; a read gives the register's value; nobody "
        "waits but for answers that are not taken, or for a write. AXI4-Stream: what goes in and out is the core's",
        build,
        Method.INDUCTION,
        1,
    )


class _Answer:
    """A channel of AXI4-Lite as a stream."""

    def __init__(self, dut: Any, channel: str, fields: tuple[str, ...]) -> None:
        self.valid, self.ready = (getattr(dut, f"s_axi_{channel}{name}") for name in ("valid", "ready"))
        self.payload = Cat(getattr(dut, f"s_axi_{name}") for name in fields)


def wishbone(config: ArrayConfig) -> Claim:
    """Accesses are answered as Wishbone wants, and words are made of their parts."""

    def build(harness: Harness) -> None:
        core = Core(config, harness)
        dut = harness.component(WishboneAccelerator(core))
        m, before, always = harness.m, harness.before, harness.always
        asked = dut.cyc & dut.stb & ~(dut.ack | dut.err)
        always((dut.ack | dut.err) == before(asked))
        always(~(dut.ack & dut.err))
        frame = (dut.adr == BusRegister.FRAME) | (dut.adr == BusRegister.LAST)
        result, streams = dut.adr == BusRegister.RESULT, dut.adr == BusRegister.STREAMS
        register = dut.adr < len(Register)
        refused = (
            (frame & ~(dut.we & core.frames.ready))
            | (result & (dut.we | ~core.results.valid))
            | ~(register | frame | result | streams)
        )
        always(dut.err == before(asked & refused))
        done = asked & ~refused
        always(core.bus.write == (done & register & dut.we))
        always(~(done & register) | (core.bus.address == dut.adr[: len(core.bus.address)]))
        always(~core.bus.write | (core.bus.write_data == dut.dat_w))
        always(~before(done & register) | (dut.dat_r == before(core.bus.read_data)))
        always(~before(done & streams) | (dut.dat_r == before(Cat(core.frames.ready, core.results.valid))))
        # Parts of a beat, the low ones first; the last one moves it.
        again = done & streams & dut.we
        count = -(-config.frame_bits // BUS_BITS)
        parts = [Signal(BUS_BITS, name=f"part{n}") for n in range(count)]
        place = Signal(range(count + 1))
        with m.If(done & frame):
            m.d.sync += place.eq(Mux(place == count - 1, 0, place + 1))
        with m.If(again):
            m.d.sync += place.eq(0)
        for n, part in enumerate(parts):
            with m.If(done & frame & (place == n)):
                m.d.sync += part.eq(dut.dat_w)
        beat = Cat(*parts[:-1], dut.dat_w)[: config.frame_bits]
        moves = done & frame & (place == count - 1)
        always((core.frames.valid & core.frames.ready) == moves)
        always(~moves | (core.frames.payload.data == beat))
        always(~moves | (core.frames.payload.last == (dut.adr == BusRegister.LAST)))
        # Parts of a word that is read, likewise.
        words = -(-config.word_bits // BUS_BITS)
        data = core.results.payload.data
        part = Array(data[BUS_BITS * n : BUS_BITS * (n + 1)] for n in range(words))
        read = Signal(range(words + 1), name="read_parts")
        with m.If(done & result):
            m.d.sync += read.eq(Mux(read == words - 1, 0, read + 1))
        with m.If(again):
            m.d.sync += read.eq(0)
        always((core.results.valid & core.results.ready) == (done & result & (read == words - 1)))
        always(~before(done & result) | (dut.dat_r == before(part[read])))
        harness.lemma(harness.inside("written", range(max(2, count))) == place)
        harness.lemma(harness.inside("read", range(max(2, words))) == read)
        if count > 1:
            low = harness.inside("low", BUS_BITS * (count - 1))
            for k in range(1, count):  # so many parts are there
                harness.lemma((place != k) | (low[-BUS_BITS * k :] == Cat(*parts[:k])))

    return Claim(
        f"WishboneAccelerator: words of {config.word_bits} bits, frames of {config.frame_bits}",
        "each request is answered in the next cycle, by ack or by err; one that is refused changes nothing; registers "
        "are written and read as asked; beats move when their last part is written, words when theirs is read, with "
        "all parts in order",
        build,
        Method.INDUCTION,
        3,
    )


CLAIMS = (
    axi(ArrayConfig(4, 4)),
    wishbone(ArrayConfig(4, 4)),
    wishbone(ArrayConfig(10, 10)),
)
"""Words of one part, and of several."""
