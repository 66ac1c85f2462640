"""The search for the highest clock, against designs that are made up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.boards.clock_search import EFFORTS, Limits, highest, search

CLOCKS = [5.0, 10.0, 20.0, 22.0, 25.0, 30.0, 31.0, 40.0, 60.0, 61.0, 80.0]


def fixed(fmax):
    return lambda hertz, seed: fmax


@pytest.mark.parametrize("wanted", CLOCKS)
@pytest.mark.parametrize("fmax", [5.1, 20.5, 24.0, 31.0, 59.0, 100.0])
def test_a_design_that_always_reaches_the_same_gets_the_highest_clock_below(wanted, fmax):
    found = search(fixed(fmax), CLOCKS, wanted, 1, EFFORTS["normal"])
    best = max(clock for clock in CLOCKS if clock <= fmax)
    assert highest(found).hertz == best


def test_quick_stops_at_the_first_clock_that_is_reached():
    assert len(search(fixed(100.0), CLOCKS, 20.0, 1, EFFORTS["quick"])) == 1


def test_where_nothing_is_reached_nothing_is_met():
    found = search(lambda hertz, seed: hertz / 2, CLOCKS, 80.0, 1, EFFORTS["normal"])
    assert [item.hertz for item in found] == [80.0, 31.0, 10.0, 5.0]
    assert highest(found) is None


@given(st.integers(0, 10**6), st.sampled_from(CLOCKS), st.sampled_from(list(EFFORTS.values())))
def test_whatever_routing_reaches_the_best_is_found_within_the_limits(number, wanted, limits):
    rng = random.Random(number)
    spread = {}

    def route(hertz, seed):
        assert hertz in CLOCKS
        return spread.setdefault((hertz, seed), rng.uniform(4, 90))

    found = search(route, CLOCKS, wanted, 7, limits)
    assert 1 <= len(found) <= limits.routings
    assert len({(item.hertz, item.seed) for item in found}) == len(found), "nothing is routed twice"
    assert {item.seed for item in found} <= set(range(7, 7 + max(limits.seeds, 1)))
    best = highest(found)
    for index, item in enumerate(found[1:], 1):
        before = highest(found[:index])
        assert before is None or item.hertz > before.hertz, (
            "once a clock is reached, only higher ones are tried"
        )
    if best is None:
        assert len(found) == limits.routings or found[-1].fmax_hz < CLOCKS[0]


def test_another_seed_begins_above_the_best():
    reached = {(20.0, 1): 21.0, (22.0, 2): 41.0, (40.0, 2): 40.0, (60.0, 2): 59.0}
    found = search(lambda *key: reached.get(key, 1.0), CLOCKS, 20.0, 1, Limits(9, 3))
    assert [(item.hertz, item.seed) for item in found] == [(20.0, 1), (22.0, 2), (40.0, 2), (60.0, 3)]
    assert highest(found).hertz == 40.0
