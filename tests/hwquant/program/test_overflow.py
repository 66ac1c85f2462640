"""Bounds of sums that are attained, and networks that are refused because of them."""

import itertools

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.errors import HwquantError
from hwquant.golden import reference
from hwquant.program.compiler import compile_network
from hwquant.program.overflow import sum_range


@pytest.mark.parametrize("seed", range(20))
def test_bounds_of_sums_are_their_extremes_over_all_inputs(seed):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-9, 10, (4, 3))
    limits = sorted(rng.integers(-3, 4, 2).tolist())
    low, high = sum_range(weight, tuple(limits))
    inputs = np.array(list(itertools.product(range(limits[0], limits[1] + 1), repeat=4)))
    sums = inputs @ weight
    np.testing.assert_array_equal(low, sums.min(axis=0))
    np.testing.assert_array_equal(high, sums.max(axis=0))


def wide(bias=0):
    """A network whose second layer has by far the largest sums."""
    net = Net(x=(8, 3, 3))
    net.conv("x", 4, bits=3)
    net.conv("layer0", 4, (3, 3), codes=np.full((4, 4, 3, 3), 100), name="large", bias=[bias] * 4)
    net.conv("large", 2, bits=3)
    return net.build()


def test_a_network_that_could_overflow_is_refused_with_the_layer():
    needed = compile_network(wide(), (4, 4)).config.accumulator_bits
    assert (
        compile_network(wide(), (4, 4), limits={"accumulator_bits": needed}).config.accumulator_bits == needed
    )
    message = (
        rf"the network does not fit: accumulator_bits {needed} is needed \(layer 'large' in the worst case\), "
        rf"{needed - 1} is available, 1 too few; it would fit with wider accumulators"
    )
    with pytest.raises(HwquantError, match=message):
        compile_network(wide(), (4, 4), limits={"accumulator_bits": needed - 1})


def test_accumulators_are_as_wide_as_the_worst_input_needs():
    """Of a layer whose extremes can be computed: with the rounding term and the zero point in the bias."""
    qgraph = wide(bias=-12345)
    config = compile_network(qgraph, (4, 4)).config
    layer, tensor = qgraph.nodes[1], qgraph.tensors["layer0"]
    half, zero = 1 << (layer.shift[0] - 1), qgraph.tensors["large"].zero_point << layer.shift[0]
    sums = [100 * 36 * (extreme - tensor.zero_point) - 12345 + half + zero for extreme in tensor.limits]
    width = max(int(value if value >= 0 else ~value).bit_length() + 1 for value in sums)
    assert config.accumulator_bits == width


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_worst_input_does_not_overflow_the_accumulators_that_were_chosen(sign):
    """Weights and inputs at their extremes, in hardware that is not a bit wider than it has to be."""
    from hwquant.sim.check import verify

    net = Net(x=(8, 2, 2))
    codes = np.where(np.arange(16).reshape(2, 8, 1, 1) % 2, 127, -128)
    net.conv("x", 2, codes=codes, shift=10, bias=[0, 0])
    qgraph = net.build()
    program = compile_network(qgraph, (4, 4))
    worst = np.where(codes[:1, :, 0, 0, None, None] * sign > 0, 127, -128) * np.ones((1, 8, 2, 2), np.int64)
    result = verify(program, qgraph, {"x": worst}, simulator="amaranth", watch=1)
    assert result.first is None, str(result.first)


def test_accumulators_beyond_the_widest_are_refused():
    net = Net(x=(4, 2, 2))
    net.conv("x", 2, bias=[1 << 50, 0])
    with pytest.raises(HwquantError, match="accumulator_bits"):
        compile_network(net.build(), (4, 4))


def test_bounds_of_sums_cover_what_random_images_give():
    net = Net(3, x=(6, 4, 4))
    net.conv("x", 5, (3, 3), offset=20)
    qgraph = net.build()
    bits = compile_network(qgraph, (4, 4)).config.accumulator_bits
    acc = reference.accumulate(qgraph.nodes[0], images(qgraph, 50), qgraph.tensors)
    assert np.abs(acc).max() < 1 << (bits - 1)
