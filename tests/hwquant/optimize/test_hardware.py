"""The best array of a network is the best of all arrays, compiled one by one."""

import math
from dataclasses import replace

import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards import shapes as all_shapes
from hwquant.boards.board import load_board
from hwquant.boards.clock_estimate import estimate_clock
from hwquant.boards.fit import choose_array
from hwquant.boards.needs import needs
from hwquant.boards.shapes import Shapes
from hwquant.errors import DoesNotFit, HwquantError
from hwquant.optimize.hardware import HARDWARE, MEASURES, best_hardware, program_of
from hwquant.program.activity import activity
from hwquant.program.memories import memory_bits

SHAPES = tuple((a, b) for a in (2, 4, 6, 8) for b in (2, 4, 6, 8) if a % b == 0 or b % a == 0)
"""Arrays: few, for the time that more take."""


@pytest.fixture(autouse=True, scope="module")
def few_arrays():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(all_shapes, "SHAPES", SHAPES)
        yield


@pytest.fixture(scope="module")
def shapes(digits_qgraph):
    return Shapes(digits_qgraph)


@pytest.fixture(scope="module")
def everything(shapes):
    """Numbers of every array that fits an iCEBreaker."""
    device, found = load_board("icebreaker").device, []
    for shape in SHAPES:
        try:
            item = shapes.compiled(shape, device)
        except HwquantError:
            continue
        config = item.program.config
        taken = needs(config, device, item.contents)
        if all(need.excess <= 1 for need in taken):
            numbers = {need.resource: need.needed for need in taken}
            hertz = estimate_clock(device, numbers, 24.0).megahertz * 1e6
            numbers |= {"fps": hertz / item.report.cycles, "energy_nj": activity(item.program).energy_nj}
            found.append({**numbers, "bytes": -(-sum(memory_bits(config).values()) // 8)})
    return found


@pytest.mark.parametrize(
    ("goal", "min_fps"), [("fps", None), ("lut", 3000.0), ("bytes", None), ("energy-proxy", 3000.0)]
)
def test_it_is_the_best_of_all(goal, min_fps, shapes, everything):
    best = best_hardware(shapes, load_board("icebreaker"), goal, min_fps)
    assert set(best) == set(HARDWARE)
    measure = MEASURES[goal]
    enough = [item for item in everything if item["fps"] >= (min_fps or 0)]
    assert enough
    assert measure.cost(best) == min(measure.cost(item) for item in enough)
    assert best["fps"] >= (min_fps or 0)


def test_where_none_is_fast_enough_the_fastest_is_taken(shapes):
    board = load_board("icebreaker")
    best = best_hardware(shapes, board, "lut", 1e9)
    assert best["cycles"] == choose_array(shapes, board).chosen.cycles


def test_a_network_that_fits_nowhere_is_an_error_that_says_what_is_missing(shapes):
    board = load_board("icebreaker")
    small = replace(board, device=replace(board.device, luts=100))
    with pytest.raises(DoesNotFit, match="LUT of 100"):
        best_hardware(shapes, small, "lut", None)


@pytest.fixture(scope="module")
def large():
    """A network with more weights than a ULX3S-12F has bits of block RAM."""
    net = Net(seed=3, x=(8, 5, 5))
    last = net.conv("x", 128, (3, 3), padding=(1, 1, 1, 1))
    net.conv(net.conv(last, 128, (3, 3), padding=(1, 1, 1, 1)), 16)
    return Shapes(net.build())


@pytest.mark.parametrize(("goal", "min_fps"), [("fps", None), ("lut", 1.0)])
def test_with_the_boards_memory_it_is_the_array_that_is_chosen_then(large, goal, min_fps):
    board = load_board("ulx3s-12f")
    with pytest.raises(DoesNotFit):
        best_hardware(large, board, goal, min_fps)
    best = best_hardware(large, board, goal, min_fps, "auto")
    chosen = choose_array(large, board, external="auto").chosen
    program = program_of(chosen, large, board)
    assert program.config.external_bits == 16
    assert math.ceil(best["cycles"]) == chosen.cycles
    assert best["clock_mhz"] <= 80, "what the pins bear"
    moved = chosen.outside.moved_bytes
    assert moved > 128 * 128 * 9, "all weights, at least"
    assert activity(program).bytes_moved == moved > 0
    assert best["energy_nj"] == activity(program).energy_nj


def test_the_memory_takes_no_part_where_the_network_fits_without(shapes):
    board = load_board("ulx3s-12f")
    assert best_hardware(shapes, board, "fps", None, "auto") == best_hardware(shapes, board, "fps", None)
