"""Packets on a byte stream: the gateware's end of the framing in :mod:`hwquant.link.protocol`."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory, ReadPort
from amaranth.lib.wiring import Component, In, Out

from hwquant.link.protocol import CRC, CRC_BYTES, END_FLAGS, ESCAPE, FLAG, FLIP, HEADER_BYTES, Window
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, Inside, MemoryShape

BEAT = StructLayout({"data": 8, "last": 1})
"""A byte of a packet, and whether it is the last one."""


class Deframer(Component):
    """The receiver of packets: it gives out the bodies of intact ones, in order, and never a byte of another.

    Each packet of the window has a buffer: a byte that says which one is the last, and the bytes. A packet for which
    there is no buffer is dropped; a host that keeps to the window sends none.

    Throughput: a byte a cycle in; a byte a cycle out, and two cycles between packets.

    Parameters
    ----------
    window : Window
        How many packets there is room for, and how long they may be.

    Members
    -------
    bytes : In(stream.Signature(8, always_ready=True))
        Bytes from the line.
    packets : Out(stream.Signature(BEAT))
        Bodies of packets, without their CRC.
    damaged : Out(1)
        A packet that was not intact ends in this cycle.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        super().__init__(
            {
                "bytes": In(stream.Signature(8, always_ready=True)),
                "packets": Out(stream.Signature(BEAT)),
                "damaged": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the memory of the packets, their check, and the counters of bytes that come and leave."""
        m = Module()
        packets, size = self.window.packets, self.window.packet_bytes
        m.submodules.check = crc = CRC.create()
        m.submodules.memory = memory = Memory(
            shape=8, depth=packets * size, init=[], attrs={"no_rw_check": 1}
        )
        write, read = memory.write_port(), memory.read_port()
        # Buffers by their number, with one bit more, by which full and empty are told apart.
        filled = Signal(range(2 * packets))
        emptied = Signal(range(2 * packets))
        place = Signal(range(size + 1), init=1)  # of the next byte; behind the buffer where that is full
        full = Signal()
        escaped = Signal()
        ignored = Signal()
        byte = self.bytes.payload
        is_flag, is_escape = byte == FLAG, byte == ESCAPE
        intact = crc.match_detected & ~escaped & (place > HEADER_BYTES + CRC_BYTES)
        m.d.comb += [
            full.eq((filled ^ emptied) == packets),
            write.addr.eq(Cat(Mux(is_flag, 0, place[:-1]), filled[:-1])),
            write.data.eq(Mux(is_flag, place - CRC_BYTES - 1, byte ^ Mux(escaped, FLIP, 0))),
            crc.data.eq(byte ^ Mux(escaped, FLIP, 0)),
            crc.start.eq(self.bytes.valid & is_flag),
        ]
        with m.If(self.bytes.valid):
            with m.If(is_flag):
                m.d.sync += [place.eq(1), escaped.eq(0), ignored.eq(0)]
                with m.If(((place != 1) | escaped) & ~ignored):
                    with m.If(intact):
                        m.d.comb += write.en.eq(1)
                        m.d.sync += filled.eq(filled + 1)
                    with m.Else():
                        m.d.comb += self.damaged.eq(1)
            with m.Elif(is_escape):
                m.d.sync += escaped.eq(1)
            with m.Elif(full | (place == size)):  # no buffer, or longer than any packet: to its end
                m.d.sync += ignored.eq(1)
            with m.Else():
                m.d.comb += [write.en.eq(1), crc.valid.eq(1)]
                m.d.sync += [place.eq(place + 1), escaped.eq(0)]
        self._leave(m, read, filled, emptied)
        return m

    def _leave(self, m: Module, read: ReadPort, filled: Signal, emptied: Signal) -> None:
        """Add the counter of bytes that leave the oldest buffer, while one is filled."""
        index = Signal(range(self.window.packet_bytes))
        final = Signal.like(index)
        moved = self.packets.valid & self.packets.ready
        m.d.comb += [
            read.addr.eq(Cat(index, emptied[:-1])),
            read.en.eq(filled != emptied),  # another buffer than the one that is filled
            self.packets.payload.data.eq(read.data),
            self.packets.payload.last.eq(index == final),
        ]
        with m.FSM():
            with m.State("empty"):
                m.d.sync += index.eq(0)
                with m.If(filled != emptied):
                    m.next = "length"
            with m.State("length"):
                m.d.comb += read.addr.eq(Cat(Const(1, len(index)), emptied[:-1]))
                m.d.sync += [final.eq(read.data), index.eq(1)]
                m.next = "body"
            with m.State("body"):
                m.d.comb += [
                    self.packets.valid.eq(1),
                    read.addr.eq(Cat((index + moved)[: len(index)], emptied[:-1])),
                ]
                with m.If(moved):
                    m.d.sync += index.eq(index + 1)
                    with m.If(self.packets.payload.last):
                        m.d.sync += [emptied.eq(emptied + 1), index.eq(0)]
                        m.next = "empty"

    @staticmethod
    def facts(window: Window) -> Facts:
        """The memory of the packets, their check, two numbers of buffers and three of bytes."""
        place = index_bits(window.packet_bytes)
        return Facts(
            registers={
                "place": place + 1,
                "leaving": 2 * place,
                "buffers": 2 * index_bits(2 * window.packets),
                "control": 2 + 2,
            },
            gates={"control": 2},  # bytes that come, and that leave
            memories=[MemoryShape(window.packets * window.packet_bytes, 8, apart=True)],
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
