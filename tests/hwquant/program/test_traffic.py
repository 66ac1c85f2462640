"""Estimates of what groups cost, beside what the compiler says exactly."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.bands import Slices, divide, make_group
from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.external import ExternalMemory, MemoryTiming
from hwquant.program.mapping import map_layers
from hwquant.program.sizing import Requirements
from hwquant.program.traffic import BETWEEN_LAYERS, Port, Work, cost
from hwquant.program.workspace import arrange, needs
from hwquant.qgraph import QGraph
from hwquant.random_networks import Features, random_qgraph


def work_of(qgraph, array):
    layers = lowered_network(qgraph)
    shape = Requirements(array).offered(layers, qgraph)
    return Work(map_layers(layers, QGraph("", (), (), (), qgraph.tensors), shape), shape)


@pytest.mark.parametrize("seed", range(8))
def test_tiles_and_cycles_are_those_of_the_schedule(seed):
    rng = np.random.default_rng(seed)
    array = int(rng.integers(4, 9)), int(rng.integers(2, 5))
    qgraph = random_qgraph(rng, Features(zero_blocks=0.5, block=array, products=True, copies=True))
    work = work_of(qgraph, array)
    passes = Compilation(qgraph, lowered_network(qgraph), Requirements(array, pack_input="none"))
    slices = {name: Slices(tensor.shape[1], 1) for name, tensor in qgraph.tensors.items()}
    seen = 0
    for number, item in enumerate(passes.schedule):
        if item.inputs[0].packing:
            continue  # estimated as it is without
        if any(
            column_pass.dense - column_pass.skipped != column_pass.count or not column_pass.block.channels
            for column_pass in item.passes
        ):
            continue  # a tile of zeros is kept there, or columns without a channel
        tiles = sum(column_pass.count for column_pass in item.passes)
        assert work.tiles(number) == tiles
        layer = item.mapped.layer
        group = make_group(passes.lowered, number, number + 1, (), (layer.tensor,), "rows", slices)
        cycles = work.cycles(group, 0, range(layer.pixels[0])) - BETWEEN_LAYERS
        least = 1 if layer.product else array[0]
        streamed = [item.mapped.streamed(block) for block in item.pixel_blocks]
        assert cycles == tiles * sum(max(pixels, least) for pixels in streamed)
        seen += 1
    assert seen


def one_layer(along="rows", room=None):
    """The cost of a layer's bands with a port that is slower than the array, or faster."""
    net = Net(x=(4, 16, 10))
    qgraph = net.build(net.conv("x", 8, (3, 3), padding=(1, 1, 1, 1)))
    work = work_of(qgraph, (4, 4))
    slices = {"x": Slices(16, 10), "layer0": Slices(16, 20)}
    if along == "planes":
        slices = {"x": Slices(1, 160), "layer0": Slices(2, 160)}
    group = make_group(lowered_network(qgraph), 0, 1, (), ("layer0",), along, slices)
    height = 4 if along == "rows" else 1
    bands = divide(group, height)
    space = arrange(group, needs(group, bands), {}, "second", 2)

    def of(word, weights=0.0):
        return cost(group, bands, len(bands), space, work, Port(word, weights, room))

    return work, of


def test_a_band_takes_as_long_as_the_slower_of_array_and_port():
    _, of = one_layer()
    # Rows of the input that bands read: 5, 6, 6 and 5.
    loaded, stored = 22 * 10, 16 * 20
    free = of(0.0)
    assert (free.loaded, free.stored) == (loaded, stored)
    assert free.cycles == free.computed > 0
    slow = of(1000.0)
    # The first band's load and the last one's store are beside nothing.
    assert slow.cycles == 1000.0 * (loaded + stored + 5 * 10 + 4 * 20)
    assert free.cycles < of(1.0).cycles < slow.cycles


@pytest.mark.parametrize(("along", "room", "times"), [("rows", None, 1), ("rows", 10, 4), ("planes", 10, 1)])
def test_weights_that_do_not_fit_come_again_for_each_band_of_rows(along, room, times):
    work, of = one_layer(along, room)
    assert of(0.0, 1.0).weights == times * work.weights(0)


def test_a_port_moves_bursts_between_gaps_and_refreshes():
    qgraph = Net(x=(4, 4, 4))
    qgraph.conv("x", 4)
    shape = work_of(qgraph.build(), (4, 4)).shape
    narrow = replace(shape, external_bits=16)
    assert Port.of(ExternalMemory(16, timing=MemoryTiming(gap=0)), narrow, 100) == Port(2.0, 2.0, 100)
    slow = MemoryTiming(gap=2, refresh_interval=1000, refresh_cycles=100)
    wide = replace(shape, external_bits=64)
    assert Port.of(ExternalMemory(64, timing=slow), wide, 100).word == pytest.approx(66 / 64 / 0.9)
