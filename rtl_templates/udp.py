"""Datagrams of UDP as streams of bytes, at a core that LiteEth generates."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import Component, In, Out, Signature

from hwquant.link.protocol import FLAG
from hwquant.link.transport import UDP_PORT
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import KNOWN, Facts, Inside, MemoryShape

WORD_BYTES = 4
LEAST = 18
"""Bytes of the shortest datagram: with it a frame has the 64 that Ethernet asks for. LiteEth adds none; flags behind a
packet mean nothing."""
COUNT = WORD_BYTES.bit_length()
"""Bits of a number of bytes of a word."""
WORDS_ARRIVED = 512
"""Room for words from the host: for a window of requests."""
WORDS, DATAGRAMS = 256, 16
"""Room for bytes to the host, in words, and for the lengths of datagrams."""

DATAGRAM = Signature(
    {
        "valid": Out(1),
        "ready": In(1),
        "data": Out(8 * WORD_BYTES),
        "last": Out(1),
        "last_be": Out(WORD_BYTES),
        "length": Out(16),
        "src_port": Out(16),
        "dst_port": Out(16),
        "ip_address": Out(32),
    }
)
"""A stream of words, in datagrams: ``last_be`` marks the last byte in the last word, ``length`` is in bytes, and the
address is the other end's."""


class UdpPort(Component):
    """The bytes of datagrams to one UDP port, and packets of the link's protocol as datagrams.

    Answers go to where the latest datagram came from. A datagram is sent once its packet is complete: what Ethernet has
    begun, it must send without a pause.

    Throughput: a byte a cycle in each direction.

    Members
    -------
    arriving : In(DATAGRAM)
        Datagrams from hosts.
    leaving : Out(DATAGRAM)
        Datagrams to the host.
    received : Out(stream.Signature(8))
        Bytes from the host.
    sent : In(stream.Signature(8))
        Bytes to the host: packets, the end of each marked by two flags.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "arriving": In(DATAGRAM),
                "leaving": Out(DATAGRAM),
                "received": Out(stream.Signature(8)),
                "sent": In(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the register of a word that arrives, and the queues of those that leave."""
        m = Module()
        self._receive(m)
        self._send(m)
        return m

    def _receive(self, m: Module) -> None:
        """Add the queue of words that arrive faster than bytes leave it, and the bytes of one of them."""
        arriving = self.arriving
        m.submodules.arrived = arrived = SyncFIFOBuffered(width=8 * WORD_BYTES + COUNT, depth=WORDS_ARRIVED)
        count = Signal(COUNT)
        ours = arriving.dst_port == UDP_PORT
        m.d.comb += [
            count.eq(WORD_BYTES),
            arriving.ready.eq(arrived.w_rdy),
            arrived.w_data.eq(Cat(arriving.data, count)),
            arrived.w_en.eq(arriving.valid & ours),
        ]
        for place in range(WORD_BYTES - 1):
            with m.If(arriving.last & arriving.last_be[place]):
                m.d.comb += count.eq(place + 1)
        with m.If(arriving.valid & arriving.ready & ours):
            m.d.sync += [
                self.leaving.ip_address.eq(arriving.ip_address),
                self.leaving.dst_port.eq(arriving.src_port),
            ]
        word = Signal(8 * WORD_BYTES)
        left = Signal(COUNT)
        m.d.comb += [
            self.received.payload.eq(word[:8]),
            self.received.valid.eq(left != 0),
            arrived.r_en.eq((left == 0) | ((left == 1) & self.received.ready)),
        ]
        with m.If(self.received.valid & self.received.ready):
            m.d.sync += [word.eq(word >> 8), left.eq(left - 1)]
        with m.If(arrived.r_en & arrived.r_rdy):
            m.d.sync += Cat(word, left).eq(arrived.r_data)

    def _send(self, m: Module) -> None:
        m.submodules.words = words = SyncFIFOBuffered(width=8 * WORD_BYTES, depth=WORDS)
        m.submodules.lengths = lengths = SyncFIFOBuffered(width=16, depth=DATAGRAMS)
        leaving = self.leaving
        flagged = Signal()  # the byte before was the first of the flags at an end
        taken = Signal()
        gathered = Signal(8 * (WORD_BYTES - 1))
        length = Signal(16)
        place = length[: (WORD_BYTES - 1).bit_length()]
        padding = Signal()  # the packet is complete, and shorter than a frame may be
        room = words.w_rdy & lengths.w_rdy
        byte = Mux(padding, FLAG, self.sent.payload)
        flag = self.sent.payload == FLAG
        end = padding | (flag & flagged)
        last = end & (length >= LEAST - 1)
        m.d.comb += [
            self.sent.ready.eq(room & ~padding),
            taken.eq(room & (padding | self.sent.valid)),
            lengths.w_data.eq(length + 1),
            lengths.w_en.eq(taken & last),
            words.w_en.eq(taken & (last | place.all())),
        ]
        with m.Switch(place):
            for before in range(WORD_BYTES):
                with m.Case(before):
                    m.d.comb += words.w_data.eq(Cat(gathered[: 8 * before], byte))
        with m.If(taken):
            m.d.sync += [
                flagged.eq(flag & ~end),
                padding.eq(end & ~last),
                length.eq(Mux(last, 0, length + 1)),
            ]
            with m.Switch(place):
                for before in range(WORD_BYTES - 1):
                    with m.Case(before):
                        m.d.sync += gathered[8 * before : 8 * before + 8].eq(byte)
        done = Signal(16)
        rest = Signal(17)
        moved = leaving.valid & leaving.ready
        m.d.comb += [
            rest.eq(lengths.r_data - done),
            leaving.valid.eq(lengths.r_rdy & words.r_rdy),
            leaving.data.eq(words.r_data),
            leaving.length.eq(lengths.r_data),
            leaving.src_port.eq(UDP_PORT),
            leaving.last.eq(rest <= WORD_BYTES),
            leaving.last_be.eq(Mux(leaving.last, (Const(1, WORD_BYTES) << (rest - 1)[:2])[:WORD_BYTES], 0)),
            words.r_en.eq(moved),
            lengths.r_en.eq(moved & leaving.last),
        ]
        with m.If(moved):
            m.d.sync += done.eq(Mux(leaving.last, 0, done + WORD_BYTES))

    @staticmethod
    def facts() -> Facts:
        """A word that arrives, one that leaves, and the queues; LUTs as Yosys 0.70 counts them for ECP5."""
        bits = 8 * WORD_BYTES
        return Facts(
            registers={
                "arriving": bits + COUNT,
                "host": 32 + 16,
                "leaving": bits - 8 + 2,
                "lengths": 2 * 16,
            },
            muxes={"leaving": bits},
            gates={KNOWN: 1590},
            inside=[
                _queue("arrived", WORDS_ARRIVED, bits + COUNT),
                _queue("words", WORDS, bits),
                _queue("lengths", DATAGRAMS, 16),
            ],
        )


def _queue(name: str, depth: int, width: int) -> Inside:
    """A queue of Amaranth's, with an output register that is the memory's."""
    bits = index_bits(depth)
    registers = {"pointers": 2 * bits, "level": bits, "valid": 1}
    return Inside(name, Facts(registers=registers, memories=[MemoryShape(depth - 1, width)]))
