"""Other orders of channels: which may move, and that nothing computed changes."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.branching_networks import plain
from hwquant_testing.float_networks import build
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant import floating, golden
from hwquant.errors import HwquantError
from hwquant.graph import Conv
from hwquant.pruning.permute import ChannelSpaces, permute
from hwquant.quantize import quantize
from hwquant.random_networks import Features, random_images, random_qgraph
from hwquant.validate import validate


def shuffled(network, seed):
    """A random order for every space that may move, for each of its tensors."""
    rng = np.random.default_rng(seed)
    orders = {}
    for space in ChannelSpaces(network).spaces:
        if space.free:
            orders |= dict.fromkeys(space.tensors, rng.permutation(space.channels))
    return orders


def weights(graph):
    return [node.weight for node in graph.nodes if isinstance(node, Conv)]


@pytest.mark.parametrize("seed", range(3))
def test_a_permuted_float_network_computes_the_same(graph, x, seed):
    orders = shuffled(graph, seed)
    assert len({id(order) for order in orders.values()}) >= 3
    permuted = permute(graph, orders)
    assert any(not np.array_equal(a, b) for a, b in zip(weights(graph), weights(permuted)))
    (before,), (after,) = (floating.predict(network, x(graph)) for network in (graph, permuted))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_factors_move_with_the_channels_that_they_multiply(seed):
    graph = build("gated", seed)
    spaces = ChannelSpaces(graph).spaces
    assert {"r1", "g3", "m1"} <= set(next(space.tensors for space in spaces if "m1" in space.tensors))
    orders, x = shuffled(graph, seed), np.random.default_rng(seed).normal(size=(8, 3, 8, 8))
    (before,), (after,) = (floating.predict(network, x) for network in (graph, permute(graph, orders)))
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)
    qgraph = quantize(graph, x)
    integers = [golden.predict(network, x)[0] for network in (qgraph, permute(qgraph, orders))]
    np.testing.assert_array_equal(*integers)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("scales", ["shift", "multiplier"])
def test_a_permuted_integer_network_gives_the_same_bits(graph, x, per_channel, scales):
    qgraph = quantize(graph, x(graph), per_channel=per_channel, scales=scales)
    permuted = permute(qgraph, shuffled(graph, 5))
    validate(permuted)
    before = golden.run(qgraph, inputs(qgraph, x))
    again = golden.run(permuted, inputs(qgraph, x))
    assert before.keys() == again.keys()
    for name, expected in before.items():
        assert np.array_equal(again[name], expected)


@pytest.mark.parametrize("seed", range(30))
def test_random_integer_networks_give_the_same_bits_in_any_order(seed):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, replace(Features(), multiplier=True, channels=(2, 8)))
    q = {qgraph.inputs[0].name: random_images(rng, qgraph, 3)}
    permuted = permute(qgraph, shuffled(qgraph, seed))
    validate(permuted)
    for name, expected in golden.run(qgraph, q).items():
        assert np.array_equal(golden.run(permuted, q)[name], expected)


def inputs(qgraph, x):
    return golden.quantize_input(qgraph, x(qgraph, count=20, seed=7))


def test_each_tensor_of_a_permuted_integer_network_is_the_old_one_in_its_new_order(graph, x):
    qgraph = quantize(graph, x(graph))
    orders = shuffled(graph, 6)
    permuted, channels = permute(qgraph, orders), ChannelSpaces(graph)
    known = {channels.layouts[name][0]: order for name, order in orders.items()}
    before = golden.run(qgraph, inputs(qgraph, x), keep=list(qgraph.tensors))
    after = golden.run(permuted, inputs(qgraph, x), keep=list(qgraph.tensors))
    for name in qgraph.tensors:
        assert np.array_equal(after[name], before[name][:, channels.order(name, known)]), name


def test_inputs_and_outputs_and_neighbours_of_grouped_convolutions_stay(graph):
    channels = ChannelSpaces(graph)
    free = {name for space in channels.spaces if space.free for name in space.tensors}
    assert not free & {"x", graph.outputs[0].tensor}
    for node in graph.nodes:
        if isinstance(node, Conv) and node.groups > 1 and node.weight.shape[1] > 1:
            assert not free & {node.name, *node.inputs}


def test_a_sum_ties_what_it_adds_and_a_depthwise_convolution_its_input_and_output(graph):
    channels = ChannelSpaces(graph)
    for node in graph.nodes:
        tied = not isinstance(node, Conv) or node.groups == len(node.weight) > 1
        if tied and not node.name.startswith("concat"):
            assert {channels.layouts[name] for name in node.inputs} == {channels.layouts[node.name]}
        elif not isinstance(node, Conv):
            joined = sum((channels.layouts[name] for name in node.inputs), ())
            assert channels.layouts[node.name] == joined


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(0, 1 << 30))
def test_orders_compose(first, second):
    graph = plain()
    a, b = shuffled(graph, first), shuffled(graph, second)
    twice = permute(permute(graph, a), b)
    once = permute(graph, {name: a[name][b[name]] for name in a})
    assert all(np.array_equal(x, y) for x, y in zip(weights(twice), weights(once)))
    back = permute(permute(graph, a), {name: np.argsort(order) for name, order in a.items()})
    assert all(np.array_equal(x, y) for x, y in zip(weights(back), weights(graph)))


def test_bad_orders_are_refused(graph):
    first = next(space for space in ChannelSpaces(graph).spaces if space.free)
    name, order = first.tensors[0], np.arange(first.channels)
    with pytest.raises(HwquantError, match=f"the order for '{name}' is no permutation of its"):
        permute(graph, {name: order * 0})
    with pytest.raises(HwquantError, match="the channels of 'x' cannot change their order"):
        permute(graph, {"x": np.arange(graph.shapes["x"][0])})
    with pytest.raises(HwquantError, match="is given another order than a tensor with the same channels"):
        permute(graph, {name: order, first.tensors[1]: order[::-1]})
