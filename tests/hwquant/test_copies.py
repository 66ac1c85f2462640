"""Copies of pixels: what they are element by element, and which of them divide an output."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.copies import Copy, Grid, carry_out, check_copies, check_sources, element_index
from hwquant.errors import HwquantError

LINE = st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 6))


def grid(rows, columns):
    return Grid(*zip(rows, columns))


@given(*[LINE] * 4)
def test_grids_meet_where_a_pixel_is_in_both(a, b, c, d):
    one, other = grid(a, b), grid(c, d)
    common = all(np.intersect1d(one.lines(axis), other.lines(axis)).size for axis in (0, 1))
    assert one.meets(other) == other.meets(one) == common


def interleaved(channels):
    """Two tensors (2, 2, 3) in the odd and even columns of one."""
    return tuple(
        Copy(number, channels, (0, 0), (1, 1), Grid((0, number), (1, 2), (2, 3))) for number in range(2)
    )


def test_copies_are_carried_out_element_by_element():
    rng = np.random.default_rng(0)
    shapes = [(2, 2, 3), (2, 2, 3)]
    copies = interleaved(np.array([1, -1, 0]))
    check_copies("it", (3, 2, 6), 2, copies)
    check_sources("it", shapes, copies)
    inputs = [rng.integers(-9, 9, (4, *shape)) for shape in shapes]
    got = carry_out((3, 2, 6), inputs, copies, 7)
    elements = np.concatenate([x.reshape(4, -1) for x in inputs] + [np.full((4, 1), 7)], axis=1)
    np.testing.assert_array_equal(got, elements[:, element_index((3, 2, 6), shapes, copies)])
    np.testing.assert_array_equal(got[:, 0, :, ::2], inputs[0][:, 1])
    np.testing.assert_array_equal(got[:, 1], 7)


WHOLE = Grid((0, 0), (1, 1), (2, 6))


@pytest.mark.parametrize(
    ("copies", "problem"),
    [
        (interleaved(np.array([0, 1]))[:1], "leaves pixels out"),
        ((*interleaved(np.array([0, 1])), Copy(0, np.array([0, 1]), (0, 0), (1, 1), WHOLE)), "copies twice"),
        ([Copy(0, np.array([0, 1]), (0, 0), (0, 0), WHOLE)] * 2, "writes channel 0 of a pixel twice"),
        ([Copy(0, np.array([0]), (0, 0), (0, 0), WHOLE)], r"a copy of \(1,\) channels"),
        ([Copy(2, np.array([0, 1]), (0, 0), (0, 0), WHOLE)], "a copy of"),
        ([Copy(0, np.array([0, 1]), (0, 0), (0, 0), Grid((0, 0), (1, 1), (3, 6)))], "not within"),
        ([Copy(0, np.array([0, 1]), (0, 0), (0, 0), Grid((0, 1), (1, 1 << 40), (2, 6)))], "not within"),
        (
            [Copy(0, np.array([0, 1]), (0, 0), (0, 0), Grid((0, x), (1, 1), (2, 1))) for x in range(300)],
            "copies to 300 places; 256 are possible",
        ),
    ],
)
def test_copies_that_do_not_divide_the_output_are_refused(copies, problem):
    with pytest.raises(HwquantError, match=problem):
        check_copies("it", (2, 2, 6), 2, copies)


@pytest.mark.parametrize(
    "copy",
    [
        Copy(0, np.array([2, 0]), (0, 0), (1, 1), WHOLE),
        Copy(0, np.array([-2, 0]), (0, 0), (1, 1), WHOLE),
        Copy(0, np.array([1, 0]), (1, 0), (1, 1), WHOLE),
        Copy(0, np.array([1, 0]), (0, 4), (1, -1), WHOLE),
    ],
)
def test_copies_of_what_is_not_there_are_refused(copy):
    with pytest.raises(HwquantError, match="reads beyond its input 0"):
        check_sources("it", [(2, 2, 6)], [copy])
