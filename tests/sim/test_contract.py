"""Every simulator's testbench keeps the same rules: it does the same in every cycle, and notices the same faults."""

import re
import shutil
from dataclasses import fields
from functools import cache

import numpy as np
import pytest
from hwquant_testing.faulty import Fault, Faulty
from hwquant_testing.small_networks import Net, images

from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.sim import SIMULATORS, Stalls, simulate
from hwquant.sim.check import check
from hwquant.sim.contract import LINGER, Task
from hwquant.sim.options import SimulationOptions
from hwquant.sim.simulators import attempt, record
from hwquant.sim.trace import NO_STALLS, PATTERN, Offers

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")

FRAMES, SPOILED = 3, 1
STALLS = Stalls(idle=0.3, busy=0.4, seed=5)


@pytest.fixture(scope="module")
def network():
    """A network whose input leaves the second of two lanes free, and whose output is in two planes."""
    net = Net(x=(1, 2, 2))
    net.conv(net.conv("x", 2), 3, name="y")
    return net.build()


@pytest.fixture(scope="module")
def program(network):
    program = compile_network(network, (2, 2))
    assert program.config.lanes == 2
    assert sum(item.words for item in program.outputs) == 8
    return program


@pytest.fixture(scope="module")
def q(network):
    return images(network, FRAMES)


@pytest.fixture(scope="module")
def simulated(program, q, build_dir):
    """The outcome of a fault in one frame."""

    def run(function, simulator, fault, *, at=SPOILED, stalls=STALLS):
        frames = program.frame(q)
        frames[:, 0, -1] = 0
        frames[at, 0, -1] = fault
        options = SimulationOptions(
            simulator, watch=FRAMES, design=Faulty(program), build_dir=build_dir, stalls=stalls
        )
        subject = (Task(program, frames, FRAMES, stalls),) if function is record else (program, frames)
        return function(*subject, options)

    return run


# What is noticed, as a regular expression. Wrong values are those of tests/sim/test_check.py.
UNMARKED = "frame 1: word 7 comes without the mark of the last one"
NOTICED = {
    Fault.UNMARKED: UNMARKED,
    Fault.MARKED: "frame 1: word 1 comes with the mark of the last one",
    Fault.CHANGED: "frame 1: the offered word changed from 0x[0-9a-f]+ to 0x[0-9a-f]+",
    Fault.WITHDRAWN: "frame 1: the offered word 0x[0-9a-f]+ was withdrawn",
    Fault.LOST: "frame 1: word 6 comes with the mark of the last one",
    Fault.DOUBLED: UNMARKED,
    Fault.HUNG: r"sample 1: no result: the hardware stopped \(no word moved for (\d+) cycles\)",
    Fault.EXTRA: "frame 2: its result comes before all of it was taken",
    Fault.EARLY: "frame 1: its result comes before all of it was taken",
    Fault.COUNTER: "sample 1: inference: expected {cycles} cycles, got {one more}",
    Fault.WRITE: "sample 1, layer 'layer0', write 1: expected a write to address .*, got .*",
}


@pytest.fixture(scope="module")
def first_difference(simulated, network, program, q):
    """What is noticed first of a fault, in words."""

    @cache
    def get(simulator, fault, at=SPOILED, stalls=STALLS):
        run = simulated(attempt, simulator, fault, at=at, stalls=stalls)
        return str(check(run, program, network, q, stalled=stalls is not NO_STALLS).first)

    return get


@pytest.mark.one_in(3)
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("fault", NOTICED, ids=lambda fault: fault.name.lower())
def test_every_simulator_notices_every_fault(first_difference, program, simulator, fault):
    first = first_difference(simulator, fault)
    cycles = timing(program).cycles
    pattern = NOTICED[fault].replace("{cycles}", str(cycles)).replace("{one more}", str(cycles + 1))
    found = re.fullmatch(pattern, first)
    assert found, first
    if found.groups():
        assert int(found[1]) == 2 * (timing(program).frame_cycles + PATTERN)
    assert first == first_difference("cxxrtl", fault)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_word_behind_the_last_frame_is_noticed(first_difference, simulator):
    first = first_difference(simulator, Fault.EXTRA, at=FRAMES - 1)
    assert first == "frame 2: a word comes after its last one, where nothing is due"


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_a_late_frame_is_noticed_where_the_host_does_not_pause(first_difference, program, simulator):
    first = first_difference(simulator, Fault.LATE, stalls=NO_STALLS)
    expected = timing(program).frame_cycles
    assert first == f"sample 2: frame period: expected {expected} cycles, got {expected + 1}"


@pytest.mark.parametrize("stalls", [NO_STALLS, STALLS], ids=["full speed", "stalls"])
def test_all_simulators_do_the_same_in_every_cycle(simulated, network, program, q, stalls):
    logs = {name: simulated(record, name, Fault.NONE, stalls=stalls) for name in SIMULATORS}
    first = logs.pop("cxxrtl")
    assert len(first.sent) == FRAMES * 4
    assert first.results.taken.sum() == FRAMES * 8
    assert first.cycles == first.results.end[-1] + 1 + LINGER
    idle, busy = stalls.idle_cycles(), stalls.busy_cycles()
    assert not idle[first.sent[:, 0] % PATTERN].any()
    assert not busy[first.results.end % PATTERN].any()
    assert (stalls is NO_STALLS) == (first.results.first == first.results.end).all()
    for name, log in logs.items():
        assert np.array_equal(log.sent, first.sent), name
        for item in fields(Offers):
            column = getattr(log.results, item.name), getattr(first.results, item.name)
            assert np.array_equal(*column), (name, item.name)
        assert (log.writes, log.counters, log.cycles) == (first.writes, first.counters, first.cycles), name


def test_without_a_fault_nothing_is_noticed(first_difference):
    for stalls in (NO_STALLS, STALLS):
        assert first_difference("cxxrtl", Fault.NONE, stalls=stalls) == "None"


def test_a_breach_is_an_error_where_nobody_compares(simulated):
    with pytest.raises(HwquantError, match=re.escape(f"cxxrtl, seed 5: {UNMARKED}")):
        simulated(simulate, "cxxrtl", Fault.UNMARKED)


def test_hardware_that_is_given_twice_is_refused(program, q):
    with pytest.raises(HwquantError, match="given twice; leave out either design or verilog"):
        simulate(program, program.frame(q), simulator="icarus", design=object(), verilog="module m;")
