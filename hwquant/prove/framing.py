"""Claims of packets on the link: what is sent for a packet, and which packets are accepted."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, Value
from amaranth.lib.crc import Processor

from hwquant.link.protocol import CRC, CRC_BYTES, END_FLAGS, ESCAPE, FLAG, FLIP, HEADER_BYTES, Window
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.prove.streams import holds_still
from hwquant.rtl_templates.framing import Deframer, Framer


def _fcs(harness: Harness, begins: Value, takes: Value, byte: Value) -> Processor:
    """The FCS of the bytes taken since the beginning."""
    harness.m.submodules.fcs = fcs = CRC.create()
    harness.m.d.comb += [fcs.start.eq(begins), fcs.valid.eq(takes), fcs.data.eq(byte)]
    return fcs


OUTSIDE, BODY, CHECK, END = range(4)
"""Where in a packet the sender is."""


def framer() -> Claim:
    """What is sent for a packet is what the protocol says."""

    def build(harness: Harness) -> None:
        dut = harness.component(Framer())
        m, always = harness.m, harness.always
        packets, sent = dut.packets, dut.bytes.valid & dut.bytes.ready
        payload = Value.cast(packets.payload)
        waits = harness.before(packets.valid & ~packets.ready)
        harness.assume(~waits | (packets.valid & (payload == harness.before(payload))))
        where, place, quoted = Signal(2), Signal(2), Signal()
        body, check = where == BODY, where == CHECK
        plain = Signal(8)
        special = (plain == FLAG) | (plain == ESCAPE)
        content = body | check
        done = sent & content & (quoted | ~special)
        fcs = _fcs(harness, where == OUTSIDE, done & body, packets.payload.data)
        m.d.comb += plain.eq(Mux(body, packets.payload.data, fcs.crc.word_select(place, 8)))
        quotes = Mux(quoted, plain ^ FLIP, Mux(special, ESCAPE, plain))
        with m.If(sent & content):
            m.d.sync += quoted.eq(special & ~quoted)
        with m.If(sent & (where == OUTSIDE)):
            m.d.sync += where.eq(BODY)
        with m.If(done & body & packets.payload.last):
            m.d.sync += where.eq(CHECK)
        with m.If(done & check):
            m.d.sync += place.eq(place + 1)
            with m.If(place == CRC_BYTES - 1):
                m.d.sync += [where.eq(END), place.eq(0)]
        with m.If(sent & (where == END)):
            m.d.sync += place.eq(place + 1)
            with m.If(place == END_FLAGS - 1):
                m.d.sync += [where.eq(OUTSIDE), place.eq(0)]
        always(dut.bytes.valid == Mux(where[1], 1, packets.valid))
        always(~dut.bytes.valid | (dut.bytes.payload == Mux(content, quotes, FLAG)))
        always(packets.ready == (done & body))
        holds_still(harness, dut.bytes)
        harness.lemma(harness.inside("fsm_state", 2) == where)
        harness.lemma(harness.inside("escaped") == quoted)
        harness.lemma(harness.inside("index", 2) == place)
        harness.lemma(harness.inside("check.crc", 32) == fcs.crc)
        harness.lemma(~quoted | content)
        harness.lemma(~quoted | special)
        harness.lemma(check | (where == END) | (place == 0))
        harness.lemma((where != END) | (place < END_FLAGS))
        harness.lemma(~(body & quoted) | packets.valid)

    return Claim(
        "Framer",
        "for a packet leave a flag, its bytes and their FCS-32 with flags and escapes quoted, and two flags; each byte "
        "of it is taken once, as it leaves; a byte stays until it is taken",
        build,
        Method.INDUCTION,
        3,
    )


def deframer(window: Window) -> Claim:
    """Which packets are accepted, and that each other one is reported."""

    def build(harness: Harness) -> None:
        dut = harness.component(Deframer(window))
        m, always = harness.m, harness.always
        valid, byte = dut.bytes.valid, dut.bytes.payload
        flag, escape = valid & (byte == FLAG), valid & (byte == ESCAPE)
        quoted, beyond = Signal(), Signal()
        length = Signal(range(window.packet_bytes + 1))
        accepted, left = (Signal(range(2 * window.packets), name=name) for name in ("accepted", "left"))
        held = (accepted - left)[: len(accepted)]
        full = held == window.packets
        takes = valid & ~flag & ~escape
        stored = takes & ~full & (length != window.packet_bytes - 1)
        plain = byte ^ Mux(quoted, FLIP, 0)
        fcs = _fcs(harness, flag, stored, plain)
        with m.If(takes & ~stored):
            m.d.sync += beyond.eq(1)
        with m.If(stored):
            m.d.sync += [length.eq(length + 1), quoted.eq(0)]
        with m.If(escape):
            m.d.sync += quoted.eq(1)
        with m.If(flag):
            m.d.sync += [length.eq(0), quoted.eq(0), beyond.eq(0)]
        something = (length != 0) | quoted
        intact = fcs.match_detected & ~quoted & (length >= HEADER_BYTES + CRC_BYTES)
        good = flag & something & ~beyond & intact
        with m.If(good):
            m.d.sync += accepted.eq(accepted + 1)
        packets = dut.packets
        with m.If(packets.valid & packets.ready & packets.payload.last):
            m.d.sync += left.eq(left + 1)
        always(dut.damaged == (flag & something & ~beyond & ~intact))
        always(~packets.valid | (held != 0))
        waits = harness.before(packets.valid & ~packets.ready)
        always(~waits | (packets.valid & (packets.payload.last == harness.before(packets.payload.last))))
        always(held <= window.packets)
        harness.lemma(harness.inside("filled", accepted.shape()) == accepted)
        harness.lemma(harness.inside("emptied", left.shape()) == left)
        harness.lemma(harness.inside("place", length.shape()) == length + 1)
        harness.lemma(harness.inside("escaped") == quoted)
        harness.lemma(harness.inside("ignored") == beyond)
        harness.lemma(harness.inside("check.crc", 32) == fcs.crc)
        harness.lemma((harness.inside("fsm_state", 2) == 0) | (held != 0))
        harness.lemma(harness.inside("fsm_state", 2) < 3)
        harness.lemma(length < window.packet_bytes)
        harness.lemma(~full | (length == 0))

    return Claim(
        f"Deframer: {window.packets} packets of {window.packet_bytes} bytes",
        "a packet is accepted if and only if its FCS-32 is right, it is long enough, it fits a buffer and one is free; "
        "each other one of a buffer's length is reported, once; no packet leaves that was not accepted, and none is "
        "accepted beyond the window; the bytes that leave are not claimed",
        build,
        Method.INDUCTION,
        6,
        aside=("memory*", "index", "final", "read__data"),
    )


CLAIMS = (framer(), deframer(Window(2, 32)))
"""The smallest window; the sender has no parameters."""
