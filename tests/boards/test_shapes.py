"""A network on many arrays: what is guessed before compiling rules out nothing that is possible."""

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards.device import DEVICES
from hwquant.boards.shapes import SHAPES, Shapes, regular
from hwquant.errors import DoesNotFit, Unsupported
from hwquant.program.compiler import compile_network

SOME = SHAPES[::7]
DEVICE = DEVICES["lfe5u-25f"]


def network(offset=0):
    """A pool, a residual addition, weights of 8 and 2 bits, many of them zero."""
    net = Net(seed=5, x=(3, 12, 12))
    first = net.pool(net.conv("x", 16, (3, 3), padding=(1, 1, 1, 1), offset=offset), (2, 2))
    codes = np.random.default_rng(2).integers(-128, 128, (16, 16, 3, 3))
    codes[:, 4:] = 0
    second = net.conv(first, 16, (3, 3), codes=codes, padding=(1, 1, 1, 1))
    net.layer(net.term(first, 16, bits=2), net.term(second, 16, bits=2))
    return net.build()


@pytest.fixture(scope="module")
def shapes():
    return Shapes(network())


def test_the_sides_of_each_array_divide_each_other():
    assert all(rows % columns == 0 or columns % rows == 0 for rows, columns in SHAPES)
    assert {(2, 2), (8, 8), (16, 8), (8, 16), (32, 32)} <= set(SHAPES)
    assert regular(1)[0] == (32, 32)
    assert all(max(shape) <= 2 * min(shape) for shape in regular(2))


@pytest.mark.parametrize("shape", SOME, ids=str)
def test_no_array_does_more_than_its_area_allows(shapes, shape):
    report = shapes.compiled(shape, DEVICE).report
    assert shapes.macs <= shape[0] * shape[1] * report.cycles


@pytest.mark.parametrize("shape", SOME, ids=str)
def test_memories_are_guessed_at_most_as_deep_as_they_become(shapes, shape):
    guess, config = shapes.rough(DEVICE)[shape], shapes.compiled(shape, DEVICE).program.config
    for name in ("activation_depth", "weight_depth", "parameter_depth", "program_depth", "accumulator_depth"):
        assert getattr(guess, name) <= getattr(config, name), name
    for name in ("offset", "activation_bits", "weight_bits", "adjusted_bits", "tap_lines", "multiplier_bits"):
        assert getattr(guess, name) == getattr(config, name), name


def test_what_is_compiled_is_what_the_compiler_gives(shapes):
    item = shapes.compiled((4, 8), DEVICE)
    program = compile_network(shapes.qgraph, (4, 8))
    assert item.program.checksum == program.checksum
    assert shapes.compiled((4, 8), DEVICE) is item, "once"


def test_devices_share_programs_as_long_as_all_multipliers_are_wide_enough():
    gowin, ecp5 = DEVICES["gw2ar-18"], DEVICE
    narrow, wide = Shapes(network()), Shapes(network(offset=250))
    assert narrow.compiled((4, 4), gowin) is narrow.compiled((4, 4), ecp5)
    assert wide.compiled((4, 4), gowin).program.config.offset == "sum"
    assert wide.compiled((4, 4), ecp5).program.config.offset == "edge"
    assert (wide.rough(gowin)[4, 4].offset, wide.rough(ecp5)[4, 4].offset) == ("sum", "edge")


def test_limits_and_offset_are_those_of_the_compiler():
    narrow = Shapes(network(offset=3), offset="sum", limits={"weight_depth": 10})
    assert narrow.rough(DEVICE)[4, 4].offset == "sum"
    with pytest.raises(DoesNotFit, match=r"weight_depth .* is needed, 10 is available"):
        narrow.compiled((4, 4), DEVICE)


def test_a_network_without_layers_is_refused():
    net = Net(x=(3, 4, 4))
    with pytest.raises(Unsupported, match="has no layer to execute: it moves values"):
        Shapes(net.build("x"))


def test_a_network_that_no_array_can_express_says_why():
    with pytest.raises(Unsupported, match="has integer offsets: choose offset edge or sum"):
        Shapes(network(offset=3), offset="none").rough(DEVICE)
