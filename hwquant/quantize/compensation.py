"""Rounding in which each weight makes up for the errors of those before it, and of the layers before.

GPTQ (Frantar et al., 2023) after Optimal Brain Surgeon (Hassibi and Stork, 1993): the weights of an output channel
are rounded one after the other, and the remaining ones move so that the channel's output changes least on the
calibration data. Two things are added. The weights first move to where the layer gives what the float network gives,
though its inputs are off (least squares, as in GPTAQ, Li et al., 2025). In the end codes move, one by one, as long as
the error falls (coordinate descent, as in QuantEase, Behdin et al., 2023). The output's mean is left to the bias, so
that inputs count by their covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import IntArray, Step
from hwquant.floating import windows
from hwquant.qgraph import Term
from hwquant.quantize.integer_run import IntegerRun
from hwquant.quantize.mid_rise import lies_on_grid
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.quantize.references import Positions, References, positions
from hwquant.quantize.weight_scheme import Array
from hwquant.quantize.weights import nearest

_DAMPING = 0.01
"""Share of the mean variance that is added to each: keeps inputs that never vary, and noise, from
dominating."""
_SWEEPS = 4
"""Times that descent goes through the weights, at most."""


def compensate(
    layer: LayerPlan, terms: Sequence[Term], run: IntegerRun, references: References
) -> list[Term]:
    """Round the weights of a layer again, for the least error of its sums on the calibration data.

    The weights of a pool stay one number: hardware sums its window with a single weight.

    Parameters
    ----------
    layer : LayerPlan
        The float layer.
    terms : sequence of Term
        Its integer weights, each rounded to its nearest code.
    run : IntegerRun
        What the integer layers before it really produce.
    references : References
        What the float layers compute in front of their clamps.

    Returns
    -------
    list of Term
        The terms with other codes.
    """
    if not any(plan.has_weights for plan in layer.terms):
        return list(terms)
    stride = references.stride
    error = references.sums[layer.name].astype(np.float64)
    inputs = []
    for term, plan in zip(terms, layer.terms):
        x = run.centred(term.input)
        where = positions((len(x), *run.tensor(layer.name).shape[1:]))
        inputs.append(run.tensor(term.input).scale * patches(plan, x, where))
        error -= contribution(inputs[-1][:, ::stride], plan.weight)
    error -= error.mean(axis=0)
    result = []
    for term, plan, seen in zip(terms, layer.terms, inputs):
        if plan.has_weights:
            # Weights that lie on their grid already mean what they say.
            if not (term.step == 2 and lies_on_grid(plan.weight, term.bits)):
                covariance = gram(seen)
                moved = correction(covariance, seen[:, ::stride], error).reshape(plan.weight.shape)
                term = _rounded(term, plan.weight + moved, covariance)
            change = term.weight * term.scale.reshape(-1, 1, 1, 1) - plan.weight
            error -= contribution(seen[:, ::stride], change)
        result.append(term)
    return result


def _rounded(term: Term, weight: Array, covariance: Array) -> Term:
    """A term with the codes that stand best for a weight."""
    kept = np.ones(term.codes.shape, np.bool_) if term.mask is None else term.mask
    steps, limits = weight / term.scale.reshape(-1, 1, 1, 1), term.coding.limits
    adjusted = compensated_rounding(steps, covariance, *limits, kept, term.step)
    adjusted = descend(adjusted, steps, covariance, *limits, kept, term.step)
    return replace(term, codes=term.coding.codes(adjusted))


def patches(term: TermPlan, x: IntArray, where: Positions) -> Array:
    """What a kernel sees of ``x`` (N, C, H, W) at given positions, less its mean: float64 [groups, P, K]."""
    sample, row, column = where
    seen = windows(x, term.window)[sample, :, row, column].astype(np.float64)
    return centred(seen.reshape(len(sample), term.groups, -1)).swapaxes(0, 1)


def centred(values: Array) -> Array:
    """Values less their mean over the first axis."""
    return values - values.mean(axis=0)


def gram(seen: Array) -> Array:
    """The covariance [groups, K, K] of patches [groups, P, K] whose mean is zero."""
    return np.asarray(seen.swapaxes(1, 2) @ seen / seen.shape[1])


def contribution(seen: Array, weight: Array) -> Array:
    """What weights [out, ...] make of patches [groups, P, K]: [P, out]."""
    rows = weight.reshape(len(seen), len(weight) // len(seen), -1)
    return (seen @ rows.swapaxes(1, 2)).swapaxes(0, 1).reshape(seen.shape[1], -1)


def correction(covariance: Array, seen: Array, error: Array) -> Array:
    """The change of weights [groups, out / groups, K] that takes most of an error [P, out] away.

    The fewer patches there are for a weight, the less they are trusted.
    """
    groups, count, size = seen.shape
    wanted = error.T.reshape(groups, -1, count) @ seen / count
    trace = np.trace(covariance, axis1=1, axis2=2)[:, None, None] / size
    ridge = np.where(trace > 0, trace * (_DAMPING + size / count), 1.0) * np.eye(size)
    return np.linalg.solve(covariance + ridge, wanted.swapaxes(1, 2)).swapaxes(1, 2)


def descend(
    codes: IntArray,
    weight: Array,
    covariance: Array,
    low: IntArray,
    high: IntArray,
    kept: NDArray[np.bool_],
    step: Step = 1,
) -> IntArray:
    """Move integers one after the other, each to where the error is least, until none moves.

    Parameters
    ----------
    codes : ndarray of int64, shape (out, in / groups, kernel height, kernel width)
        The integers.
    weight : ndarray of float64
        What they stand for, in the shape of ``codes``.
    covariance : ndarray of float64, shape (groups, K, K)
        Covariance of the inputs of each group, with K = in / groups * kernel height * kernel width.
    low, high : ndarray of int64, shape (1,) or (out,)
        Least and greatest integer.
    kept : ndarray of bool
        The shape of ``codes``; where it is False an integer stays as it is.
    step : {1, 2}
        Whether the integers are all there are, or the odd ones.

    Returns
    -------
    ndarray of int64
        Integers that err at most as much, in the shape of ``codes``.
    """
    out, groups = len(weight), len(covariance)
    variance = np.stack([damped(item) for item in covariance])
    shape = (groups, out // groups, -1)
    result, mask = codes.reshape(shape).astype(np.float64), kept.reshape(shape)
    least, most = (np.broadcast_to(bound, out).reshape(groups, -1) for bound in (low, high))
    slope = (result - weight.reshape(shape)) @ variance
    for _ in range(_SWEEPS):
        moved = False
        for column in range(result.shape[2]):
            least_error = result[:, :, column] - slope[:, :, column] / variance[:, column, column, None]
            move = np.clip(nearest(least_error, step), least, most) - result[:, :, column]
            move *= mask[:, :, column]
            if move.any():
                moved = True
                result[:, :, column] += move
                slope += move[:, :, None] * variance[:, None, column]
        if not moved:
            break
    return result.astype(np.int64).reshape(codes.shape)


def compensated_rounding(
    weight: Array,
    covariance: Array,
    low: IntArray,
    high: IntArray,
    kept: NDArray[np.bool_],
    step: Step = 1,
) -> IntArray:
    """Round weights to integers within bounds, each making up for the errors of those before it.

    Parameters
    ----------
    weight : ndarray of float64, shape (out, in / groups, kernel height, kernel width)
        The weights, in units of their scale.
    covariance : ndarray of float64, shape (groups, K, K)
        Covariance of the inputs of each group, with K = in / groups * kernel height * kernel width.
    low, high : ndarray of int64, shape (1,) or (out,)
        Least and greatest integer.
    kept : ndarray of bool
        The shape of ``weight``; where it is False the weight becomes 0.
    step : {1, 2}
        Whether the integers are all there are, or the odd ones.

    Returns
    -------
    ndarray of int64
        The integers, in the shape of ``weight``.
    """
    out, groups = len(weight), len(covariance)
    rows = weight.reshape(groups, out // groups, -1).copy()
    mask = kept.reshape(rows.shape)
    bounds = [np.broadcast_to(bound, out).reshape(groups, -1) for bound in (low, high)]
    result = np.zeros(rows.shape, np.int64)
    for group in range(groups):
        variance = damped(covariance[group])
        order = np.argsort(-np.diag(variance), kind="stable")
        factor = inverse_factor(variance[np.ix_(order, order)])
        left = rows[group][:, order]
        for index, column in enumerate(order):
            rounded = np.clip(nearest(left[:, index], step), bounds[0][group], bounds[1][group])
            rounded = np.where(mask[group][:, column], rounded, 0.0)
            error = (left[:, index] - rounded) / factor[index, index]
            left[:, index + 1 :] -= np.outer(error, factor[index, index + 1 :])
            result[group][:, column] = rounded
    return result.reshape(weight.shape)


def damped(covariance: Array) -> Array:
    """A covariance [K, K] that can be inverted, also where inputs never vary."""
    mean = float(np.trace(covariance)) / len(covariance)
    return covariance + np.eye(len(covariance)) * (_DAMPING * mean if mean > 0 else 1.0)


def inverse_factor(covariance: Array) -> Array:
    """The upper triangular ``U`` with ``U^T U`` the inverse of a covariance [K, K].

    When weight ``i`` is off by ``e``, weight ``j > i`` makes up for it by moving by ``-e * U[i, j] / U[i, i]``.
    """
    inverse = np.linalg.inv(covariance)
    return np.asarray(np.linalg.cholesky((inverse + inverse.T) / 2).T, np.float64)
