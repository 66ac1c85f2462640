"""Codes and what they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.coding import Coding, integer_limits


@pytest.mark.parametrize(
    ("anchor", "expected"), [("min", [[3, 12], [-9, -5]]), ("max", [[-3, -12], [-11, -15]])]
)
def test_codes_count_up_from_the_least_weight_or_down_from_the_greatest(anchor, expected):
    coding = Coding(4, anchor, np.array([5, -10]) if anchor == "min" else np.array([-5, -10]))
    codes = np.array([[-2, 7], [1, 5]], np.int8)
    assert coding.adjusted(codes).tolist() == expected
    assert coding.adjusted(codes).dtype == np.int64


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(1, [-1, 1]), (2, [-3, -1, 1, 3]), (3, [-7, -5, -3, -1, 1, 3, 5, 7]), (8, list(range(-255, 256, 2)))],
)
def test_codes_two_apart_lie_on_both_sides_of_zero(bits, expected):
    codes = np.arange(-(1 << (bits - 1)), 1 << (bits - 1)).astype(np.int8)
    assert Coding(bits, "min", np.array([1]), 2).adjusted(codes).tolist() == expected
    assert Coding(bits, "max", np.array([-1]), 2).adjusted(codes).tolist() == expected[::-1]


@given(
    st.integers(1, 8),
    st.sampled_from(["min", "max"]),
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=4),
    st.sampled_from([1, 2]),
)
def test_all_codes_are_within_the_limits_and_come_back(bits, anchor, offsets, step):
    coding = Coding(bits, anchor, np.array(offsets), step)
    low, high = integer_limits(bits)
    codes = np.tile(np.arange(low, high + 1, dtype=np.int8), (4 if len(offsets) == 1 else len(offsets), 1))
    adjusted = coding.adjusted(codes)
    least, greatest = coding.limits
    assert np.array_equal(adjusted.min(axis=1), np.broadcast_to(least, len(codes)))
    assert np.array_equal(adjusted.max(axis=1), np.broadcast_to(greatest, len(codes)))
    assert np.array_equal(coding.codes(adjusted), codes)
    assert coding.codes(adjusted).dtype == np.int8
