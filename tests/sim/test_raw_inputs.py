"""Inputs that the host sends as they are, to hardware that packs them: in every simulator, and behind a link."""

import shutil

import numpy as np
import pytest
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import Net, images

from hwquant.driver import connect
from hwquant.golden import run as golden
from hwquant.link import SerialLink
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.registers import Register
from hwquant.sim import icarus_backend
from hwquant.sim.board import SimulatedBoard
from hwquant.sim.check import verify
from hwquant.sim.cocotb_backend import SCENARIOS, run_scenario
from hwquant.sim.trace import Stalls


def network():
    """Two pictures, one with a convolution of stride and padding, one that is read without a window."""
    net = Net(3, x=(3, 9, 8), z=(1, 10, 20))
    first = net.conv("x", 5, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    net.conv("z", 3, (1, 1))
    net.conv(first, 4, (3, 2))
    return net.build("layer1", "layer2")


@pytest.fixture(scope="module")
def case():
    qgraph = network()
    program = compile_network(qgraph, (8, 4))
    assert [item.packing.rows > 1 for item in program.config.raw_inputs] == [True, False]
    assert program.config.frame_values == 1
    return qgraph, program, images(qgraph, 3)


@pytest.mark.parametrize("stalls", [None, Stalls(0.4, 0.3, seed=5)], ids=["steady", "stalls"])
@pytest.mark.parametrize(
    "simulator",
    [
        "amaranth",
        *nightly(("cxxrtl", "icarus", "verilator")),
    ],
)
def test_every_simulator_agrees_with_the_golden_model(case, simulator, stalls):
    qgraph, program, q = case
    verification = verify(program, qgraph, q, simulator=simulator, watch=2, stalls=stalls)
    assert verification.mismatches == 0, verification.first
    assert verification.cycles == timing(program).cycles


@pytest.mark.nightly
@pytest.mark.parametrize("name", SCENARIOS)
def test_scenarios(case, name):
    qgraph, program, q = case
    results = golden(qgraph, q)
    expected = np.concatenate([item.to_words(results[item.name]) for item in program.outputs], axis=1)
    run_scenario(
        icarus_backend.tool(), program, program.frame(q), expected, name, stalls=Stalls(0.2, 0.2, seed=1)
    )


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_a_board_takes_the_bytes_of_the_pictures(case):
    qgraph, program, q = case
    with SimulatedBoard(program) as board, SerialLink(board.port) as link:
        connection = connect(link, qgraph, program)
        results, expected = connection.run(q), golden(qgraph, q)
        assert connection.cycles() == timing(program).cycles
        assert connection.register(Register.STATUS) >> 1 == 0, "no illegal instruction, no dropped frame"
    for name, values in expected.items():
        np.testing.assert_array_equal(results[name], values)
    assert program.frame(q).size * (program.config.frame_bits // 8) == 3 * (3 * 9 * 8 + 10 * 20)
