"""A band of a layer computes the rows, or the planes, that the layer would, from no more than it says that it reads."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.small_networks import Net
from hwquant_testing.stepwise import computed
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.copies import Grid
from hwquant.golden import reference
from hwquant.program.band import Held, band, hull, own_rows, plane_band, read_planes, read_rows
from hwquant.program.compilation import lowered_network
from hwquant.program.layers import Destination
from hwquant.random_networks import Features, random_inputs, random_qgraph

FEATURES = Features(
    layers=(1, 3), size=(4, 12), pool_chains=True, products=True, copies=True, tables=0.3, multiplier=True
)


def random_layers(seed):
    """Layers, the integers of every tensor, and zero points."""
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, FEATURES)
    values = {name: q[0] for name, q in reference.run(qgraph, random_inputs(rng, qgraph, 1)).items()}
    zeros = {name: tensor.zero_point for name, tensor in qgraph.tensors.items()}
    return rng, lowered_network(qgraph), values, zeros


def some(rng, count):
    start = int(rng.integers(0, count))
    return range(start, int(rng.integers(start + 1, count + 1)))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 30))
def test_rows_of_a_layer_come_from_the_rows_that_it_reads(seed):
    rng, layers, values, zeros = random_layers(seed)
    for layer in layers:
        own = some(rng, layer.pixels[0])
        whole = computed(layer, {name: values[name] for name in layer.reads}, zeros)
        heights = {name: values[name].shape[1] for name in layer.reads}
        sources, read = {}, {}
        for name, rows in read_rows(layer, own, heights).items():
            # What is there may be more than what is read, as where others read it, too.
            there = range(
                int(rng.integers(0, rows.start + 1)), int(rng.integers(rows.stop, heights[name] + 1))
            )
            sources[name] = Held(f"part of {name}", there)
            read[f"part of {name}"] = values[name][:, there.start : there.stop]
        part = band(replace(layer, into=None), own, sources, Held("out", own))
        assert (part.name, part.into, part.pixels) == ("out", None, (len(own), layer.pixels[1]))
        points = {f"part of {name}": zeros[name] for name in layer.reads}
        np.testing.assert_array_equal(computed(part, read, points), whole[:, own.start : own.stop])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 30), st.integers(1, 4))
def test_planes_of_a_layer_come_from_the_planes_that_it_reads(seed, lanes):
    rng, layers, values, zeros = random_layers(seed)
    for layer in layers:
        out = len(layer.bias)
        own = some(rng, -(-out // lanes))
        whole = computed(layer, {name: values[name] for name in layer.reads}, zeros)
        counts = {name: -(-len(values[name]) // lanes) for name in layer.reads}
        sources, read = {}, {}
        for name, planes in read_planes(layer, own, counts).items():
            sources[name] = Held(f"part of {name}", planes)
            read[f"part of {name}"] = values[name][planes.start * lanes : planes.stop * lanes]
        part = plane_band(replace(layer, into=None), own, lanes, sources, Held("out", own))
        points = {f"part of {name}": zeros[name] for name in layer.reads}
        expected = whole[own.start * lanes : own.stop * lanes]
        np.testing.assert_array_equal(computed(part, read, points), expected)


def test_a_layer_of_own_channels_reads_no_others():
    net = Net(x=(6, 5, 5))
    net.conv(net.conv("x", 6, (5, 5), groups=6), 4)
    depthwise, dense = lowered_network(net.build())
    assert read_planes(depthwise, range(1, 2), {"x": 3}) == {"x": range(1, 2)}
    assert read_planes(dense, range(1, 2), {"layer0": 3}) == {"layer0": range(3)}


@pytest.mark.parametrize(
    ("own", "read"), [(range(2), range(4)), (range(2, 4), range(3, 8)), (range(4, 6), range(7, 11))]
)
def test_a_window_reads_the_rows_beside_its_own(own, read):
    net = Net(x=(1, 11, 4))
    net.conv("x", 1, (3, 1), stride=(2, 1), padding=(1, 0, 1, 0))
    (layer,) = lowered_network(net.build())
    assert read_rows(layer, own, {"x": 11}) == {"x": read}


def test_rows_of_padding_alone_read_the_row_beside_it():
    net = Net(x=(1, 4, 4))
    net.conv("x", 1, (1, 1), padding=(3, 0, 3, 0))
    (layer,) = lowered_network(net.build())
    assert read_rows(layer, range(2), {"x": 4}) == {"x": range(1)}
    assert read_rows(layer, range(8, 10), {"x": 4}) == {"x": range(3, 4)}


def test_rows_of_a_grid_are_those_that_meet_it():
    net = Net(x=(1, 5, 4))
    net.conv("x", 1)
    (layer,) = lowered_network(net.build())
    assert own_rows(layer, range(1, 3)) == range(1, 3)
    into = replace(layer, into=Destination("y", Grid((2, 0), (3, 1), (5, 4))))  # rows 2, 5, 8, 11, 14
    assert own_rows(into, range(3, 12)) == range(1, 4)
    assert own_rows(into, range(6, 8)) == range(2, 2)
    part = band(into, range(1, 4), {"x": Held("x", range(5))}, Held("piece", range(3, 12)))
    assert part.into == Destination("piece", Grid((2, 0), (3, 1), (3, 4)))


def test_rows_are_written_into_a_larger_piece():
    net = Net(x=(1, 5, 4))
    net.conv("x", 1)
    (layer,) = lowered_network(net.build())
    part = band(layer, range(2, 4), {"x": Held("x", range(5))}, Held("layer0", range(1, 5)))
    assert part.into == Destination("layer0", Grid((1, 0), (1, 1), (2, 4)))
    assert part.terms[0].padding == (-2, 0, 0, 0)


def test_bands_share_the_multiplications():
    net = Net(x=(1, 7, 4))
    net.conv("x", 3)
    (layer,) = lowered_network(net.build())
    source, bands = {"x": Held("x", range(7))}, [range(3), range(3, 5), range(5, 7)]
    parts = [band(layer, own, source, Held(f"{own}", own)) for own in bands]
    assert sum(part.macs for part in parts) == layer.macs
    assert sum(part.useful_macs for part in parts) == layer.useful_macs


def test_the_hull_of_rows():
    assert hull(None, range(2, 4)) == range(2, 4)
    assert hull(range(5, 6), range(2, 4)) == range(2, 6)
