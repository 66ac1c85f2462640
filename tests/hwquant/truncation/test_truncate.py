"""Truncation as a whole, on networks with every structure."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS

from hwquant import floating, golden
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.graph import Clip, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.qgraph import Layer
from hwquant.training import Training, TrainOptions
from hwquant.truncation import Error, truncate
from hwquant.window import Window


@pytest.mark.parametrize("to", ["float16", "int8", "binary"])
@pytest.mark.parametrize("structure", KINDS)
def test_every_operator_and_every_layer_has_a_row(build, samples, structure, to):
    graph = build(structure, 0)
    result = truncate(graph, samples, to)
    assert [row.name for row in result.parity.operators] == [node.name for node in graph.nodes]
    rows = result.parity.layers
    if to == "float16":
        assert result.qgraph is None
        assert [row.name for row in rows] == ["x", *(node.name for node in graph.nodes)]
    else:
        assert [row.name for row in rows] == ["x", *(node.name for node in result.qgraph.nodes)]
        covered = [name for row in rows for name in row.operators]
        assert len(covered) == len(set(covered)) == len(graph.nodes)
        assert result.qgraph.options["quantizer"]["scales"] == "power_of_two"
    json.dumps(result.parity.to_json(), allow_nan=False)
    least = {"float16": 50, "int8": 20, "binary": -20}[to]
    assert rows[-1].output.sqnr_db > least


@pytest.mark.parametrize("to", ["float16", "int8"])
def test_the_reshape_before_a_matrix_product_of_pixels_has_an_exact_row(samples, to):
    rng = np.random.default_rng(0)
    shape = (3, 8, 8)
    nodes = (
        Conv("c", ("x",), rng.normal(size=(4, 3, 3, 3)), np.zeros(4), Window((3, 3))),
        Clip("r", ("c",), 0.0),
        Conv("fc1", ("r",), rng.normal(size=(5, 4, 6, 6)), np.zeros(5), Window((6, 6))),
        Conv("fc2", ("fc1",), rng.normal(size=(2, 5, 1, 1)), np.zeros(2)),  # reads a vector already
    )
    graph = Graph("net", (Input("x", shape, shape),), nodes, (Output("y", "fc2", (2,)),))
    rows = truncate(graph, samples, to).parity.operators
    assert [(row.name, row.kind) for row in rows] == [
        ("c", "convolution"),
        ("r", "activation"),
        ("into fc1", "reshape"),
        ("fc1", "matrix product"),
        ("fc2", "matrix product"),
    ]
    assert rows[2].error == Error(0.0, 0.0, None)


def test_fewer_bits_cost_more(digits_graph, digits):
    _, (x, y), calibration = digits
    results = [
        truncate(digits_graph, calibration, to, test=Samples(x, y)) for to in ("float16", "int8", "binary")
    ]
    ratios = [result.parity.layers[-1].output.sqnr_db for result in results]
    assert ratios[0] > ratios[1] + 20 > ratios[2] + 40
    assert results[0].parity.float_accuracy == results[1].parity.float_accuracy
    assert abs(results[1].parity.accuracy - results[1].parity.float_accuracy) < 0.01


def test_the_report_is_about_the_network_that_is_returned(digits_graph, digits):
    _, (x, y), calibration = digits
    result = truncate(digits_graph, calibration, "int8", test=Samples(x, y))
    got = golden.predict(result.qgraph, x)[0]
    assert result.parity.accuracy == (got.argmax(axis=1) == y).mean()
    assert result.parity.samples == len(x)
    error = np.abs(got - floating.predict(digits_graph, x)[0])
    assert result.parity.layers[-1].output.largest == pytest.approx(error.max(), rel=1e-12)


def test_ends_can_keep_eight_bits(digits_graph, digits):
    qgraph = truncate(digits_graph, digits[2], "binary", int8_ends=True).qgraph
    bits = [term.bits for node in qgraph.nodes if isinstance(node, Layer) for term in node.terms]
    assert bits == [8, 1, 8]


def test_a_fine_tuned_network_is_what_the_layers_are_measured_on(digits_graph, digits):
    train, (x, y), calibration = digits
    notes = []
    result = truncate(
        digits_graph,
        calibration,
        "binary",
        test=Samples(x, y),
        training=Training(
            train,
            TrainOptions(epochs=8, lr=0.005, batch_size=20),
            progress=lambda *arguments: notes.append(arguments),
        ),
    )
    assert result.parity.accuracy == (golden.predict(result.qgraph, x)[0].argmax(axis=1) == y).mean()
    assert [note[1:3] for note in notes] == [(number, 8) for number in range(1, 9)]
    assert "accuracy" in notes[-1][3]
    plain = truncate(digits_graph, calibration, "binary", test=Samples(x, y))
    assert result.parity.operators == plain.parity.operators
    assert result.parity.layers != plain.parity.layers
    assert result.qgraph.options["finetuned"]["training"]["epochs"] == 8


def test_progress_reaches_its_end(build, samples):
    seen = {}
    truncate(
        build("chain", 0), samples, progress=lambda what, done, total: seen.__setitem__(what, (done, total))
    )
    assert {"truncate each operator", "test each operator", "test layer after layer"} <= seen.keys()
    assert all(done == total for done, total in seen.values())


def test_networks_with_several_inputs_are_truncated():
    rng = np.random.default_rng(0)
    shape = (2, 4, 4)
    nodes = [
        Conv(name, (source,), rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3), Window((3, 3)))
        for name, source in (("c", "a"), ("d", "b"))
    ]
    nodes.append(Clip("low", ("c",), 0.0))
    outputs = (Output("first", "low", (3, 2, 2)), Output("second", "d", (12,)))
    graph = Graph("two", (Input("a", shape, shape), Input("b", shape, shape)), tuple(nodes), outputs)
    data = {name: rng.normal(size=(20, *shape)).astype(np.float32) for name in "ab"}
    parity = truncate(graph, data).parity
    assert parity.layers[0].name == "a, b"
    assert parity.layers[-1].output.sqnr_db > 25
    with pytest.raises(HwquantError, match="'two' has several inputs; fine-tuning"):
        truncate(graph, data, training=Training((data["a"], np.zeros(20, int))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to": "int4"}, "to must be one of float16, int8, binary, not 'int4'"),
        ({"to": "binary", "binary": "both"}, "binary must be one of bipolar, unipolar, not 'both'"),
        ({"to": "int8", "int8_ends": True}, "int8_ends is for binary"),
        ({"to": "float16", "training": Training(())}, "float16 networks are not fine-tuned"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(build, samples, arguments, message):
    graph = build("chain", 0)
    with pytest.raises(HwquantError, match=message):
        truncate(graph, samples, **arguments)


def test_binary_weights_that_are_zero_have_no_sign(build, samples):
    graph = build("chain", 0)
    pruned = replace(graph.nodes[0], weight=graph.nodes[0].weight * (np.arange(8) > 1)[:, None, None, None])
    graph = replace(graph, nodes=(pruned, *graph.nodes[1:]))
    with pytest.raises(HwquantError, match=r"54 weights of 'c1' are exactly 0, .*--binary unipolar"):
        truncate(graph, samples, "binary")
    qgraph = truncate(graph, samples, "binary", binary="unipolar").qgraph
    assert not qgraph.nodes[0].terms[0].weight[:2].any()


def test_binary_weights_too_small_for_float16_keep_their_sign(build, samples):
    graph = build("chain", 0)
    weight = graph.nodes[0].weight.copy()
    weight[0] *= 1e-9
    graph = replace(graph, nodes=(replace(graph.nodes[0], weight=weight), *graph.nodes[1:]))
    qgraph = truncate(graph, samples, "binary").qgraph
    assert np.array_equal(qgraph.nodes[0].terms[0].weight, np.sign(weight))


def test_a_network_of_two_layers_has_nothing_between_its_ends(samples):
    shape = (3, 8, 8)
    nodes = tuple(
        Conv(name, (source,), np.ones((3, 3, 1, 1)), np.zeros(3)) for name, source in (("a", "x"), ("b", "a"))
    )
    graph = Graph("net", (Input("x", shape, shape),), nodes, (Output("y", "b", shape),))
    with pytest.raises(HwquantError, match="between its ends: leave int8_ends out"):
        truncate(graph, samples, "binary", int8_ends=True)


def test_a_network_without_weights_is_refused(samples):
    shape = (3, 8, 8)
    graph = Graph("net", (Input("x", shape, shape),), (Clip("r", ("x",), 0.0),), (Output("y", "r", shape),))
    with pytest.raises(HwquantError, match="'net' has no weights to truncate"):
        truncate(graph, samples)


def test_data_that_do_not_fit_are_refused(build, samples):
    with pytest.raises(HwquantError, match="must have the shape"):
        truncate(build("chain", 0), samples[:, :2])
    with pytest.raises(HwquantError, match="has shape"):
        truncate(build("chain", 0), samples, test=Samples(samples[:, :2], None))
