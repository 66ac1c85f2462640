"""Claims of the accumulators: sums of pixels that are visited no sooner again than is allowed."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Mux, Signal, Value, signed

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.accumulator import Accumulator


def _accumulators(depth: int, bits: int) -> ArrayConfig:
    """An array with such accumulators, and small otherwise."""
    return ArrayConfig(2, 2, accumulator_depth=depth, accumulator_bits=bits, weight_bits=2, activation_bits=2)


def _visited(harness: Harness, config: ArrayConfig) -> tuple[Any, Value]:
    """Accumulators whose pixels are visited no sooner again than is allowed, and when any one pixel's is added to."""
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
    harness.assume(address < config.accumulator_depth)
    pixel = harness.symbol("pixel", address.shape())
    mine = visit & (address == pixel)
    for cycles in range(1, ACCUMULATE_HAZARD):
        harness.assume(~(mine & harness.before(mine, cycles)))
    added = harness.before(mine, before_sum)
    return dut, added


def accumulator(depth: int, bits: int) -> Claim:
    """Any pixel's sum is that of its visits since the first."""
    config = _accumulators(depth, bits)

    def build(harness: Harness) -> None:
        m = harness.m
        dut, added = _visited(harness, config)
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


def no_overflow(depth: int, bits: int) -> Claim:
    """A sum that fits is exact, whatever the sums on the way to it were."""
    config = _accumulators(depth, bits)

    def build(harness: Harness) -> None:
        m = harness.m
        dut, added = _visited(harness, config)
        exact = Signal(signed(bits + BEYOND), name="exact_total")
        total = Mux(dut.first, dut.bias << config.bias_zeros, exact) + dut.sum
        with m.If(added):
            m.d.sync += exact.eq(total)
        # On its way a sum may leave the accumulator's range, but not the one it is compared in.
        harness.assume(~added | ((total >= -(1 << (bits + BEYOND - 1))) & (total < 1 << (bits + BEYOND - 1))))
        fits = (exact >= -(1 << (bits - 1))) & (exact < 1 << (bits - 1))
        harness.always(~harness.before(added) | ~fits | (dut.total == exact))

    return Claim(
        f"Accumulator: no overflow, {depth} pixels of {bits} bits",
        "a total that fits the accumulator, as the compiler proves of every last one, is exact, even where totals "
        f"before it did not fit (they are compared in {BEYOND} bits more)",
        build,
        Method.REACHABILITY,
        6,
    )


BEYOND = 3
"""Bits that sums on their way may go beyond the accumulator's."""

CLAIMS = (accumulator(4, 8), no_overflow(4, 8))
"""A small memory: pixels are alike."""
