"""Where steps wait for moves: as late as two halves with a read and a write port each allow."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.band import Held, band
from hwquant.program.compilation import lowered_network
from hwquant.program.halves import with_waits
from hwquant.program.steps import Compute, Load, Piece, Receive, Run, Send, Store, Wait

HALF = 100
PLACES = {"low": 0, "low2": 20, "high": 100, "high2": 120}
"""Pieces of 10 words, two in each half."""

PIECES = {
    name: Piece(name, name, range(10), range(1), (1, 10, 1), address) for name, address in PLACES.items()
}


def run(name):
    return Run("t", 0, PLACES[name], 10)


def compute(source, target):
    net = Net(x=(1, 10, 1))
    net.conv("x", 1)
    (layer,) = lowered_network(net.build())
    return Compute(band(layer, range(10), {"x": Held(source, range(10))}, Held(target, range(10))), 0)


def waits(*steps):
    """The steps as names; waits with their numbers."""
    found = with_waits(steps, PIECES, 1, HALF)
    return [step.moves if isinstance(step, Wait) else type(step).__name__ for step in found]


def test_what_is_read_has_come():
    steps = Load(run("low")), Load(run("low2")), compute("low", "high")
    assert waits(*steps) == ["Load", "Load", 1, "Compute"]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("low", "high", ["Load", "Compute"]),
        ("high", "high2", ["Load", "Compute"]),
        ("low", "low", ["Load", 1, "Compute"]),
        ("high", "low", ["Load", 1, "Compute"]),
    ],
)
def test_nothing_writes_to_the_first_half_beside_a_load(source, target, expected):
    assert waits(Load(run("low2")), compute(source, target)) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("low", "high", ["Store", "Compute"]),
        ("low", "low2", ["Store", "Compute"]),
        ("high", "low", ["Store", 1, "Compute"]),
        ("high", "high", ["Store", 1, "Compute"]),
        ("low", "high2", ["Store", 1, "Compute"]),
    ],
)
def test_nothing_reads_the_second_half_or_writes_what_is_stored_beside_a_store(source, target, expected):
    assert waits(Store(run("high2")), compute(source, target)) == expected


def test_nothing_waits_twice():
    steps = Load(run("low")), compute("low", "high"), Store(run("high")), compute("high", "high2")
    assert waits(*steps, compute("high2", "high")) == [
        *("Load", 1, "Compute", "Store", 2, "Compute", "Compute")
    ]


def test_frames_come_when_nothing_moves():
    steps = Receive(run("high"), False), Store(run("high")), Receive(run("high"), True)
    assert waits(*steps) == ["Receive", "Store", 1, "Receive"]


def test_results_are_sent_when_they_have_come():
    steps = Load(run("low")), Load(run("low2")), Send(run("low"), False), Send(run("high"), True)
    assert waits(*steps) == ["Load", "Load", 1, "Send", "Send"]
    assert waits(Store(run("high")), Send(run("high2"), True)) == ["Store", 1, "Send"]
