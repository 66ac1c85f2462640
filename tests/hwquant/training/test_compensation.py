"""Rounding some weights while others make up for it."""

import numpy as np
import pytest

from hwquant.quantize.compensation import compensated_rounding
from hwquant.training.compensation import round_compensated


@pytest.fixture
def problem():
    """Weights, correlated inputs (samples, K) of two groups, and their covariances."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 2, (6, 4, 3, 3))
    mixed = rng.normal(size=(2, 5000, 36)) @ rng.normal(size=(2, 36, 36))
    mixed -= mixed.mean(axis=1, keepdims=True)
    return weight, mixed, mixed.swapaxes(1, 2) @ mixed / 5000


def output_error(weight, before, x):
    """Mean squared change of the outputs, of each channel."""
    change = (weight - before).reshape(2, 3, 36)
    return np.square(change @ x.swapaxes(1, 2)).mean(axis=2).ravel()


LOW, HIGH = np.array([-4]), np.array([3])


def test_chosen_weights_become_integers_and_frozen_ones_stay(problem):
    weight, _, covariance = problem
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 3, weight.shape)
    frozen, chosen = kind == 0, kind == 1
    result = round_compensated(weight, frozen, chosen, covariance, LOW, HIGH)
    assert np.array_equal(result[frozen], weight[frozen])
    assert np.array_equal(result[chosen], np.round(result[chosen]))
    assert result[~frozen].min() >= -4
    assert result[~frozen].max() <= 3
    rest = ~frozen & ~chosen
    assert (result[rest] != np.clip(weight, -4, 3)[rest]).any()


def test_outputs_change_less_than_with_nearest_rounding_in_every_channel(problem):
    weight, x, covariance = problem
    weight = np.clip(weight, -3.9, 2.9)
    chosen = np.abs(weight) > np.median(np.abs(weight))
    frozen = np.zeros_like(chosen)
    result = round_compensated(weight, frozen, chosen, covariance, LOW, HIGH)
    nearest = np.where(chosen, np.floor(weight + 0.5), weight)
    assert (output_error(result, weight, x) < 0.5 * output_error(nearest, weight, x)).all()


def test_rounding_all_weights_is_the_quantizer_s_compensation(problem):
    weight, _, covariance = problem
    everything = np.ones(weight.shape, np.bool_)
    ours = round_compensated(weight, ~everything, everything, covariance, LOW, HIGH)
    assert np.array_equal(ours, compensated_rounding(weight, covariance, LOW, HIGH, everything))


def test_bounds_are_those_of_each_channel(problem):
    weight, _, covariance = problem
    high = np.array([1, 2, 3, 1, 2, 3])
    everything = np.ones(weight.shape, np.bool_)
    result = round_compensated(weight, ~everything, everything, covariance, LOW, high)
    assert np.array_equal(result.max(axis=(1, 2, 3)), high)


def test_inputs_that_never_vary_do_no_harm():
    weight = np.array([[[[0.3]], [[0.7]]]])
    everything = np.ones(weight.shape, np.bool_)
    result = round_compensated(weight, ~everything, everything, np.zeros((1, 2, 2)), LOW, HIGH)
    assert np.array_equal(result.ravel(), [0, 1])
