import numpy as np
import pytest
import torch

from hwquant.window import Window


@pytest.mark.parametrize("size", [5, 8, 11])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_window_positions_are_those_of_torch(size, kernel, stride, dilation):
    for padding in range(kernel // 2 + 1):
        want = torch.nn.functional.max_pool1d(
            torch.zeros(1, 1, size), kernel, stride, padding, dilation
        ).shape[2]
        window = Window((1, kernel), (1, stride), (0, padding, 0, padding), (1, dilation))
        assert window.output_size((1, size)) == (1, want)


@pytest.mark.parametrize("seed", range(200))
def test_windows_that_see_no_pixel_are_found(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = ((int(n), int(m)) for n, m in rng.integers(1, 4, (3, 2)))
    top, left, bottom, right = rng.integers(0, 5, 4).tolist()
    size = tuple(rng.integers(1, 6, 2).tolist())
    window = Window(kernel, stride, (top, left, bottom, right), dilation)
    rows, columns = window.output_size(size)
    if min(rows, columns) < 1:
        return
    padded = np.pad(np.ones(size), ((top, bottom), (left, right)))
    seen = [
        padded[y * stride[0] :: dilation[0], x * stride[1] :: dilation[1]][: kernel[0], : kernel[1]].any()
        for y in range(rows)
        for x in range(columns)
    ]
    assert window.sees_a_pixel_everywhere(size) == all(seen), f"seed {seed}"
