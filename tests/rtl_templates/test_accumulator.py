"""The accumulator against a dictionary of sums."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.accumulator import Accumulator

SUM, TOTAL = Accumulator.latency - Accumulator.sum_latency, Accumulator.latency
STAGES = {
    "read_address": 0,
    **dict.fromkeys(("first", "bias", "sum"), SUM),
    **dict.fromkeys(("write_address", "write_enable"), TOTAL),
}


def wrap(value, bits):
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def visits(rng, depth, count):
    """Cycle and pixel of each visit: no pixel again sooner than is allowed, often exactly then."""
    cycle, last, result = 0, {}, []
    while len(result) < count:
        free = [pixel for pixel in range(depth) if last.get(pixel, -99) + ACCUMULATE_HAZARD <= cycle]
        if free and rng.random() < 0.85:
            pixel = int(rng.choice(free))
            last[pixel] = cycle
            result.append((cycle, pixel))
        cycle += 1
    return result


@pytest.mark.parametrize("bits", [8, 16, 32, 48])
@pytest.mark.parametrize("depth", [1, 2, 4, 5, 64])
def test_totals_add_up_pixel_by_pixel(depth, bits):
    config = ArrayConfig(4, 2, accumulator_depth=depth, accumulator_bits=bits)
    rng = np.random.default_rng((depth, bits))
    schedule = visits(rng, depth, 250)
    end = schedule[-1][0] + TOTAL + 1
    half, width = 1 << (bits - 1), config.column_bits
    stimulus = [
        {
            "read_address": int(rng.integers(0, depth)),
            "first": int(rng.integers(0, 2)),
            "bias": int(rng.integers(-half, half)),
            "sum": int(rng.integers(-(1 << (width - 1)), 1 << (width - 1))),
            "write_address": int(rng.integers(0, depth)),
            "write_enable": 0,
        }
        for _ in range(end)
    ]
    totals, expected = {}, {}
    for cycle, pixel in schedule:
        first = pixel not in totals or rng.random() < 0.2
        bias = stimulus[cycle + STAGES["bias"]]["bias"]
        total = (bias if first else totals[pixel]) + stimulus[cycle + STAGES["sum"]]["sum"]
        totals[pixel] = expected[cycle + TOTAL] = wrap(total, bits)
        for name, value in {
            "read_address": pixel,
            "first": int(first),
            "write_address": pixel,
            "write_enable": 1,
        }.items():
            stimulus[cycle + STAGES[name]][name] = value
    seen = [row["total"] for row in trace(Accumulator(config), stimulus, ["total"])]
    assert {cycle: seen[cycle] for cycle in expected} == expected
    spacing = [b[0] - a[0] for a in schedule for b in schedule if a[1] == b[1] and b[0] > a[0]]
    assert min(spacing) == ACCUMULATE_HAZARD


def test_a_total_that_is_not_written_leaves_the_memory_alone():
    config = ArrayConfig(2, 2, accumulator_depth=4)
    visit = {"read_address": 1, "write_address": 1, "first": 1, "bias": 100, "sum": 5, "write_enable": 1}
    stimulus = (
        [visit] * 5 + [visit | {"write_enable": 0, "sum": 70}] * 5 + [visit | {"first": 0, "sum": 1}] * 4
    )
    assert trace(Accumulator(config), stimulus, ["total"])[-1]["total"] == 106


@pytest.mark.parametrize("bias", [-64, -1, 0, 63])
def test_a_narrow_bias_stands_for_its_multiple(bias):
    config = ArrayConfig(2, 2, accumulator_depth=4, accumulator_bits=20, bias_bits=7, bias_zeros=11)
    visit = {"read_address": 1, "write_address": 1, "first": 1, "bias": bias, "sum": 5, "write_enable": 1}
    assert trace(Accumulator(config), [visit] * 5, ["total"])[-1]["total"] == (bias << 11) + 5
