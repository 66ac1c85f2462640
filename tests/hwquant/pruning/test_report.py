"""Savings: what the float network, the program and the cycle model say, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant.graph import Conv
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.pruning import PruneOptions, pruned_share
from hwquant.pruning.groups import GroupShape, convolutions
from hwquant.pruning.judge import Verdict
from hwquant.pruning.report import judge_pruning, savings
from hwquant.pruning.sensitivity import Sensitivity
from hwquant.pruning.state import PruneResult, PruningPass
from hwquant.quantize import quantize

ARRAY = (4, 4)


def programs(graph, x, share, filters=None):
    """The pruned graph, its integers and program, and the dense program; a share of the groups is zero."""
    rng, nodes = np.random.default_rng(1), []
    for node in graph.nodes:
        if isinstance(node, Conv):
            groups = GroupShape(ARRAY, filters=filters).cut(graph, node)
            kept = rng.random(groups.count) >= share
            node = replace(node, weight=node.weight * kept[groups.labels])
        nodes.append(node)
    pruned = replace(graph, nodes=tuple(nodes))
    qgraph = quantize(pruned, x(graph))
    dense = compile_network(quantize(graph, x(graph)), ARRAY)
    return pruned, qgraph, compile_network(qgraph, ARRAY), dense


def test_pruned_skipped_and_saved_are_three_different_numbers(graph, x):
    pruned, qgraph, program, dense = programs(graph, x, 0.6, filters=1)
    found = savings(pruned, qgraph, program, dense)
    assert found.pruned == pruned_share(pruned) > 0.4
    tiles = [(layer.tiles, layer.tiles_skipped) for layer in program.layers]
    assert found.skipped == sum(b for _, b in tiles) / sum(a for a, _ in tiles)
    assert found.skipped < found.pruned / 2
    assert (found.cycles, found.dense_cycles) == (timing(program).cycles, timing(dense).cycles)


def test_every_convolution_is_in_one_layer(graph, x):
    found = savings(*programs(graph, x, 0.5))
    names = [name for layer in found.layers for name in layer.convolutions]
    assert sorted(names) == sorted(node.name for node in graph.nodes if isinstance(node, Conv))
    weights = sum(layer.weights for layer in found.layers)
    assert found.pruned == pytest.approx(sum(layer.pruned for layer in found.layers) / weights)


def test_skipped_tiles_promise_their_cycles_and_the_program_keeps_the_promise(graph, x):
    pruned, qgraph, program, dense = programs(graph, x, 0.5)
    found = savings(pruned, qgraph, program, dense)
    executed = sum(layer.tile_cycles for layer in found.layers)
    every = sum(layer.dense_tile_cycles for layer in found.layers)
    assert found.promised == 1 - executed / every > 0.2
    saved = found.dense_cycles - found.cycles
    assert found.kept_promise == pytest.approx(saved / (found.promised * found.dense_cycles))
    assert saved >= 0.95 * (every - executed)


def test_a_dense_network_promises_nothing_and_keeps_it(graph, x):
    found = savings(*programs(graph, x, 0.0))
    assert (found.pruned, found.skipped, found.promised, found.kept_promise) == (0.0, 0.0, 0.0, 1.0)
    assert found.to_json()["cycles"] == {"dense": found.cycles, "pruned": found.cycles}


def result(graph, *accuracies):
    """Of a pruning whose passes all failed."""
    passes = tuple(
        PruningPass(["scores"], [1.0], 1.0, 0.1, Verdict(0.99, accuracy, 0.1, 1000), False)
        for accuracy in accuracies
    )
    sensitivities = tuple(Sensitivity(node.name, 0.1, 0.0) for node in convolutions(graph))
    before = Verdict(0.95, 0.9, 0.0, 1000)
    return PruneResult(graph, None, before, before, sensitivities, passes)


def reason(graph, made, **options):
    (advice,) = judge_pruning(graph, made, PruneOptions(ARRAY, **options), 1000)
    assert advice.kind == "nothing_pruned"
    assert advice.message.startswith("nothing was pruned: ")
    return advice


def test_passes_that_lost_too_much_are_a_reason(graph):
    advice = reason(graph, result(graph, 0.80, 0.85), max_drop=2.0)
    assert advice.option == "--max-drop"
    assert advice.value == pytest.approx(5.0)
    assert "each of 2 passes lost more than the 2 points of --max-drop" in advice.message
    assert "(the best 5.0)" in advice.message
    assert "the only pass lost more" in reason(graph, result(graph, 0.80)).message


def test_groups_as_large_as_layers_are_a_reason(graph):
    advice = reason(graph, result(graph), group_size=1 << 20, filters=1 << 20)
    whole = all(
        PruneOptions(ARRAY, group_size=1 << 20, filters=1 << 20).shape(node.name).cut(graph, node).count == 1
        for node in convolutions(graph)
    )
    assert advice.option == ("--group-size" if whole else "--threshold-factor")


def test_a_threshold_that_no_group_is_below_is_a_reason(graph):
    advice = reason(graph, result(graph), threshold_factor=1e-9)
    assert advice.option == "--threshold-factor"
    assert "whole layers lies below its layer's threshold, 1e-09 times the mean" in advice.message


def test_a_network_that_was_pruned_gets_no_advice(graph, x):
    pruned, *_ = programs(graph, x, 0.6)
    assert judge_pruning(graph, replace(result(graph), graph=pruned), PruneOptions(ARRAY), 1000) == ()


def test_validation_samples_too_few_to_see_the_drop_are_named(graph, x):
    pruned, *_ = programs(graph, x, 0.6)
    made = replace(result(graph), graph=pruned)
    (advice,) = judge_pruning(graph, made, PruneOptions(ARRAY, max_drop=0.5), 199)
    assert (advice.kind, advice.option, advice.value) == ("few_validation_samples", "--validation", 199)
    assert "one of 199 validation samples is 0.5 points" in advice.message
    assert judge_pruning(graph, made, PruneOptions(ARRAY, max_drop=0.5), 200) == ()
    assert judge_pruning(graph, made, PruneOptions(ARRAY, max_drop=0), 2) == ()
