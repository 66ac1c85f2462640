import math

import numpy as np
import pytest

from hwquant.golden.pooling import Pooling
from hwquant.qgraph import MaxPool
from hwquant.window import Window

torch = pytest.importorskip("torch", reason="torch is the oracle: pip install 'hwquant[torch]'")

POOLS = [
    MaxPool("p", ("x",), Window((2, 2), (2, 2))),
    MaxPool("p", ("x",), Window((1, 1), (1, 1))),
    MaxPool("p", ("x",), Window((1, 3), (3, 2))),
    MaxPool("p", ("x",), Window((3, 3), (1, 2), (1, 2, 2, 1))),
    MaxPool("p", ("x",), Window((2, 3), (2, 1), (0, 0, 1, 2))),
    MaxPool("p", ("x",), Window((2, 2), (1, 1), (0, 0, 0, 0), (4, 3))),
    MaxPool("p", ("x",), Window((7, 6), (1, 1))),
]


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_maxima_are_those_of_torch(pool):
    x = np.random.default_rng(0).integers(-99, 99, (5, 3, 7, 6)).astype(np.float32)
    top, left, bottom, right = pool.window.padding
    padded = torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom), value=-math.inf)
    expected = torch.nn.functional.max_pool2d(
        padded, pool.window.kernel, stride=pool.window.stride, dilation=pool.window.dilation
    ).numpy()
    source = np.ascontiguousarray(x.transpose(2, 3, 1, 0))
    wanted = expected.transpose(2, 3, 1, 0)
    height = len(wanted)
    for rows in (1, 2, height):
        pooling = Pooling(pool.window, source.shape[1:], rows, np.dtype(np.float32))
        for first in range(0, height, rows):
            out = np.full((min(rows, height - first), *wanted.shape[1:]), np.nan, np.float32)
            start = max(0, first * pool.window.stride[0] - top)  # the rows before are not there
            pooling(source[start:], start, first, out)
            np.testing.assert_array_equal(out, wanted[first : first + rows])
