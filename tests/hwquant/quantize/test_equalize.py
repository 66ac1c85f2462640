"""Channels of very different ranges are made alike, exactly; all other networks stay as they are."""

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS

from hwquant import floating, golden
from hwquant.graph import Add, Clip, Concat, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.quantize import observe_network, quantize
from hwquant.window import Window

SHAPE = (3, 6, 6)


def conv(rng, name, source, out, channels, kernel=1, groups=1):
    weight = rng.normal(size=(out, channels // groups, kernel, kernel))
    padding = (kernel // 2,) * 4
    return Conv(
        name,
        (source,),
        weight,
        rng.normal(0, 0.1, out),
        Window(weight.shape[2:], padding=padding),
        groups=groups,
    )


def scaled(node, rows=1.0, columns=1.0):
    weight = node.weight * np.reshape(rows, (-1, 1, 1, 1)) * np.reshape(columns, (1, -1, 1, 1))
    return Conv(
        node.name,
        node.inputs,
        weight,
        node.bias * np.ravel(rows),
        node.window,
        groups=node.groups,
    )


def relu(name, source):
    return Clip(name, (source,), 0.0, np.inf)


def network(nodes, *outputs):
    made = Graph("net", (Input("x", SHAPE, SHAPE),), tuple(nodes), ())
    return Graph(
        "net", made.inputs, made.nodes, tuple(Output(name, name, made.shapes[name]) for name in outputs)
    )


SPREAD = np.array([1, 1e-3, 1e3, 1e-2, 1, 1e2, 1, 1])


def chain(rng):
    """Channels from 1e-3 to 1e3, undone by the next layer."""
    first = scaled(conv(rng, "a", "x", 8, 3, 3), SPREAD)
    last = scaled(conv(rng, "b", "pool", 4, 8, 3), columns=1 / SPREAD)
    return network([first, relu("r", "a"), MaxPool("pool", ("r",), Window((2, 2), (2, 2))), last], "b")


def depthwise(rng):
    """A depthwise layer hands the channels on, and the layer behind it undoes them."""
    first = scaled(conv(rng, "a", "x", 8, 3), SPREAD)
    middle = conv(rng, "d", "r", 8, 8, 3, groups=8)
    last = scaled(conv(rng, "b", "s", 4, 8), columns=1 / SPREAD)
    return network([first, relu("r", "a"), middle, relu("s", "d"), last], "b")


def concat(rng):
    """Branches of ranges 100 and 0.01, undone by the layer that reads both."""
    wide, narrow = scaled(conv(rng, "a", "x", 4, 3), 100.0), scaled(conv(rng, "b", "x", 4, 3), 0.01)
    last = scaled(conv(rng, "c", "k", 4, 8), columns=np.repeat([0.01, 100.0], 4))
    nodes = [wide, narrow, relu("ra", "a"), relu("rb", "b"), Concat("k", ("ra", "rb")), last]
    return network(nodes, "c")


@pytest.mark.parametrize("make", [chain, depthwise, concat])
@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"scales": "multiplier"}])
def test_a_signal_that_one_scale_would_lose_is_kept(make, options):
    rng = np.random.default_rng(5)
    graph, x = make(rng), rng.normal(size=(64, *SHAPE))
    exact, got = floating.predict(graph, x)[0], golden.predict(quantize(graph, x, **options), x)[0]
    assert 10 * np.log10(np.square(exact).sum() / np.square(got - exact).sum()) > 25


@pytest.mark.parametrize("make", [chain, depthwise, concat])
def test_the_float_network_computes_the_same(make):
    rng = np.random.default_rng(6)
    graph, x = make(rng), rng.normal(size=(16, *SHAPE))
    observed = observe_network(graph, x)
    assert observed.equalized
    for factor in observed.equalized.values():
        assert np.array_equal(np.exp2(np.round(np.log2(factor))), factor)
    exact, same = (floating.predict(network, x)[0] for network in (graph, observed.plan.graph))
    assert np.array_equal(exact, same)
    options = quantize(graph, x, equalization=False).options
    assert options["equalized"] == sorted(observed.equalized)
    assert options["warnings"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_healthy_networks_stay_as_they_are(build, samples, kind):
    assert observe_network(build(kind, 4), samples).equalized == {}
    assert "equalized" not in quantize(build(kind, 4), samples).options


def test_channels_that_others_see_stay_as_they_are():
    """Of an output, of a sum, and behind a clip that is no ReLU."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(32, *SHAPE))
    first = scaled(conv(rng, "a", "x", 8, 3), SPREAD)

    def last(source):
        return scaled(conv(rng, "b", source, 4, 8), columns=1 / SPREAD)

    seen = network([first, relu("r", "a"), last("r")], "b", "r")
    added = network([first, conv(rng, "c", "x", 8, 3), Add("s", ("a", "c")), last("s")], "b")
    clipped = network([first, Clip("r", ("a",), 0.0, 6.0), last("r")], "b")
    for graph in (seen, added, clipped):
        assert observe_network(graph, x).equalized == {}
    kinds = {item["kind"] for item in quantize(added, x).options["warnings"]}
    assert "low_sqnr" in kinds


def test_pruned_weights_stay_zero():
    rng = np.random.default_rng(8)
    graph = chain(rng)
    weight = graph.nodes[0].weight.copy()
    weight[:, 0] = 0
    first = Conv("a", ("x",), weight, graph.nodes[0].bias, graph.nodes[0].window)
    qgraph = quantize(network([first, *graph.nodes[1:]], "b"), rng.normal(size=(32, *SHAPE)))
    assert not qgraph.nodes[0].terms[0].weight[:, 0].any()


def test_large_weights_of_a_channel_that_is_always_zero_do_no_harm():
    rng = np.random.default_rng(9)
    first = conv(rng, "a", "x", 8, 3)
    dead = np.arange(8) == 2
    first = scaled(
        Conv("a", ("x",), first.weight, first.bias - 10.0 * dead, Window(first.weight.shape[2:])),
        np.where(dead, 1e-5, 1),
    )
    last = scaled(conv(rng, "b", "r", 4, 8), columns=np.where(dead, 1e5, 1))
    graph, x = network([first, relu("r", "a"), last], "b"), rng.normal(size=(32, *SHAPE))
    qgraph = quantize(graph, x)
    assert qgraph.options["equalized"] == ["a"]
    assert qgraph.options["warnings"] == []


def test_a_channel_that_is_small_because_its_input_is_takes_the_weights_of_no_other():
    rng = np.random.default_rng(11)
    small = np.array([1, 1e-3, 1, 1])
    middle = conv(rng, "d", "x", 4, 4, 3, groups=4)
    last = scaled(conv(rng, "b", "r", 4, 4), columns=1 / small)
    nodes = [middle, relu("r", "d"), last]
    made = Graph("net", (Input("x", (4, 6, 6), (4, 6, 6)),), tuple(nodes), ())
    graph = Graph("net", made.inputs, made.nodes, (Output("b", "b", made.shapes["b"]),))
    x = rng.normal(size=(64, 4, 6, 6)) * small[:, None, None]
    assert observe_network(graph, x).equalized == {}
