"""Claims of what fills external memory: every beat to its address, once, and then no more part in anything."""

from __future__ import annotations

from amaranth.hdl import Const, Signal, Value

from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.prove.streams import holds_still
from hwquant.rtl_templates.memory_loader import MemoryLoader


def memory_loader(config: ArrayConfig, count: int) -> Claim:
    """Beats are written in order, one burst each."""
    beat_bytes = config.external_bits // 8

    def build(harness: Harness) -> None:
        dut = harness.component(MemoryLoader(config, count))
        m, before, always = harness.m, harness.before, harness.always
        memory, inner = dut.memory, dut.accelerator
        ahead = [(memory.aw, inner.aw), (memory.w, inner.w)]
        # The accelerator keeps to the rules of streams.
        for _, theirs in (*ahead, (memory.ar, inner.ar)):
            waits = before(theirs.valid & ~theirs.ready)
            payload = Value.cast(theirs.payload)
            harness.assume(~waits | (theirs.valid & (payload == before(payload))))
        taken = dut.beats.valid & dut.beats.ready & dut.missing
        number = Signal(config.external_address_bits + 1)
        place, item, flying = Signal.like(number), Signal(config.external_bits), Signal()
        unsent = [Signal(name=f"unsent{n}") for n in range(2)]
        with m.If(taken):
            m.d.sync += [number.eq(number + 1), place.eq(number), item.eq(dut.beats.payload)]
        with m.If(dut.restart):
            m.d.sync += number.eq(0)
        for mark, (port, _) in zip(unsent, ahead):
            with m.If(taken):
                m.d.sync += mark.eq(1)
            with m.Elif(port.ready):
                m.d.sync += mark.eq(0)
        # The memory answers what it got.
        answered = memory.b.valid
        harness.assume(~(dut.missing & answered) | (flying & ~unsent[0] & ~unsent[1]))
        with m.If(taken):
            m.d.sync += flying.eq(1)
        with m.Elif(answered):
            m.d.sync += flying.eq(0)
        missing = Signal(init=1, name="wanted")
        with m.If(answered & (number == count)):
            m.d.sync += missing.eq(0)
        always(dut.missing == missing)
        always(~missing | (dut.beats.ready == ~flying))
        always(number <= count)
        for mark, (port, theirs) in zip(unsent, ahead):
            holds_still(harness, port)
            always(port.valid == (missing & mark | ~missing & theirs.valid))
            always(theirs.ready == (port.ready & ~missing))
            always(missing | (Value.cast(port.payload) == Value.cast(theirs.payload)))
        offered = missing & memory.aw.valid
        always(~offered | (memory.aw.payload.address == place * beat_bytes))
        always(~offered | (memory.aw.payload.length == 0))
        always(~(missing & memory.w.valid) | ((memory.w.payload.data == item) & memory.w.payload.last))
        always(inner.b.valid == (answered & ~missing))
        always(inner.b.payload == memory.b.payload)
        always(memory.b.ready == Const(1))
        always((memory.ar.valid == inner.ar.valid) & (memory.ar.ready == inner.ar.ready))
        always(Value.cast(memory.ar.payload) == Value.cast(inner.ar.payload))
        always((memory.r.valid == inner.r.valid) & (memory.r.ready == inner.r.ready))
        always(Value.cast(memory.r.payload) == Value.cast(inner.r.payload))

    return Claim(
        f"MemoryLoader: {count} beats of {config.external_bits} bits",
        "the n-th beat since the restart is written to the n-th address, in a burst of its own, once; offers stay, "
        "unchanged, until they are taken; nothing of the accelerator's is written until the last beat is answered, and "
        "then all of it passes unchanged",
        build,
        Method.REACHABILITY,
        8,
    )


CLAIMS = (
    memory_loader(ArrayConfig(2, 2, external_bits=16, external_address_bits=8), 3),
    memory_loader(ArrayConfig(2, 2, external_bits=32, external_address_bits=8), 2),
)
"""Few beats: how many is only in when they end."""
