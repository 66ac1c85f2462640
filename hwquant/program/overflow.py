"""The proof that accumulators do not overflow: exact bounds from the actual weights."""

from __future__ import annotations

import numpy as np

from hwquant.qgraph import IntArray


def sum_range(weight: IntArray, limits: tuple[int, int]) -> tuple[IntArray, IntArray]:
    """Least and greatest ``Sum_r weight[r, c] * x[r]`` over all x within ``limits``, for each column c.

    Both are attained, so no narrower accumulator is safe. Intermediate sums may wrap around, because
    two's complement addition is exact modulo the width; only the final one has to fit.
    """
    at_low, at_high = weight * limits[0], weight * limits[1]
    return np.minimum(at_low, at_high).sum(axis=0), np.maximum(at_low, at_high).sum(axis=0)
