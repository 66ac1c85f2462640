"""Single layers at the edges of what ONNX's operators can do."""

import numpy as np
import onnx
import pytest
from hwquant_testing.small_networks import Net

from hwquant.errors import HwquantError
from hwquant.export import to_onnx


def operators(model):
    return [node.op_type for node in model.graph.node]


def constant(model, name):
    return next(onnx.numpy_helper.to_array(item) for item in model.graph.initializer if item.name == name)


@pytest.mark.parametrize("anchor", ["min", "max"])
@pytest.mark.parametrize("offset", [-129, -128, -127, 0, 1, 127, 128, 129, -100_000])
def test_every_offset_is_exact_in_the_zero_point_or_beside_it(assert_equal, real_inputs, anchor, offset):
    net = Net(x=(3, 6, 5))
    net.conv("x", 4, (3, 3), offset=offset, anchor=anchor, padding=(1, 0, 2, 1), shift=20)
    qgraph = net.build()
    model = assert_equal(qgraph, real_inputs(qgraph))
    fits = -127 <= offset <= 128 if anchor == "min" else -128 <= offset <= 127
    assert operators(model).count("ConvInteger") == (1 if fits else 2)


@pytest.mark.parametrize("bits", [1, 2, 7, 8])
@pytest.mark.parametrize("offset", [1, -1, 129, -127, [1, 5, -3, 301]])
def test_every_mid_rise_grid_is_exact(assert_equal, real_inputs, bits, offset):
    net = Net(x=(4, 6, 5))
    options = {"bits": bits, "step": 2, "offset": offset, "padding": (1, 0, 2, 1), "groups": 2}
    codes = np.random.default_rng(bits).integers(-(1 << (bits - 1)), 1 << (bits - 1), (4, 2, 3, 3))
    net.conv("x", 4, (3, 3), codes=codes, shift=bits + 4, **options)
    net.conv("layer0", 4, (3, 3), codes=codes, shift=bits + 4, anchor="max", **options)
    qgraph = net.build()
    assert_equal(qgraph, real_inputs(qgraph))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_offsets_of_every_channel_are_exact_in_groups(assert_equal, real_inputs, groups):
    net = Net(x=(6, 5, 5))
    offset = np.arange(-6, 6) * 20
    net.conv("x", 12, (3, 2), offset=offset, groups=groups, dilation=(2, 1), padding=(2, 1, 1, 0))
    qgraph = net.build()
    assert_equal(qgraph, real_inputs(qgraph))


def test_one_window_sum_serves_all_channels_that_see_the_same_inputs():
    net = Net(x=(6, 5, 5))
    net.conv("x", 12, (3, 3), offset=np.arange(12))
    assert constant(to_onnx(net.build()), "layer0/window").shape == (1, 6, 3, 3)


def test_equal_offsets_of_every_channel_are_one_zero_point(assert_equal, real_inputs):
    net = Net(x=(2, 4, 4))
    net.conv("x", 3, offset=np.full(3, 7))
    qgraph = net.build()
    assert operators(assert_equal(qgraph, real_inputs(qgraph))).count("ConvInteger") == 1


@pytest.mark.parametrize("shift", [0, 1, 12, 29, 30, 31, 60])
def test_every_shift_is_arithmetic_and_rounds_half_up(assert_equal, real_inputs, shift):
    net = Net(x=(3, 6, 6), seed=shift)
    # The bias spreads the sums over what the shift leaves, on both sides of zero.
    net.conv("x", 6, shift=shift, bias=(np.arange(-3, 3) << shift) // 2)
    qgraph = net.build()
    model = assert_equal(qgraph, real_inputs(qgraph))
    assert constant(model, "layer0/bias").dtype == (np.int32 if shift < 29 else np.int64)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_halves_round_up_on_both_sides_of_zero(assert_equal, shift):
    net = Net(x=(1, 1, 9))
    net.conv("x", 1, codes=[[[[1]]]], shift=shift, bias=[0], zero_point=0)
    qgraph = net.build()
    assert_equal(qgraph, np.arange(-4, 5, dtype=np.float32).reshape(1, 1, 1, 9))


def test_a_shift_of_every_channel_is_exact(assert_equal, real_inputs):
    net = Net(x=(3, 6, 6))
    net.conv("x", 4, (3, 3), shift=np.array([0, 5, 9, 20]))
    qgraph = net.build()
    assert_equal(qgraph, real_inputs(qgraph))


@pytest.mark.parametrize("factor", [[3], [1 << 14, 3, 77, (1 << 15) - 1], [1 << 33]])
def test_multipliers_are_exact_beyond_32_bits(assert_equal, real_inputs, factor):
    net = Net(x=(3, 6, 6))
    shift = int(np.log2(max(factor))) + 9
    net.conv("x", 4, (3, 3), shift=shift, multiplier=np.array(factor))
    qgraph = net.build()
    assert_equal(qgraph, real_inputs(qgraph))


def test_terms_are_shifted_and_summed(assert_equal, real_inputs):
    net = Net(x=(4, 6, 6), y=(4, 6, 6))
    net.layer(
        net.term("x", 4, (3, 3), padding=(1, 1, 1, 1), offset=5),
        net.term("y", 4, shift=6, offset=np.array([1, -2, 3, 0])),
        net.term("x", 4, codes=np.eye(4)[:, :, None, None], bits=2, shift=9),
        shift=10,
    )
    qgraph = net.build()
    assert_equal(qgraph, real_inputs(qgraph))


@pytest.mark.parametrize(
    "pool",
    [
        {"kernel": (2, 2)},
        {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1, 2, 0)},
        {"kernel": (2, 2), "stride": (1, 1), "dilation": (2, 3)},
        {"kernel": (2, 2), "stride": (1, 1), "padding": (2, 0, 2, 2), "dilation": (3, 3)},
        {"kernel": (2, 2), "stride": (5, 5), "padding": (0, 0, 3, 3)},
    ],
    ids=str,
)
def test_every_max_pool_is_exact(assert_equal, real_inputs, pool):
    net = Net(x=(3, 7, 8))
    first = net.conv("x", 3)
    net.pool(first, **pool)
    qgraph = net.build()
    assert_equal(qgraph, real_inputs(qgraph))


def test_joined_tensors_and_several_outputs_are_exact(assert_equal, real_inputs):
    net = Net(x=(3, 5, 5), y=(2, 5, 5))
    first, second = net.conv("x", 4), net.conv("y", 3)
    joined = net.concat(first, second, first)
    qgraph = net.build(joined, second)
    assert_equal(qgraph, real_inputs(qgraph))


def test_sums_beyond_32_bits_are_refused_by_name():
    net = Net(x=(140_000, 1, 1))
    net.conv("x", 1, codes=np.full((1, 140_000, 1, 1), -128), offset=-128, shift=30, name="wide")
    with pytest.raises(
        HwquantError, match=r"layer 'wide' sums 140000 products .* 32 bits of ONNX's ConvInteger"
    ):
        to_onnx(net.build())


def test_sums_beyond_64_bits_are_refused_by_name():
    # All that is asked of a valid network is that its sums stay below 2^63: no multiple of 2^62 fits on top.
    net = Net(x=(1, 1, 1))
    net.conv("x", 1, codes=[[[[1]]]], bias=[1 << 30], multiplier=1 << 32, shift=62, name="huge")
    with pytest.raises(HwquantError, match=r"layer 'huge' reaches .* 64-bit"):
        to_onnx(net.build())
