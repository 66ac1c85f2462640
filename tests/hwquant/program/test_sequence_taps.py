"""Depthwise layers over a sequence: as exact as those of images, in hardly more cycles than there are pixels."""

import math

import numpy as np
import pytest
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import Net, images

from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.mapping import Taps
from hwquant.program.sequence_taps import plan_sequence_taps
from hwquant.program.sizing import Requirements
from hwquant.sim import simulate
from hwquant.sim.check import check


def network(seed, channels, length, kernel, stride=1, dilation=1, before=0, after=0, vertical=False):
    """A layer of one channel each, between others."""

    def way(x, one=1):
        return (x, one) if vertical else (one, x)

    sides = (before, 0, after, 0) if vertical else (0, before, 0, after)
    net = Net(seed, x=(3, *way(length)))
    net.conv("x", channels)
    net.conv(
        "layer0",
        channels,
        way(kernel),
        groups=channels,
        stride=way(stride),
        dilation=way(dilation),
        padding=sides,
    )
    net.conv("layer1", 2)
    return net.build()


def plan_of(qgraph, array):
    mapped = Compilation(qgraph, lowered_network(qgraph), Requirements(array)).mapped
    return mapped[1].strategy.plan if isinstance(mapped[1].strategy, Taps) else None


def exact(qgraph, array, **limits):
    program = compile_network(qgraph, array, limits=limits)
    inputs = images(qgraph, count=1)
    run = simulate(program, program.frame(inputs), simulator="amaranth", watch=1)
    verification = check(run, program, qgraph, inputs)
    assert verification.mismatches == 0, verification.first
    assert set(run.cycles) == {timing(program).cycles}
    return program


CASES = [
    ((6, 3), {"channels": 4, "length": 14, "kernel": 9, "before": 8}),
    (
        (9, 3),
        {"channels": 3, "length": 12, "kernel": 5, "dilation": 2, "before": 4, "after": 4, "vertical": True},
    ),
]
MORE = [
    ((9, 4), {"channels": 5, "length": 30, "kernel": 18, "before": 9, "after": 8}),
    ((6, 4), {"channels": 5, "length": 25, "kernel": 7, "stride": 2, "before": 3, "after": 3}),
    ((6, 4), {"channels": 5, "length": 25, "kernel": 5, "stride": 3, "dilation": 2}),
    ((9, 4), {"channels": 4, "length": 40, "kernel": 3, "dilation": 9, "before": 18}),
    ((9, 4), {"channels": 4, "length": 90, "kernel": 3, "dilation": 40, "before": 80, "vertical": True}),
    ((4, 3), {"channels": 4, "length": 9, "kernel": 4, "after": 1}),
    ((9, 9), {"channels": 9, "length": 3, "kernel": 3}),
]


@pytest.mark.parametrize(("array", "case"), [*CASES, *nightly(MORE)])
def test_the_hardware_equals_the_golden_model(array, case):
    qgraph = network(1, **case)
    assert plan_of(qgraph, array).axis == (0 if case.get("vertical") else 1)
    exact(qgraph, array)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(40))
def test_random_sequences(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (int(rng.integers(*span)) for span in ((2, 12), (1, 4), (1, 8)))
    extent = dilation * (kernel - 1) + 1
    before, after = (int(value) for value in rng.integers(0, extent, 2))
    length = max(1, extent - before - after) + int(rng.integers(0, 20))
    array = int(rng.integers(3, 11)), int(rng.integers(2, 4))
    qgraph = network(
        seed, int(rng.integers(2, 8)), length, kernel, stride, dilation, before, after, bool(seed % 2)
    )
    limits = {"accumulator_depth": int(rng.choice([8, 64]))}
    exact(qgraph, array, **limits)


def test_a_line_longer_than_the_accumulators_is_divided():
    qgraph = network(2, 3, 20, 5, before=4)
    program = exact(qgraph, (6, 3), accumulator_depth=8)
    assert next(layer for layer in program.layers if layer.name == "layer1").jobs >= 3


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize(
    ("rows", "kernel", "dilation", "tiles"),
    [(9, 18, 1, 2), (9, 9, 1, 2), (9, 3, 1, 1), (8, 12, 1, 2), (9, 6, 2, 2), (9, 6, 16, 2), (9, 3, 100, 1)],
)
def test_how_many_tiles_cover_a_kernel(vertical, rows, kernel, dilation, tiles):
    qgraph = network(0, 3, 700, kernel, dilation=dilation, vertical=vertical)
    plan = plan_of(qgraph, (rows, 3))
    assert len(plan.filters) <= tiles
    covered = sorted(tap[1 if vertical else 2] for item in plan.filters for tap in item.taps)
    assert covered == list(range(kernel))
    count = math.prod(qgraph.tensors["layer1"].shape[1:])
    assert plan.streamed_line(count) <= count + 2 * max(6, 2 * dilation) + 10


def test_images_are_not_lines():
    net = Net(x=(3, 5, 6))
    net.conv("x", 3, (1, 3), groups=3)
    (layer,) = lowered_network(net.build())
    assert plan_sequence_taps(layer, (3, 5, 6), 3) is None
    net = Net(x=(3, 1, 6))
    net.conv("x", 3, (1, 3), groups=3, padding=(1, 0, 0, 0))
    (layer,) = lowered_network(net.build())
    assert plan_sequence_taps(layer, (3, 1, 6), 3) is None
