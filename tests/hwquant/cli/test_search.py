"""``hwquant search``."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hwquant import hwq
from hwquant.qgraph import Layer


@pytest.fixture
def arguments(demo_folder, tmp_path):
    with np.load(demo_folder / "digits.npz", allow_pickle=False) as file:
        np.savez(tmp_path / "test.npz", x=file["x"][:120], y=file["y"][:120])
    with np.load(demo_folder / "calibration.npz", allow_pickle=False) as file:
        np.savez(tmp_path / "calibration.npz", x=file["x"][:40])
    return (
        demo_folder / "digits.onnx",
        "-c",
        tmp_path / "calibration.npz",
        "-d",
        tmp_path / "test.npz",
        "-o",
        tmp_path / "net.hwq",
        "--jobs",
        1,
    )


def test_the_pick_is_written_and_compiles(hwquant, arguments, tmp_path):
    front, plot = tmp_path / "front.json", tmp_path / "front.png"
    outcome = hwquant(
        "search",
        *arguments,
        *("--bits", "2,8", "--max-drop", 3, "--drop-from", "int8", "--front", front, "--plot", plot),
        "--error-compensation",
        "--json",
    )
    assert outcome.status == 0, outcome.stderr
    result = outcome.json
    assert len(result["candidates"]) == result["configurations"] == 8
    assert result["picked"] in result["front"]
    assert json.loads(front.read_text()) == {
        key: result[key] for key in result if key not in ("network", "warnings")
    }
    assert plot.read_bytes().startswith(b"\x89PNG")
    network = hwq.load(tmp_path / "net.hwq")
    bits = [node.terms[0].bits for node in network.nodes if isinstance(node, Layer)]
    assert bits == list(result["picked"]["bits"].values())
    assert network.options["quantizer"]["error_compensation"] is True
    assert not (tmp_path / "net.hwq.journal").exists()
    compiled = hwquant("compile", tmp_path / "net.hwq", "--array", "8x8", "-o", tmp_path / "build", "--json")
    assert compiled.json["cycles"] == result["picked"]["cycles"]
    memory = compiled.json["memory_bits"]
    parameters = memory["parameter"] - memory["parameter"] % 8
    assert memory["weight"] // 8 < result["picked"]["weight_bytes"] < (memory["weight"] + parameters) // 8
    assert result["picked"]["activation_bits"] == 8
    assert result["picked"]["bias_bits"] is None
    assert network.options["quantizer"]["bits"] == result["picked"]["bits"]


def test_people_get_a_table(hwquant, arguments, tmp_path):
    outcome = hwquant(
        "search", *arguments, "--bits", "4,8", "--objective", "accuracy,weight_bits", "--max-drop", 100
    )
    assert outcome.status == 0, outcome.stderr
    assert "4 4 4" in outcome.stdout
    assert "picked" in outcome.stdout
    assert f"wrote {tmp_path / 'net.hwq'}" in outcome.stdout


def test_where_nothing_keeps_to_the_constraints_the_front_is_written_and_resume_costs_nothing(
    hwquant, arguments, tmp_path
):
    narrow = (*arguments, "--bits", "2,8", "--front", tmp_path / "front.json")
    outcome = hwquant("search", *narrow, "--limit", "weight_bytes=10", "--json")
    outcome.fails("none of 8 candidates keeps to at most 10 weight bytes; the nearest has accuracy")
    assert not (tmp_path / "net.hwq").exists()
    assert json.loads((tmp_path / "front.json").read_text())["picked"] is None
    journal = (tmp_path / "net.hwq.journal").read_bytes()
    hwquant("search", *narrow).fails("go on with it (--resume)")
    assert (tmp_path / "net.hwq.journal").read_bytes() == journal
    assert hwquant("search", *narrow, "--limit", "weight_bytes=2000", "--resume").status == 0
    assert (tmp_path / "net.hwq").exists()


def test_a_board_s_resources_and_clock_decide(hwquant, arguments, tmp_path):
    few = (
        *arguments,
        "--bits",
        "2,8",
        "--board",
        "icebreaker",
        "--array",
        "4x4",
        "--bias-bits",
        "9,32",
        "--trials",
        5,
    )
    objectives = ("--objective", "accuracy,lut,milliseconds,ram")
    outcome = hwquant("search", *few, *objectives, "--limit", "fits", "--max-drop", 100, "--json")
    assert outcome.status == 0, outcome.stderr
    picked = outcome.json["picked"]
    assert picked["fill"] <= 1
    fit = hwquant("fit", tmp_path / "net.hwq", "--board", "icebreaker", "--array", "4x4", "--json").json
    needed = {need["resource"]: need["needed"] for need in fit["chosen"]["needs"]}
    assert (picked["lut"], picked["ram"]) == (needed["lut"], needed["ram"])
    assert picked["milliseconds"] == fit["milliseconds"]
    least = min(item["lut"] for item in outcome.json["candidates"])
    outcome = hwquant("search", *few, *objectives, "--limit", f"lut={least - 1}", "--json")
    outcome.fails(f"at most {least - 1:,g} LUTs")


@pytest.mark.nightly
def test_what_was_fine_tuned_is_written_where_it_is_better(hwquant, arguments, demo_folder, tmp_path):
    with np.load(demo_folder / "digits.npz", allow_pickle=False) as file:
        np.savez(tmp_path / "train.npz", x=file["x"][120:], y=file["y"][120:])
    few = (*arguments, "--bits", "1,2", "--objective", "accuracy,weight_bits", "--max-drop", 12)
    tune = ("--train", tmp_path / "train.npz", "--epochs", 12, "--finetuned", 3)
    outcome = hwquant("search", *few, *tune, "--json", "--front", tmp_path / "front.json")
    assert outcome.status == 0, outcome.stderr
    trained = [item for item in outcome.json["candidates"] if item["trained"]]
    assert len(trained) == 3
    picked = outcome.json["picked"]
    assert picked["trained"]
    assert picked["accuracy"] > picked["untrained_accuracy"]
    again = hwquant("evaluate", tmp_path / "net.hwq", "-d", arguments[4], "--json").json
    assert again["accuracy"] == picked["accuracy"]


def test_a_limit_replaces_the_default_drop_and_a_drop_goes_with_it(hwquant, arguments):
    few = (*arguments, "--bits", "2,8", "--json")
    limited = hwquant("search", *few, "--limit", "cycles=1e6").json
    best = max(item["accuracy"] for item in limited["candidates"])
    assert limited["picked"]["accuracy"] == best
    outcome = hwquant("search", *few, "--limit", "cycles=1", "--max-drop", 100)
    outcome.fails("at most 100 points below float and at most 1 cycles")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bits", "2;4"], "not a list of numbers"),
        (["--bits", "9"], "numbers from 1 to 8"),
        (["--objective", "accuracy,area"], "no objective 'area'"),
        (["--array", "8"], "8"),
        (["--front", "no/front.json"], "does not exist"),
        (["--max-drop", "-1"], "not in the range"),
        (["--limit", "lut"], "'lut' is no limit such as cycles=50000, or fits"),
        (["--limit", "cycles=-1"], "'cycles=-1' is no limit"),
        (["--limit", "cycles=nan"], "'cycles=nan' is no limit"),
        (["--limit", "area=5"], "no limit on 'area'"),
        (["--limit", "fits"], "fill is measured on a board, and none is named: name one (--board)"),
        (["--board", "nowhere"], "nowhere"),
        (["--board", "generic"], "'generic' has no device"),
        (["--bias-bits", "1,8"], "bits of biases must be numbers from 2 to 32"),
        (["--finetuned", "2"], "means nothing without --train"),
        (["--train", "absent.npz"], "absent.npz"),
    ],
)
def test_wrong_options_are_one_line(hwquant, arguments, options, message):
    hwquant("search", *arguments, *options).fails(message)


def test_data_without_labels_are_refused(hwquant, arguments, demo_folder, tmp_path):
    np.savez(tmp_path / "test.npz", x=np.zeros((2, 1, 8, 8), np.uint8))
    hwquant("search", *arguments).fails("no labels y")


def test_ctrl_c_leaves_a_journal_that_another_search_goes_on_with(hwquant, arguments, tmp_path):
    command = [sys.executable, "-m", "hwquant.cli", "search", *map(str, arguments[:-1]), "2"]
    journal = tmp_path / "net.hwq.journal"
    run = subprocess.Popen(
        [*command, "--bits", "2,3,4,5,6,7,8", "--exhaustive"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that runs the tests in the background has them ignore the signal, and so their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert run.poll() is None, run.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 130
    assert f"what was evaluated is in {journal}: go on with --resume" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "net.hwq").exists()
    rest = ("--bits", "7,8", "--max-drop", 100, "--json")
    resumed = hwquant("search", *arguments, *rest, "--resume")
    assert resumed.status == 0, resumed.stderr
    first = (tmp_path / "net.hwq").read_bytes()
    fresh = hwquant("search", *arguments, *rest)
    assert fresh.json == resumed.json
    assert (tmp_path / "net.hwq").read_bytes() == first
