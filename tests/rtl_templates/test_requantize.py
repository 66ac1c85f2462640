"""Requantization against the formula of :mod:`hwquant.qgraph`, in Python's integers."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace
from hwquant_testing.seeds import nightly

from hwquant.boards import tools
from hwquant.boards.device import DEVICES
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.requantize import Requantizer
from hwquant.rtl_templates.verilog import to_rtlil


def formula(acc, shift, zero, low, high, multiplier=1):
    """``clamp(((acc * m + (1 << (s-1))) >> s) + z_y, low, high)``; ``s = 0`` adds no rounding term."""
    half = 1 << (shift - 1) if shift else 0
    return min(max(((acc * multiplier + half) >> shift) + zero, low), high)


def values(config, stimulus):
    """What leaves for each step of the stimulus."""
    requantizer = Requantizer(config)
    stimulus = [*stimulus, *[stimulus[-1]] * requantizer.latency]
    seen = [row["value"] for row in trace(requantizer, stimulus, ["value"])]
    return seen[requantizer.latency :]


def clamps(bits):
    """Low, high and zero point: none, ReLU, a narrow one, one that excludes the zero point, a constant."""
    least, greatest = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return [
        (least, greatest, 0),
        (least + 1, greatest, least + 1),
        (-1, 1, greatest),
        (greatest - 1, greatest, least),
        (greatest, greatest, -1),
        (least, least, 1),
    ]


@pytest.mark.parametrize(
    ("shift_bits", "least_shift"),
    [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (1, 3), (2, 1), (3, 6), (2, 9)],
)
@pytest.mark.parametrize("bits", [2, 8, *nightly([3])])
def test_every_total_and_every_shift_of_a_narrow_accumulator(bits, shift_bits, least_shift):
    """The rounding term and the zero point are in the total, as the compiler puts them into the bias."""
    config = ArrayConfig(
        *(2, 2),
        activation_bits=bits,
        accumulator_bits=8 + least_shift,
        shift_bits=shift_bits,
        least_shift=least_shift,
    )
    span = 128 << least_shift
    shifts = [shift for shift in range(1 << shift_bits) if shift < 10] + [(1 << shift_bits) - 1]
    shifts = [least_shift + shift for shift in shifts]
    for low, high, zero in clamps(bits):
        cases = []
        for shift in shifts:
            folded = ((1 << (shift - 1)) if shift else 0) + (zero << shift)
            sums = range(-300 << least_shift, 300 << least_shift, (1 << least_shift) - 1 or 1)
            cases += [(acc, shift, folded) for acc in sums if -span <= acc + folded < span]
        stimulus = [
            {"total": acc + folded, "shift": shift - least_shift, "low": low, "high": high, "zero": 0}
            for acc, shift, folded in cases
        ]
        expected = [formula(acc, shift, zero, low, high) for acc, shift, _ in cases]
        assert values(config, stimulus) == expected, f"clamp {low}..{high}, zero point {zero}"


@pytest.mark.parametrize("bits", [2, 3])
@pytest.mark.parametrize("multiplier_bits", [2, 4])
def test_every_total_multiplier_and_shift_of_a_narrow_accumulator(bits, multiplier_bits):
    """The hardware's shift is one less; a shift of 0 is a doubled multiplier."""
    config = ArrayConfig(
        2, 2, activation_bits=bits, accumulator_bits=8, shift_bits=4, multiplier_bits=multiplier_bits + 1
    )
    for low, high, zero in clamps(bits)[::2]:
        cases = [
            (acc, shift, multiplier)
            for multiplier in {1, (1 << (multiplier_bits - 1)) - 1}
            for shift in (0, 1, 2, 3, 6, 12)
            for acc in range(-128, 128)
        ]
        stimulus = [
            {
                "total": acc,
                "shift": max(shift - 1, 0),
                "multiplier": multiplier if shift else 2 * multiplier,
                "low": low,
                "high": high,
                "zero": zero,
            }
            for acc, shift, multiplier in cases
        ]
        expected = [formula(acc, shift, zero, low, high, multiplier) for acc, shift, multiplier in cases]
        assert values(config, stimulus) == expected, f"clamp {low}..{high}, zero point {zero}"


def near_a_step(rng, shift, bits, multiplier=1):
    """A total just below, on or just above the point where the output changes, or saturates."""
    level = int(rng.integers(-(1 << bits), 1 << bits))
    return (((2 * level + 1) << shift) // 2) // multiplier + int(rng.integers(-2, 3))


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize(("accumulator_bits", "shift_bits"), [(32, 5), (48, 6), (13, 4), (24, 3)])
def test_wide_totals_near_every_step_and_at_the_extremes(accumulator_bits, shift_bits, bits):
    config = ArrayConfig(2, 2, activation_bits=bits, accumulator_bits=accumulator_bits, shift_bits=shift_bits)
    rng = np.random.default_rng((accumulator_bits, bits))
    least, greatest = -(1 << (accumulator_bits - 1)), (1 << (accumulator_bits - 1)) - 1
    for low, high, _ in clamps(bits):
        stimulus, expected = [], []
        for _ in range(400):
            shift = int(rng.integers(0, 1 << shift_bits))
            total = [
                near_a_step(rng, shift, bits),
                least,
                greatest,
                int(rng.integers(least, greatest + 1)),
                int(rng.integers(-2, 3)),
            ][rng.choice(5, p=[0.6, 0.1, 0.1, 0.1, 0.1])]
            total = min(max(total, least), greatest)
            stimulus.append({"total": total, "shift": shift, "low": low, "high": high, "zero": 0})
            expected.append(min(max(total >> shift, low), high))
        assert values(config, stimulus) == expected


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize(("accumulator_bits", "multiplier_bits"), [(32, 18), (24, 16), (48, 18)])
def test_wide_products_near_every_step_and_at_the_extremes(accumulator_bits, multiplier_bits, bits):
    config = ArrayConfig(
        2,
        2,
        activation_bits=bits,
        accumulator_bits=accumulator_bits,
        shift_bits=6,
        multiplier_bits=multiplier_bits,
    )
    rng = np.random.default_rng((accumulator_bits, bits, 1))
    least, greatest = -(1 << (accumulator_bits - 1)), (1 << (accumulator_bits - 1)) - 1
    for low, high, zero in clamps(bits):
        stimulus, expected = [], []
        for _ in range(400):
            shift = int(rng.integers(0, 64))
            half = 1 << (multiplier_bits - 2)
            multiplier = int(rng.choice([rng.integers(1, half), half - 1, 1]))
            total = [
                near_a_step(rng, shift, bits, multiplier),
                least,
                greatest,
                int(rng.integers(least, greatest + 1)),
            ][rng.choice(4, p=[0.7, 0.1, 0.1, 0.1])]
            total = min(max(total, least), greatest)
            stimulus.append(
                {
                    "total": total,
                    "shift": max(shift - 1, 0),
                    "multiplier": multiplier if shift else 2 * multiplier,
                    "low": low,
                    "high": high,
                    "zero": zero,
                }
            )
            expected.append(formula(total, shift, zero, low, high, multiplier))
        assert values(config, stimulus) == expected


def test_halves_round_up_on_both_sides_of_zero():
    config = ArrayConfig(2, 2, multiplier_bits=4)
    halves = [-5, -3, -1, 1, 3, 5]  # times a half
    stimulus = [
        {"total": n, "shift": 0, "multiplier": 1, "low": -128, "high": 127, "zero": 0} for n in halves
    ]
    assert values(config, stimulus) == [-2, -1, 0, 1, 2, 3]
    folded = [{"total": n + 1, "shift": 1, "low": -128, "high": 127, "zero": 0} for n in halves]
    assert values(ArrayConfig(2, 2), folded) == [-2, -1, 0, 1, 2, 3]


def test_a_dsp_block_of_ice40_does_not_swallow_the_product(tmp_path):
    pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")
    config = ArrayConfig(rows=2, columns=2, accumulator_bits=15, multiplier_bits=16)
    source = tmp_path / "top.il"
    source.write_text(to_rtlil(Requantizer(config), "top"))
    cells = tools.synthesize(source, DEVICES["ice40up5k"])
    assert cells["SB_MAC16"] == 1
    assert "Driver-driver conflict" not in (tmp_path / "synthesis.log").read_text()
