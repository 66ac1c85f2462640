"""Convolutions whose channels do not mix, against torch."""

import numpy as np
import pytest
import torch
from hwquant_testing.small_networks import Net

from hwquant.golden import fast, layer
from hwquant.golden.convolution import Convolution
from hwquant.golden.depthwise import Banded, Scaling
from hwquant.golden.memory import Arena
from hwquant.qgraph import Term
from hwquant.window import Window

CHANNELS, IMAGES = 3, 5


def example(kernel, size, dtype, **options):
    """A term, its weight, its input block, and its output [height, width, channels, images] by torch."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-9, 10, (CHANNELS, 1, *kernel)).astype(dtype)
    codes = np.zeros(weight.shape, np.int8)
    term = Term(
        "x",
        codes,
        np.zeros(1, np.int64),
        np.ones(1),
        window=Window(kernel, **options),
        groups=CHANNELS,
    )
    x = rng.integers(-9, 10, (IMAGES, CHANNELS, *size)).astype(np.float64)
    top, left, bottom, right = term.window.padding
    result = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom)),
        torch.from_numpy(weight.astype(np.float64)),
        stride=term.window.stride,
        dilation=term.window.dilation,
        groups=CHANNELS,
    ).numpy()
    source = np.ascontiguousarray(x.transpose(2, 3, 1, 0)).astype(np.float32)
    return term, weight, source, result.transpose(2, 3, 1, 0)


def check(kind, term, weight, source, expected):
    """Any rows and columns, again and again."""
    height, width = expected.shape[:2]
    for rows in {1, 2, height}:
        for columns in {width, max(1, width - 2)}:
            block = kind(term, weight, source, rows, columns, Arena())
            for first in [*range(0, height, rows)] * 2:
                wanted = expected[first : first + rows, :columns]
                sums = np.full(wanted.shape, np.nan, weight.dtype)
                block(first, sums)
                np.testing.assert_array_equal(sums, wanted)


@pytest.mark.parametrize("size", [(7, 6), (1, 9), (9, 1), (3, 3)])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": (1, 1, 1, 1)},
        {"padding": (0, 1, 2, 1), "stride": (2, 1)},
        {"padding": (2, 2, 2, 2), "dilation": (2, 2), "stride": (1, 2)},
        {"padding": (4, 1, 4, 1)},  # output rows that see padding alone
        {"padding": (1, 1, 1, 1), "stride": (3, 3)},
    ],
    ids=str,
)
def test_banded_products_are_those_of_torch(size, options):
    check(Banded, *example((3, 3), size, np.float32, **options))


def test_a_kernel_of_the_whole_image_is_one_product():
    check(Banded, *example((7, 6), (7, 6), np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_a_kernel_of_one_weight_is_a_multiplication(dtype, stride):
    check(Scaling, *example((1, 1), (7, 6), dtype, stride=stride))


@pytest.mark.parametrize(
    ("size", "groups", "kernel", "kind"),
    [
        ((6, 5), 4, (3, 3), Banded),
        ((6, 40), 4, (3, 3), Convolution),  # a band as wide as the image would be mostly zeros
        ((6, 40), 4, (6, 40), Banded),
        ((6, 40), 4, (1, 1), Scaling),
        ((6, 5), 1, (3, 3), Convolution),
        ((6, 5), 2, (3, 3), Convolution),
    ],
)
def test_each_layer_is_computed_in_the_way_that_suits_it(size, groups, kernel, kind):
    net = Net(x=(4, *size))
    net.conv("x", 4, kernel, groups=groups, bits=4)
    (step,) = fast.Engine(net.build(), ["layer0"], 2, Arena()).steps
    assert isinstance(step, layer.LayerStep)
    assert [type(item) for item in step.convolutions] == [kind]
