import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.frontends.values import Value, compressed, layout, simplified


def test_a_view_follows_the_numpy_functions_that_move_its_elements():
    base = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    value, want = Value("t", base.shape), base
    for function in (
        lambda array: array.transpose(0, 2, 3, 1),
        lambda array: array.reshape(2, 20, 3),
        lambda array: array.swapaxes(1, 2),
        lambda array: array[:, None],
    ):
        value, want = value.view(function), function(want)
    assert value.shape == want.shape
    np.testing.assert_array_equal(base.ravel()[value.indices()], want)


def test_an_order_that_returns_to_the_base_is_none():
    value = Value("t", (2, 3, 4)).view(lambda array: array.transpose(0, 2, 1))
    assert value.index is not None
    assert value.view(lambda array: array.transpose(0, 2, 1)).index is None
    assert value.view(lambda array: array.transpose(0, 2, 1).reshape(2, 12)).shape == (2, 12)


@pytest.mark.parametrize(
    ("shape", "want"),
    [
        ((), (1, 1, 1)),
        ((7,), (7, 1, 1)),
        ((7, 5), (7, 1, 5)),
        ((7, 5, 3), (7, 5, 3)),
        ((7, 5, 3, 2), (7, 5, 6)),
    ],
)
def test_layout_is_channel_major(shape, want):
    assert layout(shape) == want


@given(st.data())
def test_compressed_is_the_smallest_array_that_broadcasts_to_the_whole(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=0, max_size=4)))
    small = tuple(data.draw(st.sampled_from([1, size])) for size in shape)
    rng = np.random.default_rng(0)
    whole = np.broadcast_to(rng.standard_normal(small), shape)
    got = compressed(whole)
    assert isinstance(got, np.ndarray)
    assert got.size == np.prod(small, dtype=int)
    assert got.ndim == 0 or got.shape[0] > 1
    np.testing.assert_array_equal(np.broadcast_to(got, shape), whole)


def test_simplified_keeps_an_order_that_matters():
    assert simplified(np.array([[0, 1], [2, 3]])) is None
    np.testing.assert_array_equal(simplified(np.array([1, 0])), [1, 0])
