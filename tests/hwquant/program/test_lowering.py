"""Layers on the array mean what the network's nodes mean: a plain evaluation of them against the golden model."""

import itertools

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.errors import HwquantError
from hwquant.golden import run
from hwquant.program.lowering import lower
from hwquant.qgraph import Layer
from hwquant.random_networks import random_images, random_qgraph


def evaluate(layer, tensors, values):
    """One image through a layer, pixel by pixel of its windows, as its docstring says."""
    (height, width), (wh, ww) = layer.pixels, layer.window
    out = len(layer.bias)
    shift = np.broadcast_to(layer.shift, out)
    multiplier = 1 if layer.multiplier is None else np.broadcast_to(layer.multiplier, out)
    half = np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0)
    result = np.zeros((out, height, width), np.int64)
    for oy, ox in itertools.product(range(height), range(width)):
        best = None
        for wy, wx in itertools.product(range(wh), range(ww)):
            y = oy * layer.window_stride[0] + wy * layer.window_dilation[0]
            x = ox * layer.window_stride[1] + wx * layer.window_dilation[1]
            total = layer.bias.copy()
            for term in layer.terms:
                total += product(term, tensors[term.tensor].zero_point, values[term.tensor], y, x)
            value = ((total * multiplier + half) >> shift) + layer.zero_point
            value = np.clip(value, layer.low, layer.high)
            best = value if best is None else np.maximum(best, value)
        result[:, oy, ox] = best
    return result


def product(term, zero_point, q, y, x):
    """A term's sum at position (y, x) of its output."""
    _, height, width = q.shape
    weight = term.dense()
    total = np.zeros(len(weight), np.int64)
    for ky, kx in itertools.product(*map(range, weight.shape[2:])):
        iy = y * term.stride[0] + ky * term.dilation[0] - term.padding[0]
        ix = x * term.stride[1] + kx * term.dilation[1] - term.padding[1]
        inside = 0 <= iy < height and 0 <= ix < width
        pixel = q[:, iy, ix] if inside else np.full(len(q), term.pad)
        total += weight[:, :, ky, kx] @ (pixel - zero_point)
    return total


def assert_steps_mean_the_network(qgraph, q):
    layers = lower(qgraph)
    expected = run(qgraph, q, keep=[node.name for node in qgraph.nodes], exact=True)
    values = {name: value[0] for name, value in q.items()}
    for layer in layers:
        values[layer.name] = evaluate(layer, qgraph.tensors, values)
        np.testing.assert_array_equal(values[layer.name], expected[layer.name][0], err_msg=layer.name)
    # Every node is executed by exactly one layer, and every output is one's result.
    assert [name for layer in layers for name in layer.covers] == [node.name for node in qgraph.nodes]
    assert all(output.tensor in values for output in qgraph.outputs)
    return layers


@pytest.mark.parametrize("seed", range(25))
def test_random_networks_compute_the_same_when_lowered(seed):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng)
    assert_steps_mean_the_network(qgraph, {qgraph.inputs[0].name: random_images(rng, qgraph, 1)})


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_grouped_weights_are_kept_alone_and_know_the_channels_that_they_read(groups):
    net = Net(x=(6, 4, 4))
    net.conv("x", 12, (3, 2), groups=groups, offset=3)
    (layer,) = assert_steps_mean_the_network(net.build(), images(net.build(), 1))
    (term,) = layer.terms
    node = net.nodes[0]
    np.testing.assert_array_equal(term.weight, node.terms[0].weight)
    for out, channel in itertools.product(range(12), range(6)):
        same = out // (12 // groups) == channel // (6 // groups)
        assert term.connected()[out, channel] == same
        expected = node.terms[0].weight[out, channel % (6 // groups)] if same else np.zeros((3, 2))
        np.testing.assert_array_equal(term.dense()[out, channel], expected)


@pytest.mark.parametrize("anchor", ["min", "max"])
def test_both_anchors_become_a_stored_weight_and_an_offset_that_is_added(anchor):
    net = Net(x=(4, 3, 3))
    net.conv("x", 5, (2, 2), offset=7, anchor=anchor)
    (layer,) = assert_steps_mean_the_network(net.build(), images(net.build(), 1))
    (term,) = layer.terms
    stored = term.weight - term.offset.reshape(-1, 1, 1, 1)
    assert stored.min() >= -128
    assert stored.max() <= 127
    codes = net.nodes[0].terms[0].codes.astype(int)
    np.testing.assert_array_equal(stored, ~codes if anchor == "max" else codes)


@pytest.mark.parametrize(("offset", "most"), [(0, 6), (1, 7)])
@pytest.mark.parametrize("shift", [0, 1, 5, 7, 8, 9, 12])
def test_a_shifted_term_is_stored_shifted_and_repeated(shift, offset, most):
    """A weight of 128 needs an offset, which a network without any does not get for it."""
    net = Net(x=(4, 3, 3))
    eye = np.eye(4)[:, :, None, None]
    net.layer(net.term("x", 4, (1, 1), offset=offset), net.term("x", 4, codes=eye, shift=shift))
    layers = assert_steps_mean_the_network(net.build(), images(net.build(), 1))
    shifted = layers[0].terms[1:]
    assert sum(term.weight for term in shifted)[2, 2] == 1 << shift
    assert len(shifted) == 1 << max(0, shift - most)


def test_a_shift_that_takes_too_many_passes_is_refused():
    net = Net(x=(4, 3, 3))
    eye = np.eye(4)[:, :, None, None]
    net.layer(net.term("x", 4), net.term("x", 4, codes=eye, shift=14))
    with pytest.raises(
        HwquantError, match=r"layer 'layer0': the term that reads 'x' is shifted left by 14, more"
    ):
        lower(net.build())


def test_a_grouped_convolution_without_a_zero_weight_is_refused():
    net = Net(x=(4, 3, 3))
    net.conv("x", 4, groups=2, offset=200)
    with pytest.raises(
        HwquantError, match="layer 'layer0': a grouped convolution needs a representable zero"
    ):
        lower(net.build())


def test_a_pool_becomes_the_order_in_which_the_layer_before_visits_its_pixels():
    net = Net(x=(3, 7, 9))
    net.conv("x", 4, (2, 2))
    net.pool("layer0", (2, 3), (3, 3))
    (layer,) = assert_steps_mean_the_network(net.build(), images(net.build(), 1))
    assert (layer.name, layer.covers) == ("pool1", ("layer0", "pool1"))
    assert (layer.window, layer.window_stride, layer.pixels) == ((2, 3), (3, 3), (2, 2))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": (3, 3), "stride": (2, 2)},
        {"kernel": (2, 2), "stride": (2, 1)},
        {"kernel": (2, 2), "stride": (2, 2), "padding": (1, 0, 0, 0)},
        {"kernel": (2, 2), "stride": (3, 3), "dilation": (2, 1)},
    ],
    ids=str,
)
def test_overlapping_padded_or_dilated_pools_are_steps_of_their_own(options):
    net = Net(x=(3, 7, 8))
    net.conv("x", 4)
    kernel, stride = options.pop("kernel"), options.pop("stride")
    net.pool("layer0", kernel, stride, **options)
    layers = assert_steps_mean_the_network(net.build(), images(net.build(), 1))
    assert [layer.covers for layer in layers] == [("layer0",), ("pool1",)]


def test_a_layer_whose_output_is_needed_elsewhere_keeps_it():
    """As an output, or for another reader; and a pool of the input has no layer to join."""
    for case in ("output", "reader", "input"):
        net = Net(x=(3, 6, 6))
        source = "x" if case == "input" else net.conv("x", 4)
        pool = net.pool(source, (2, 2))
        if case == "reader":
            net.conv(source, 2, (6, 6))
        qgraph = net.build(*([source, pool] if case == "output" else []))
        layers = assert_steps_mean_the_network(qgraph, images(qgraph, 1))
        assert len(layers) == len(qgraph.nodes)


def test_a_concatenation_copies_every_tensor_to_its_channels():
    net = Net(x=(3, 4, 4))
    net.conv("x", 4)
    net.conv("x", 2)
    net.concat("layer0", "layer1", "layer0")
    layers = assert_steps_mean_the_network(net.build(), images(net.build(), 1))
    assert len(layers[-1].terms) == 3
    assert layers[-1].macs == 0


def test_macs_are_those_of_the_network():
    net = Net(x=(3, 7, 7))
    net.conv("x", 4, (3, 3), groups=1)
    net.pool("layer0", (2, 2))
    net.conv("pool1", 4, (2, 2), groups=2)
    qgraph = net.build()
    assert sum(layer.macs for layer in lower(qgraph)) == qgraph.macs()
    assert all(isinstance(node, Layer) or node.name.startswith("pool") for node in qgraph.nodes)
    # The pool leaves the last row and column of 5x5 outputs unread.
    first = lower(qgraph)[0]
    assert first.useful_macs * 25 == first.macs * 16


@pytest.mark.parametrize(("high", "expected"), [(149, 127), (254, 127), (255, 128)])
def test_an_offset_is_one_that_a_row_of_weights_can_hold_where_the_weights_allow_it(high, expected):
    """Beside channel offsets, an average pool's constant weights must not need a ninth bit."""
    net = Net(x=(2, 3, 3))
    net.conv("x", 1, codes=np.array([0, high]).reshape(1, 2, 1, 1) - 128, offset=128)
    (layer,) = lower(net.build())
    assert layer.terms[0].offset.tolist() == [expected]
    assert layer.terms[0].weight.ravel().tolist() == [0, high]
