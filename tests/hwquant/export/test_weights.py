"""Stored weights, zero point and offset always add up to the adjusted weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.export.weights import WeightOperand
from hwquant.qgraph import Term
from hwquant.window import Window


def term(codes, offset, anchor, bits=8, step=1):
    window = Window(codes.shape[2:])
    return Term("x", codes, np.asarray(offset, np.int64), np.ones(1), anchor, bits, window, step=step)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(-400, 400), min_size=1, max_size=4),
    st.sampled_from(["min", "max"]),
    st.sampled_from([1, 2]),
    st.integers(1, 8),
)
def test_every_adjusted_weight_is_expressed_exactly(seed, offset, anchor, step, bits):
    half = 1 << (bits - 1)
    codes = np.random.default_rng(seed).integers(-half, half, (len(offset), 2, 1, 3)).astype(np.int8)
    this = term(codes, [value // step * step + step - 1 for value in offset], anchor, bits, step)
    operand = WeightOperand.of(this)
    rest = 0 if operand.offset is None else operand.offset.reshape(-1, 1, 1, 1)
    stored = operand.factor * (operand.stored.astype(int) - operand.zero_point)
    np.testing.assert_array_equal(stored + rest, this.weight)
    assert operand.stored.dtype == np.uint8
    assert 0 <= operand.zero_point <= 255


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("offset", [[5], [201, 3]])
def test_no_sum_exceeds_its_bound(offset, step):
    rng = np.random.default_rng(0)
    this = term(rng.integers(-128, 128, (len(offset), 3, 2, 2)).astype(np.int8), offset, "min", step=step)
    operand = WeightOperand.of(this)
    x = rng.choice([-9, 9], (1000, 1, 3, 2, 2))
    stored = ((operand.stored.astype(int) - operand.zero_point) * x).reshape(1000, len(offset), -1)
    assert np.abs(stored.cumsum(axis=2)).max() <= operand.sum_bound(9)
    if operand.offset is not None:
        windows = x.reshape(1000, 1, -1).cumsum(axis=2)
        assert np.abs(windows).max() <= operand.sum_bound(9)
        total = operand.factor * np.abs(stored.sum(axis=2)) + np.abs(windows[:, :, -1] * operand.offset)
        assert total.max() <= operand.bound(9)
