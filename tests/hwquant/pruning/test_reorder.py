"""Packing like-patterned filters into tiles: never worse, found where it is there, and nothing computed changes."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.branching_networks import branches, plain
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant import golden
from hwquant.graph import Clip, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.pruning.groups import GroupShape, convolutions
from hwquant.pruning.permute import permute
from hwquant.pruning.reorder import Pattern, best_order, reorder, skipped_cycles
from hwquant.quantize import quantize
from hwquant.window import Window


def pruned(graph, rng, share, shape, alike=0):
    """The network with random groups at zero; with ``alike``, filters have one of that many patterns."""
    nodes = []
    for node in graph.nodes:
        if isinstance(node, Conv):
            groups = shape.cut(graph, node)
            zero = rng.random(groups.count) < share
            if alike and shape.filters == 1:
                patterns = rng.random((alike, groups.count // len(node.weight))) < share
                zero = patterns[rng.integers(0, alike, len(node.weight))].ravel()
            node = replace(node, weight=node.weight * ~zero[groups.labels])
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def tile_cycles(qgraph, array):
    """Of the tiles that the compiled program executes."""
    return sum(layer.ideal_cycles for layer in compile_network(qgraph, array).layers)


@pytest.mark.parametrize("array", [(8, 8), (4, 8), (8, 4)])
@pytest.mark.parametrize("build", [plain, branches])
def test_hardware_skips_more_of_a_reordered_network_and_no_bit_of_its_outputs_changes(build, array, x):
    rng = np.random.default_rng(2)
    graph = pruned(build(), rng, 0.7, GroupShape(array, filters=1), alike=3)
    qgraph = quantize(graph, x(graph))
    found = reorder(graph, array)
    again = permute(qgraph, found.orders)
    q = golden.quantize_input(qgraph, x(graph, count=20, seed=9))
    for name, expected in golden.run(qgraph, q).items():
        assert np.array_equal(golden.run(again, q)[name], expected)
    assert tile_cycles(again, array) < tile_cycles(qgraph, array)
    assert skipped_cycles(found.graph, array) > skipped_cycles(graph, array)
    for node, old in zip(convolutions(found.graph), convolutions(permute(graph, found.orders))):
        assert np.array_equal(node.weight, old.weight)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.sampled_from([plain, branches]),
    st.sampled_from([(8, 8), (4, 8), (8, 4), (5, 3), (4, 6)]),
    st.floats(0.1, 0.95),
    st.sampled_from([1, 2, None]),
)
def test_reordering_never_skips_fewer_cycles(seed, build, array, share, filters):
    rng = np.random.default_rng(seed)
    graph = pruned(build(), rng, share, GroupShape(array, filters=filters))
    found = reorder(graph, array)
    assert skipped_cycles(found.graph, array) >= skipped_cycles(graph, array)
    assert bool(found.orders) == (skipped_cycles(found.graph, array) > skipped_cycles(graph, array))
    before = [np.sort(node.weight, axis=None) for node in convolutions(graph)]
    after = [np.sort(node.weight, axis=None) for node in convolutions(found.graph)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(2, 5), st.integers(1, 6))
def test_filters_that_come_in_whole_tiles_of_one_pattern_are_all_found(seed, tiles, groups):
    rng = np.random.default_rng(seed)
    zero = rng.random((tiles, groups)) < 0.5
    block = np.repeat(np.arange(tiles), 4)
    shuffled = zero[rng.permutation(block)]
    pattern = Pattern(shuffled, block, 10)
    order = best_order([pattern], 4 * tiles)
    assert sorted(order) == list(range(4 * tiles))
    assert pattern.saved(order) == 10 * zero.sum()


def test_an_order_that_cannot_be_improved_stays():
    pattern = Pattern(np.repeat(np.eye(3, dtype=bool), 4, axis=0), np.repeat(np.arange(3), 4), 1)
    assert np.array_equal(best_order([pattern], 12), np.arange(12))
    assert np.array_equal(best_order([], 5), np.arange(5))


def test_a_dense_network_is_left_alone_unless_asked_to_look_ahead(graph):
    found = reorder(graph)
    assert found.orders == reorder(graph, prune="above").orders == {}
    assert all(a.weight is b.weight for a, b in zip(convolutions(graph), convolutions(found.graph)))


def test_looking_ahead_gathers_the_filters_that_are_weak_in_the_same_places():
    rng = np.random.default_rng(0)
    scale = np.where(rng.permutation(16) < 8, 0.1, 1.0)  # half of the filters are weak in the first channels
    weight = rng.normal(1, 0.1, (16, 16, 1, 1))
    weight[:, :8] *= scale[:, None, None, None]
    weight[:, 8:] *= 1.1 - scale[:, None, None, None]
    item = Input("x", (16, 4, 4), (16, 4, 4))
    end = Conv("end", ("relu",), rng.normal(0, 1, (4, 16, 1, 1)), np.zeros(4))
    nodes = (
        Clip("relu0", ("x",), 0.0),
        Conv("conv", ("relu0",), weight, np.zeros(16), Window(weight.shape[2:])),
        Clip("relu", ("conv",), 0.0),
    )
    graph = Graph("net", (item,), (*nodes, end), (Output("y", "end", (4, 4, 4)),))
    found = reorder(graph, factor=0.5)
    order = found.orders["conv"]
    assert {frozenset(scale[order[:8]]), frozenset(scale[order[8:]])} == {frozenset([0.1]), frozenset([1.0])}
    conv = convolutions(found.graph)[0]
    assert GroupShape().cut(found.graph, conv).pruned(conv.weight, 0.5).sum() == 2


def test_a_network_is_always_reordered_in_the_same_way():
    graph = pruned(branches(), np.random.default_rng(3), 0.7, GroupShape(filters=1), alike=2)
    first, second = reorder(graph).orders, reorder(graph).orders
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
