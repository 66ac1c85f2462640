"""How sensitive each layer is, and which are pruned."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.pruning import PruneOptions
from hwquant.pruning.groups import convolutions
from hwquant.pruning.sensitivity import Sensitivity, measure, to_prune

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
        mask = OPTIONS.keep(digits_graph, node)
        nodes = [
            replace(other, weight=other.weight * mask) if other is node else other
            for other in digits_graph.nodes
        ]
        pruned = replace(digits_graph, nodes=tuple(nodes))
        assert item.drop == pytest.approx(before - accuracy(pruned, x[:100], y[:100]))
        assert item.pruned == 1 - mask.mean() > 0
    assert [item.drop for item in found] == sorted(item.drop for item in found)
    assert [report[:3] for report in reported] == [("sensitivity", i, 3) for i in range(3)]


def test_sensitivity_is_measured_on_as_many_samples_as_asked_for(digits_graph, digits_samples):
    x, y = digits_samples.x, digits_samples.y.copy()
    few = measure(digits_graph, x[:100], y[:100], OPTIONS)
    y[100:] = 0
    assert measure(digits_graph, x, y, OPTIONS) == few


def test_layers_above_the_limit_are_untouched_and_the_order_is_kept():
    found = [Sensitivity("a", 0.2, -0.01), Sensitivity("b", 0.2, 0.05), Sensitivity("c", 0.2, 0.3)]
    assert to_prune(found, replace(OPTIONS, max_sensitivity=30.0)) == ["a", "b", "c"]
    assert to_prune(found, replace(OPTIONS, max_sensitivity=5.0)) == ["a", "b"]
    assert to_prune(found, replace(OPTIONS, max_sensitivity=0.0)) == ["a"]
    with pytest.raises(HwquantError, match=r"'b' loses least, 5.0 points, and max_sensitivity is 1"):
        to_prune(found[1:], replace(OPTIONS, max_sensitivity=1.0))


def test_measuring_sensitivity_changes_no_weights(digits_graph, digits_samples):
    before = [node.weight.copy() for node in convolutions(digits_graph)]
    measure(digits_graph, digits_samples.x, digits_samples.y, OPTIONS)
    assert all(np.array_equal(a, node.weight) for a, node in zip(before, convolutions(digits_graph)))
