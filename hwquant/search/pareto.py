"""Which candidates no other one beats in everything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Find the points that no other point dominates.

    Parameters
    ----------
    costs : sequence of sequence of float, shape (points, objectives)
        Costs of each point, each to be as small as possible.

    Returns
    -------
    list of int
        Indices of the points, in order; of equal points only the first.
    """
    points = np.array(costs, np.float64)
    kept = []
    for index, point in enumerate(points):
        no_worse, better = (points <= point).all(axis=1), (points < point).any(axis=1)
        equal_before = (points[:index] == point).all(axis=1).any()
        if not equal_before and not (no_worse & better).any():
            kept.append(index)
    return kept
