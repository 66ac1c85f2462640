"""Parity is measured against what the networks give as a whole."""

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS

from hwquant import floating, golden
from hwquant.data import Samples
from hwquant.quantize import quantize
from hwquant.truncation import measure
from hwquant.truncation.measure import TruncationStep, layer_parity, operator_parity
from hwquant.truncation.truncate import integers


def steps_of(graph):
    return [TruncationStep("inputs", tuple(item.name for item in graph.inputs), ())] + [
        TruncationStep(node.name, (node.name,), (node.name,)) for node in graph.nodes
    ]


@pytest.mark.parametrize("structure", KINDS)
def test_a_truncation_that_changes_nothing_has_no_error(build, samples, structure):
    graph = build(structure, 0)

    def same(x):
        return floating.run(graph, x, keep=graph.shapes)

    rows, accuracy = layer_parity(graph, steps_of(graph), same, Samples(samples, None))
    assert accuracy is None
    assert [row.name for row in rows] == ["inputs", *(node.name for node in graph.nodes)]
    for row in rows:
        assert row.tensor.largest == row.tensor.mean == 0
        assert row.output.largest < 1e-12
    operators = operator_parity(
        graph, {"x": samples}, {"x": samples}, lambda network, _: lambda x: floating.run(network, x)
    )
    assert [row.name for row in operators] == [node.name for node in graph.nodes]
    assert all(row.error.largest < 1e-12 for row in operators)


def test_an_error_that_one_operator_adds_is_found_there_and_from_there_on(build, samples):
    graph = build("chain", 0)
    place = [node.name for node in graph.nodes].index("c2")

    def shifted(x):
        tensors = floating.run(graph, x, keep=graph.shapes)
        return {name: value + (0.25 if name == "c2" else 0) for name, value in tensors.items()}

    rows, _ = layer_parity(graph, steps_of(graph), shifted, Samples(samples, None))
    assert [row.tensor.largest > 0 for row in rows[1:]] == [node.name == "c2" for node in graph.nodes]
    assert rows[place + 1].tensor.mean == pytest.approx(0.25)
    assert [row.output.largest > 0 for row in rows[1:]] == [node.name == "c2" for node in graph.nodes]
    operators = operator_parity(
        graph, {"x": samples}, {"x": samples}, lambda network, _: lambda x: shifted_alone(network, x)
    )
    assert [row.error.largest > 0.2 for row in operators] == [node.name == "c2" for node in graph.nodes]


def shifted_alone(network, x):
    (node,) = network.nodes
    return {node.name: floating.run(network, x)[node.name] + (0.25 if node.name == "c2" else 0)}


@pytest.mark.parametrize("elements", [1, 1 << 23])
def test_the_last_row_is_the_truncated_network_however_the_samples_are_cut(
    digits_graph, digits_qgraph, digits_samples, monkeypatch, elements
):
    monkeypatch.setattr(measure, "_BATCH_ELEMENTS", elements * 5000)
    part = digits_samples[:100]
    steps = [TruncationStep("image", ("image",), ())]
    steps += [TruncationStep(node.name, (node.name,), ()) for node in digits_qgraph.nodes]
    rows, float_accuracy = layer_parity(digits_graph, steps, integers(digits_qgraph), part)
    exact, got = floating.predict(digits_graph, part.x)[0], golden.predict(digits_qgraph, part.x)[0]
    assert rows[-1].output.largest == pytest.approx(np.abs(exact - got).max(), rel=1e-12)
    assert rows[-1].output == rows[-1].tensor
    assert rows[-1].accuracy == part.accuracy(got)
    assert float_accuracy == part.accuracy(exact)


def test_an_operator_alone_has_the_error_of_its_own_integers(build, samples):
    graph = build("projection", 0)

    def truncate(network, inputs):
        return integers(quantize(network, inputs, scales="power_of_two"))

    rows = operator_parity(graph, {"x": samples}, {"x": samples}, truncate)
    tensors = floating.run(graph, samples, keep=graph.shapes)
    for row, node in zip(rows, graph.nodes, strict=True):
        network = measure.alone(node, graph)
        inputs = {name: tensors[name] for name in node.inputs}
        qgraph = quantize(network, inputs, scales="power_of_two")
        got = golden.predict(qgraph, inputs, exact=True)[0]
        assert row.error.largest == pytest.approx(np.abs(got - tensors[node.name]).max(), rel=1e-9)
        assert row.error.sqnr_db > 20
