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


@given(
    st.integers(1, 8),
    st.sampled_from(["min", "max"]),
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=4),
)
def test_all_codes_are_within_the_limits_and_come_back(bits, anchor, offsets):
    coding = Coding(bits, anchor, np.array(offsets))
    low, high = integer_limits(bits)
    codes = np.tile(np.arange(low, high + 1, dtype=np.int8), (4 if len(offsets) == 1 else len(offsets), 1))
    adjusted = coding.adjusted(codes)
    least, greatest = coding.limits
    assert np.array_equal(adjusted.min(axis=1), np.broadcast_to(least, len(codes)))
    assert np.array_equal(adjusted.max(axis=1), np.broadcast_to(greatest, len(codes)))
    assert np.array_equal(coding.codes(adjusted), codes)
    assert coding.codes(adjusted).dtype == np.int8
