"""A core behind its bus, and what masters the bus: together they have the ports of an accelerator.

So every simulator takes them, and everything that is checked of an accelerator is checked of the core.
"""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib.wiring import Component

from hwquant.errors import HwquantError
from hwquant.program.program import Program
from hwquant.program.registers import MemoryRegister
from hwquant.rtl_templates.axi import OKAY, AxiAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.ip_core import BUSES as CORES
from hwquant.rtl_templates.ports import BASE_BITS
from hwquant.rtl_templates.wishbone import BUS_BITS, BusRegister, WishboneAccelerator
from hwquant.sim.external_memory import SimulatedMemory, contents

BUSES = tuple(CORES)
"""Names of the buses."""
NO_BUS = "stream"
"""The one of a core that has none: bare streams and the register file."""


def behind_bus(program: Program, bus: str, chosen: Sequence[int] | None = None) -> Component | None:
    """Make what executes a program behind a bus, with what masters the bus.

    The register that ``bus.address`` names is read by the bus when a result has come, before its last word is passed
    on: then ``bus.read_data`` is what it held. Writes to registers are not passed on.

    Parameters
    ----------
    program : Program
        What the core's memories hold.
    bus : str
        One of :data:`BUSES`.
    chosen : Sequence of int, optional
        When external memory, where there is some, serves bursts: what
        :func:`~hwquant.sim.external_memory.settings` gives. None: as a memory whose timing has its defaults.

    Returns
    -------
    Component or None
        For :class:`~hwquant.sim.options.SimulationOptions`; None where the bare accelerator is what is asked for.

    Raises
    ------
    HwquantError
        There is no such bus, or it has no port for the program's external memory.
    """
    if bus not in BUSES:
        raise HwquantError(f"there is no bus {bus!r}; choose one of {', '.join(BUSES)}")
    if bus == "wishbone":
        return BehindWishbone(program)
    return BehindAxi(program, chosen) if bus == "axi" else None


def _members(core: Accelerator) -> dict[str, Any]:
    """The ports that every testbench knows."""
    return {name: core.signature.members[name] for name in ("frames", "results", "bus", "monitor")}


def _watch(m: Module, outside: Any, core: Accelerator) -> None:
    """Connect the monitor of the core inside."""
    m.d.comb += [
        getattr(outside.monitor, name).eq(getattr(core.monitor, name))
        for name in core.monitor.signature.members
    ]


class AxiCore(AxiAccelerator):
    """A core with AXI in the clock domain around it, for Amaranth's simulator has clocks made of clocks late."""

    def clock(self, m: Module) -> None:
        """Leave the clock domain to whoever simulates."""


class BehindAxi(Component):
    """A core with AXI, with a master of AXI4-Lite, and a memory where it has external memory.

    Streams pass, but for the last word of a result, which waits until the register is read. Where there is memory, the
    master first writes where it begins, without which there is no inference.

    Parameters
    ----------
    program : Program
        What the memories hold.
    chosen : Sequence of int, optional
        What :func:`~hwquant.sim.external_memory.settings` gives; None: as the defaults of a memory's timing say.

    Members
    -------
    frames, results, bus, monitor : those of the core
        As :class:`~hwquant.rtl_templates.core.Accelerator` has them.
    """

    def __init__(self, program: Program, chosen: Sequence[int] | None):
        self.core = AxiCore(accelerator(program))
        config = program.config
        self.memory = None
        if config.external_bits:
            depth = 1 << config.external_address_bits
            self.memory = SimulatedMemory(config.external_bits, depth, contents(program), chosen)
            # Where addresses wrap around.
            self.page = max(1, depth * config.external_bits // 8 >> 12) % (1 << BASE_BITS)
        super().__init__(_members(self.core.accelerator))

    def elaborate(self, platform: object) -> Module:
        """Build the streams, and the state machine of the accesses to registers."""
        m = Module()
        m.submodules.core = core = self.core
        frames, results = self.frames, self.results
        _watch(m, self, core.accelerator)
        known, holds = Signal(), Signal()
        m.d.comb += [
            core.s_axis_tdata.eq(frames.payload.data),
            core.s_axis_tkeep.eq(-1),
            core.s_axis_tlast.eq(frames.payload.last),
            core.s_axis_tvalid.eq(frames.valid),
            frames.ready.eq(core.s_axis_tready),
            holds.eq(core.m_axis_tvalid & core.m_axis_tlast & ~known),
            results.payload.data.eq(core.m_axis_tdata),
            results.payload.last.eq(core.m_axis_tlast),
            results.valid.eq(core.m_axis_tvalid & ~holds),
            core.m_axis_tready.eq(results.ready & ~holds),
        ]
        with m.If(results.valid & results.ready & results.payload.last):
            m.d.sync += known.eq(0)
        with m.FSM(init="idle" if self.memory is None else "place"):
            if self.memory is not None:
                self._connect_memory(m, self.memory)
                m.d.comb += [
                    core.s_axi_awaddr.eq(4 * int(MemoryRegister.MEMORY)),
                    core.s_axi_wdata.eq(MemoryRegister.MEMORY.pack(page=self.page)),
                    core.s_axi_wstrb.eq(-1),
                ]
                with m.State("place"):
                    m.d.comb += [core.s_axi_awvalid.eq(1), core.s_axi_wvalid.eq(1)]
                    with m.If(core.s_axi_awready & core.s_axi_wready):
                        m.next = "placed"
                with m.State("placed"):
                    m.d.comb += core.s_axi_bready.eq(1)
                    with m.If(core.s_axi_bvalid & (core.s_axi_bresp == OKAY)):
                        m.next = "idle"
            with m.State("idle"), m.If(holds):
                m.next = "ask"
            with m.State("ask"):
                m.d.comb += [core.s_axi_arvalid.eq(1), core.s_axi_araddr.eq(self.bus.address << 2)]
                with m.If(core.s_axi_arready):
                    m.next = "answer"
            with m.State("answer"):
                m.d.comb += core.s_axi_rready.eq(1)
                with m.If(core.s_axi_rvalid & (core.s_axi_rresp == OKAY)):
                    m.d.sync += [self.bus.read_data.eq(core.s_axi_rdata), known.eq(1)]
                    m.next = "idle"
        return m

    def _connect_memory(self, m: Module, memory: SimulatedMemory) -> None:
        """Connect the core's master of AXI4 to the memory."""
        m.submodules.external = memory
        core, port = self.core, memory.port
        for name, channel in (("ar", port.ar), ("aw", port.aw)):
            m.d.comb += [
                channel.payload.address.eq(getattr(core, f"m_axi_{name}addr")),
                channel.payload.length.eq(getattr(core, f"m_axi_{name}len")),
                channel.valid.eq(getattr(core, f"m_axi_{name}valid")),
                getattr(core, f"m_axi_{name}ready").eq(channel.ready),
            ]
        m.d.comb += [
            port.w.payload.data.eq(core.m_axi_wdata),
            port.w.payload.last.eq(core.m_axi_wlast),
            port.w.valid.eq(core.m_axi_wvalid),
            core.m_axi_wready.eq(port.w.ready),
            core.m_axi_rdata.eq(port.r.payload.data),
            core.m_axi_rresp.eq(port.r.payload.resp),
            core.m_axi_rlast.eq(port.r.payload.last),
            core.m_axi_rvalid.eq(port.r.valid),
            port.r.ready.eq(core.m_axi_rready),
            core.m_axi_bresp.eq(port.b.payload.resp),
            core.m_axi_bvalid.eq(port.b.valid),
            port.b.ready.eq(core.m_axi_bready),
            memory.begins.eq(core.begins),
        ]


class BehindWishbone(Component):
    """A core with Wishbone, with a master of classic cycles: it sends a frame, and then reads the words of its result.

    The bus does not say which word is the last one: the master counts them. What is refused it tries again.

    Parameters
    ----------
    program : Program
        What the memories hold.

    Members
    -------
    frames, results, bus, monitor : those of the core
        As :class:`~hwquant.rtl_templates.core.Accelerator` has them.
    """

    def __init__(self, program: Program):
        self.core = WishboneAccelerator(accelerator(program))
        self.words = program.frame_words[1]
        super().__init__(_members(self.core.accelerator))

    def elaborate(self, platform: object) -> Module:
        """Build the state machine of a frame, its result, and the register that is read after it."""
        m = Module()
        m.submodules.core = core = self.core
        frames, results = self.frames, self.results
        config = core.accelerator.config
        _watch(m, self, core.accelerator)
        sent, read = (-(-bits // BUS_BITS) for bits in (config.frame_bits, config.word_bits))
        part = Signal(range(max(2, sent, read)))
        left = Signal(range(self.words + 1), init=self.words)
        got = [Signal(BUS_BITS, name=f"got{number}", reset_less=True) for number in range(read)]
        m.d.comb += [
            core.dat_w.eq(frames.payload.data.word_select(part, BUS_BITS)),
            results.payload.data.eq(Cat(got)),
            results.payload.last.eq(left == 0),
        ]
        with m.FSM():
            with m.State("send"):
                m.d.comb += [
                    *(core.cyc.eq(frames.valid), core.stb.eq(frames.valid), core.we.eq(1)),
                    core.adr.eq(Mux(frames.payload.last, BusRegister.LAST, BusRegister.FRAME)),
                ]
                with m.If(core.ack):
                    m.d.sync += part.eq(part + 1)
                    with m.If(part == sent - 1):
                        m.d.comb += frames.ready.eq(1)
                        m.d.sync += part.eq(0)
                        with m.If(frames.payload.last):
                            m.next = "receive"
            with m.State("receive"):
                m.d.comb += [core.cyc.eq(1), core.stb.eq(1), core.adr.eq(BusRegister.RESULT)]
                with m.If(core.ack):
                    m.d.sync += [part.eq(part + 1), Array(got)[part].eq(core.dat_r)]
                    with m.If(part == read - 1):
                        m.d.sync += [part.eq(0), left.eq(left - 1)]
                        m.next = "look"
                        with m.If(left != 1):
                            m.next = "pass"
            with m.State("look"):
                m.d.comb += [core.cyc.eq(1), core.stb.eq(1), core.adr.eq(self.bus.address)]
                with m.If(core.ack):
                    m.d.sync += self.bus.read_data.eq(core.dat_r)
                    m.next = "pass"
            with m.State("pass"):
                m.d.comb += results.valid.eq(1)
                with m.If(results.ready):
                    m.next = "receive"
                    with m.If(left == 0):
                        m.d.sync += left.eq(self.words)
                        m.next = "send"
        return m
