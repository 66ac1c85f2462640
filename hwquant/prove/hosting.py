"""Claims of the engine that moves words between the host and the activation memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Signal, Value

from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.host import HostPort


def host_port(config: ArrayConfig, name: str) -> Claim:
    """Beats of a whole frame are written in order, others dropped; an output is the words of its addresses."""

    def build(harness: Harness) -> None:
        dut = harness.component(HostPort(config))
        m, always, before = harness.m, harness.always, harness.before
        transfer, frames, results, events = dut.transfer, dut.frames, dut.results, dut.events
        words, count, moves = transfer.words, transfer.words["count"], results.valid & results.ready
        taking, sending, drops = (Signal(name=f"wanted_{what}") for what in ("taking", "sending", "drops"))
        moved, ends = Signal(len(count) + 1), Signal()
        taken, last = frames.valid & frames.ready, moved == count - 1
        _begins_when_it_may(harness, transfer, taking | sending | before(ends))
        with m.If(transfer.receive):
            m.d.sync += [taking.eq(1), moved.eq(0)]
        with m.If(transfer.send):
            m.d.sync += [sending.eq(1), moved.eq(0)]
        # A frame whose end comes early or late is dropped, up to its end, and the next one takes its place.
        whole = taken & ~drops & last & frames.payload.last
        with m.If(taken):
            m.d.sync += [moved.eq(moved + 1), drops.eq((drops | last) & ~frames.payload.last)]
            with m.If(frames.payload.last):
                m.d.sync += moved.eq(0)
        with m.If(whole):
            m.d.sync += taking.eq(0)
        with m.If(moves):
            m.d.sync += moved.eq(moved + 1)
            with m.If(last):
                m.d.sync += sending.eq(0)
        m.d.comb += ends.eq(whole | (moves & last))
        always(transfer.done == before(ends))
        always(events.received == before(whole))
        always(events.sending == transfer.send)
        always(events.dropped == (taken & ~drops & (last ^ frames.payload.last)))
        # Beats are taken while an input is wanted, and written at once, each to its address.
        always(frames.ready == taking)
        always(dut.writing == (taking & ~drops))
        writes = taken & ~drops
        always(dut.write.enable == writes.replicate(config.enables))
        address = (words.address + moved)[: config.activation_address_bits]
        always(~writes | (dut.write.address == address))
        always(dut.write.data == frames.payload.data)
        # The memory: what was read is two stages behind its address, and all stand still together.
        always(dut.reading == sending)
        stages = [
            Signal(config.activation_address_bits, name=f"read{n}") for n in range(HostPort.read_latency)
        ]
        with m.If(dut.read.advance):
            m.d.sync += Cat(stages).eq(Cat(dut.read.address, *stages[:-1]))
        begun = Signal(range(HostPort.read_latency + 1))
        with m.If(transfer.send):
            m.d.sync += begun.eq(0)
        with m.Elif(begun != HostPort.read_latency):
            m.d.sync += begun.eq(begun + 1)
        always(results.valid == (sending & (begun == HostPort.read_latency)))
        always(~results.valid | (stages[-1] == address))
        always(results.payload.data == dut.data)
        always(~results.valid | (results.payload.last == (last & words.last)))
        always(~before(results.valid & ~results.ready) | (results.valid & ~before(dut.read.advance)))

    return Claim(
        f"HostPort: {name}",
        "the beats of a frame are taken while one is wanted, and written in order from its address on; one whose end "
        "comes early or late is dropped up to its end, reported, once, and the next one takes its place; an output is "
        "the words of its addresses, in order, each once, from two cycles on without a pause but the host's; the last "
        "word of a result is marked; what was wanted is done a cycle after its last word, and not before",
        build,
        Method.REACHABILITY,
        8,
    )


def _begins_when_it_may(harness: Harness, transfer: Any, busy: Value) -> None:
    """Take for granted what the sequencer does: one thing at a time, of a word at least, which stays as it is."""
    begins, words = transfer.receive | transfer.send, Value.cast(transfer.words)
    harness.assume(~(transfer.receive & transfer.send))
    harness.assume(~(begins & busy))
    harness.assume(transfer.words["count"] != 0)
    harness.assume(~busy | (words == harness.before(words)))


CLAIMS = (
    host_port(
        ArrayConfig(2, 2, activation_bits=2, activation_depth=4, weight_depth=8, parameter_depth=4), "2x2"
    ),
)
"""Few bits: what moves is the same for each."""
