"""Savings: what the float network, the program and the cycle model say, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant.graph import Conv
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.pruning import pruned_share
from hwquant.pruning.groups import GroupShape
from hwquant.pruning.report import savings
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
