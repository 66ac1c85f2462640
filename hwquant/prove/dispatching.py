"""Claims of the dispatcher: every job is loaded once and then streamed once, in order."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Signal, Value

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.prove.streams import keeps_order
from hwquant.rtl_templates.dispatcher import Dispatcher


def dispatcher(config: ArrayConfig, name: str) -> Claim:
    """Jobs go through, each once."""

    def build(harness: Harness) -> None:
        dut = harness.component(Dispatcher(config))
        taken = dut.jobs.valid & dut.jobs.ready
        job = Value.cast(dut.jobs.payload)
        held = keeps_order(harness, taken, job, dut.stream.start, Value.cast(dut.stream.job), 2)
        # A product has no weights: it takes the place of what is loaded without being loaded.
        passes = Signal()
        leaves = dut.load.start | passes
        unloaded = keeps_order(harness, taken, job, leaves, Value.cast(dut.load.job), 1, "unloaded")
        if config.product_bits:
            product = dut.load.job["product"]
            free = (held == unloaded) | dut.stream.start
            harness.m.d.comb += passes.eq((unloaded != 0) & product & free)
            harness.always(~(dut.load.start & product))
        harness.always(unloaded <= held)
        # What is streamed was loaded in an earlier cycle, and loading is at its end.
        harness.always(~dut.stream.start | ((held > unloaded) & dut.load.ready & dut.stream.ready))
        harness.always(~dut.idle | (held == 0))

    return Claim(
        f"Dispatcher: {name}",
        "every job is loaded once (a product, which has no weights, not at all), and then streamed once, in order and "
        "unchanged; what begins finds its engine ready",
        build,
        Method.REACHABILITY,
        8,
        aside=("clear", "drained", "since", "spaced", "spacing"),  # only when a job begins
    )


def starts(config: ArrayConfig, name: str) -> Claim:
    """A job starts when the inequalities of the dispatcher allow it, and not a cycle later."""
    latency = config.drain_latency

    def build(harness: Harness) -> None:
        dut = harness.component(Dispatcher(config))
        m = harness.m
        start, job = dut.stream.start, dut.stream.job
        waits, there = Signal(), Signal(name="job_there")
        taken, goes_on = dut.jobs.valid & dut.jobs.ready, waits & (~there | start)
        with m.If(start):
            m.d.sync += there.eq(0)
        with m.If(goes_on):
            m.d.sync += [waits.eq(0), there.eq(1)]
        with m.If(taken):
            m.d.sync += waits.eq(1)
        # Addresses leave from the cycle after a start on, without a pause.
        harness.assume(~harness.before(start) | dut.streaming)
        harness.assume(~dut.streaming | harness.before(start | dut.streaming))
        # A layer's wait is there while the job that begins it is held.
        held = (waits & dut.load.job.layer) | (there & job.layer)
        harness.assume(~harness.before(held) | (dut.wait == harness.before(dut.wait)))
        harness.assume((dut.wait != 1) & (dut.wait < latency))
        # Cycles since the last address, and since the last job with parameters.
        age = Signal(range(latency + 1), init=latency)
        spacing = Signal(range(config.columns + 1), init=config.columns)
        with m.If(start):
            m.d.sync += age.eq(0)
        with m.Elif(dut.streaming):
            m.d.sync += age.eq(1)
        with m.Elif(age != latency):
            m.d.sync += age.eq(age + 1)
        with m.If(start & job.parameters):
            m.d.sync += spacing.eq(1)
        with m.Elif(spacing != config.columns):
            m.d.sync += spacing.eq(spacing + 1)
        allowed = (~job.layer | (dut.wait == 0) | (age >= dut.wait)) & (
            ~job.parameters | (spacing >= config.columns)
        )
        if config.settles:
            allowed &= ~job.settle | (~dut.streaming & (age >= ACCUMULATE_HAZARD - 1))
        harness.always(start == (there & dut.load.ready & dut.stream.ready & allowed))
        loads = goes_on & ~dut.load.job["product"] if config.product_bits else goes_on
        harness.always(dut.load.start == loads)
        harness.always(dut.jobs.ready == ~waits)
        harness.always(dut.idle == (~waits & ~there & (age >= latency - 1)))
        if config.external_bits:
            ends = harness.before(dut.streaming & dut.stream.ready, latency)
            tiles = Signal(dut.tiles.shape(), name="unfinished_tiles")
            m.d.sync += tiles.eq(tiles + taken - ends)
            harness.always(dut.finished == ends)
            harness.always(dut.tiles == tiles)

    return Claim(
        f"Dispatcher: starts, {name}",
        "a job starts in the first cycle in which the engines are ready, the last address before it is `wait` cycles "
        "ago where a layer begins (and 3 where it has to settle), and the last job with parameters `columns` cycles "
        "where it has some: so nothing waits for ever; it is idle when all is written",
        build,
        Method.REACHABILITY,
        latency + 4,
        aside=("load__job",),  # what a job is made of is another claim's
    )


SMALL = ArrayConfig(2, 2, activation_depth=8, weight_depth=8, parameter_depth=4, accumulator_depth=4)
"""A small array: its size is only in how long jobs wait."""

OUTSIDE = replace(SMALL, external_bits=32, external_address_bits=8)
PRODUCTS = replace(SMALL, product_bits=2)

CLAIMS = (
    starts(SMALL, "2x2"),
    starts(OUTSIDE, "2x2 with external memory"),
    starts(PRODUCTS, "2x2 with products"),
    dispatcher(SMALL, "2x2"),
    dispatcher(OUTSIDE, "2x2 with external memory"),
    dispatcher(PRODUCTS, "2x2 with products"),
)
"""With and without what only some cores have."""
