"""The product without a multiplier against integer products."""

import itertools

import pytest
from hwquant_testing.clocked import trace

from hwquant.rtl_templates.ternary_product import TernaryProduct

WEIGHTS = {(1, None): (-1, 0), (2, None): (-1, 0, 1), (2, 1): (-1, 1)}
"""The weights of each width, and of each appended bit."""


@pytest.mark.parametrize("x_bits", [2, 3, 8])
@pytest.mark.parametrize(("form", "weights"), WEIGHTS.items(), ids=str)
def test_every_product_is_that_of_the_integers_less_the_one_that_it_lacks(x_bits, form, weights):
    weight_bits, appended = form
    span = range(-(1 << (x_bits - 1)), 1 << (x_bits - 1))
    pairs = list(itertools.product(span, weights))
    stimulus = [
        {"x": x, "weight": weight if appended is None else weight >> 1, "swap": 1} for x, weight in pairs
    ]
    component = TernaryProduct(x_bits, weight_bits, appended)
    rows = trace(component, [*stimulus, {}, {}, {}], ["product", "one"])[component.latency :]
    assert [row["product"] + row["one"] for row in rows] == [x * weight for x, weight in pairs]
    assert all(row["product"] in span for row in rows)
    assert [row["one"] for row in rows] == [int(weight < 0) for _, weight in pairs]


def test_a_weight_stays_until_the_next_mark():
    stimulus = [{"x": 5, "weight": -1, "swap": 1}, {"x": 7, "weight": 1, "swap": 0}, {"x": 9, "swap": 1}]
    rows = trace(TernaryProduct(8, 2), [*stimulus, {}, {}, {}], ["product", "one"])[3:]
    assert [row["product"] + row["one"] for row in rows] == [-5, -7, 9]
