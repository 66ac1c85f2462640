"""Rounding some weights of a layer while those that stay float make up for the error at once.

Optimal Brain Surgeon (Hassibi and Stork, 1993) with rounding for pruning, as in GPTQ (Frantar et al., 2023): the
weights of an output channel that are to be frozen are rounded one after the other, and all that are not frozen
yet move so that the channel's output changes least on the calibration data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import Step
from hwquant.quantize.compensation import damped, inverse_factor
from hwquant.quantize.weights import nearest

Array = NDArray[np.float64]


def round_compensated(
    weight: Array,
    frozen: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
    covariance: Array,
    low: NDArray[Any],
    high: NDArray[Any],
    step: Step = 1,
) -> Array:
    """Round the chosen weights to integers within bounds, and move the other ones that are not frozen.

    Parameters
    ----------
    weight : ndarray of float64, shape (out, in / groups, kernel height, kernel width)
        The weights, in steps of their scale.
    frozen, chosen : ndarray of bool
        Weights that stay as they are, and weights to round: disjoint, in the shape of ``weight``.
    covariance : ndarray of float64, shape (groups, K, K)
        Covariance of the inputs of each group, with K = in / groups * kernel height * kernel width.
    low, high : ndarray of real numbers, shape (1,) or (out,)
        Least and greatest integer.
    step : {1, 2}
        Whether the integers are all there are, or the odd ones.

    Returns
    -------
    ndarray of float64
        In the shape of ``weight``: integers where chosen; the others stay within the bounds, too.
    """
    out, groups = len(weight), len(covariance)
    rows = weight.reshape(out, -1).copy()
    fixed, picked = frozen.reshape(out, -1), chosen.reshape(out, -1)
    lows, highs = np.broadcast_to(low, out), np.broadcast_to(high, out)
    for channel in range(out):
        variance = covariance[channel * groups // out]
        order = np.argsort(-np.diag(variance), kind="stable")
        first = order[picked[channel][order]]
        rest = order[~picked[channel][order] & ~fixed[channel][order]]
        free = np.concatenate([first, rest])
        if len(first):
            rows[channel, free] = _round_row(
                rows[channel, free],
                len(first),
                variance[np.ix_(free, free)],
                lows[channel],
                highs[channel],
                step,
            )
    return rows.reshape(weight.shape)


def _round_row(row: Array, count: int, covariance: Array, low: float, high: float, step: Step) -> Array:
    """The first ``count`` weights rounded, one after the other."""
    factor = inverse_factor(damped(covariance))
    for index in range(count):
        rounded = np.clip(nearest(row[index], step), low, high)
        row[index + 1 :] -= (row[index] - rounded) / factor[index, index] * factor[index, index + 1 :]
        row[index] = rounded
    return np.clip(row, low, high)
