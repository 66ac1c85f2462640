"""Multipliers of an array are neighbours on the device, four to a block, with no more clock enables than it has."""

import json
import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.boards.device import DEVICES
from hwquant.boards.families.ecp5_placement import DEVICES as BLOCKS
from hwquant.boards.families.ecp5_placement import place
from hwquant.boards.parameters import Netlist

BEL = re.compile(r"X(\d+)/Y(\d+)/MULT18_(\d)")


def array(rows, columns, multipliers, name="board.array."):
    """Cells of an array whose first rows have multipliers; the weights of an anti-diagonal become active at once."""
    places = [(r, c) for r in range(rows) for c in range(columns)][:multipliers]
    return {
        f"{name}pe_{r}_{c}.product$3.multiplier": {
            "type": "MULT18X18D",
            "connections": {"CE0": ["1"], "CE1": [1000 + r + c], "CLK0": [2]},
        }
        for r, c in places
    }


def placed(cells, device):
    """Bels by name; checks that each is used once, and that blocks have enough enables."""
    place({"cells": cells}, device)
    bels = {name: cell["attributes"]["BEL"] for name, cell in cells.items() if "attributes" in cell}
    assert len(set(bels.values())) == len(bels)
    enables, used = defaultdict(set), Counter()
    for name, bel in bels.items():
        x, y, number = map(int, BEL.fullmatch(bel).groups())
        assert number in (0, 1, 4, 5)
        block = (x - number, y)
        assert block in BLOCKS[device].places
        enables[block] |= {cells[name]["connections"][port][0] for port in ("CE0", "CE1")}
        used[block] += 1
    assert all(len(nets) <= 4 for nets in enables.values())
    assert all(number <= 4 for number in used.values())
    return bels


@pytest.mark.parametrize(
    "device", sorted({item.name for item in DEVICES.values() if item.family.name == "ecp5"})
)
def test_the_table_has_every_multiplier_of_the_device(device):
    assert 4 * len(BLOCKS[device].places) == DEVICES[device].multipliers


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (13, 12), (10, 16), (40, 4)])
def test_a_full_array_takes_all_blocks(rows, columns):
    assert len(placed(array(rows, columns, 156), "lfe5u-85f")) == 156


@pytest.mark.parametrize(("arrays", "rows", "columns"), [(2, 16, 16), (4, 8, 8)])
def test_arrays_lie_beside_each_other(arrays, rows, columns):
    cells = {}
    for n in range(arrays):
        cells |= array(rows, columns, 156 // arrays, f"array{n}.")
    bels = placed(cells, "lfe5u-85f")
    assert len(bels) == 156
    middles = []
    for n in range(arrays):
        x = [int(BEL.match(bel)[1]) for name, bel in bels.items() if name.startswith(f"array{n}.")]
        assert max(x) - min(x) <= 75
        middles.append(sum(x) / len(x))
    assert middles == sorted(middles)


def test_neighbours_are_near_each_other():
    bels = placed(array(8, 16, 128), "lfe5u-85f")
    x = {
        tuple(map(int, re.findall(r"_(\d+)", name)[:2])): int(BEL.match(bel)[1]) for name, bel in bels.items()
    }
    assert max(abs(x[r, c] - x[r, c + 1]) for r in range(8) for c in range(15)) <= 23


def test_few_multipliers_are_left_to_place_and_route():
    assert placed(array(8, 8, 64), "lfe5u-85f") == {}


def test_multipliers_outside_of_arrays_keep_blocks_of_their_own():
    others = {
        f"board.requantizer{n}": {"type": "MULT18X18D", "connections": {"CE0": ["1"]}} for n in range(5)
    }
    assert len(placed(array(16, 16, 148) | others, "lfe5u-85f")) == 148
    assert placed(array(16, 16, 152) | others, "lfe5u-85f") == {}


def test_place_and_route_is_told(tmp_path):
    path = tmp_path / "netlist.json"
    top = {"ports": {}, "cells": array(4, 6, 24)}
    path.write_text(json.dumps({"modules": {"top": top}}))
    Netlist(path, DEVICES["lfe5u-25f"]).write(tmp_path, None, None)
    cells = json.loads(path.read_text())["modules"]["top"]["cells"].values()
    assert len({cell["attributes"]["BEL"] for cell in cells}) == 24


@given(
    device=st.sampled_from(sorted(BLOCKS)),
    arrays=st.integers(1, 4),
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    data=st.data(),
)
def test_any_arrays_are_placed_rightly_or_not_at_all(device, arrays, rows, columns, data):
    most = min(rows * columns, DEVICES[device].multipliers // arrays)
    cells = {}
    for n in range(arrays):
        cells |= array(rows, columns, data.draw(st.integers(0, most)), f"array{n}.")
    assert len(placed(cells, device)) in (0, len(cells))
