"""Two simulators that we did not write, side by side: the whole board says the same in the same clock cycles."""

import shutil
from functools import partial

import numpy as np
import pytest
from hwquant_testing.small_networks import board_network, images

from hwquant.driver import connect
from hwquant.errors import HwquantError
from hwquant.golden import run as golden
from hwquant.link import Link
from hwquant.link.protocol import LARGE, SMALL
from hwquant.link.rate import Line, link_time
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.rtl_templates.uart import MIN_DIVISOR
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim import BOARD_SIMULATORS, board_bench
from hwquant.sim.board_bench import BoardBench
from hwquant.sim.faults import Faults, FaultyLink

SLICE = 29
"""Clock cycles between two comparisons: less than a byte takes."""
PATIENCE = 200
"""Slices without a byte after which the host is told that there is none."""


@pytest.fixture(scope="module")
def network():
    return board_network()


@pytest.fixture(scope="module")
def program(network):
    return compile_network(network, (2, 2))


class SideBySide(Link):
    """A line to one board in every simulator; they must take and say the same bytes in the same slices."""

    name = "both simulators"

    def __init__(self, program, **options):
        self.benches = [BoardBench(program, MIN_DIVISOR, name, **options) for name in BOARD_SIMULATORS]
        self.compared = 0
        self._heard = b""

    def write(self, data):
        self._heard += data

    def read(self, timeout):
        for _ in range(PATIENCE):
            (taken, said), *others = (bench.run(self._heard, SLICE) for bench in self.benches)
            assert others == [(taken, said)] * (len(BOARD_SIMULATORS) - 1)
            self._heard = self._heard[taken:]
            self.compared += len(said)
            if said:
                return said
        return b""

    def close(self):
        for bench in self.benches:
            bench.close()


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.parametrize(
    ("loadable", "corrupt"), [(False, 0.02), pytest.param(True, 0.0, marks=pytest.mark.nightly)]
)
def test_the_simulators_agree_in_every_byte_and_its_time(network, program, loadable, corrupt, monkeypatch):
    """Also where one of them reads no word in the cycle that writes it."""
    monkeypatch.setattr(board_bench, "to_verilog", partial(to_verilog, show_collisions=True))
    q = images(network, 10)
    with SideBySide(program, loadable=loadable) as link:
        noisy = FaultyLink(link, Faults(corrupt=corrupt, seed=1))
        result = connect(noisy, network, program).run(q)
        assert link.compared > 200
        assert (noisy.injected > 5) == (corrupt > 0)
    expected = golden(network, q)
    assert all(np.array_equal(result[name], expected[name]) for name in expected)


class Timed(Link):
    """A line to one board, whose clock is the board's."""

    name = "bench"

    def __init__(self, program, window):
        self.bench = BoardBench(program, MIN_DIVISOR, "cxxrtl", loadable=False, window=window)
        self.now, self._heard = 0, b""

    def clock(self):
        return self.now

    def write(self, data):
        self._heard += data

    def read(self, timeout):
        end = self.now + timeout
        while self.now < end:
            taken, said = self.bench.run(self._heard, SLICE)
            self._heard = self._heard[taken:]
            self.now += SLICE
            if said:
                return said
        return b""

    def close(self):
        self.bench.close()


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.parametrize("window", [LARGE, pytest.param(SMALL, marks=pytest.mark.nightly)])
def test_a_board_is_as_fast_as_the_rate_of_its_link_says(network, program, window):
    """In clock cycles: no faster, and slower by what is escaped, and by the first frame's way there and back."""
    frames = 40
    with Timed(program, window) as link:
        connection = connect(link, network, program, timeout=1e6, clock=link.clock)
        connection.run(images(network, 20))  # packets grow until they are as large as they may be
        begin = link.now
        connection.run(images(network, frames))
        taken, statistics = link.now - begin, connection.statistics
        assert statistics.retries == statistics.busy == 0
    line = Line.serial(1 / MIN_DIVISOR, 0.0, window)
    found = link_time(*program.frame_sizes, line)
    cycles = timing(program).cycles
    period = found.period(cycles)
    assert frames * period <= taken <= 1.03 * frames * period + found.to_board + cycles + found.from_board


def test_a_simulator_that_has_no_board_is_refused(program):
    with pytest.raises(
        HwquantError, match="no board in the simulator 'icarus'; choose one of verilator, cxxrtl"
    ):
        BoardBench(program, MIN_DIVISOR, "icarus", loadable=False)
