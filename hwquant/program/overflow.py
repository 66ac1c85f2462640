"""The proof that accumulators do not overflow: exact bounds from the actual weights."""

from __future__ import annotations

import numpy as np

from hwquant.qgraph import IntArray


def sum_range(weight: IntArray, limits: tuple[int, int]) -> tuple[IntArray, IntArray]:
    """Bound the sums ``Sum_r weight[r, c] * x[r]`` of every column c, over all x within ``limits``.

    Both bounds are attained, so no narrower accumulator is safe. Intermediate sums may wrap around, because
    two's complement addition is exact modulo the width; only the final sum has to fit.

    Parameters
    ----------
    weight : ndarray of int64, shape (rows, columns)
        Adjusted weights.
    limits : tuple of int
        Least and greatest value of an input.

    Returns
    -------
    low : ndarray of int64, shape (columns,)
        The least sums.
    high : ndarray of int64, shape (columns,)
        The greatest sums.
    """
    at_low, at_high = weight * limits[0], weight * limits[1]
    return np.minimum(at_low, at_high).sum(axis=0), np.maximum(at_low, at_high).sum(axis=0)
