"""The multiplier of look-up tables against integer products."""

import itertools

import numpy as np
import pytest
from hwquant_testing.clocked import trace
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.rtl_templates.soft_product import SoftProduct


def products(x_bits, weight_bits, stimulus, appended=None, stages=2):
    """What leaves the component, from the first pixel's product on."""
    component = SoftProduct(x_bits, weight_bits, appended, stages)
    latency = component.latency
    return [row["product"] for row in trace(component, [*stimulus, *[{}] * latency], ["product"])][latency:]


def span(bits):
    return range(-(1 << (bits - 1)), 1 << (bits - 1))


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("x_bits", [2, 3, 5])
@pytest.mark.parametrize("weight_bits", [1, 2, 3, 4, 5, 6])
def test_every_product_of_narrow_operands(x_bits, weight_bits, stages):
    pairs = list(itertools.product(span(x_bits), span(weight_bits)))
    stimulus = [{"x": x, "weight": weight, "swap": 1} for x, weight in pairs]
    assert products(x_bits, weight_bits, stimulus, stages=stages) == [x * weight for x, weight in pairs]


@pytest.mark.parametrize("appended", [0, 1])
@pytest.mark.parametrize("weight_bits", [2, 3, 4, 5, 6, 9])
def test_every_product_with_a_bit_that_is_appended(weight_bits, appended):
    pairs = list(itertools.product(span(3), span(weight_bits - 1)))
    stimulus = [{"x": x, "weight": weight, "swap": 1} for x, weight in pairs]
    expected = [x * (2 * weight + appended) for x, weight in pairs]
    assert products(3, weight_bits, stimulus, appended) == expected


@pytest.mark.parametrize("weight_bits", [7, 8, 9, 10])
def test_every_weight_with_the_extremes_of_x(weight_bits):
    pairs = [(x, weight) for weight in span(weight_bits) for x in (-128, 127, -1)]
    stimulus = [{"x": x, "weight": weight, "swap": 1} for x, weight in pairs]
    assert products(8, weight_bits, stimulus) == [x * weight for x, weight in pairs]


def test_products_of_sums_that_are_not_rescaled():
    pairs = [(x, weight) for weight in (-256, 255, 7) for x in (-(1 << 23), (1 << 23) - 1, -1, 0x155555)]
    stimulus = [{"x": x, "weight": weight, "swap": 1} for x, weight in pairs]
    assert products(24, 9, stimulus) == [x * weight for x, weight in pairs]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 13), st.integers(1, 18), st.integers(0, 2**32 - 1))
def test_products_of_all_widths_with_weights_that_stay(x_bits, weight_bits, seed):
    rng = np.random.default_rng(seed)
    stimulus, expected, active = [], [], 0
    for _ in range(40):
        x = int(rng.choice([span(x_bits)[0], span(x_bits)[-1], rng.choice(span(x_bits))]))
        weight = int(rng.choice([span(weight_bits)[0], span(weight_bits)[-1], rng.choice(span(weight_bits))]))
        swap = int(rng.random() < 0.5)
        active = weight if swap else active
        stimulus.append({"x": x, "weight": weight, "swap": swap})
        expected.append(x * active)
    assert products(x_bits, weight_bits, stimulus) == expected
