"""Views of tensors as copies: every one that is found means the view, and those of real networks are few."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.copies import check_copies, element_index
from hwquant.frontends.found_copies import find_copies
from hwquant.frontends.resize import depth_to_space, space_to_depth

SHAPE = (4, 6, 8)
BASE = np.arange(np.prod(SHAPE)).reshape(SHAPE)


def batched(function):
    return lambda array: function(array[None])[0]


@pytest.mark.parametrize(
    ("moved", "targets"),
    [
        (lambda a: a.repeat(2, 1).repeat(2, 2), 4),
        (lambda a: a.repeat(3, 1), 3),
        (lambda a: a[1:3, 1:5:2, ::-1], 1),
        (lambda a: a[[3, 1, 1, 0]], 1),
        (batched(depth_to_space(2, True)), 4),
        (batched(depth_to_space(2, False)), 4),
        (batched(space_to_depth(2, True)), 1),
        (lambda a: np.pad(a, ((0, 0), (1, 1), (2, 2)), mode="reflect"), 9),
        (lambda a: np.pad(a, ((1, 2), (0, 0), (0, 0)), constant_values=a.size), 1),
        (lambda a: np.roll(a, 2, axis=2), 2),
        (lambda a: np.broadcast_to(a[:, :1, :1], (4, 9, 9)), 1),
        (lambda a: np.tile(a, (2, 2, 3)), 6),
    ],
)
def test_a_view_is_copied_to_as_few_places_as_its_phases_and_borders(moved, targets):
    index = np.ascontiguousarray(moved(BASE))
    copies = find_copies(index, [SHAPE])
    check_copies("it", index.shape, 1, copies)
    np.testing.assert_array_equal(element_index(index.shape, [SHAPE], copies), index)
    assert len({copy.target for copy in copies}) == targets


def test_single_pixels_in_no_order_are_too_many_copies():
    shape = (2, 9, 9)
    index = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape)
    assert find_copies(index, [shape]) is None


LINE = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(LINE, LINE, LINE, st.lists(st.integers(0, 1), min_size=6, max_size=6))
def test_lines_of_two_tensors_in_any_order_are_found(channels, rows, columns, parts):
    shapes = [(4, 4, 4), (4, 4, 4)]
    both = np.arange(128).reshape(2, 4, 4, 4)
    index = np.stack([both[part, channel][np.ix_(rows, columns)] for part, channel in zip(parts, channels)])
    copies = find_copies(index, shapes)
    check_copies("it", index.shape, 2, copies)
    np.testing.assert_array_equal(element_index(index.shape, shapes, copies), index)
