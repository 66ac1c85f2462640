"""Functions become tables whose addresses are chosen for what is behind them."""

import math

import numpy as np
import pytest

from hwquant import floating, golden
from hwquant.errors import HwquantError
from hwquant.expression import Expression, apply, bounded
from hwquant.frontends import activations
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Function, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.qgraph import Layer
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.quantize.fuse import plan_layers
from hwquant.random_networks import random_images
from hwquant.window import Window

X = Expression()
SILU, SIGMOID = activations.swish(), activations.sigmoid()


def network(*nodes, shape=(4, 6, 6)):
    """A network of nodes in a row or as they say; its output is the last one's."""
    item = Input("x", shape, shape)
    graph = Graph("net", (item,), nodes, (Output("y", nodes[-1].name, (1,)),))
    last = graph.shapes[nodes[-1].name]
    return Graph("net", (item,), nodes, (Output("y", nodes[-1].name, last),))


def conv(name, source, channels=4, out=4, scale=1.0, seed=0):
    rng = np.random.default_rng((seed, len(name)))
    return Conv(name, (source,), scale * rng.normal(size=(out, channels, 1, 1)), rng.normal(size=out))


def samples(seed=1, count=64, shape=(4, 6, 6)):
    return np.random.default_rng(seed).normal(size=(count, *shape))


def sqnr(graph, qgraph, x):
    (exact,), (got,) = floating.predict(graph, x), golden.predict(qgraph, x)
    return 10 * math.log10(np.square(exact).sum() / np.square(exact - got).sum())


def test_a_function_goes_into_the_layer_before_it_with_clips_on_both_sides():
    graph = network(
        conv("conv", "x"),
        Clip("clip", ("conv",), -1.0, 2.0),
        Function("silu", ("clip",), SILU),
        Function("exp", ("silu",), apply("exp", X)),
        Clip("end", ("exp",), 0.0, 3.0),
    )
    (layer,) = plan_layers(graph).layers
    assert (layer.name, layer.low, layer.high) == ("end", -1.0, 2.0)
    assert layer.members == ("conv", "clip", "silu", "exp", "end")
    assert layer.function.tensor == "clip"
    grid = np.linspace(-1, 2, 50)
    expected = np.clip(np.exp(grid / (1 + np.exp(-grid))), 0, 3)
    np.testing.assert_allclose(layer.function.expression(grid), expected)
    (made,) = quantize(graph, samples()).nodes
    assert made.table is not None


@pytest.mark.parametrize("scales", ["shift", "power_of_two", "multiplier"])
@pytest.mark.parametrize(
    "nodes",
    [
        [Function("f", ("x",), SILU)],
        [Function("f", ("x",), SILU), conv("c", "f")],
        [MaxPool("p", ("x",), Window((2, 2), (2, 2))), Function("f", ("p",), SILU), conv("c", "f")],
        [AveragePool("p", ("x",), Window((3, 3), (3, 3))), Function("f", ("p",), SILU)],
        [conv("a", "x"), conv("bb", "x"), Add("s", ("a", "bb")), Function("f", ("s",), SILU)],
        [conv("a", "x"), Concat("k", ("a", "x")), Function("f", ("k",), SILU), conv("d", "f", 8)],
        [conv("a", "x"), Function("f", ("a",), SIGMOID), Add("s", ("a", "f")), conv("c", "s")],
        [conv("a", "x"), Function("f", ("a",), SIGMOID), Function("g", ("a",), SILU), Add("s", ("f", "g"))],
        [conv("a", "x"), Function("f", ("a",), SILU), MaxPool("p", ("f",), Window((2, 2), (2, 2)))],
    ],
    ids=lambda nodes: " ".join(node.name for node in nodes),
)
def test_functions_work_wherever_they_stand(nodes, scales):
    graph, x = network(*nodes), samples()
    qgraph = quantize(graph, x, QuantizeOptions(scales=scales))
    assert any(isinstance(node, Layer) and node.table is not None for node in qgraph.nodes)
    assert sqnr(graph, qgraph, x) > (26 if scales == "power_of_two" else 28)
    q = golden.quantize_input(qgraph, x[:5])
    fast, exact = (golden.run(qgraph, q, qgraph.tensors, exact=flag) for flag in (False, True))
    for name, values in exact.items():
        np.testing.assert_array_equal(fast[name], values)
    if scales == "power_of_two":
        for node in qgraph.nodes:
            table = getattr(node, "table", None)
            assert table is None or math.log2(table.scale).is_integer()


def test_addresses_are_not_spent_where_the_function_is_flat():
    graph = network(conv("conv", "x", scale=20.0), Function("gate", ("conv",), SIGMOID), conv("next", "gate"))
    x = samples()
    (layer, _) = quantize(graph, x).nodes
    reach = np.abs(floating.run(graph, x, ["conv"])["conv"]).max()
    assert reach > 60
    assert layer.table.scale * 128 < reach / 4  # a range of all values would have steps of half of 1
    assert np.diff(layer.table.values).max() <= 8


def test_addresses_have_more_bits_where_fewer_would_cost_accuracy():
    wave = apply("sin", X * 6.0)
    bits = {}
    for name, function in (("wave", wave), ("gate", SIGMOID)):
        graph = network(conv("conv", "x"), Function("f", ("conv",), function), conv("next", "f"))
        qgraph = quantize(graph, samples())
        bits[name] = qgraph.nodes[0].table.bits
    assert bits == {"wave": 10, "gate": 8}


def test_a_shared_address_scale_is_found_for_a_steep_function():
    """An identity in front of a table ties its address to the input by a power of two."""
    graph = network(Function("gate", ("x",), apply("tanh", X * 40.0)), conv("next", "gate"))
    qgraph = quantize(graph, samples())
    layer = qgraph.nodes[0]
    ratio = math.log2(layer.table.scale / qgraph.tensors["x"].scale)
    assert ratio.is_integer()


def test_the_noise_is_that_behind_the_function_for_every_scale():
    """The chosen address is no worse than any other scale of the same mantissa, measured on the samples themselves."""
    graph = network(conv("conv", "x", scale=3.0), Function("f", ("conv",), SILU), conv("next", "f"))
    x = samples(count=200)
    made = quantize(graph, x).nodes[0].table
    values = floating.run(graph, x, ["conv"])["conv"].ravel()
    exact = SILU(values)

    def noise(scale, zero_point):
        q = np.clip(np.floor(values / scale + 0.5), -128 - zero_point, 127 - zero_point)
        return np.var(SILU(q * scale) - exact)

    found = noise(made.scale, made.zero_point)
    for exponent in (-3, -2, -1, 1, 2):
        for zero_point in range(-128, 128, 8):
            assert noise(made.scale * 2.0**exponent, zero_point) > 0.97 * found


def test_where_a_function_has_no_value_that_of_the_nearest_argument_is_taken():
    root = apply("sqrt", X)
    graph = network(Clip("clip", ("x",), 0.0, 3.0), Function("root", ("clip",), root), conv("c", "root"))
    x = samples()
    qgraph = quantize(graph, x)
    table = qgraph.nodes[0].table
    assert table.zero_point > -128 or table.values[0] >= qgraph.nodes[0].table.values.min()
    assert sqnr(graph, qgraph, x) > 30
    logarithm = network(Function("log", ("x",), apply("log", bounded(X, 0.0, math.inf))))
    with pytest.raises(HwquantError, match="'log' becomes infinite or NaN on the calibration data"):
        quantize(logarithm, x)


def test_a_function_that_never_falls_goes_before_the_pool_and_another_one_stays():
    window = Window((2, 2), (2, 2))
    for function, count in ((SIGMOID, 2), (SILU, 3)):
        graph = network(
            conv("conv", "x"), MaxPool("pool", ("conv",), window), Function("f", ("pool",), function)
        )
        qgraph = quantize(graph, samples())
        assert len(qgraph.nodes) == count
        assert qgraph.outputs[0].tensor == "f"
        assert sqnr(graph, qgraph, samples()) > 30


def test_sums_that_are_handed_on_and_tables_exclude_each_other():
    graph = network(conv("conv", "x"), conv("other", "conv"), Function("f", ("other",), SILU))
    with pytest.raises(HwquantError, match=r"'f' has a table.*leave chain_bits out"):
        quantize(graph, samples(), QuantizeOptions(chain_bits=20))


def test_the_report_says_what_the_function_is():
    graph = network(conv("conv", "x"), Function("f", ("conv",), SIGMOID))
    described = quantize(graph, samples()).options["layers"]["f"]
    assert described["table"]["function"] == "sigmoid(x)"
    assert described["table"]["bits"] == 8


def test_narrow_biases_and_narrow_tensors_have_tables_too():
    graph, x = network(conv("conv", "x"), Function("f", ("conv",), SILU), conv("next", "f")), samples()
    qgraph = quantize(graph, x, QuantizeOptions(bias_bits=6, activation_bits=5, per_channel=True))
    assert sqnr(graph, qgraph, x) > 14
    q = random_images(np.random.default_rng(3), qgraph, 4)
    for name, values in golden.run(qgraph, q, qgraph.tensors, exact=True).items():
        low, high = qgraph.tensors[name].limits
        assert low <= values.min()
        assert values.max() <= high
