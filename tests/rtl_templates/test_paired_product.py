"""Two products of one multiplication against integer products."""

import itertools

import numpy as np
import pytest
from hwquant_testing.clocked import trace
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwquant.rtl_templates.paired_product import PackedProduct


def packed(wide_bits):
    class Packed(PackedProduct):
        wide, narrow = wide_bits, 18

    return Packed


def products(component, stimulus):
    """What leaves the component, from the first pixel's products on."""
    latency = component.latency
    rows = trace(component, [*stimulus, *[{}] * latency], ["products"])
    return [tuple(row["products"]) for row in rows][latency:]


def span(bits):
    return range(-(1 << (bits - 1)), 1 << (bits - 1))


@pytest.mark.parametrize(
    ("x_bits", "weight_bits", "wide"), [(2, 2, 6), (3, 3, 8), (3, 3, 9), (3, 3, 10), (4, 3, 8)]
)
def test_every_pair_of_products_of_narrow_operands(x_bits, weight_bits, wide):
    values = list(itertools.product(span(x_bits), span(weight_bits), span(weight_bits)))
    component = packed(wide)(x_bits, weight_bits)
    assert component.takes(x_bits, weight_bits)
    stimulus = [{"x": x, "weights": [first, second], "swap": 1} for x, first, second in values]
    assert products(component, stimulus) == [(x * first, x * second) for x, first, second in values]


@pytest.mark.parametrize(("weight_bits", "wide"), [(9, 18), (8, 18), (5, 18), (4, 18), (8, 25), (9, 25)])
def test_every_weight_with_the_extremes_of_its_neighbour_and_x(weight_bits, wide):
    ends = (span(weight_bits)[0], -1, 0, span(weight_bits)[-1])
    values = [
        (x, *pair)
        for weight, other, x in itertools.product(span(weight_bits), ends, (-128, 127, -1))
        for pair in ((weight, other), (other, weight))
    ]
    stimulus = [{"x": x, "weights": [first, second], "swap": 1} for x, first, second in values]
    expected = [(x * first, x * second) for x, first, second in values]
    assert products(packed(wide)(8, weight_bits), stimulus) == expected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(2, 13),
    st.integers(2, 12),
    st.sampled_from([18, 25]),
    st.sampled_from([None, 0, 1]),
    st.integers(0, 2**32 - 1),
)
def test_products_of_all_widths_with_weights_that_stay(x_bits, weight_bits, wide, appended, seed):
    assume(packed(wide).takes(x_bits, weight_bits))
    rng = np.random.default_rng(seed)
    carried = weight_bits - (appended is not None)
    stimulus, expected, active = [], [], (0, 0)

    def draw(bits):
        return int(rng.choice([span(bits)[0], span(bits)[-1], rng.choice(span(bits))]))

    for number in range(40):
        x, weights = draw(x_bits), [draw(carried), draw(carried)]
        swap = int(number == 0 or rng.random() < 0.5)
        if swap:
            active = [weight if appended is None else 2 * weight + appended for weight in weights]
        stimulus.append({"x": x, "weights": weights, "swap": swap})
        expected.append((x * active[0], x * active[1]))
    assert products(packed(wide)(x_bits, weight_bits, appended), stimulus) == expected


def test_what_overlaps_too_far_is_not_packed():
    assert packed(18).takes(8, 9)
    assert not packed(18).takes(8, 10)
    assert not packed(18).takes(9, 9)
    assert packed(25).takes(8, 12)
