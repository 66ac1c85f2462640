"""Groups of weights: how they are cut, scored and pruned, and that the compiler's tiles are exactly these groups."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.seeds import seed_ranges
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.graph import Add, Clip, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.pruning.groups import Groups, GroupShape, convolutions
from hwquant.pruning.mapping import map_convolutions
from hwquant.quantize import quantize
from hwquant.window import Window

ARRAYS = [(8, 8), (4, 8), (8, 4), (16, 16), (6, 4), (4, 6), (5, 3)]


def with_weights(graph, change):
    """The graph with ``change(node)`` as the weights of every convolution."""
    nodes = [replace(node, weight=change(node)) if isinstance(node, Conv) else node for node in graph.nodes]
    return replace(graph, nodes=tuple(nodes))


def single(shape, channels):
    """One convolution behind a clip: the compiler packs no input, and does nothing else special."""
    rng = np.random.default_rng(0)
    item = Input("x", (channels, 6, 6), (channels, 6, 6))
    node = Conv("conv", ("clip",), rng.normal(size=shape), np.zeros(shape[0]), Window(shape[2:]))
    return Graph("net", (item,), (Clip("clip", ("x",)), node), ()), node


@pytest.mark.parametrize("array", ARRAYS)
def test_groups_of_rows_by_columns_are_the_tiles_of_the_compiler(graph, array, x):
    shape, rng = GroupShape(array), np.random.default_rng(3)
    groups = {node.name: shape.cut(graph, node) for node in convolutions(graph)}

    def prune(node):
        kept = rng.random(groups[node.name].count) < 0.5
        return node.weight * kept[groups[node.name].labels]

    pruned = with_weights(graph, prune)
    qgraph = quantize(pruned, x(graph), bias_correction=False)
    program = compile_network(qgraph, array)
    for info in program.layers:
        members = qgraph.options["layers"].get(info.covers[0], {"fused": ()})["fused"]
        nodes = [node for node in convolutions(pruned) if node.name in members]
        if not nodes:
            continue
        zeros = sum(int(groups[node.name].zeros(node.weight).sum()) for node in nodes)
        assert info.tiles_skipped == zeros, info.name
        if not any(node.name.startswith("add") for node in pruned.nodes if node.name in members):
            assert info.tiles == sum(groups[node.name].count for node in nodes), info.name


def test_a_group_is_consecutive_input_channels_of_consecutive_filters_at_one_kernel_position():
    graph, node = single((6, 10, 3, 3), 10)
    groups = GroupShape((4, 2), size=4, filters=2).cut(graph, node)
    assert groups.count == 3 * 3 * 9
    first = groups.labels == groups.labels[2, 4, 1, 2]
    wanted = np.zeros_like(first)
    wanted[2:4, 4:8, 1, 2] = True
    assert np.array_equal(first, wanted)
    assert sorted(set(groups.sizes.tolist())) == [4, 8]  # the last input channels are only two


def test_the_published_group_is_one_filters():
    graph, node = single((6, 10, 3, 3), 10)
    groups = GroupShape((8, 8), filters=1).cut(graph, node)
    assert groups.count == 6 * 2 * 9
    assert all(len(np.unique(groups.labels[i])) == 18 for i in range(6))
    assert len(np.unique(groups.labels)) == groups.count


def test_groups_finer_than_a_tile_do_not_reach_over_its_edge():
    graph, node = single((16, 16, 1, 1), 16)
    tiles = GroupShape((8, 8)).cut(graph, node).labels
    fine = GroupShape((8, 8), size=3, filters=5).cut(graph, node)
    for number in range(fine.count):
        assert len(np.unique(tiles[fine.labels == number])) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 3),
    st.sampled_from(ARRAYS),
    st.integers(1, 20),
    st.integers(1, 20),
)
def test_every_weight_is_in_one_group_and_norms_add_up(out, channels, kernel, array, size, filters):
    graph, node = single((out, channels, kernel, kernel), channels)
    groups = GroupShape(array, size, filters).cut(graph, node)
    assert set(np.unique(groups.labels)) == set(range(groups.count))
    assert groups.sizes.sum() == node.weight.size
    assert np.isclose(groups.norms(node.weight).sum(), np.abs(node.weight).sum())
    assert np.isclose(groups.thresholds(node.weight).sum(), np.abs(node.weight).sum())


def groups_of(*norms):
    """One weight a group, with these values."""
    weight = np.array(norms, float).reshape(-1, 1, 1, 1)
    return Groups(np.arange(len(norms)).reshape(weight.shape), len(norms)), weight


def test_the_threshold_is_the_mean_norm_of_the_groups_that_are_left():
    groups, weight = groups_of(1, -2, 3, 6)
    assert groups.thresholds(weight).tolist() == [3, 3, 3, 3]
    assert groups.pruned(weight, 1.0).tolist() == [True, True, False, False]
    groups, weight = groups_of(0, 0, 3, -6)
    assert groups.thresholds(weight).tolist() == [4.5] * 4
    assert groups.pruned(weight, 1.0).tolist() == [True, True, True, False]


def test_groups_below_or_above_the_threshold_are_pruned():
    groups, weight = groups_of(1, 2, 3, 6)
    assert groups.pruned(weight, 1.0, "below").tolist() == [True, True, False, False]
    assert groups.pruned(weight, 1.0, "above").tolist() == [False, False, False, True]


def test_groups_of_zeros_stay_pruned_with_any_factor():
    groups, weight = groups_of(0, 1, 0, 5)
    for prune in ("below", "above"):
        assert groups.pruned(weight, 0.0, prune)[[0, 2]].all()
    assert groups.pruned(weight, 0.0).tolist() == [True, False, True, False]


def test_a_step_prunes_its_share_of_what_is_beyond_the_threshold_and_the_farthest_from_the_threshold_first():
    groups, weight = groups_of(0, 1, 2, 3, 9, 15)  # the mean of those that are left is 6
    assert groups.pruned(weight, step=0.4).tolist() == [True, True, False, False, False, False]
    assert groups.pruned(weight, step=0.7).tolist() == [True, True, True, False, False, False]
    assert groups.pruned(weight, step=0.01).tolist() == groups.pruned(weight, step=0.4).tolist()
    assert groups.pruned(weight, step=1.0).tolist() == [True, True, True, True, False, False]
    assert groups.pruned(weight, prune="above", step=0.2).tolist() == [True, False, False, False, False, True]


def test_a_layer_of_zeros_has_nothing_to_prune():
    groups, weight = groups_of(0, 0)
    assert groups.thresholds(weight).tolist() == [0, 0]
    assert groups.pruned(weight, 1.0).all()


def test_bad_shapes_are_refused():
    with pytest.raises(HwquantError, match="size of a group must be at least 1, not 0"):
        GroupShape(size=0)
    with pytest.raises(HwquantError, match="filters of a group must be at least 1, not -1"):
        GroupShape(filters=-1)
    with pytest.raises(HwquantError, match=r"array 1x8: rows must be 2\.\.32"):
        GroupShape((1, 8))
    groups, weight = groups_of(1)
    with pytest.raises(HwquantError, match="prune must be one of below, above, not 'middle'"):
        groups.pruned(weight, 1.0, "middle")


def random_network(rng):
    """A convolution of any geometry, on the input or behind a clip, and perhaps a pool or an addition after it."""
    channels, height, width = (
        int(rng.integers(1, 20)),
        int(rng.integers(1, 9)),
        int(rng.choice([3, 7, 20, 600])),
    )
    item = Input("x", (channels, height, width), (channels, height, width))
    kernel = (int(rng.integers(1, min(5, height) + 1)), int(rng.integers(1, 4)))
    groups = channels if rng.random() < 0.6 else 1
    out = channels if groups > 1 else int(rng.integers(1, 20))
    weight = rng.normal(0, 1, (out, channels // groups, *kernel))
    weight += np.where(weight >= 0, 0.3, -0.3)  # no code becomes zero by rounding
    geometry = {
        "stride": (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
        "padding": tuple(int(size) for size in rng.integers(0, 2, 4)) if min(kernel) > 1 else (0, 0, 0, 0),
        "dilation": (1, 1) if rng.random() < 0.7 or 2 * kernel[0] > height else (2, 1),
    }
    nodes = [Clip("clip", ("x",))] if rng.random() < 0.5 else []
    nodes += [
        Conv(
            "conv",
            (nodes[-1].name if nodes else "x",),
            weight,
            np.zeros(out),
            Window(kernel, **geometry),
            groups=groups,
        )
    ]
    shape = Graph("net", (item,), tuple(nodes), ()).shapes["conv"]
    if rng.random() < 0.3 and min(shape[1:]) > 1:
        nodes.append(MaxPool("pool", ("conv",), Window((2, 2), (2, 2))))
    elif rng.random() < 0.3:
        nodes += [Clip("relu", ("conv",), low=0.0), Add("add", ("conv", "relu"))]
    last = nodes[-1].name
    outputs = (Output("y", last, Graph("net", (item,), tuple(nodes), ()).shapes[last]),)
    return Graph("net", (item,), tuple(nodes), outputs)


@pytest.mark.parametrize("seeds", seed_ranges(25, 500))
def test_groups_are_the_compilers_tiles_whatever_the_geometry(seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        graph = random_network(rng)
        array = (int(rng.integers(2, 13)), int(rng.integers(2, 13)))
        (node,) = convolutions(graph)
        groups = GroupShape(array).cut(graph, node)
        x = rng.normal(0, 1, (2, *graph.inputs[0].shape)).astype(np.float32)
        qgraph = quantize(graph, x, bias_correction=False, calibration_method="minmax")
        program = compile_network(qgraph, array)
        layer = next(name for name, item in qgraph.options["layers"].items() if "conv" in item["fused"])
        (info,) = (info for info in program.layers if layer in info.covers)
        fused = sum(len(item.terms) for item in qgraph.nodes if getattr(item, "name", "") == layer)
        if fused == 1:
            assert info.tiles - info.tiles_skipped == groups.count, f"seed {seed}: {array}"
            cycles = groups.count * map_convolutions(graph, array)["conv"].cycles
            if info.rows_per_cycle == 1:
                assert info.ideal_cycles == cycles, f"seed {seed}: {array}"
            assert info.ideal_cycles <= cycles, f"seed {seed}: {array}"


def test_a_row_wider_than_the_accumulators_takes_no_depthwise_tiles():
    """The case by which an imitation of the compiler's choice was found to be wrong."""
    item = Input("x", (4, 4, 600), (4, 4, 600))
    weight = np.random.default_rng(0).normal(size=(4, 1, 3, 3))
    node = Conv("conv", ("x",), weight, np.zeros(4), Window(weight.shape[2:], padding=(1, 1, 1, 1)), groups=4)
    for width, count in ((60, 1), (600, 6)):
        item = Input("x", (4, 4, width), (4, 4, width))
        graph = Graph("net", (item,), (node,), (Output("y", "conv", (4, 4, width)),))
        assert GroupShape((9, 4)).cut(graph, node).count == count
