"""Networks that fit a board only with its memory: buffers that its RAM holds, arrays by time, errors by name."""

import dataclasses

import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards.board import load_board
from hwquant.boards.fit import choose_array
from hwquant.boards.needs import needs
from hwquant.boards.outside import BUFFERS, board_memory, compiled_for
from hwquant.boards.shapes import Shapes
from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.cycles import timing

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")


@pytest.fixture(scope="module")
def board():
    return load_board("ulx3s-25f")


@pytest.fixture(scope="module")
def large():
    """A network with more weights than the device has bits of block RAM."""
    net = Net(seed=3, x=(8, 5, 5))
    last = net.conv("x", 128, (3, 3), padding=(1, 1, 1, 1))
    last = net.conv(last, 128, (3, 3), padding=(1, 1, 1, 1))
    net.conv(last, 16)
    return Shapes(net.build())


@pytest.fixture(scope="module")
def small():
    net = Net(seed=4, x=(3, 8, 8))
    net.conv(net.conv("x", 8, (3, 3)), 4)
    return Shapes(net.build())


def test_the_memory_takes_part_only_where_the_network_does_not_fit_without(board, small, large):
    plain = choose_array(small, board, (8, 8))
    assert choose_array(small, board, (8, 8), external="auto") == plain
    assert plain.chosen.outside is None
    without = choose_array(large, board, (8, 8))
    assert not without.fits
    assert "or let the board's MT48LC16M16A2-75 take part (hwquant compile --external auto)" in without.reason
    found = choose_array(large, board, (8, 8), external="auto")
    assert found.fits
    assert found.chosen.outside.memory == board.memory.external(80e6), "the clock that its pins bear"
    assert "with the board's memory (16 bits)" in found.reason
    always = choose_array(small, board, (8, 8), external="axi16")
    assert always.fits
    assert always.chosen.outside.moved_bytes > 0


def test_what_is_chosen_is_what_is_compiled_and_its_cycles_are_the_most(board, large):
    chosen = choose_array(large, board, (8, 8), external="auto").chosen
    compiled = compiled_for(large, (8, 8), board.device, chosen.outside.memory, board.link)
    program = compiled.program
    assert chosen.cycles == timing(program).cycles >= chosen.outside.least_cycles
    assert timing(program, program.memory.quickest).cycles == chosen.outside.least_cycles
    assert program.config.weight_depth == BUFFERS["weight_depth"]
    assert chosen.outside.moved_bytes >= len(program.weights) * 8
    items = needs(program.config, board.device, compiled.contents, kind=board.link)
    assert chosen.needs == items
    assert all(need.excess <= 1 for need in items)


def test_without_an_array_the_fastest_of_a_few_is_taken(board, large):
    found = choose_array(large, board, external="auto")
    assert found.fits
    assert 1 < found.compiled <= 3
    assert found.milliseconds <= choose_array(large, board, (8, 8), external="auto").milliseconds


def test_less_block_ram_means_a_smaller_memory_inside(board):
    net = Net(seed=6, x=(8, 64, 64))
    net.conv(net.conv("x", 16, (3, 3), padding=(1, 1, 1, 1)), 16, (3, 3), padding=(1, 1, 1, 1))
    shapes, depths = Shapes(net.build()), []
    for rams in (56, 44, 36):
        device = dataclasses.replace(board.device, rams=rams)
        memory = board.memory.external(100e6)
        found = compiled_for(shapes, (8, 8), device, memory, board.link)
        depths.append(found.program.config.activation_depth)
        used = {need.resource: need for need in needs(found.program.config, device, found.contents)}
        assert used["ram"].needed <= rams
    assert depths == sorted(depths, reverse=True)
    assert depths[0] > depths[-1]
    with pytest.raises(DoesNotFit, match="8x8 leaves lfe5u-25f no block RAM"):
        compiled_for(shapes, (8, 8), dataclasses.replace(board.device, rams=16), memory, board.link)


def test_limits_of_the_users_are_kept(board, large):
    shapes = Shapes(large.qgraph, limits={"activation_depth": 1024, "weight_depth": 600})
    found = choose_array(shapes, board, (8, 8), external="axi")
    assert found.fits
    memory = found.chosen.outside.memory
    config = compiled_for(shapes, (8, 8), board.device, memory, board.link).program.config
    assert (config.activation_depth <= 1024, config.weight_depth) == (True, 600)


def test_a_board_must_have_the_memory_that_is_asked_for(board):
    assert board_memory(board, "none") is None
    assert board_memory(board, "axi") == board_memory(board, "axi16") == board_memory(board, "auto")
    with pytest.raises(Unsupported, match="ulx3s-25f has 16 bits: choose --external axi16, not axi64"):
        board_memory(board, "axi64")
    bare = dataclasses.replace(board, memory=None)
    assert board_memory(bare, "auto") is None
    with pytest.raises(Unsupported, match="has no memory that hwquant knows"):
        board_memory(bare, "axi")


@pytest.mark.parametrize("name", ["orangecrab-25f", "arty-a7-35", "arty-a7-100"])
def test_a_memory_without_a_controller_is_named_with_the_way_out(name, large):
    board = load_board(name)
    assert board_memory(board, "auto") is None
    with pytest.raises(
        Unsupported,
        match=f"the DDR3L of the board {name} must be trained, .* core --bus axi.* LiteDRAM or the vendor; or leave "
        "out --external axi",
    ):
        board_memory(board, "axi")
    poor = dataclasses.replace(board, device=dataclasses.replace(board.device, rams=16))
    found = choose_array(large, poor, (8, 8), external="auto")
    assert not found.fits
    assert "behind a controller of the board's DDR3L" in str(found.shortfall())


def test_where_the_memory_does_not_help_either_it_is_said_why(board, large):
    """Instead of advice to let it take part."""
    device = dataclasses.replace(board.device, rams=16)
    poor = dataclasses.replace(board, device=device)
    with pytest.raises(DoesNotFit) as refusal:
        compiled_for(large, (8, 8), device, board.memory.external(80e6), board.link)
    found = choose_array(large, poor, (8, 8), external="auto")
    assert not found.fits
    assert found.refused == str(refusal.value)
    assert f"nor does it fit with the board's {board.memory.name}: {found.refused}" in found.reason
    assert "take part" not in found.reason
    several = choose_array(large, board, (2, 8, 8), external="auto")
    assert "several arrays cannot have external memory" in several.reason


def test_several_arrays_have_no_memory(board, large):
    with pytest.raises(HwquantError, match="several arrays cannot have external memory"):
        choose_array(large, board, (2, 8, 8), external="axi")
