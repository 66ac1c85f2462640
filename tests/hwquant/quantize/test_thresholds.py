"""Multipliers and biases that are chosen for the sums at which an output rises."""

from dataclasses import replace

import numpy as np

from hwquant.golden.reference import requantize
from hwquant.qgraph import Layer, Term
from hwquant.quantize.shifts import fixed_point
from hwquant.quantize.thresholds import with_own_thresholds


def test_a_staircase_of_four_bits_rises_where_the_real_one_does():
    rng, out = np.random.default_rng(0), 200
    ratio, bias = rng.uniform(0.001, 0.01, out), rng.normal(size=out) * 500
    multiplier, shift = fixed_point(ratio, 16)
    term = Term("x", np.ones((out, 1, 1, 1), np.int8), np.zeros(1, np.int64), np.ones(1), shift=4)
    rounded = np.floor(bias + 0.5).astype(np.int64)
    layer = Layer("y", (term,), rounded, shift, -8, 7, multiplier)
    made = with_own_thresholds(layer, bias, ratio, -8, (1 << 16) - 1)
    sums = np.arange(-600, 1200).reshape(1, 1, -1, 1) * 16
    exact = np.clip(
        np.floor((sums + bias.reshape(1, -1, 1, 1)) * ratio.reshape(1, -1, 1, 1) + 0.5) - 8, -8, 7
    )

    def different(item: Layer) -> int:
        return int((requantize(sums + item.bias.reshape(1, -1, 1, 1), item, -8) != exact).sum())

    assert different(layer) > 10
    assert different(made) * 10 <= different(layer)
    assert np.abs(made.multiplier - multiplier).max() <= 16
    assert with_own_thresholds(replace(layer, low=-128, high=127), bias, ratio, 0, 1).bias is layer.bias
