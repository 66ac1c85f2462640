"""Rounding in which each weight makes up for the errors of those before it.

GPTQ (Frantar et al., 2023) after Optimal Brain Surgeon (Hassibi and Stork, 1993): the weights of an output
channel are rounded one after the other, and the remaining ones move so that the channel's output changes
least on the calibration data. The output's mean is left to the bias, so that inputs count by their
covariance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import IntArray, Step
from hwquant.floating import windows
from hwquant.qgraph import Term
from hwquant.quantize.fuse import TermPlan
from hwquant.quantize.weight_scheme import Array
from hwquant.quantize.weights import nearest

_PATCHES = 1 << 14
"""Input patches that covariances are estimated from, at most."""
_DAMPING = 0.01
"""Share of the mean variance that is added to each: keeps inputs that never vary, and noise, from
dominating."""


def compensate(term: Term, float_term: TermPlan, x: IntArray) -> Term:
    """Round a term's weights again, for the least error of the output on given inputs.

    The weights of a pool stay one number: hardware sums its window with a single weight.

    Parameters
    ----------
    term : Term
        The integer weights, each rounded to its nearest code.
    float_term : TermPlan
        The float weights.
    x : ndarray of int64, shape (N, C, H, W)
        The integers that the term reads, less their zero point.

    Returns
    -------
    Term
        The term with other codes.
    """
    if not float_term.has_weights:
        return term
    kept = np.ones(term.codes.shape, np.bool_) if term.mask is None else term.mask
    adjusted = compensated_rounding(
        float_term.weight / term.scale.reshape(-1, 1, 1, 1),
        covariances(float_term, x),
        *term.coding.limits,
        kept,
        term.step,
    )
    return replace(term, codes=term.coding.codes(adjusted))


def covariances(term: TermPlan, x: IntArray) -> Array:
    """The covariance of the inputs of a kernel, group by group.

    Patches are taken evenly over samples and positions.

    Parameters
    ----------
    term : TermPlan
        The kernel's geometry.
    x : ndarray of int64, shape (N, C, H, W)
        The integers that the term reads, less their zero point.

    Returns
    -------
    ndarray of float64, shape (groups, K, K)
        One a group, with K = in / groups * kernel height * kernel width.
    """
    view = windows(x, term.window)
    count, _, height, width = view.shape[:4]
    total = count * height * width
    chosen = np.unique(np.linspace(0, total - 1, min(total, _PATCHES)).astype(np.int64))
    sample, row, column = np.unravel_index(chosen, (count, height, width))
    patches = view[sample, :, row, column].astype(np.float64).reshape(len(chosen), term.groups, -1)
    patches = (patches - patches.mean(axis=0)).swapaxes(0, 1)
    return patches.swapaxes(1, 2) @ patches / len(chosen)


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
