"""Widths, exact by brute force."""

from hypothesis import given
from hypothesis import strategies as st

from hwquant.program.widths import bits_for, index_bits


def holds(bits, value):
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


@given(st.integers(-(1 << 50), 1 << 50), st.integers(-(1 << 50), 1 << 50))
def test_bits_for_is_the_narrowest_signed_width(a, b):
    bits = bits_for(min(a, b), max(a, b))
    assert holds(bits, a)
    assert holds(bits, b)
    assert bits == 1 or not (holds(bits - 1, a) and holds(bits - 1, b))


def test_bits_for_at_the_powers_of_two():
    assert [bits_for(0, n) for n in (0, 1, 2, 3, 4, 127, 128)] == [1, 2, 3, 3, 4, 8, 9]
    assert [bits_for(n, 0) for n in (-1, -2, -3, -128, -129)] == [1, 2, 3, 8, 9]


def test_index_bits_count_to_one_less():
    for count in range(1, 300):
        bits = index_bits(count)
        assert 1 << bits >= count
        assert bits == 1 or 1 << (bits - 1) < count
