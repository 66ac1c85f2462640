"""How sensitive each layer is, and which are pruned."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant import floating
from hwquant.program.compiler import compile_network
from hwquant.pruning import PruneOptions
from hwquant.pruning.groups import convolutions
from hwquant.pruning.sensitivity import Trials, measure
from hwquant.quantize import quantize

OPTIONS = PruneOptions((4, 4), step=0.5, sensitivity_samples=100)


def accuracy(graph, x, y):
    return float((floating.predict(graph, x)[0].argmax(axis=1) == y).mean())


def test_sensitivity_is_that_of_a_layer_pruned_alone(digits_graph, digits_samples):
    x, y = digits_samples.x, digits_samples.y
    reported = []
    found = measure(digits_graph, x, y, OPTIONS, lambda *report: reported.append(report))
    assert {item.layer for item in found} == {"conv1", "conv2", "scores"}
    before = accuracy(digits_graph, x[:100], y[:100])
    for item in found:
        (node,) = (node for node in convolutions(digits_graph) if node.name == item.layer)
        groups = OPTIONS.shape(node.name).cut(digits_graph, node)
        mask = ~groups.pruned(node.weight, step=OPTIONS.step)[groups.labels]
        nodes = [
            replace(other, weight=other.weight * mask) if other is node else other
            for other in digits_graph.nodes
        ]
        pruned = replace(digits_graph, nodes=tuple(nodes))
        assert item.drop == pytest.approx(before - accuracy(pruned, x[:100], y[:100]))
        assert item.pruned == 1 - mask.mean() > 0
    assert [item.drop for item in found] == sorted((item.drop for item in found), reverse=True)
    assert [report[:3] for report in reported] == [("sensitivity", i, 3) for i in range(3)]


def test_sensitivity_is_measured_on_as_many_samples_as_asked_for(digits_graph, digits_samples):
    x, y = digits_samples.x, digits_samples.y.copy()
    few = measure(digits_graph, x[:100], y[:100], OPTIONS)
    y[100:] = 0
    assert measure(digits_graph, x, y, OPTIONS) == few


def trials(graph, samples, **changes):
    options = replace(OPTIONS, **changes)
    return Trials.of(graph, samples.x, samples.y, options), {node.name: node for node in convolutions(graph)}


def test_a_step_is_halved_until_it_costs_no_more_than_it_may(digits_graph, digits_samples):
    free, nodes = trials(digits_graph, digits_samples, step=1.0, max_sensitivity=100)
    drops = {step: free.cut(nodes["scores"], step).drop for step in (1.0, 0.5, 0.25)}
    assert drops[1.0] > drops[0.5] > drops[0.25]
    assert free.bearable(nodes["scores"], 1.0).step == 1.0
    bound, _ = trials(digits_graph, digits_samples, step=1.0, max_sensitivity=100 * drops[0.5])
    found = bound.bearable(nodes["scores"], 1.0)
    assert (found.step, found.drop) == (0.5, drops[0.5])
    least, _ = trials(
        digits_graph, digits_samples, step=1.0, max_sensitivity=100 * drops[0.5], least_step=0.6
    )
    assert least.bearable(nodes["scores"], 1.0) is None


def test_a_cut_saves_the_cycles_of_the_tiles_that_it_empties(digits_graph, digits_samples):
    found, nodes = trials(digits_graph, digits_samples)
    cut = found.cut(nodes["conv2"], 1.0)
    pruned = [
        replace(node, weight=node.weight * cut.keep) if node.name == "conv2" else node
        for node in digits_graph.nodes
    ]
    before, after = (
        sum(
            layer.ideal_cycles
            for layer in compile_network(quantize(graph, digits_samples.x[:50]), (4, 4)).layers
        )
        for graph in (digits_graph, replace(digits_graph, nodes=tuple(pruned)))
    )
    assert found.saved(cut) == before - after > 0


def test_a_cut_is_the_smallest_where_it_takes_one_group(digits_graph, digits_samples):
    found, nodes = trials(digits_graph, digits_samples, max_sensitivity=100, least_step=1e-9)
    cuts = {step: found.cut(nodes["conv2"], step) for step in (1.0, 1e-9)}
    assert {step: cut.smallest for step, cut in cuts.items()} == {1.0: False, 1e-9: True}
    groups = OPTIONS.shape("conv2").cut(digits_graph, nodes["conv2"])
    assert len(np.unique(groups.labels[~cuts[1e-9].keep])) == 1


def test_a_layer_is_never_pruned_away_altogether(digits_graph, digits_samples):
    found, nodes = trials(digits_graph, digits_samples, threshold_factor=1e9, step=1.0, max_sensitivity=100)
    assert found.cut(nodes["conv2"], 1.0) is None
    assert not found.cut(nodes["conv2"], 0.5).keep.all()


def test_measuring_sensitivity_changes_no_weights(digits_graph, digits_samples):
    before = [node.weight.copy() for node in convolutions(digits_graph)]
    measure(digits_graph, digits_samples.x, digits_samples.y, OPTIONS)
    assert all(np.array_equal(a, node.weight) for a, node in zip(before, convolutions(digits_graph)))
