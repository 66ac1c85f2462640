"""What is searched."""

import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.graph import AveragePool, Clip, Concat, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.quantize import QuantizeOptions
from hwquant.quantize.fuse import plan_layers
from hwquant.search.space import ACTIVATIONS, BIASES, WEIGHTS, Space
from hwquant.window import Window


def conv(name, source, channels, out):
    return Conv(name, (source,), np.ones((out, channels, 1, 1)), np.zeros(out))


@pytest.fixture
def graph():
    """Two branches that are joined, pooled, averaged over 3x3 (no power of two), classified."""
    nodes = (
        conv("a", "x", 2, 4),
        conv("b", "x", 2, 6),
        Clip("r", ("b",), 0.0),
        Concat("joined", ("a", "r")),
        MaxPool("pooled", ("joined",), Window((2, 2), (2, 2))),
        AveragePool("mean", ("pooled",), Window((3, 3), (3, 3))),
        conv("scores", "mean", 10, 5),
    )
    return Graph("branches", (Input("x", (2, 6, 6), (2, 6, 6)),), nodes, (Output("y", "scores", (5,)),))


def test_variables_are_the_convolutions_and_not_the_constants_of_a_pool(graph):
    space = Space.of(plan_layers(graph), (8, 4))
    assert [(item.kind, item.name, item.elements) for item in space.variables] == [
        (WEIGHTS, "a", 8),
        (WEIGHTS, "b", 12),
        (WEIGHTS, "scores", 50),
    ]
    assert {item.bits for item in space.variables} == {(4, 8)}
    assert space.size == len(list(space.everything())) == 8


def test_activations_are_one_variable_as_hardware_is_as_wide_as_the_widest(graph):
    space = Space.of(plan_layers(graph), (4, 8), activations=(2, 4, 6))
    found = [(item.name, item.elements, item.bits) for item in space.variables if item.kind == ACTIVATIONS]
    assert found == [("activations", 10 * 6 * 6, (2, 4, 6))]
    assert space.size == 2**3 * 3


def test_biases_are_those_of_every_layer_as_all_have_zero_points_in_them(graph):
    space = Space.of(plan_layers(graph), (4, 8), biases=(12, 6))
    found = [(item.name, item.elements, item.bits) for item in space.variables if item.kind == BIASES]
    assert found == [
        (name, count, (6, 12)) for name, count in (("a", 4), ("r", 6), ("mean", 10), ("scores", 5))
    ]
    assert space.int8 == (8, 8, 8, 32, 32, 32, 32)
    assert space.widest == (8, 8, 8, 12, 12, 12, 12)
    assert (8, 4, 8, 6, 12, 6, 6) in space
    assert (8, 4, 8, 8, 12, 6, 6) not in space


def test_a_configuration_becomes_the_quantizer_s_options(graph):
    base = QuantizeOptions(per_channel=True)
    plan = plan_layers(graph)
    options = Space.of(plan, (2, 8)).options(base, (2, 8, 4))
    assert options == QuantizeOptions(
        per_channel=True, equalization=False, bits={"a": 2, "b": 8, "scores": 4}
    )
    options = Space.of(plan, (2, 8), (4, 6), (9, 12)).options(base, (2, 8, 4, 9, 9, 12, 9, 6))
    assert options == QuantizeOptions(
        per_channel=True,
        equalization=False,
        bits={"a": 2, "b": 8, "scores": 4},
        bias_bits={"a": 9, "r": 9, "mean": 12, "scores": 9},
        activation_bits=6,
    )


def test_int8_is_known_also_where_8_is_not_searched(graph):
    space = Space.of(plan_layers(graph), (2, 4))
    assert space.int8 == (8, 8, 8)
    assert space.int8 not in space
    assert (2, 4, 4) in space
    assert next(iter(space.everything())) == (4, 4, 4)


def test_a_network_without_weights_is_refused():
    graph = Graph(
        "empty", (Input("x", (1, 2, 2), (1, 2, 2)),), (Clip("y", ("x",), 0.0),), (Output("y", "y", (4,)),)
    )
    with pytest.raises(HwquantError, match="'empty' has no weights"):
        Space.of(plan_layers(graph), (4, 8))
