"""Claims of what streams go through: nothing lost, doubled, changed or out of order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Signal, Value

from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.streams import StreamQueue, StreamRegister

BITS = 8
"""Bits of an item: all that a payload can do is done bit by bit."""


def holds_still(harness: Harness, stream: Any) -> None:
    """Claim that an item that is offered stays until it is taken."""
    waits = harness.before(stream.valid & ~stream.ready)
    payload = Value.cast(stream.payload)
    harness.always(~waits | (stream.valid & (payload == harness.before(payload))))


def keeps_order(
    harness: Harness,
    enters: Value,
    entering: Value,
    leaves: Value,
    leaving: Value,
    capacity: int,
    name: str = "inside",
) -> Signal:
    """Claim that the items that leave are those that entered, in order.

    One item is chosen as it enters, and followed: it leaves after as many as were before it, unchanged. What is true
    of any item is true of all.

    Parameters
    ----------
    harness : Harness
        Where it is claimed.
    enters : Value
        An item enters in this cycle.
    entering : Value
        That item.
    leaves : Value
        An item leaves in this cycle.
    leaving : Value
        That item.
    capacity : int
        The most items that are ever inside.
    name : str, default "inside"
        Name of the number of items, where there are several.

    Returns
    -------
    Signal
        The number of items inside.
    """
    m = harness.m
    count, ahead = (Signal(range(capacity + 2), name=f"{name}_{what}") for what in ("count", "ahead"))
    followed, item = Signal(name=f"{name}_followed"), Signal(entering.shape(), name=f"{name}_item")
    chosen = harness.free(f"{name}_chosen")
    m.d.sync += count.eq(count + enters - leaves)
    with m.If(~followed & enters & chosen):
        m.d.sync += [followed.eq(1), item.eq(entering), ahead.eq(count - leaves)]
    with m.Elif(followed & leaves):
        m.d.sync += [followed.eq(ahead != 0), ahead.eq(ahead - 1)]
    harness.always(count <= capacity)
    harness.always(~leaves | (count != 0))
    harness.always(~(followed & leaves & (ahead == 0)) | (leaving == item))
    harness.lemma(~followed | (ahead < count))
    return count


def _through(harness: Harness, dut: Any, capacity: int) -> Signal:
    """Claim all that is true of what a stream goes through; the number of items inside."""
    enters, leaves = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
    count = keeps_order(harness, enters, dut.i.payload, leaves, dut.o.payload, capacity)
    holds_still(harness, dut.o)
    harness.always(dut.o.valid == (count != 0))
    return count


def stream_register(follows: bool) -> Claim:
    """A register gives out what it got, and is ready while it is empty (and, where it follows, what is behind it)."""

    def build(harness: Harness) -> None:
        dut = harness.component(StreamRegister(BITS, follows=follows))
        count = _through(harness, dut, 1)
        harness.always(dut.i.ready == ((count == 0) & (dut.o.ready | (not follows))))

    return _claim(f"StreamRegister{', readiness follows' * follows}", build)


def stream_queue() -> Claim:
    """A queue gives out what it got, and is ready while it has room."""

    def build(harness: Harness) -> None:
        dut = harness.component(StreamQueue(BITS))
        count = _through(harness, dut, 2)
        harness.always(dut.i.ready == (count != 2))

    return _claim("StreamQueue", build)


def _claim(name: str, build: Callable[[Harness], None]) -> Claim:
    return Claim(
        name,
        "items leave in the order in which they entered, each once and unchanged, and stay until they are taken",
        build,
        Method.REACHABILITY,
        6,
    )


CLAIMS = (stream_register(False), stream_register(True), stream_queue())
"""All that cuts streams."""
