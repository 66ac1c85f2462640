"""Channels are balanced where that lowers the noise of the outputs, and the network computes the same."""

from dataclasses import asdict

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS

from hwquant import floating, golden
from hwquant.graph import Add, Clip, Concat, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.quantize import QuantizeOptions, observe_network, quantize
from hwquant.quantize.balance import balance, balancing_factors, output_sqnr
from hwquant.quantize.equalize import rescale
from hwquant.window import Window

SHAPE = (4, 6, 6)


def conv(rng, name, source, out, channels, kernel=3, groups=1):
    weight = rng.normal(size=(out, channels // groups, kernel, kernel))
    return Conv(
        name,
        (source,),
        weight,
        rng.normal(0, 0.1, out),
        Window((kernel,) * 2, padding=(kernel // 2,) * 4),
        groups,
    )


def network(nodes, last):
    made = Graph("net", (Input("x", SHAPE, SHAPE),), tuple(nodes), ())
    return Graph("net", made.inputs, made.nodes, (Output(last, last, made.shapes[last]),))


def uneven(rng):
    """A chain whose rows and columns differ by up to 30, with a depthwise layer in it."""
    first, middle, last = (
        conv(rng, "a", "x", 8, 4),
        conv(rng, "d", "r", 8, 8, 3, 8),
        conv(rng, "b", "s", 4, 8, 1),
    )
    sizes = [np.exp(rng.uniform(-1.7, 1.7, (8, 1, 1, 1))) for _ in range(2)]
    first = Conv("a", ("x",), first.weight * sizes[0], first.bias, first.window)
    middle = Conv("d", ("r",), middle.weight / sizes[0] * sizes[1], middle.bias, middle.window, 8)
    last = Conv("b", ("s",), last.weight / sizes[1].reshape(1, 8, 1, 1), last.bias, last.window)
    return network([first, Clip("r", ("a",), 0.0, np.inf), middle, Clip("s", ("d",), 0.0, np.inf), last], "b")


def largest(weight, axes):
    return np.abs(weight).max(axis=axes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_balanced_network_computes_the_same(build, samples, kind):
    graph = observe_network(build(kind, 4), samples).plan.graph
    balanced = rescale(graph, balancing_factors(graph))
    exact, same = (floating.predict(item, samples)[0] for item in (graph, balanced))
    assert np.allclose(exact, same, rtol=1e-9, atol=1e-9 * np.abs(exact).max())


def test_the_largest_weights_of_a_channel_become_alike():
    graph = uneven(np.random.default_rng(0))
    nodes = {node.name: node for node in rescale(graph, balancing_factors(graph)).nodes}
    a, d, b = (nodes[name].weight for name in "adb")
    for own, other in (
        (largest(a, (1, 2, 3)), largest(d, (1, 2, 3))),
        (largest(d, (1, 2, 3)), largest(b, (0, 2, 3))),
    ):
        ratio = own / other
        assert ratio.max() / ratio.min() < 1.1


def test_channels_that_others_see_and_that_are_zero_have_no_factor():
    rng = np.random.default_rng(1)
    added = [conv(rng, "a", "x", 4, 4), Add("s", ("a", "x")), conv(rng, "b", "s", 4, 4)]
    assert balancing_factors(network(added, "b")) == {}
    clipped = [conv(rng, "a", "x", 4, 4), Clip("r", ("a",), 0.0, 6.0), conv(rng, "b", "r", 4, 4)]
    assert balancing_factors(network(clipped, "b")) == {}
    first = conv(rng, "a", "x", 4, 4)
    first.weight[2] = 0
    joined = [first, conv(rng, "c", "x", 4, 4), Concat("k", ("a", "c")), conv(rng, "b", "k", 4, 8)]
    factors = balancing_factors(network(joined, "b"))
    assert factors.keys() == {"a", "c"}
    assert factors["a"][2] == 1


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_better_of_both_is_kept_and_reported(per_channel):
    rng = np.random.default_rng(2)
    graph, x = uneven(rng), rng.normal(size=(48, *SHAPE))
    options = QuantizeOptions(bits=4, per_channel=per_channel)
    observed = observe_network(graph, x)
    chosen = balance(observed, {"x": x}, options)
    tried = chosen.balancing
    assert tried.as_is_db == output_sqnr(observed, options)
    assert tried.kept == bool(chosen.equalized) == (tried.balanced_db > tried.as_is_db + 0.2)
    best = tried.balanced_db if tried.kept else tried.as_is_db
    assert output_sqnr(chosen, options) == best
    qgraph = quantize(graph, x, options)
    assert qgraph.options["balancing"] == asdict(tried)
    assert qgraph.options.get("equalized", []) == sorted(chosen.equalized)
    exact, got = floating.predict(graph, x)[0], golden.predict(qgraph, x)[0]
    assert 10 * np.log10(np.square(exact).sum() / np.square(got - exact).sum()) > best - 1


def test_one_scale_for_a_layer_of_uneven_channels_is_better_balanced():
    rng = np.random.default_rng(3)
    graph, x = uneven(rng), rng.normal(size=(48, *SHAPE))
    qgraph = quantize(graph, x, bits=4)
    assert qgraph.options["equalized"] == ["a", "d"]
    assert qgraph.options["balancing"]["balanced_db"] > qgraph.options["balancing"]["as_is_db"] + 1


def test_eight_bits_and_networks_without_a_free_channel_are_not_tried(build, samples):
    observed = observe_network(build("chain", 1), samples)
    assert balance(observed, {"x": samples}, QuantizeOptions()) is observed
    rng = np.random.default_rng(4)
    single, x = network([conv(rng, "a", "x", 4, 4)], "a"), rng.normal(size=(16, *SHAPE))
    assert "balancing" not in quantize(single, x, bits=3).options
    assert "balancing" not in quantize(uneven(rng), x, bits=3, equalization=False).options


def test_pruned_weights_stay_zero_in_a_balanced_network():
    rng = np.random.default_rng(5)
    graph, x = uneven(rng), rng.normal(size=(48, *SHAPE))
    kept = {node.name: rng.random(node.weight.shape) < 0.5 for node in graph.nodes if isinstance(node, Conv)}
    nodes = tuple(
        Conv(node.name, node.inputs, node.weight * kept[node.name], node.bias, node.window, node.groups)
        if isinstance(node, Conv)
        else node
        for node in graph.nodes
    )
    qgraph = quantize(Graph("net", graph.inputs, nodes, graph.outputs), x, bits=4)
    assert qgraph.options["equalized"]
    for layer, name in zip(qgraph.nodes, "adb", strict=True):
        assert not layer.terms[0].weight[~kept[name]].any()
