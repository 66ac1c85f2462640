"""The clock before anything is placed: it falls as designs grow and devices fill, and is as good as it says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.boards.board import load_board
from hwquant.boards.clock_estimate import FREE, ClockEstimate, burden, clock_model, estimate_clock
from hwquant.boards.device import DEVICES
from hwquant.boards.families import FAMILIES
from hwquant.boards.families.flow import OpenFlow

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
DESIGNS = json.loads((RESULTS / "clock_model.json").read_text())["results"]["designs"]
KNOWN = [device for device in DEVICES.values() if device.family.name in clock_model()["families"]]


@given(
    st.sampled_from(KNOWN),
    st.integers(0, 90_000),
    st.integers(1, 10_000_000),
    st.integers(0, 200),
    st.integers(0, 99),
)
def test_larger_designs_are_slower(device, cells, more, rams, more_rams):
    clocks = [
        estimate_clock(device, used, 1.0).megahertz
        for used in (
            {"cell": cells, "ram": rams},
            {"cell": cells, "ram": rams + more_rams},
            {"cell": cells + more, "ram": rams + more_rams},
        )
    ]
    assert clocks[0] >= clocks[1] > clocks[2] > 0


def test_a_full_device_is_slower_than_a_large_one():
    small, large = DEVICES["lfe5u-25f"], DEVICES["lfe5u-85f"]
    cells = {"cell": int(0.9 * small.luts)}
    assert estimate_clock(small, cells, 1.0).megahertz < estimate_clock(large, cells, 1.0).megahertz
    free = {"cell": int(FREE * small.luts)}
    assert estimate_clock(small, free, 1.0) == estimate_clock(large, free, 1.0)


def test_memories_that_fill_a_device_slow_what_is_small():
    device = DEVICES["lfe5u-85f"]
    free, full = ({"cell": 5000, "ram": int(share * device.rams)} for share in (FREE, 1))
    assert estimate_clock(device, full, 1.0).megahertz < 0.75 * estimate_clock(device, free, 1.0).megahertz


def test_the_equation():
    device = replace(DEVICES["lfe5u-25f"], luts=16_000, rams=40)
    weights = {"size": 0.1, "crowding": 2, "memory": 0.5}
    assert burden(device, {}, weights) == 1
    assert burden(device, {"cell": 4000, "ram": 20}, weights) == pytest.approx(1.2)
    assert burden(device, {"cell": 9000}, weights) == pytest.approx(1.3 + 2 * (9 / 16 - FREE))
    assert burden(device, {"cell": 4000, "ram": 30}, weights) == pytest.approx(1.2 + 0.5 * 0.25 * 4)


def test_a_family_of_which_nothing_was_routed_has_the_clock_that_the_board_aims_at():
    device = DEVICES["lfe5u-25f"]
    unknown = replace(device, family=replace(device.family, name="unknown"))
    assert estimate_clock(unknown, {"cell": 5000}, 42.5) == ClockEstimate(42.5, 0)


def test_routed_designs_are_estimated_as_the_results_say():
    families = [load_board(row["board"]).device.family for row in DESIGNS]
    for row, family in zip(DESIGNS, families):
        board = load_board(row["board"])
        found = estimate_clock(board.device, {"cell": row["cells"], "ram": row["rams"]}, board.target_mhz)
        assert found.megahertz == pytest.approx(row["estimate"], abs=0.1)
        assert found.designs == families.count(family)


def test_errors_are_those_of_each_design_from_the_others():
    known = [row for row in DESIGNS if row["from the others"]]
    errors = sorted(abs(row["from the others"] / row["mhz"] - 1) for row in known)
    published = clock_model()["errors"]
    assert published["designs"] == len(errors)
    assert published.get("worst", 0) == pytest.approx(max(errors, default=0), abs=1e-4)


def test_only_families_that_open_tools_route_are_estimated():
    routed = {name for name, family in FAMILIES.items() if isinstance(family.flow, OpenFlow)}
    assert set(clock_model()["families"]) <= routed
