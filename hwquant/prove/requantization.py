"""Claims of the requantizer: the formula of :mod:`hwquant.qgraph` for all sums and all layers."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, Value, signed

from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.requantize import Requantizer

REGISTERS, MORE = 3, 3
"""Cycles from a sum to its value, and how many more a multiplier takes: claimed, so not asked of the component."""


def requantizer(config: ArrayConfig) -> Claim:
    """What leaves is what the formula gives for what entered."""
    latency = REGISTERS + (MORE if config.multiplier_bits else 0)

    def build(harness: Harness) -> None:
        bits, component = config.requantized_bits, Requantizer(config)
        low, high, zero = (harness.symbol(name, signed(bits)) for name in ("low", "high", "zero"))
        accumulated = harness.free("accumulated", signed(config.accumulator_bits))
        shift = harness.free("shift", config.shift_bits)
        harness.assume(low <= high)
        if config.multiplier_bits:
            multiplier = harness.free("multiplier", signed(config.multiplier_bits))
            dut = harness.component(
                component,
                total=accumulated,
                shift=shift,
                multiplier=multiplier,
                low=low,
                high=high,
                zero=zero,
            )
            # The shift that is meant is one more.
            meant = shift + config.least_shift + 1
            product = Signal(signed(config.accumulator_bits + config.multiplier_bits), name="exact")
            harness.m.d.comb += product.eq(dut.total * dut.multiplier)
            value = ((product + _half(meant)) >> meant) + zero
        else:
            # The bias has the rounding term and the zero point; no sum is wider than the accumulator.
            meant = shift + config.least_shift
            total = Signal(signed(config.accumulator_bits), name="folded")
            folded = accumulated + _half(meant) + (zero << meant)
            harness.m.d.comb += total.eq(folded)
            harness.assume(total == folded)
            dut = harness.component(component, total=total, shift=shift, low=low, high=high, zero=0)
            value = ((accumulated + _half(meant)) >> meant) + zero
        clamped = Signal(signed(bits), name="clamped")
        harness.m.d.comb += clamped.eq(Mux(value > high, high, Mux(value < low, low, value)))
        harness.always(~harness.before(1, latency) | (dut.value == harness.before(clamped, latency)))

    scaled = f", a multiplier of {config.multiplier_bits}" if config.multiplier_bits else ""
    least = f", at least {config.least_shift}" if config.least_shift else ""
    return Claim(
        f"Requantizer: sums of {config.accumulator_bits} bits{scaled}, shifts of {config.shift_bits}{least}, "
        f"{config.requantized_bits} bits",
        f"value = clamp(((acc * m + (1 << (s - 1))) >> s) + z, low, high), {latency} cycles later; low <= high",
        build,
        Method.INDUCTION,
        latency + 2,
    )


def _half(shift: Value) -> Value:
    """The rounding term: half of what is shifted out; none without a shift."""
    return (Value.cast(1) << shift) >> 1


CLAIMS = (
    requantizer(ArrayConfig(4, 4, accumulator_bits=16, shift_bits=4)),
    requantizer(ArrayConfig(4, 4, accumulator_bits=24, shift_bits=4, activation_bits=4)),
    requantizer(ArrayConfig(4, 4, accumulator_bits=20, shift_bits=3, least_shift=4)),
    requantizer(ArrayConfig(4, 4, accumulator_bits=12, shift_bits=4, multiplier_bits=6)),
    requantizer(ArrayConfig(4, 4, accumulator_bits=32, shift_bits=5)),
    requantizer(ArrayConfig(4, 4, accumulator_bits=32, shift_bits=5, multiplier_bits=16)),
)
"""Claims of several configurations, those of the array's default widths among them."""
