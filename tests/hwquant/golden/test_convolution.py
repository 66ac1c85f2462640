import numpy as np
import pytest
from hwquant_testing.windows import take_window

from hwquant.golden import convolution
from hwquant.golden.convolution import Convolution, covered
from hwquant.golden.memory import Arena
from hwquant.qgraph import Term

torch = pytest.importorskip("torch", reason="torch is the oracle: pip install 'hwquant[torch]'")

GEOMETRIES = {
    "pointwise": {"kernel": (1, 1)},
    "pointwise, strided": {"kernel": (1, 1), "stride": (2, 3)},
    "flat kernel": {"kernel": (1, 3)},
    "tall kernel": {"kernel": (3, 1), "padding": (2, 0, 0, 1)},
    "same": {"kernel": (3, 3), "padding": (1, 1, 1, 1)},
    "even": {"kernel": (4, 2), "padding": (1, 0, 2, 1)},
    "strided": {"kernel": (3, 3), "stride": (2, 3), "padding": (0, 1, 1, 2)},
    "dilated": {"kernel": (3, 2), "dilation": (2, 3), "padding": (2, 1, 3, 0)},
    "grouped": {"kernel": (3, 3), "groups": 2, "padding": (1, 1, 1, 1)},
    "depthwise": {"kernel": (3, 3), "groups": 4, "padding": (1, 1, 1, 1)},
    "depthwise, strided, dilated": {"kernel": (2, 3), "groups": 4, "stride": (3, 2), "dilation": (1, 2)},
    "whole input": {"kernel": (7, 6)},
    "more padding than kernel": {"kernel": (2, 2), "padding": (3, 4, 5, 3)},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_any_rows_are_those_of_torch(geometry, depth, dtype, monkeypatch):
    rng = np.random.default_rng(0)
    options = {key: value for key, value in geometry.items() if key != "kernel"}
    groups = options.get("groups", 1)
    channels = depth * groups
    shape = (4, depth, *geometry["kernel"])
    weight = rng.integers(-9, 10, shape).astype(dtype)
    codes = np.zeros(shape, np.int8)
    term = Term("x", codes, np.zeros(1, np.int64), np.ones(1), window=take_window(codes, options), **options)
    x = rng.integers(-9, 10, (5, channels, 7, 6))
    source = np.ascontiguousarray(x.transpose(2, 3, 1, 0)).astype(np.float32)
    top, left, bottom, right = term.window.padding
    expected = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.from_numpy(x.astype(np.float64)), (left, right, top, bottom)),
        torch.from_numpy(weight.astype(np.float64)),
        stride=term.window.stride,
        dilation=term.window.dilation,
        groups=groups,
    ).numpy()
    _, height, width = term.output_shape((channels, 7, 6))
    for fewest in (1, 4):  # one output channel a product, and all
        monkeypatch.setattr(convolution, "PRODUCT_LIMITS", (1,))
        monkeypatch.setattr(convolution, "FEWEST_ROWS", fewest)
        for rows in (1, 2, height):
            for columns in {width, max(1, width - 2)}:
                block = Convolution(term, weight, source, rows, columns, Arena())
                for first in [*range(0, height, rows)] * 2:  # again: nothing stale may be left
                    sums = np.full((min(rows, height - first), columns, 4, 5), np.nan, dtype)
                    block(first, sums)
                    wanted = expected[:, :, first : first + rows, :columns].transpose(2, 3, 1, 0)
                    np.testing.assert_array_equal(sums, wanted)


def test_covered_positions_are_those_inside():
    for count in (1, 4):
        for stride in (1, 2, 3):
            for origin in range(-9, 9):
                for size in (1, 5):
                    inside = [i for i in range(count) if 0 <= origin + i * stride < size]
                    first, last = covered(count, stride, origin, size)
                    assert list(range(first, last)) == inside
                    assert 0 <= first <= last <= count


def test_products_are_small_but_not_too_small():
    assert convolution._rows_at_once(16, 1000) == 16
    assert convolution._rows_at_once(64, 36864) == 4  # 7 fit, 4 divides
    assert convolution._rows_at_once(128, 73728) == 8  # only 3 fit the first limit
    assert convolution._rows_at_once(512, 294912) == 512  # only 3 fit the second
    assert convolution._rows_at_once(1, 10**9) == 1
    assert convolution._rows_at_once(13, 100_000) == 13  # prime, and larger than every limit
