import numpy as np
import pytest
from hwquant_testing.windows import take_window

from hwquant import floating
from hwquant.floating import windows
from hwquant.graph import Conv
from hwquant.quantize.compensation import compensated_rounding, correction, damped, descend, gram, patches
from hwquant.quantize.plans import TermPlan
from hwquant.quantize.references import positions


def covariances(plan, x):
    """What compensation takes the inputs of a kernel to vary by, group by group."""
    count, _, height, width = windows(x, plan.window).shape[:4]
    return gram(patches(plan, x, positions((count, height, width))))


def term(shape, **options):
    weight = np.random.default_rng(0).normal(0, 3, shape)
    return TermPlan("c", "x", weight, take_window(weight, options), **options)


def output(plan, weight, x):
    node = Conv("c", ("x",), weight, np.zeros(len(weight)), plan.window, plan.groups)
    return floating.evaluate(node, x.swapaxes(0, 1).astype(float))


def data(channels):
    """Neighbouring pixels and channels that depend on each other."""
    rng = np.random.default_rng(1)
    x = rng.normal(0, 20, (20, 1, 9, 9)) + rng.normal(0, 6, (20, channels, 9, 9))
    return np.round(x + np.roll(x, 1, 2) + np.roll(x, 1, 3)).astype(np.int64)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((6, 4, 3, 3), {"padding": (1, 1, 1, 1)}),
        ((4, 1, 3, 3), {"groups": 4, "stride": (2, 2)}),
        ((4, 2, 2, 3), {"groups": 2, "dilation": (2, 1)}),
        ((5, 4, 1, 1), {}),
    ],
)
def test_covariance_predicts_the_variance_of_the_output(shape, options):
    plan, x = term(shape, **options), data(4)
    groups = plan.groups
    rows = plan.weight.reshape(groups, shape[0] // groups, -1)
    predicted = np.einsum("gok,gkl,gol->go", rows, covariances(plan, x), rows).ravel()
    assert np.allclose(predicted, output(plan, plan.weight, x).var(axis=(1, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize(("shape", "groups", "share"), [((6, 4, 3, 3), 1, 0.7), ((4, 1, 3, 3), 4, 0.9)])
def test_output_errs_less_than_with_nearest_codes(shape, groups, share):
    plan, x = term(shape, groups=groups), data(4)
    bounds = np.array([-16]), np.array([15])
    kept = np.ones(shape, np.bool_)
    compensated = compensated_rounding(plan.weight, covariances(plan, x), *bounds, kept)
    exact, nearest = output(plan, plan.weight, x), np.floor(plan.weight + 0.5)

    def error(weight):
        return (output(plan, weight, x) - exact).var(axis=(1, 2, 3)).mean()

    assert error(compensated.astype(float)) < share * error(nearest)
    assert np.abs(compensated - plan.weight).max() < 8


def test_bounds_and_pruned_weights_are_kept():
    plan, x = term((6, 4, 3, 3)), data(4)
    kept = np.random.default_rng(2).random(plan.weight.shape) < 0.5
    low, high = np.array([-2, -1, 0, -3, -2, -2]), np.array([1, 2, 3, 0, 1, 1])
    result = compensated_rounding(plan.weight * kept, covariances(plan, x), low, high, kept)
    assert not result[~kept].any()
    rows = result.reshape(6, -1)
    assert np.all(rows.min(axis=1) >= low)
    assert np.all(rows.max(axis=1) <= high)


def test_inputs_that_never_vary_leave_nearest_codes():
    plan = term((6, 4, 1, 1))
    result = compensated_rounding(
        plan.weight,
        covariances(plan, np.full((3, 4, 5, 5), 7)),
        np.array([-16]),
        np.array([15]),
        np.ones((6, 4, 1, 1), np.bool_),
    )
    assert np.array_equal(result, np.floor(plan.weight + 0.5))


def quadratic(rows, weight, covariance):
    """The error of the outputs of each group, as descent sees it."""
    away = (rows - weight).reshape(len(covariance), -1, covariance.shape[1])
    variance = np.stack([damped(item) for item in covariance])
    return np.einsum("gok,gkl,gol->go", away, variance, away)


@pytest.mark.parametrize(("shape", "groups"), [((6, 4, 3, 3), 1), ((4, 1, 3, 3), 4), ((4, 2, 1, 1), 2)])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_descent_ends_where_no_single_step_helps(shape, groups, share):
    plan, x = term(shape, groups=groups), data(4)
    covariance = covariances(plan, x)
    kept = np.random.default_rng(3).random(shape) < share
    low, high = np.array([-4]), np.array([3])
    start = compensated_rounding(plan.weight, covariance, low, high, kept)
    ended = descend(start, plan.weight, covariance, low, high, kept)
    assert not ended[~kept].any()
    assert ended.min() >= -4
    assert ended.max() <= 3
    least = quadratic(ended, plan.weight, covariance)
    assert np.all(least <= quadratic(start, plan.weight, covariance) * (1 + 1e-9))
    again = descend(ended, plan.weight, covariance, low, high, kept)
    for index in np.argwhere(kept):
        for step in (-1, 1):
            moved = again.copy()
            moved[tuple(index)] += step
            if -4 <= moved[tuple(index)] <= 3:
                assert np.all(quadratic(moved, plan.weight, covariance) >= least * (1 - 1e-9))


@pytest.mark.parametrize("groups", [1, 2])
def test_correction_finds_the_weights_that_inputs_lost(groups):
    """Noisy inputs and what the exact ones gave: the correction leads to less error than the weights themselves."""
    rng = np.random.default_rng(4)
    exact = rng.normal(size=(groups, 4000, 6)) @ rng.normal(size=(groups, 6, 6))
    seen = 0.8 * exact + rng.normal(0, 0.3, exact.shape)
    seen -= seen.mean(axis=1, keepdims=True)
    rows = rng.normal(size=(groups, 3, 6))
    wanted, got = (np.concatenate(list(x @ rows.swapaxes(1, 2)), axis=1) for x in (exact, seen))
    error = wanted - wanted.mean(axis=0) - got
    change = correction(gram(seen), seen, error)
    left = error - np.concatenate(list(seen @ change.swapaxes(1, 2)), axis=1)
    assert np.square(left).sum() < 0.5 * np.square(error).sum()
    fewer = correction(gram(seen[:, :8]), seen[:, :8], error[:8])
    assert np.square(fewer).sum() < np.square(change).sum()


def test_inputs_that_never_vary_need_no_correction():
    seen = np.zeros((2, 50, 4))
    assert not correction(gram(seen), seen, np.ones((50, 6))).any()
