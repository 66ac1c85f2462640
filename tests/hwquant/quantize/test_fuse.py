import math

import numpy as np
import pytest

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.quantize.fuse import hoist_functions, plan_layers
from hwquant.window import Window

INPUT = Input("x", (2, 6, 6), (2, 6, 6))


def conv(name, source, bias=0.0):
    weight = np.random.default_rng(len(name)).normal(0, 1, (2, 2, 3, 3))
    return Conv(name, (source,), weight, np.full(2, bias), Window(weight.shape[2:], padding=(1, 1, 1, 1)))


def network(*nodes, outputs=()):
    names = (*outputs, nodes[-1].name)
    return Graph("test", (INPUT,), nodes, tuple(Output(name, name, ()) for name in names))


def shape_of(plan):
    return [
        (node.name, [(term.node, term.input) for term in node.terms]) if hasattr(node, "terms") else node.name
        for node in plan.nodes
    ]


def test_clip_goes_into_the_layer_before_and_names_it():
    plan = plan_layers(network(conv("c", "x"), Clip("r", ("c",), 0.0), Clip("r6", ("r",), -1.0, 6.0)))
    assert shape_of(plan) == [("r6", [("c", "x")])]
    assert (plan.layers[0].low, plan.layers[0].high) == (0.0, 6.0)
    assert plan.layers[0].members == ("c", "r", "r6")


def test_clip_of_a_tensor_that_others_read_is_a_layer_of_its_own():
    plan = plan_layers(network(conv("c", "x"), Clip("r", ("c",), 0.0), Add("a", ("c", "r"))))
    assert shape_of(plan) == [("c", [("c", "x")]), ("r", [("r", "c")]), ("a", [("a", "c"), ("a", "r")])]
    plan = plan_layers(network(conv("c", "x"), Clip("r", ("c",), 0.0), outputs=("c",)))
    assert shape_of(plan) == [("c", [("c", "x")]), ("r", [("r", "c")])]


def test_clip_on_an_input_is_a_layer_with_an_identity_term():
    plan = plan_layers(network(Clip("r", ("x",), 0.0, 1.0)))
    assert shape_of(plan) == [("r", [("r", "x")])]
    assert plan.layers[0].terms[0].unit == 1.0


def test_add_takes_in_the_convolutions_before_it():
    nodes = (conv("c1", "x", 1.0), Clip("r", ("c1",), 0.0), conv("c2", "r", 2.0), conv("c3", "x", 3.0))
    plan = plan_layers(network(*nodes, Add("a", ("c2", "r", "c3")), Clip("end", ("a",), 0.0)))
    assert shape_of(plan) == [("r", [("c1", "x")]), ("end", [("c2", "r"), ("a", "r"), ("c3", "x")])]
    assert plan.layers[1].bias.tolist() == [5.0, 5.0]
    assert [term.unit for term in plan.layers[1].terms] == [None, 1.0, None]


def test_add_of_an_add_is_one_sum():
    nodes = (conv("c1", "x"), conv("c2", "x"), Add("a", ("c1", "c2")), Add("b", ("a", "x")))
    assert shape_of(plan_layers(network(*nodes))) == [("b", [("c1", "x"), ("c2", "x"), ("b", "x")])]


def test_add_reads_what_others_read_too():
    nodes = (conv("c1", "x"), conv("c2", "c1"), Add("a", ("c1", "c2")))
    assert shape_of(plan_layers(network(*nodes))) == [
        ("c1", [("c1", "x")]),
        ("a", [("a", "c1"), ("c2", "c1")]),
    ]
    nodes = (conv("c1", "x"), Add("a", ("c1", "c1")))
    assert shape_of(plan_layers(network(*nodes))) == [
        ("c1", [("c1", "x")]),
        ("a", [("a", "c1"), ("a", "c1")]),
    ]


@pytest.mark.parametrize(("kernel", "unit"), [((2, 4), 1 / 8), ((3, 3), None), ((1, 1), 1.0)])
def test_average_pool_is_a_depthwise_term(kernel, unit):
    layer = plan_layers(network(AveragePool("p", ("x",), Window(kernel, (1, 1))))).layers[0]
    assert layer.terms[0].groups == 2
    assert layer.terms[0].unit == unit
    assert np.all(layer.terms[0].weight == 1 / math.prod(kernel))


def test_clip_moves_before_the_pool_and_computes_the_same():
    graph = network(
        conv("c", "x"),
        MaxPool("p", ("c",), Window((2, 2), (2, 2))),
        MaxPool("q", ("p",), Window((2, 2), (1, 1))),
        Clip("r", ("q",), 0.0),
    )
    hoisted = hoist_functions(graph)
    assert [type(node).__name__ for node in hoisted.nodes] == ["Conv", "Clip", "MaxPool", "MaxPool"]
    x = np.random.default_rng(0).normal(0, 1, (3, 2, 6, 6))
    assert np.array_equal(floating.run(graph, x)["r"], floating.run(hoisted, x)["r"])
    plan = plan_layers(graph)
    assert shape_of(plan) == [("c.p.r", [("c", "x")]), "p.r", "r"]
    assert plan.layers[0].low == 0.0


def test_clip_stays_behind_a_pool_whose_source_others_read():
    graph = network(
        conv("c", "x"), MaxPool("p", ("c",), Window((2, 2), (2, 2))), Clip("r", ("p",), 0.0), outputs=("c",)
    )
    assert shape_of(plan_layers(graph)) == [("c", [("c", "x")]), "p", ("r", [("r", "p")])]


def test_concat_stays():
    assert shape_of(plan_layers(network(conv("c", "x"), Concat("k", ("c", "x")))))[1] == "k"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (AveragePool("p", ("x",), Window((3, 3), (1, 1), (1, 1, 1, 1))), "'p' leaves its padding out"),
        (Clip("r", ("x",), 2.0, 1.0), "'r' has the lower bound 2.0 above"),
        (Clip("r", ("x",), math.inf), "'r' has an infinite lower"),
        (Conv("c", ("x",), np.full((1, 2, 1, 1), np.nan), np.zeros(1)), "weights of 'c' hold a NaN"),
        (Conv("c", ("x",), np.ones((1, 2, 1, 1)), np.full(1, np.inf)), "weights of 'c' hold a NaN"),
    ],
)
def test_what_integers_cannot_express_is_refused(node, message):
    with pytest.raises(HwquantError, match=message):
        plan_layers(network(node))
