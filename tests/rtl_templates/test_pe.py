"""The processing element against its equation, cycle by cycle."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.pe import ProcessingElement
from hwquant.rtl_templates.soft_product import SoftProduct
from hwquant.rtl_templates.ternary_product import TernaryProduct

OUTPUTS = ("x_next", "swap_next", "weight_next", "sum_next")

LATENCY = 4
"""Cycles from an activation to the sum: registered operands, two stages of product, registered sum."""


def signed(rng, bits, size=None):
    """Any integer of that many bits, the extremes often."""
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    values = rng.integers(low, high, size)
    return np.where(rng.random(size) < 0.3, rng.choice([low, high - 1], size), values)


def expected(stimulus, multiplying=lambda weight: weight):
    """Registers of every cycle, from the docstring's equations; ``multiplying``: the weight, from what is carried."""
    shadow = active = 0
    products, rows = [0] * LATENCY, []
    x = swap = total = 0
    for step in stimulus:
        rows.append({"x_next": x, "swap_next": swap, "weight_next": shadow, "sum_next": total})
        if step["swap"]:
            active = shadow
        if step["load"]:
            shadow = step["weight"]
        x, swap = step["x"], step["swap"]
        # The product of this cycle's x reaches sum_next LATENCY cycles later.
        products.append(multiplying(active) * step["x"])
        total = step["sum"] + products[-LATENCY]
    return rows


def random_stimulus(x, weights, above, count=400):
    """Everything at random, of those weights."""
    rng = np.random.default_rng((x, len(weights), above))
    return [
        {"x": a, "weight": b, "sum": c, "swap": d, "load": e}
        for a, b, c, d, e in zip(
            signed(rng, x, count).tolist(),
            rng.choice(weights, count).tolist(),
            signed(rng, above, count).tolist(),
            (rng.random(count) < 0.3).astype(int).tolist(),
            (rng.random(count) < 0.4).astype(int).tolist(),
        )
    ]


@pytest.mark.parametrize(("x", "weight", "above"), [(8, 8, 16), (8, 9, 20), (2, 1, 3), (4, 9, 1), (8, 1, 12)])
def test_a_processing_element_follows_its_equations_cycle_by_cycle(x, weight, above):
    below = max(above, x + weight) + 1
    pe = ProcessingElement(activation_bits=x, operand_bits=weight, sum_bits=above, next_bits=below)
    weights = signed(np.random.default_rng(weight), weight, 400)
    stimulus = random_stimulus(x, weights, above)
    assert trace(pe, stimulus, OUTPUTS) == expected(stimulus)


@pytest.mark.parametrize("product", [None, SoftProduct])
@pytest.mark.parametrize("appended", [0, 1])
@pytest.mark.parametrize("carried", [1, 2, 3, 8])
def test_a_bit_that_is_not_carried_is_appended(product, appended, carried):
    pe = ProcessingElement(
        activation_bits=6,
        operand_bits=carried + 1,
        sum_bits=12,
        next_bits=16,
        product=product,
        appended=appended,
    )
    weights = range(-(1 << (carried - 1)), 1 << (carried - 1))
    stimulus = random_stimulus(6, list(weights), 12)
    assert trace(pe, stimulus, OUTPUTS) == expected(stimulus, lambda weight: 2 * weight + appended)


@pytest.mark.parametrize("above", [1, 5, 12])
@pytest.mark.parametrize(
    ("bits", "appended", "weights"), [(1, None, [-1, 0]), (2, None, [-1, 0, 1]), (2, 1, [-1, 0])]
)
def test_the_sum_adds_the_one_that_a_product_without_multiplier_lacks(above, bits, appended, weights):
    pe = ProcessingElement(
        activation_bits=8,
        operand_bits=bits,
        sum_bits=above,
        next_bits=max(above, 8) + 1,
        product=TernaryProduct,
        appended=appended,
    )
    stimulus = random_stimulus(8, weights, above)
    assert trace(pe, stimulus, OUTPUTS) == expected(
        stimulus, lambda weight: weight if appended is None else 2 * weight + 1
    )


def test_the_mark_takes_the_weight_that_was_there_before_a_load_in_the_same_cycle():
    pe = ProcessingElement(activation_bits=8, operand_bits=8, sum_bits=16, next_bits=17)
    nothing = {"x": 0, "weight": 0, "sum": 0, "swap": 0, "load": 0}
    stimulus = [
        nothing | {"weight": 5, "load": 1},
        nothing | {"x": 10, "swap": 1, "weight": -7, "load": 1},
        nothing | {"x": 11},
        nothing | {"x": 12, "swap": 1},
        *[nothing] * LATENCY,
    ]
    seen = [row["sum_next"] for row in trace(pe, stimulus, OUTPUTS)]
    assert seen[1 + LATENCY :] == [5 * 10, 5 * 11, -7 * 12]


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_configured_widths_hold_the_greatest_sums(sign):
    """A column of cells at their extremes: nothing may wrap."""
    config = ArrayConfig(32, 2, weight_bits=8, adjusted_bits=9)
    x, weight = -128, -256 if sign > 0 else 255
    total = 0
    for row in range(config.rows):
        pe = ProcessingElement(
            activation_bits=config.activation_bits,
            operand_bits=config.operand_bits,
            sum_bits=config.sum_bits(row) if row else 1,
            next_bits=config.sum_bits(row + 1),
        )
        steps = [
            {"weight": weight, "load": 1, "sum": total},
            {"load": 0, "swap": 1, "x": x},
            *[{}] * pe.latency,
        ]
        total += x * weight
        assert trace(pe, steps, ["sum_next"])[-1]["sum_next"] == total
