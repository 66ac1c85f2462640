"""Regressions: faults are outcomes, what is interrupted goes on, and reports are the same whoever evaluates."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from xml.etree import ElementTree

import psutil
import pytest
from click.testing import CliRunner

from hwquant import hwq
from hwquant.boards.board import load_board
from hwquant.boards.outside import board_memory
from hwquant.cli import main
from hwquant.errors import HwquantError
from hwquant.journal import line, seal
from hwquant.qgraph import Layer
from hwquant.regress import case as module
from hwquant.regress import regress
from hwquant.regress.campaign import load_campaign
from hwquant.regress.case import Outcome, evaluate
from hwquant.regress.child import isolated
from hwquant.regress.coverage import BINS
from hwquant.regress.reports import accumulate, junit, summary

TEXT = """
arrays = ["4x4"]
offsets = ["edge", "none"]
stalls = ["none", "both"]
samples = 1
networks = [{random = 1, first = 1}]
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "small.toml").write_text(TEXT)
    return tmp_path / "small.toml"


@pytest.fixture
def cases(file):
    return list(load_campaign(file).cases())


def test_names_are_stable_and_tell_configurations_apart(cases):
    assert [case.name for case in cases] == [
        f"random1-4x4-8bit-{offset}-stream-none-amaranth-{stalls}-pause0-seed0"
        for offset in ("edge", "none")
        for stalls in ("none", "both")
    ]
    assert len({case.digest for case in cases}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrays = [": "array = ["}, "unknown key 'array'"),
        ({'["4x4"]': '["4x99"]'}, "rows and columns must each be 2..32"),
        ({'["4x4"]': '["4x4", "2x4", "04X4"]'}, "arrays: '04X4' is 4x4 again"),
        ({"samples = 1": "hardware = {depth = 1}"}, "hardware: unknown key 'depth'"),
        ({"samples = 1": 'hardware = {pack_input = "all"}'}, 'pack_input must be "auto" or "none"'),
        ({"samples = 1": "limits = {accumulator_depth = 0}"}, "limits: accumulator_depth must be"),
        ({'"edge"': '"left"'}, "offsets: unknown 'left'; there are auto, none, edge, sum"),
        ({"samples = 1": 'buses = ["pci"]'}, "buses: unknown 'pci'; there are axi, wishbone, stream"),
        ({"samples = 1": "samples = true"}, "samples must be an integer"),
        ({"samples = 1": 'simulators = ["ghdl"]'}, "ghdl reads VHDL alone"),
        ({"random = 1": 'file = "a.hwq", random = 1'}, "networks 1 must have either file or random"),
        ({"random = 1, first = 1": 'file = "a\\u0000.hwq"'}, "file holds a zero byte"),
        ({"samples = 1": f"samples = {'9' * 5000}"}, "is no TOML file"),
        ({"random = 1, first = 1": 'file = "a.onnx"'}, "calibration is for a float network"),
        (
            {'["4x4"]': '["4x4", "2x4x4"]', "samples": 'memories = ["axi64"]\nsamples'},
            "arrays: '2x4x4' is in no",
        ),
        (
            {"samples": 'buses = ["axi", "wishbone"]\nmemories = ["axi64"]\nsamples'},
            "buses: 'wishbone' is in no",
        ),
        ({"samples": 'memories = ["none", "axi64"]\npauses = [9]\nsamples'}, "memories: 'none' is in no"),
        ({"samples": "pauses = [0, 9]\nsamples"}, "pauses: 9 is in no"),
        (
            {"samples": "bits = [4, 8]\nsamples", "random = 1, first = 1": 'file = "a.hwq"'},
            "bits: 4 is in no",
        ),
        ({"samples = 1": "limits = {weight_depth = 8}"}, "limits are for memories outside"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(file, change, message):
    text = TEXT
    for old, new in change.items():
        text = text.replace(old, new)
    file.write_text(text)
    with pytest.raises(HwquantError, match=message):
        load_campaign(file)


def test_hardware_is_for_all_and_limits_are_beside_a_memory(file):
    table = '\n[hardware]\naccumulator_depth = 64\nweight_depth = 32\npack_input = "none"\n'
    options = 'arrays = ["04x4"]\nmemories = ["none", "axi64"]\nlimits = {weight_depth = 8}'
    file.write_text(f"{options}\nnetworks = [{{random = 1}}]\n{table}")
    inside, outside = load_campaign(file).cases()
    assert inside.limits == {"accumulator_depth": 64, "weight_depth": 32}
    assert outside.limits == {"accumulator_depth": 64, "weight_depth": 8}
    assert {case.pack_input for case in (inside, outside)} == {"none"}
    assert inside.name == "random0-4x4-8bit-auto-stream-none-amaranth-none-pause0-seed0"


def test_an_integer_network_has_its_own_bits(file, digits_qgraph):
    hwq.save(digits_qgraph, file.with_name("digits.hwq"))
    file.write_text('arrays = ["4x4"]\nbits = [4, 8]\nnetworks = [{file = "digits.hwq"}, {random = 1}]')
    assert [case.name.split("-")[2] for case in load_campaign(file).cases()] == ["ownbits", "4bit", "8bit"]


def test_what_a_terminal_would_act_on_is_written_out_in_names(file, digits_qgraph):
    """The name that is printed is the one that ``--only`` takes."""
    hwq.save(digits_qgraph, file.with_name("a\x1b[2J\u202e.hwq"))
    file.write_text('arrays = ["8x8"]\nnetworks = [{ file = "a\\u001b[2J\\u202e.hwq" }]\n')
    [case] = load_campaign(file).cases()
    assert case.name.startswith(r"a\x1b[2J\u202e-8x8-")


def test_an_outcome_is_of_what_comes_out(cases):
    network = cases[0].qgraph
    other = replace(network.outputs[0], name="other")
    assert replace(cases[0], qgraph=replace(network, outputs=(other,))).digest != cases[0].digest


def test_each_bus_goes_with_the_memories_that_it_has_a_port_for(file):
    axes = 'buses = ["stream", "axi", "wishbone"]\nmemories = ["none", "axi64"]\n'
    file.write_text(f'arrays = ["2x2"]\n{axes}networks = [{{random = 1}}]')
    found = [(case.bus, case.memory is not None) for case in load_campaign(file).cases()]
    assert found == [("stream", False), ("stream", True), ("axi", False), ("axi", True), ("wishbone", False)]


@pytest.mark.parametrize("bus", ["axi", "wishbone"])
def test_a_bus_is_covered_and_its_outcome_is_its_own(cases, bus):
    case = replace(cases[0], bus=bus)
    assert case.digest != cases[0].digest
    outcome = evaluate(case)
    assert (outcome.status, outcome.message) == ("passed", "")
    assert (outcome.coverage[f"bus {bus}"], "bus stream" in outcome.coverage) == (1, False)


def test_hardware_is_compiled_for(cases):
    assert evaluate(replace(cases[0], limits={"accumulator_bits": 2})).status == "refused"
    assert evaluate(replace(cases[0], pack_input="none")).status == "passed"


def test_the_memory_of_a_board_is_called_by_its_name(file):
    file.write_text(TEXT.replace("samples", 'memories = ["ulx3s-85f"]\nsamples'))
    case = next(load_campaign(file).cases())
    assert case.memory == board_memory(load_board("ulx3s-85f"), "axi")
    file.write_text(TEXT.replace("samples", 'memories = ["icebreaker"]\nsamples'))
    with pytest.raises(HwquantError, match="icebreaker has no memory"):
        list(load_campaign(file).cases())


def test_a_right_configuration_passes_and_covers(cases):
    outcome = evaluate(cases[1])
    assert (outcome.status, outcome.message) == ("passed", "")
    assert outcome.cycles > 0
    assert set(outcome.coverage) <= set(BINS)
    assert {"opcode TILE", "clamp none", "stall: host idle", "offset edge"} <= set(outcome.coverage)
    assert "stall: host idle" not in evaluate(cases[0]).coverage


def test_a_fault_is_reported_with_its_first_wrong_value(cases, monkeypatch):
    right = module.compile_network

    def wrong(qgraph, *arguments, **options):
        layer = next(node for node in qgraph.nodes if isinstance(node, Layer))
        nodes = [replace(node, bias=node.bias + (1 << 9)) if node is layer else node for node in qgraph.nodes]
        return right(replace(qgraph, nodes=tuple(nodes)), *arguments, **options)

    monkeypatch.setattr(module, "compile_network", wrong)
    outcome = evaluate(cases[0])
    assert outcome.status == "failed"
    assert "sample 0, layer 'conv0'" in outcome.message


def test_what_cannot_be_compiled_is_refused(cases):
    outcome = evaluate(replace(cases[0], limits={"activation_depth": 1}))
    assert outcome.status == "refused"
    assert not outcome.bad


def test_what_takes_too_long_is_an_outcome(cases):
    outcome = isolated(cases[0], 0.2)
    assert (outcome.status, outcome.message) == ("crashed", "it was ended after 0.2 seconds")


def test_what_crashed_is_evaluated_again(cases, tmp_path):
    journal, coverage = tmp_path / "journal", tmp_path / "coverage.json"
    digests = {cases[0].name: cases[0].digest}
    crashed = regress(cases[:1], timeout=0.2, jobs=1, journal=journal)
    assert not any(accumulate(coverage, digests, crashed).values())
    passed = regress(cases[:1], jobs=1, journal=journal, resume=True)
    assert passed[cases[0].name].status == "passed"
    assert any(accumulate(coverage, digests, passed).values())


def test_a_module_in_the_current_folder_is_not_run(cases, tmp_path, monkeypatch):
    (tmp_path / "pickle.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    assert isolated(cases[0], 60).status == "passed"


def test_what_crashes_is_an_outcome(cases):
    outcome = isolated(replace(cases[0], qgraph=None), 60)
    assert outcome.status == "crashed"
    assert outcome.message.startswith("the process ended with status 1: TypeError")


def test_a_journal_brings_outcomes_back(cases, tmp_path):
    few, seen = cases[:2], []
    first = regress(few[:1], jobs=1, journal=tmp_path / "journal")
    again = regress(
        few, jobs=1, journal=tmp_path / "journal", resume=True, watch=lambda name, outcome: seen.append(name)
    )
    assert seen == [case.name for case in few]
    assert again[few[0].name].seconds == first[few[0].name].seconds  # not evaluated again
    assert again == regress(few, jobs=2)


PASSED = {
    "name": "a",
    "of": "b",
    "status": "passed",
    "message": "",
    "cycles": 9,
    "seconds": 1.5,
    "coverage": {"opcode END": 2},
}


@pytest.mark.parametrize(
    "changes",
    [
        *({"cycles": -1}, {"cycles": True}, {"cycles": 1.0}, {"seconds": -0.5}, {"seconds": 1e308}),
        *({"seconds": None}, {"status": "failed"}, {"message": "x"}, {"more": 1}, {"coverage": {}}),
        *({"coverage": {"no bin": 1}}, {"coverage": {"opcode END": 1 << 60}}, {"status": "good"}),
    ],
    ids=repr,
)
def test_a_line_with_a_right_checksum_that_is_no_outcome_is_damage(tmp_path, changes):
    header = {"format": "hwquant regression", "version": 1, "of": {}}
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(line(header) + line(PASSED, seal(header)))
    assert regress([], journal=path, resume=True) == {}
    path.write_bytes(line(header) + line({**PASSED, **changes}, seal(header)))
    with pytest.raises(HwquantError, match="damaged at line 2; remove"):
        regress([], journal=path, resume=True)


def test_junit_has_every_kind_of_outcome():
    outcomes = {
        "a": Outcome("passed"),
        "b": Outcome("failed", "sample 0 \x00"),
        "c": Outcome("crashed", "x"),
        "d\x01\udcff": Outcome("refused", "y"),
    }
    suite = ElementTree.fromstring(junit("all\x02", outcomes))
    assert [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    assert [[child.tag for child in item] for item in suite] == [[], ["failure"], ["error"], ["skipped"]]
    assert summary(outcomes)["statuses"] == {"crashed": 1, "failed": 1, "passed": 1, "refused": 1}


def test_coverage_of_a_configuration_counts_once(tmp_path):
    path, outcomes = tmp_path / "coverage.json", {"a": Outcome("passed", coverage={"opcode END": 2})}
    assert accumulate(path, {"a": "1"}, outcomes)["opcode END"] == 2
    assert accumulate(path, {"a": "1"}, outcomes)["opcode END"] == 2
    assert accumulate(path, {"a": "2"}, outcomes)["opcode END"] == 4
    whole = path.read_text()
    for wrong in ("[]", whole.replace("opcode END", "no bin"), whole.replace("4", str(1 << 60))):
        path.write_text(wrong)
        with pytest.raises(HwquantError, match="no coverage of a regression"):
            accumulate(path, {"a": "1"}, outcomes)


def test_a_killed_run_goes_on_to_the_same_result(file, tmp_path):
    command = [sys.executable, "-m", "hwquant.cli", "regress", str(file), "--jobs", "1", "-o"]
    subprocess.run([*command, tmp_path / "whole"], check=True, capture_output=True)
    killed = subprocess.Popen([*command, tmp_path / "killed"], stdout=subprocess.PIPE)
    with killed:
        killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    time.sleep(0.1)
    subprocess.run([*command, tmp_path / "killed", "--resume"], check=True, capture_output=True)
    for name in ("regress.json", "report.html", "coverage.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def running(processes):
    """Those of some processes that have not ended."""
    found = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_command(tmp_path, jobs, ended_by):
    (tmp_path / "long.toml").write_text(TEXT.replace("samples = 1", "samples = 1000"))
    command = [sys.executable, "-m", "hwquant.cli", "regress", "long.toml", "--jobs", str(jobs)]
    run = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # A shell that runs the tests in the background has them ignore the signal, and so their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline, begun = time.monotonic() + 120, []
    while sum("hwquant.regress.child" in process.cmdline() for process in running(begun)) < jobs:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
        begun = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, ended_by) if ended_by == signal.SIGINT else run.send_signal(ended_by)
    begin = time.monotonic()
    while running(begun) or run.poll() is None:
        assert time.monotonic() < begin + 10, running(begun)  # it takes a tenth of it where cores are idle
        time.sleep(0.05)
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[ended_by]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({'["4x4"]': '["2x2x2"]', "samples": 'memories = ["axi64"]\nsamples'}, [], "is in no configuration"),
        ({}, ["--coverage", "regress.toml"], "--coverage would replace regress.toml, which is read"),
        ({}, ["--coverage", "none/coverage.json"], "the folder none does not exist"),
        ({}, ["--coverage", "earlier/coverage.json"], "no coverage of a regression"),
        ({}, ["-o", "earlier"], "earlier/coverage.json is no coverage of a regression"),
    ],
)
def test_what_would_come_to_nothing_is_refused_before_any_work(file, tmp_path, change, options, message):
    text = TEXT
    for old, new in change.items():
        text = text.replace(old, new)
    (tmp_path / "regress.toml").write_text(text)
    (tmp_path / "earlier").mkdir()
    (tmp_path / "earlier/coverage.json").write_text("{}")
    command = [sys.executable, "-m", "hwquant.cli", "regress", "regress.toml", "-o", "out", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_where_nothing_was_verified_the_exit_status_says_so(file, tmp_path):
    file.write_text(TEXT.replace("samples = 1", "samples = 1\nhardware = {accumulator_bits = 2}"))
    result = CliRunner().invoke(main, ["regress", str(file), "--jobs", "1"])
    assert "4 configurations: 4 refused" in result.output
    assert result.exit_code == 1


def test_one_configuration_runs_alone(file, cases):
    result = CliRunner().invoke(main, ["regress", str(file), "--jobs", "1", "--only", cases[2].name])
    assert result.exit_code == 0, result.output
    assert f"passed {cases[2].name}" in result.output
    assert "1 configurations: 1 passed" in result.output
