"""Claims of the dispatcher: every job is loaded once and then streamed once, in order."""

from __future__ import annotations

from amaranth.hdl import Value

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
        unloaded = keeps_order(harness, taken, job, dut.load.start, Value.cast(dut.load.job), 1, "unloaded")
        harness.always(unloaded <= held)
        # What is streamed was loaded in an earlier cycle, and loading is at its end.
        harness.always(~dut.stream.start | ((held > unloaded) & dut.load.ready & dut.stream.ready))
        harness.always(~dut.idle | (held == 0))

    return Claim(
        f"Dispatcher: {name}",
        "every job is loaded once, and then streamed once, in order and unchanged; what begins finds its engine ready",
        build,
        Method.REACHABILITY,
        8,
        aside=("clear", "drained", "since", "spaced", "spacing"),  # only when a job begins
    )


CLAIMS = (
    dispatcher(
        ArrayConfig(2, 2, activation_depth=8, weight_depth=8, parameter_depth=4, accumulator_depth=4), "2x2"
    ),
)
"""A small array: its size is only in how long jobs wait."""
