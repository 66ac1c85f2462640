import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.frontends.windows import ceil_padding, same_padding, window
from hwquant.window import Window


def positions(found: Window, size: int) -> int:
    return found.output_size((size, 1))[0]


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(8, 14),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 2),
    data=st.data(),
)
def test_rounding_up_has_the_windows_that_torch_has(size, kernel, stride, dilation, data):
    padding = data.draw(st.integers(0, kernel // 2))
    found = window([kernel, 1], [stride, 1], [padding, 0], [dilation, 1])
    found = ceil_padding(found, (size, 1))
    x = torch.zeros(1, 1, size, 1)
    want = torch.nn.functional.max_pool2d(
        x, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1), ceil_mode=True
    )
    assert positions(found, size) == want.shape[2]
    assert found.padding[0] == padding


@given(size=st.integers(1, 20), kernel=st.integers(1, 5), stride=st.integers(1, 4), upper=st.booleans())
def test_same_padding_has_a_position_for_every_stride_and_is_as_even_as_can_be(size, kernel, stride, upper):
    found = same_padding(window([kernel, 1], [stride, 1]), (size, 1), upper)
    top, _, bottom, _ = found.padding
    assert positions(found, size) == -(-size // stride)
    assert 0 <= (bottom - top if upper else top - bottom) <= 1


def test_one_axis_is_the_width():
    assert window([3], [2], [1, 4], [5]) == Window((1, 3), (1, 2), (0, 1, 0, 4), (1, 5))
    assert window([3]).extent == (1, 3)


def test_padding_of_an_axis_counts_on_both_sides():
    assert window([3, 3], padding=[1, 2]).padding == (1, 2, 1, 2)
    assert window([3, 3], padding=[1, 2, 3, 4]).padding == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([3, 3, 3],), r"a window over 3 axes is not supported"),
        (([],), r"a window over 0 axes is not supported"),
        (([3, 3], [1]), r"stride \[1\].* do not fit kernel \[3, 3\]"),
        (([3, 3], None, [1, 1, 1]), r"padding \[1, 1, 1\] do not fit kernel \[3, 3\]"),
        (([3, 0],), r"kernel \[3, 0\].* must be positive"),
        (([3, 3], [0, 1]), r"stride \[0, 1\].* must be positive"),
        (([1, 2], [(1 << 63) - 1, 1]), r"stride \[9223372036854775807, 1\].* is beyond any image"),
        (([3], None, [1_000_000, 0]), r"padding \[1000000, 0\] is beyond any image"),
        (([3, 3], None, [-1, 0]), r"padding \[-1, 0, -1, 0\] must not be negative"),
    ],
)
def test_windows_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(HwquantError, match=message):
        window(*arguments)
