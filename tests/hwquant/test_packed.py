"""Integers of a few bits in bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hwquant.errors import HwquantError
from hwquant.packed import pack, unpack

SETTINGS = settings(deadline=None, derandomize=True, max_examples=100)
packed = st.integers(1, 8).flatmap(
    lambda bits: st.tuples(
        st.just(bits), hnp.arrays(np.uint8, st.integers(1, 70), elements=st.integers(0, (1 << bits) - 1))
    )
)


@SETTINGS
@given(packed)
def test_what_is_packed_comes_back_from_the_fewest_bytes(case):
    bits, values = case
    data = pack(values, bits)
    assert data.nbytes == -(-values.size * bits // 8)
    assert np.array_equal(unpack(data, values.size, bits), values)


def test_the_lowest_bit_comes_first():
    assert pack(np.array([[1, 2], [-1, 0]], np.int8), 3).tolist() == [0b11_010_001, 0b0000_000_1]


@SETTINGS
@given(packed, st.data())
def test_other_sizes_types_and_bits_behind_the_last_one_are_refused(case, data):
    bits, values = case
    made = pack(values, bits)
    count = data.draw(st.integers(0, 600).filter(lambda count: -(-count * bits // 8) != made.size))
    for wrong in (made.astype(np.int8), made.reshape(1, -1), np.append(made, np.uint8(0))):
        with pytest.raises(HwquantError, match="packed in"):
            unpack(wrong, values.size, bits)
    with pytest.raises(HwquantError, match="packed in"):
        unpack(made, count, bits)
    if values.size * bits % 8:
        made[-1] |= 1 << data.draw(st.integers(values.size * bits % 8, 7))
        with pytest.raises(HwquantError, match="bits behind the last one that are not zero"):
            unpack(made, values.size, bits)


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_integers_have_one_to_eight_bits(bits):
    with pytest.raises(HwquantError, match="1 to 8 are possible"):
        unpack(np.zeros(1, np.uint8), 1, bits)
