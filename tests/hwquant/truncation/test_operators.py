"""Operators alone, and the rest of a network behind known tensors, compute what they compute inside it."""

import numpy as np
import pytest
from hwquant_testing.float_networks import ALL_KINDS

from hwquant import floating
from hwquant.graph import AveragePool, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.truncation.operators import alone, has_reshape, kind, reshaped, rest
from hwquant.window import Window


@pytest.mark.parametrize("structure", ALL_KINDS)
def test_an_operator_alone_gives_its_tensor(build, samples, structure):
    graph = build(structure, 0)
    tensors = floating.run(graph, samples, keep=graph.shapes)
    for node in graph.nodes:
        network = alone(node, graph)
        got = floating.run(network, {name: tensors[name] for name in node.inputs})
        np.testing.assert_allclose(got[node.name], tensors[node.name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("structure", ALL_KINDS)
def test_the_rest_behind_any_number_of_known_nodes_gives_the_outputs(build, samples, structure):
    graph = build(structure, 0)
    tensors = floating.run(graph, samples, keep=graph.shapes)
    names = list(graph.shapes)
    for count in range(1, len(names) + 1):
        network = rest(graph, frozenset(names[:count]))
        assert not {node.name for node in network.nodes} & set(names[:count])
        got = floating.run(network, {item.name: tensors[item.name] for item in network.inputs})
        for output in graph.outputs:
            np.testing.assert_allclose(got[output.tensor], tensors[output.tensor], rtol=1e-12, atol=1e-12)


def test_a_kernel_as_large_as_its_input_is_a_matrix_product():
    whole = Conv("whole", ("x",), np.zeros((5, 2, 4, 4)), np.zeros(5), Window((4, 4)))
    point = Conv("point", ("whole",), np.zeros((3, 5, 1, 1)), np.zeros(3))
    inner = Conv("inner", ("x",), np.zeros((5, 2, 3, 3)), np.zeros(5), Window((3, 3)))
    padded = Conv("padded", ("x",), np.zeros((5, 2, 4, 4)), np.zeros(5), Window((4, 4), padding=(1, 1, 1, 1)))
    graph = Graph(
        "net",
        (Input("x", (2, 4, 4), (2, 4, 4)),),
        (whole, point, inner, padded, AveragePool("average", ("x",), Window((4, 4), (1, 1)))),
        (Output("y", "point", (3,)),),
    )
    assert [kind(node, graph) for node in graph.nodes] == [
        "matrix product",
        "matrix product",
        "convolution",
        "convolution",
        "average pooling",
    ]
    assert [has_reshape(node, graph) for node in graph.nodes] == [True, False, False, False, False]
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4))
    np.testing.assert_array_equal(reshaped(whole, x), x)
