"""Tiles reassemble to the weights, runs to the tiles, blocks to the pixels; nothing twice, nothing left out."""

import dataclasses

import numpy as np
import pytest
from hwquant_testing.small_networks import Net
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.program.array_shape import ArrayShape
from hwquant.program.isa import REPEAT_BITS
from hwquant.program.layout import Placement
from hwquant.program.lowering import lower
from hwquant.program.tiling import (
    Tile,
    column_blocks,
    connected_tiles,
    dense_tiles,
    dense_weights,
    pixel_blocks,
    runs,
)

SHAPES = [(2, 2), (4, 4), (3, 7), (2, 9), (7, 3), (12, 8), (5, 2)]


def layer_of(seed, channels=9, out=11, size=(6, 7), kernel=(3, 2), zeros=0.5, **options):
    """A layer with one term, many of whose weights are zero."""
    net = Net(seed, x=(channels, *size))
    codes = net.rng.integers(-9, 10, (out, channels // options.get("groups", 1), *kernel))
    codes[net.rng.random(codes.shape) < zeros] = 0
    net.conv("x", out, kernel, codes=codes, **options)
    (layer,) = lower(net.build())
    return layer, (channels, *size)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("channels", [1, 2, 7, 8, 23, 64])
def test_column_blocks_cover_each_channel_once_in_the_writers_order(channels, rows, columns, complete):
    shape = ArrayShape(rows, columns)
    blocks = column_blocks(channels, shape, complete)
    assert [channel for block in blocks for channel in block.channels] == list(range(channels))
    assert all(len(block.channels) <= columns for block in blocks)
    order = [(block.plane, block.group) for block in blocks]
    planes = -(-channels // shape.lanes)
    everything = [(plane, group) for plane in range(planes) for group in range(shape.groups)]
    assert order == (everything if complete else everything[: len(order)])
    for block in blocks:
        first = block.plane * shape.lanes + shape.group_lanes(block.group).start
        assert not block.channels or block.channels.start == first


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 2, 0, 1)])
def test_tiles_reassemble_to_the_weights(rows, columns, padding):
    """Each tile knows by its address, part and coordinates where its weights belong."""
    shape = ArrayShape(rows, columns)
    dilation = (2, 3)
    layer, stored = layer_of((rows, columns), padding=padding, dilation=dilation, zeros=0.9)
    (term,) = layer.terms
    _, height, width = stored
    reads = -(-term.channels // rows)
    positions = {}
    for ky, kx in np.ndindex(*term.kernel):
        for read in range(reads):
            plane, part = divmod(read, shape.reads_per_word)
            y, x = ky * dilation[0] - padding[0], kx * dilation[1] - padding[1]
            positions[plane * height * width + y * width + x, part] = (ky, kx, read, y, x)
    rebuilt = np.zeros_like(term.weight)
    tiles = dense_tiles(term, Placement("x", stored, shape.lanes, 0), shape)
    assert len(tiles) == reads * term.weight[0, 0].size
    for block in column_blocks(len(term.weight), shape, False):
        seen = set()
        weights = dense_weights(term, block, shape)
        assert weights.shape == (len(tiles), rows, columns)
        for tile in tiles:
            weight = weights[tile.number]
            ky, kx, read, y, x = positions[tile.address, tile.part]
            assert (tile.y, tile.x) == ((y, x) if any(padding) else (0, 0))
            assert (ky, kx, read) not in seen
            seen.add((ky, kx, read))
            channels = range(read * rows, min((read + 1) * rows, term.channels))
            for row, column in np.ndindex(rows, columns):
                if column < len(block.channels) and row < len(channels):
                    rebuilt[block.channels[column], channels[row], ky, kx] = weight[row, column]
                else:
                    assert weight[row, column] == 0, "idle rows and columns have weight zero"
        assert connected_tiles(term, block, shape) == len(tiles)
    np.testing.assert_array_equal(rebuilt, term.weight)


def test_tiles_between_groups_are_neither_executed_nor_counted_as_skipped():
    shape = ArrayShape(4, 4)
    layer, stored = layer_of(0, channels=16, out=16, kernel=(2, 2), zeros=0.0, groups=4)
    (term,) = layer.terms
    blocks = column_blocks(16, shape, False)
    assert len(dense_tiles(term, Placement("x", stored, shape.lanes, 0), shape)) == 16
    assert [connected_tiles(term, block, shape) for block in blocks] == [4] * 4
    assert [dense_weights(term, block, shape).any(axis=(1, 2)).sum() for block in blocks] == [4] * 4


def tiles_at(addresses, parts=None, ys=None):
    parts, ys = parts or [0] * len(addresses), ys or [0] * len(addresses)
    return tuple(Tile(n, a, p, y, 0) for n, (a, p, y) in enumerate(zip(addresses, parts, ys)))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-5, 5), st.integers(1, 6), st.integers(0, 1), st.integers(0, 1)), max_size=20
    )
)
def test_runs_cover_every_tile_once_in_order_and_mean_the_same_addresses(pieces):
    addresses, parts, ys = [], [], []
    for step, count, part, y in pieces:
        for _ in range(count):
            addresses.append((addresses[-1] if addresses else 0) + step)
            parts.append(part)
            ys.append(y)
    tiles = tiles_at(addresses, parts, ys)
    position = 0
    for begin, count, step in runs(tiles):
        assert begin == position
        assert count == 1 or count >= 3, "a pair is not worth a REPEAT"
        for number in range(count):
            tile = tiles[begin + number]
            assert tile.address == tiles[begin].address + number * step
            assert (tile.part, tile.y, tile.x) == (tiles[begin].part, tiles[begin].y, tiles[begin].x)
        position += count
    assert position == len(tiles)


def test_equal_steps_are_one_run():
    assert list(runs(tiles_at(list(range(0, 70, 7))))) == [(0, 10, 7)]
    assert list(runs(tiles_at([5, 5 - 2, 5 - 4]))) == [(0, 3, -2)]
    assert list(runs(tiles_at([4, 5]))) == [(0, 1, 0), (1, 1, 0)]
    assert list(runs(tiles_at([]))) == []


def test_a_run_is_never_longer_than_a_repetition_can_count():
    most = 1 << REPEAT_BITS
    tiles = tiles_at(list(range(2 * most + 5)))
    assert list(runs(tiles)) == [(0, most, 1), (most, most, 1), (2 * most, 5, 1)]


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(16, 200),
    st.booleans(),
)
def test_blocks_cover_each_pixel_once_within_the_accumulators(pixels, window, depth, summed):
    layer, _ = layer_of(0, kernel=(1, 1))
    layer = dataclasses.replace(layer, pixels=pixels, window=window)
    area = 1 if summed else window[0] * window[1]
    visited = []
    for block in pixel_blocks(layer, depth, summed=summed):
        assert 0 < block.count <= depth
        assert block.count % area == 0
        outputs = block.count // area
        first = block.y * pixels[1] + block.x
        visited += range(first, first + outputs)
        # Whole rows, or a part of one: the addresses of a block go on where a row ends only from x = 0 on.
        assert block.x + outputs <= pixels[1] or (block.x == 0 and outputs % pixels[1] == 0)
    assert visited == list(range(pixels[0] * pixels[1]))


@pytest.mark.parametrize(
    ("depth", "counts"), [(64, [64]), (63, [32, 32]), (31, [16, 24, 24]), (8, [8] * 8), (7, [4, 4] * 8)]
)
def test_blocks_are_as_equal_as_whole_rows_allow(depth, counts):
    layer, _ = layer_of(0, kernel=(1, 1))
    layer = dataclasses.replace(layer, pixels=(8, 8))
    got = [block.count for block in pixel_blocks(layer, depth)]
    assert sum(got) == 64
    assert sorted(got) == counts


def test_a_window_larger_than_the_accumulators_is_refused():
    layer, _ = layer_of(0, kernel=(1, 1))
    layer = dataclasses.replace(layer, window=(3, 5), pixels=(2, 2))
    with pytest.raises(
        HwquantError, match=r"layer 'layer0': a pooling window of 15 pixels .*accumulator_depth is 14"
    ):
        pixel_blocks(layer, 14)
    assert len(pixel_blocks(layer, 15)) == 4
