"""Layers that begin before the one before them is written: as early as they may, and no earlier."""

import numpy as np
import pytest
from hwquant_testing.older import without_overlap
from hwquant_testing.small_networks import Net, images

from hwquant.program import storage
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.isa import Opcode
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.sim.check import verify


def waits(program):
    """How long each layer waits; what sets nothing new is left out of a program."""
    return [item.values["wait"] for item in program.instructions if item.opcode is Opcode.WRITE]


def chain(size=8, kernel=(3, 3), padding=(1, 1, 1, 1), **options):
    net = Net(x=(4, size, size))
    net.conv(net.conv("x", 4, (1, 1), **options), 4, kernel, padding=padding)
    return net.build()


def check(qgraph, program):
    found = verify(program, qgraph, images(qgraph, 2), simulator="amaranth", watch=2)
    assert found.mismatches == 0, found.first
    assert found.cycles == timing(program).cycles


def test_a_layer_whose_first_pixels_read_what_is_long_written_does_not_wait():
    qgraph = chain()
    program, before = compile_network(qgraph, (4, 4)), without_overlap(qgraph, (4, 4))
    assert waits(program) == [0, 0]
    assert timing(program).cycles == timing(before).cycles - (before.config.drain_latency - 1)
    check(qgraph, program)
    check(qgraph, before)


def test_a_layer_waits_for_the_words_that_it_reads_first():
    """Of a picture of 4 x 3 pixels the first ones are not written yet, when the last has left."""
    qgraph = chain(size=(4), kernel=(1, 1), padding=(0, 0, 0, 0))
    program = compile_network(qgraph, (4, 4))
    _, wait = waits(program)
    # Pixel 0, of sixteen, is written so many cycles after it has left; it may be read a cycle later.
    assert wait == program.config.write_latency + 1 - 16
    check(qgraph, program)


@pytest.mark.parametrize(("columns", "multiplier"), [(4, False), (7, False), (3, True)])
def test_other_bounds_wait_until_all_columns_have_used_the_ones_before(columns, multiplier):
    net = Net(x=(4, 12, 12))
    scale = {"multiplier": [300] * 4} if multiplier else {}
    net.conv("x", 4, low=-100, **scale)
    net.conv("layer0", 4, (3, 3), padding=(1, 1, 1, 1), **scale)
    qgraph = net.build()
    program = compile_network(qgraph, (4, columns))
    assert waits(program) == [0, columns - 1 + multiplier]
    check(qgraph, program)


def test_products_wait_until_all_is_written():
    net = Net(x=(4, 8, 8))
    net.product(net.conv("x", 4), net.conv("x", 4))
    net.conv("product2", 4)
    qgraph = net.build()
    program = compile_network(qgraph, (4, 4))
    full = program.config.drain_latency - 1
    assert waits(program)[2:] == [full, full]
    check(qgraph, program)


def test_depthwise_tiles_of_another_delay_wait_for_those_before():
    net = Net(x=(4, 12, 12))
    name = net.conv("x", 4, (3, 3), groups=4, padding=(1, 1, 1, 1))
    name = net.conv(name, 4, (3, 3), groups=4, padding=(1, 1, 1, 1))
    net.conv(name, 4, (3, 3), groups=4)
    qgraph = net.build()
    program = compile_network(qgraph, (9, 4))
    delays = [item.values["delay"] for item in program.instructions if item.opcode is Opcode.TAPS]
    assert len(delays) == 2
    first, same, other = waits(program)
    assert first == same == 0
    assert other == program.config.drain_latency - 1
    check(qgraph, program)


def test_a_layer_waits_for_the_neighbours_of_its_array():
    """Array 1 reads the last row of array 0's strip first, which is the last that is written."""
    qgraph = chain()
    program = compile_network(qgraph, (2, 4, 4))
    _, wait = waits(program)
    assert wait == program.config.drain_latency - 8 - 1  # a row of eight pixels, behind one of padding
    check(qgraph, program)


@pytest.mark.parametrize("seed", range(8))
def test_no_layer_waits_longer_than_until_all_is_written(seed):
    rng = np.random.default_rng(seed)
    features = Features(products=seed % 2 == 0, copies=seed % 3 == 0, inputs=1 + seed % 2)
    qgraph = random_qgraph(rng, features)
    array = [(4, 4), (3, 7), (9, 4), (2, 4, 4)][seed % 4]
    program, before = compile_network(qgraph, array), without_overlap(qgraph, array)
    assert all(0 <= wait < program.config.drain_latency and wait != 1 for wait in waits(program))
    assert timing(program).cycles <= timing(before).cycles
    frames = random_inputs(rng, qgraph, 1)
    found = verify(before, qgraph, frames, simulator="amaranth", watch=1)
    assert found.mismatches == 0, found.first
    assert found.cycles == timing(before).cycles


def test_a_file_says_whether_layers_overlap(tmp_path):
    qgraph = chain()
    for program in (compile_network(qgraph, (4, 4)), without_overlap(qgraph, (4, 4))):
        storage.save(program, tmp_path / "net.hwp")
        again = storage.load(tmp_path / "net.hwp")
        assert (again.config, again.words) == (program.config, program.words)
        assert again.config.to_json().get("overlap", False) == program.config.overlap
