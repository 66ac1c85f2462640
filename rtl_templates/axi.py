"""The accelerator with AXI ports, for systems on a chip: AXI4-Lite for its registers, AXI4-Stream for its words."""

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib.wiring import Component, In, Out

from hwquant.link.protocol import word_bytes
from hwquant.program.config import ArrayConfig
from hwquant.program.registers import Register
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.axi_memory import connect_memory, memory_members
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.facts import Facts, Inside

ADDRESS_BITS = index_bits(4 * len(Register))
"""Width of a byte address within the register file."""

OKAY, SLVERR = 0, 2
"""Answers of AXI4-Lite: done, and refused."""


class AxiAccelerator(Component):
    """An accelerator behind AXI4-Lite and AXI4-Stream, all in the clock domain of ``aclk``.

    A register is at four times its number (see :class:`~hwquant.program.registers.Register`). Writes of less
    than a whole register are answered with SLVERR and change nothing. A beat of a stream is one word in the low bits
    of TDATA; TLAST ends a frame. (AMBA AXI and ACE Protocol Specification, IHI 0022; AMBA AXI-Stream Protocol
    Specification, IHI 0051.)

    Latency: an answer comes in the cycle after its request. Throughput: a word a cycle on each stream, a read or a
    write of a register every two cycles.

    Parameters
    ----------
    accelerator : Accelerator
        The accelerator, with the program in its memories.

    Attributes
    ----------
    frame_bits : int
        Width of TDATA of frames: a beat in whole bytes.
    data_bits : int
        Width of TDATA of results: a word of the activation memory in whole bytes.

    Members
    -------
    aclk : In(1)
        Clock of everything.
    aresetn : In(1)
        Reset, active low, synchronous to ``aclk``.
    s_axi_awaddr : In(ADDRESS_BITS)
        Byte address of the register that is written.
    s_axi_awprot : In(3)
        Protection of the write; ignored.
    s_axi_awvalid : In(1)
        There is an address to write to.
    s_axi_awready : Out(1)
        The address is taken, together with the data.
    s_axi_wdata : In(32)
        Data to write.
    s_axi_wstrb : In(4)
        Bytes of the data that are valid; all of them, or the write is refused.
    s_axi_wvalid : In(1)
        There are data to write.
    s_axi_wready : Out(1)
        The data are taken, together with the address.
    s_axi_bresp : Out(2)
        OKAY, or SLVERR for a write of less than a register.
    s_axi_bvalid : Out(1)
        There is an answer to a write.
    s_axi_bready : In(1)
        The answer to a write is taken.
    s_axi_araddr : In(ADDRESS_BITS)
        Byte address of the register that is read.
    s_axi_arprot : In(3)
        Protection of the read; ignored.
    s_axi_arvalid : In(1)
        There is an address to read from.
    s_axi_arready : Out(1)
        The address is taken; a write in the same cycle goes first.
    s_axi_rdata : Out(32)
        Value of the register.
    s_axi_rresp : Out(2)
        Always OKAY.
    s_axi_rvalid : Out(1)
        There is an answer to a read.
    s_axi_rready : In(1)
        The answer to a read is taken.
    s_axis_tdata : In(frame_bits)
        A beat of an input frame.
    s_axis_tkeep : In(frame_bits / 8)
        Bytes of the beat that are valid; ignored: a beat is always whole.
    s_axis_tlast : In(1)
        The beat is the last of its frame.
    s_axis_tvalid : In(1)
        There is a beat of an input frame.
    s_axis_tready : Out(1)
        The beat is taken.
    m_axis_tdata : Out(data_bits)
        A word of a result.
    m_axis_tkeep : Out(data_bits / 8)
        Bytes of the word that are valid: all.
    m_axis_tlast : Out(1)
        The word is the last of its result.
    m_axis_tvalid : Out(1)
        There is a word of a result.
    m_axis_tready : In(1)
        The word is taken.
    m_axi_* : memory_members(accelerator.config.external_bits)
        An AXI4 master for external memory (:mod:`~hwquant.rtl_templates.axi_memory`); only where there is one.
    begins : Out(1)
        An input frame has come in the cycle before, as the accelerator's; only where there is external memory.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.frame_bits = 8 * word_bytes(accelerator.config.frame_bits)
        self.data_bits = 8 * word_bytes(accelerator.config.word_bits)
        bits = accelerator.config.external_bits
        super().__init__(
            {
                "aclk": In(1),
                "aresetn": In(1),
                "s_axi_awaddr": In(ADDRESS_BITS),
                "s_axi_awprot": In(3),
                "s_axi_awvalid": In(1),
                "s_axi_awready": Out(1),
                "s_axi_wdata": In(32),
                "s_axi_wstrb": In(4),
                "s_axi_wvalid": In(1),
                "s_axi_wready": Out(1),
                "s_axi_bresp": Out(2),
                "s_axi_bvalid": Out(1),
                "s_axi_bready": In(1),
                "s_axi_araddr": In(ADDRESS_BITS),
                "s_axi_arprot": In(3),
                "s_axi_arvalid": In(1),
                "s_axi_arready": Out(1),
                "s_axi_rdata": Out(32),
                "s_axi_rresp": Out(2),
                "s_axi_rvalid": Out(1),
                "s_axi_rready": In(1),
                "s_axis_tdata": In(self.frame_bits),
                "s_axis_tkeep": In(self.frame_bits // 8),
                "s_axis_tlast": In(1),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(self.data_bits),
                "m_axis_tkeep": Out(self.data_bits // 8),
                "m_axis_tlast": Out(1),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
            }
            | ({**memory_members(bits), "begins": Out(1)} if bits else {})
        )

    def clock(self, m: Module) -> None:
        """Make the clock domain of everything from the ports ``aclk`` and ``aresetn``."""
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]

    def elaborate(self, platform: object) -> Module:
        """Build the clock domain, the accelerator in it, and the answers to reads and writes."""
        m = Module()
        self.clock(m)
        m.submodules.accelerator = accelerator = self.accelerator
        frames, results, bus = accelerator.frames, accelerator.results, accelerator.bus
        m.d.comb += [
            frames.payload.data.eq(self.s_axis_tdata),
            frames.payload.last.eq(self.s_axis_tlast),
            frames.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(frames.ready),
            self.m_axis_tdata.eq(results.payload.data),
            self.m_axis_tkeep.eq(-1),
            self.m_axis_tlast.eq(results.payload.last),
            self.m_axis_tvalid.eq(results.valid),
            results.ready.eq(self.m_axis_tready),
        ]
        if accelerator.config.external_bits:
            connect_memory(m, accelerator.memory, self, accelerator.config.external_bits)
            m.d.comb += self.begins.eq(accelerator.begins)

        # One register access a cycle; a write goes first. An answer stays until it is taken.
        write = Signal()
        read = Signal()
        whole = self.s_axi_wstrb.all()
        m.d.comb += [
            write.eq(self.s_axi_awvalid & self.s_axi_wvalid & ~self.s_axi_bvalid),
            read.eq(self.s_axi_arvalid & ~self.s_axi_rvalid & ~write),
            self.s_axi_awready.eq(write),
            self.s_axi_wready.eq(write),
            self.s_axi_arready.eq(read),
            bus.address.eq(self.s_axi_araddr[2:]),
            bus.write.eq(write & whole),
            bus.write_data.eq(self.s_axi_wdata),
            self.s_axi_rresp.eq(OKAY),
        ]
        with m.If(write):
            m.d.comb += bus.address.eq(self.s_axi_awaddr[2:])
            m.d.sync += self.s_axi_bvalid.eq(1)
            m.d.sync += self.s_axi_bresp.eq(OKAY)
            with m.If(~whole):
                m.d.sync += self.s_axi_bresp.eq(SLVERR)
        with m.Elif(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(read):
            m.d.sync += [self.s_axi_rvalid.eq(1), self.s_axi_rdata.eq(bus.read_data)]
        with m.Elif(self.s_axi_rready):
            m.d.sync += self.s_axi_rvalid.eq(0)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The answers to a read and to a write, and the accelerator."""
        return Facts(
            registers={"read": 32 + 1, "write": 2 + 1},
            inside=[Inside("accelerator", Accelerator.facts(config))],
        )
