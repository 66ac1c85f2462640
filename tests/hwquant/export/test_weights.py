"""Stored weights, zero point and offset always add up to the adjusted weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.export.weights import WeightOperand
from hwquant.qgraph import Term
from hwquant.window import Window


def term(codes, offset, anchor):
    return Term("x", codes, np.asarray(offset, np.int64), np.ones(1), anchor, window=Window(codes.shape[2:]))


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(-400, 400), min_size=1, max_size=4),
    st.sampled_from(["min", "max"]),
)
def test_every_adjusted_weight_is_expressed_exactly(seed, offset, anchor):
    codes = np.random.default_rng(seed).integers(-128, 128, (len(offset), 2, 1, 3)).astype(np.int8)
    this = term(codes, offset, anchor)
    operand = WeightOperand.of(this)
    rest = 0 if operand.offset is None else operand.offset.reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(operand.stored.astype(int) - operand.zero_point + rest, this.weight)
    assert operand.stored.dtype == np.uint8
    assert 0 <= operand.zero_point <= 255


@pytest.mark.parametrize("offset", [[5], [200, 3]])
def test_no_sum_exceeds_its_bound(offset):
    rng = np.random.default_rng(0)
    this = term(rng.integers(-128, 128, (len(offset), 3, 2, 2)).astype(np.int8), offset, "min")
    operand = WeightOperand.of(this)
    x = rng.choice([-9, 9], (1000, 1, 3, 2, 2))
    stored = ((operand.stored.astype(int) - operand.zero_point) * x).reshape(1000, len(offset), -1)
    assert np.abs(stored.cumsum(axis=2)).max() <= operand.sum_bound(9)
    if operand.offset is not None:
        windows = x.reshape(1000, 1, -1).cumsum(axis=2)
        assert np.abs(windows).max() <= operand.sum_bound(9)
        total = np.abs(stored.sum(axis=2)) + np.abs(windows[:, :, -1] * operand.offset)
        assert total.max() <= operand.bound(9)
