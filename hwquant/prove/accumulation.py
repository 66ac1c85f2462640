"""Claims of the accumulators: sums of pixels that are visited no sooner again than is allowed."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, signed

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.accumulator import Accumulator


def accumulator(depth: int, bits: int) -> Claim:
    """Any pixel's sum is that of its visits since the first."""
    config = ArrayConfig(
        2, 2, accumulator_depth=depth, accumulator_bits=bits, weight_bits=2, activation_bits=2
    )

    def build(harness: Harness) -> None:
        m = harness.m
        latency, before_sum = Accumulator.latency, Accumulator.latency - Accumulator.sum_latency
        component = Accumulator(config)
        address = harness.free("visited", component.read_address.shape())
        visit = harness.free("visit")
        dut = harness.component(
            component,
            read_address=address,
            write_address=harness.before(address, latency),
            write_enable=harness.before(visit, latency),
        )
        harness.assume(address < depth)
        pixel = harness.symbol("pixel", address.shape())
        mine = visit & (address == pixel)
        for cycles in range(1, ACCUMULATE_HAZARD):
            harness.assume(~(mine & harness.before(mine, cycles)))
        added = harness.before(mine, before_sum)
        total = Signal(signed(bits), name="pixel_total")
        with m.If(added):
            m.d.sync += total.eq(Mux(dut.first, dut.bias << config.bias_zeros, total) + dut.sum)
        harness.always(~harness.before(added) | (dut.total == total))

    return Claim(
        f"Accumulator: {depth} pixels of {bits} bits",
        f"a pixel's total is its bias and all that was added since, if its visits are {ACCUMULATE_HAZARD} cycles apart",
        build,
        Method.REACHABILITY,
        6,
    )


CLAIMS = (accumulator(4, 8),)
"""A small memory: pixels are alike."""
