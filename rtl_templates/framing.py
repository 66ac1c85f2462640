"""Packets on a byte stream: the gateware's end of the framing in :mod:`hwquant.link.protocol`."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.link.protocol import CRC, CRC_BYTES, END_FLAGS, ESCAPE, FLAG, FLIP, HEADER_BYTES, MAX_PACKET
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, Inside, MemoryShape

BEAT = StructLayout({"data": 8, "last": 1})
"""A byte of a packet, and whether it is the last one."""


class Deframer(Component):
    """The receiver of packets: it gives out the bodies of intact ones, and never a byte of another.

    Bytes that arrive while a body leaves are dropped, with the packet that they belong to.

    Throughput: a byte a cycle in, while no body leaves; a byte a cycle out.

    Members
    -------
    bytes : In(stream.Signature(8, always_ready=True))
        Bytes from the line.
    packets : Out(stream.Signature(BEAT))
        Bodies of packets, without their CRC.
    damaged : Out(1)
        A packet that was not intact ends in this cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "bytes": In(stream.Signature(8, always_ready=True)),
                "packets": Out(stream.Signature(BEAT)),
                "damaged": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the memory of a packet, its check, and the counters of bytes that come and leave."""
        m = Module()
        m.submodules.check = crc = CRC.create()
        m.submodules.memory = memory = Memory(shape=8, depth=MAX_PACKET, init=[], attrs={"no_rw_check": 1})
        write, read = memory.write_port(), memory.read_port()
        count = Signal(range(MAX_PACKET + 1))
        escaped = Signal()
        ignored = Signal()
        leaving = Signal()
        valid_byte, byte = Signal(), Signal(8, reset_less=True)
        # Known a cycle before the byte is looked at: the check takes long enough.
        is_flag, is_escape = Signal(), Signal()
        m.d.sync += [
            valid_byte.eq(self.bytes.valid),
            byte.eq(self.bytes.payload),
            is_flag.eq(self.bytes.payload == FLAG),
            is_escape.eq(self.bytes.payload == ESCAPE),
        ]
        m.d.comb += [
            write.addr.eq(count),
            write.data.eq(byte ^ Mux(escaped, FLIP, 0)),
            crc.data.eq(write.data),
            crc.start.eq(valid_byte & is_flag),
        ]
        with m.If(valid_byte & leaving):
            m.d.sync += ignored.eq(1)
        with m.If(valid_byte & ~leaving):
            with m.If(is_flag):
                m.d.sync += [count.eq(0), escaped.eq(0), ignored.eq(0)]
                with m.If(((count != 0) | escaped) & ~ignored):
                    with m.If(crc.match_detected & ~escaped & (count >= HEADER_BYTES + CRC_BYTES)):
                        m.d.sync += [leaving.eq(1), count.eq(count - CRC_BYTES - 1)]
                    with m.Else():
                        m.d.comb += self.damaged.eq(1)
            with m.Elif(is_escape):
                m.d.sync += escaped.eq(1)
            with m.Elif(count == MAX_PACKET):
                m.d.sync += ignored.eq(1)
            with m.Else():
                m.d.comb += [write.en.eq(1), crc.valid.eq(1)]
                m.d.sync += [count.eq(count + 1), escaped.eq(0)]

        # While a body leaves, `count` is the index of its last byte.
        index = Signal(range(MAX_PACKET))
        valid = Signal()
        moved = self.packets.valid & self.packets.ready
        m.d.comb += [
            read.addr.eq(index + moved),
            self.packets.valid.eq(valid),
            self.packets.payload.data.eq(read.data),
            self.packets.payload.last.eq(index == count[: len(index)]),
        ]
        with m.If(leaving):
            m.d.sync += [valid.eq(1), index.eq(read.addr)]
            with m.If(moved & self.packets.payload.last):
                m.d.sync += [valid.eq(0), index.eq(0), leaving.eq(0), count.eq(0)]
        return m

    @staticmethod
    def facts() -> Facts:
        """The memory of a packet, and its check."""
        return Facts(
            registers={
                "byte": 8 + 3,
                "count": index_bits(MAX_PACKET + 1),
                "index": index_bits(MAX_PACKET),
                "control": 4,
            },
            gates={"control": 1},
            memories=[MemoryShape(MAX_PACKET, 8, apart=True)],
            inside=[Inside("check", Facts(registers={"crc": 8 * CRC_BYTES}))],
        )


class Framer(Component):
    """The sender of packets: a flag, the body with its CRC, escaped, and the flags at the end.

    Throughput: a byte a cycle; an escaped one takes two.

    Members
    -------
    packets : In(stream.Signature(BEAT))
        Bodies of packets, without their CRC.
    bytes : Out(stream.Signature(8))
        Bytes for the line.
    """

    def __init__(self) -> None:
        super().__init__({"packets": In(stream.Signature(BEAT)), "bytes": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        """Build the check, and the state machine of flag, body, check and end."""
        m = Module()
        m.submodules.check = crc = CRC.create()
        escaped = Signal()
        index = Signal(range(CRC_BYTES))
        byte = Signal(8)
        special = Signal()
        moved = Signal()
        sent = self.bytes.valid & self.bytes.ready
        m.d.comb += [
            crc.data.eq(self.packets.payload.data),
            special.eq((byte == FLAG) | (byte == ESCAPE)),
            self.bytes.payload.eq(Mux(special & ~escaped, ESCAPE, byte ^ Mux(escaped, FLIP, 0))),
            moved.eq(sent & (~special | escaped)),
        ]
        with m.FSM():
            with m.State("flag"):
                m.d.comb += [
                    self.bytes.valid.eq(self.packets.valid),
                    self.bytes.payload.eq(FLAG),
                    crc.start.eq(1),
                ]
                with m.If(sent):
                    m.next = "body"
            with m.State("body"):
                m.d.comb += [
                    byte.eq(self.packets.payload.data),
                    self.bytes.valid.eq(self.packets.valid),
                    self.packets.ready.eq(moved),
                    crc.valid.eq(moved),
                ]
                with m.If(sent):
                    m.d.sync += escaped.eq(special & ~escaped)
                with m.If(moved & self.packets.payload.last):
                    m.next = "crc"
            with m.State("crc"):
                m.d.comb += [byte.eq(crc.crc.word_select(index, 8)), self.bytes.valid.eq(1)]
                with m.If(sent):
                    m.d.sync += escaped.eq(special & ~escaped)
                with m.If(moved):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == CRC_BYTES - 1):
                        m.next = "end"
            with m.State("end"):
                m.d.comb += [self.bytes.valid.eq(1), self.bytes.payload.eq(FLAG)]
                with m.If(sent):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == END_FLAGS - 1):
                        m.d.sync += index.eq(0)
                        m.next = "flag"
        return m

    @staticmethod
    def facts() -> Facts:
        """Four states, and the index of a byte in the check."""
        return Facts(
            registers={"control": 1 + 2, "index": index_bits(CRC_BYTES)},
            gates={"control": 1},
            inside=[Inside("check", Facts(registers={"crc": 8 * CRC_BYTES}))],
        )
