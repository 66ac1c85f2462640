"""When moves are queued: beside what they do not keep from anything, and never where that changes what is computed."""

from collections import Counter

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant.program.band import Held, band
from hwquant.program.compilation import lowered_network
from hwquant.program.halves import with_waits
from hwquant.program.move_order import in_time
from hwquant.program.steps import Compute, Load, Piece, Receive, Run, Send, Store, Wait

HALF = 100
PLACES = {"low": 0, "low2": 20, "low3": 40, "high": 100, "high2": 120, "high3": 140}
"""Pieces of 10 words, three in each half."""

PIECES = {
    name: Piece(name, name, range(10), range(1), (1, 10, 1), address) for name, address in PLACES.items()
}
INPUT = Receive(Run("x", 0, 0, 1), True)


def run(name, first=0):
    return Run("t", first, PLACES[name], 10)


def compute(source, target, cycles):
    net = Net(x=(1, 10, 1))
    net.conv("x", 1)
    (layer,) = lowered_network(net.build())
    step = Compute(band(layer, range(10), {"x": Held(source, range(10))}, Held(target, range(10))), 0)
    CYCLES[step] = cycles
    return step


CYCLES = {}


def ordered(*steps):
    """The steps in their new order, by their numbers."""
    found = in_time(steps, PIECES, 1, HALF, CYCLES.__getitem__, 1.0)
    return [steps.index(step) for step in found]


def test_a_store_goes_beside_a_layer_that_does_not_read_its_half():
    steps = (
        INPUT,
        compute("low", "high", 5),
        Store(run("high")),
        compute("high2", "low2", 50),
        compute("low2", "high3", 50),
    )
    assert ordered(*steps) == [0, 1, 3, 2, 4]


def test_a_store_stays_before_what_writes_over_it():
    steps = (
        INPUT,
        compute("low", "high", 5),
        Store(run("high")),
        compute("high2", "high", 50),
        compute("low2", "high3", 50),
    )
    assert ordered(*steps) == [0, 1, 2, 3, 4]


def test_a_load_comes_before_a_layer_that_it_does_not_touch():
    steps = (INPUT, compute("low", "high", 50), Load(run("low2")), compute("low2", "high2", 50))
    assert ordered(*steps) == [0, 2, 1, 3] or ordered(*steps) == [2, 0, 1, 3]


@pytest.mark.parametrize(("source", "target"), [("low2", "high"), ("high", "low2")])
def test_a_load_stays_behind_what_uses_its_place(source, target):
    steps = (INPUT, compute(source, target, 50), Load(run("low2")), compute("low2", "high2", 50))
    assert ordered(*steps) == [0, 1, 2, 3]


def test_a_load_stays_behind_the_store_of_its_words():
    steps = (
        INPUT,
        compute("low", "high", 50),
        Store(run("high", 7)),
        compute("low2", "high2", 50),
        Load(run("low3", 16)),
        compute("low3", "high3", 50),
    )
    places = ordered(*steps)
    assert places.index(2) < places.index(4) < places.index(5)
    assert places.index(1) < places.index(2)


def random_steps(rng):
    """Layers with moves between them, as a network might have them that uses every place again and again."""
    steps, stored = [INPUT], []
    for number in range(int(rng.integers(3, 12))):
        if stored and rng.random() < 0.6:
            name = rng.choice(["low", "low2", "low3"])
            steps.append(Load(run(name, stored[rng.integers(len(stored))])))
        places = list(rng.permutation(list(PLACES)))
        steps.append(compute(str(places[0]), str(places[1]), float(rng.integers(1, 40))))
        if PLACES[places[1]] >= HALF and rng.random() < 0.7:
            stored.append(10 * number)
            steps.append(Store(run(str(places[1]), stored[-1])))
    return [*steps, Send(run("high"), True)]


def values(steps):
    """What every place and every word outside has in the end, and what layers read: moves are made at once."""
    inside, outside, seen = dict(PLACES), {}, []
    names = {address: name for name, address in PLACES.items()}
    for step in steps:
        match step:
            case Load(item):
                inside[names[item.address]] = outside[item.first]
            case Store(item):
                outside[item.first] = inside[names[item.address]]
            case Compute(layer):
                read = [inside[name] for name in layer.reads]
                seen.append(read)
                inside[layer.tensor] = hash((id(step), *read))
    return inside, outside, seen


@pytest.mark.parametrize("seed", range(60))
def test_what_is_computed_and_stored_stays_the_same(seed):
    rng = np.random.default_rng(seed)
    steps = random_steps(rng)
    found = in_time(steps, PIECES, 1, HALF, CYCLES.__getitem__, float(rng.choice([0.2, 1.0, 5.0])))
    assert Counter(map(id, found)) == Counter(map(id, steps))
    still = [step for step in steps if not isinstance(step, Load | Store)]
    assert [step for step in found if not isinstance(step, Load | Store)] == still
    assert values(found) == values(steps)
    assert sum(isinstance(step, Wait) for step in with_waits(found, PIECES, 1, HALF)) <= len(steps)
