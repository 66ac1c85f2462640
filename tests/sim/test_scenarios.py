"""What the host can do to the accelerator, in Verilator and in Icarus."""

import re
import threading
from dataclasses import replace

import pytest

from hwquant.errors import HwquantError
from hwquant.program.cycles import timing
from hwquant.program.isa import Opcode, encode, fields
from hwquant.sim import Stalls, icarus_backend, verilator_backend
from hwquant.sim.cocotb_backend import SCENARIOS, record, run_scenario
from hwquant.sim.cocotb_build import build
from hwquant.sim.contract import Task
from hwquant.sim.options import SimulationOptions

TOOLS = {"verilator": verilator_backend.tool, "icarus": icarus_backend.tool}


@pytest.mark.parametrize("stalls", [Stalls(seed=1), Stalls(0.3, 0.4, seed=2)], ids=["full speed", "stalls"])
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(
    ("name", "simulator"),
    [("4x4 edge", "verilator"), ("8x4 edge per channel", "verilator"), ("4x4 edge", "icarus")],
)
def test_the_hardware_passes_each_scenario(case, build_dir, name, simulator, scenario, stalls):
    it = case(name)
    run_scenario(
        TOOLS[simulator](), it.program, it.frames, it.expected, scenario, stalls=stalls, build_dir=build_dir
    )


@pytest.mark.parametrize("progress", [None, lambda what, done, total: None], ids=["silent", "reported"])
def test_what_ends_the_command_ends_the_simulator(case, build_dir, monkeypatch, progress):
    """Signals come to the main thread, so it is the one that waits for the process, and kills it."""

    class Runner:
        def test(self, **options):
            assert threading.current_thread() is threading.main_thread()
            raise KeyboardInterrupt

    it, tool = case("4x4 edge"), icarus_backend.tool()
    build(tool, it.program, build_dir, work=build_dir)
    monkeypatch.setattr("cocotb_tools.runner.get_runner", lambda name: Runner())
    options = SimulationOptions("icarus", build_dir=build_dir, progress=progress)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        record(tool, Task(it.program, it.frames), options)
    assert threading.active_count() <= before  # others may end meanwhile


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 130))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_hardware_passes_each_scenario_with_many_seeds(case, build_dir, scenario, seed):
    it, share = case("4x4 edge"), (seed % 10) / 12
    stalls = Stalls(share, 0.8 - share if share < 0.8 else 0.0, seed)
    run_scenario(
        verilator_backend.tool(),
        it.program,
        it.frames,
        it.expected,
        scenario,
        stalls=stalls,
        build_dir=build_dir,
    )


# Each scenario must be able to fail, and then say where and with which seed.


def failure(it, program, expected, scenario, build_dir) -> str:
    with pytest.raises(HwquantError) as error:
        run_scenario(
            icarus_backend.tool(),
            program,
            it.frames,
            expected,
            scenario,
            stalls=Stalls(seed=77),
            build_dir=build_dir,
        )
    return str(error.value)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_wrong_result_fails_with_its_frame_and_word_and_the_seed(case, build_dir, scenario):
    it = case("4x4 edge")
    expected = it.expected.copy()
    expected[0, 0, 0] ^= 1
    message = failure(it, it.program, expected, scenario, build_dir)
    want, got = (int(it[0, 0, 0]) & 0xFF for it in (expected, it.expected))
    assert message.startswith(f"icarus, {scenario}, seed 77: frame 0, word 0: expected 0x")
    numbers = [int(text, 16) & 0xFF for text in re.findall("0x([0-9a-f]+)", message)]
    assert numbers == [want, got]


def test_an_idle_lane_is_not_compared(plain_case, build_dir):
    it = plain_case
    expected, idle = it.expected.copy(), it.program.outputs[0].shape[0] % it.program.config.lanes
    assert idle, "this case must have an idle lane"
    expected[:, -1, idle:] ^= 1
    run_scenario(icarus_backend.tool(), it.program, it.frames, expected, "registers", build_dir=build_dir)


def test_a_wrong_identity_fails(case, build_dir, monkeypatch):
    it = case("4x4 edge")
    monkeypatch.setattr("hwquant.sim.cocotb_backend.VERSION", 99)
    message = failure(it, it.program, it.expected, "registers", build_dir)
    assert "VERSION after reset: expected 0x63, got 0x1" in message


def test_a_wrong_prediction_of_cycles_fails(case, build_dir, monkeypatch):
    it = case("4x4 edge")
    right = timing(it.program)
    monkeypatch.setattr(
        "hwquant.sim.cocotb_backend.timing",
        lambda program, memory: replace(right, cycles=right.cycles - 1),
    )
    message = failure(it, it.program, it.expected, "wrong_frame_lengths", build_dir)
    assert f"frame 0: {right.cycles} cycles instead of {right.cycles - 1}" in message


def test_hardware_that_stops_fails(case, build_dir):
    it = case("4x4 edge")
    # It waits for one word less than there is, and so drops each frame.
    (place,) = it.program.inputs
    short = [
        replace(item, values={**item.values, "count": place.words - 1})
        if item.opcode is Opcode.INPUT
        else item
        for item in it.program.instructions
    ]
    words = tuple(encode(item, fields(it.program.config)) for item in short)
    message = failure(it, replace(it.program, words=words), it.expected, "registers", build_dir)
    assert re.search(r"no word moved for \d+ cycles", message)
