"""The front, against its definition."""

import numpy as np

from hwquant.search.pareto import front


def test_the_front_is_what_nothing_dominates():
    points = np.random.default_rng(3).integers(0, 6, (60, 3))
    expected = [
        i
        for i, a in enumerate(points)
        if not any((b <= a).all() and (b < a).any() for b in points)
        and not any((b == a).all() for b in points[:i])
    ]
    assert front(points.tolist()) == expected


def test_a_single_point_is_a_front_and_equal_points_are_on_it_once():
    assert front([[1.0, 2.0]]) == [0]
    assert front([[1.0, 2.0], [1.0, 2.0]]) == [0]
    assert front([]) == []
