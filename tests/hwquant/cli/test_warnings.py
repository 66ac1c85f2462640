"""Numbers that are bad are told: a line on stderr each, and in the object of ``--json``."""

import subprocess
import sys

import numpy as np
import pytest

from hwquant.advice import Advice
from hwquant.cli.common import warn


def lines(outcome):
    return [line for line in outcome.stderr.splitlines() if line.startswith("warning: ")]


@pytest.fixture(name="glitch")
def _glitch(demo_folder, tmp_path):
    x = np.load(demo_folder / "calibration.npz")["x"].astype(np.float32)
    x[7].flat[0] = 1e6
    np.savez(tmp_path / "glitch.npz", x=x)
    return tmp_path / "glitch.npz"


@pytest.fixture(name="bright")
def _bright(demo_folder, tmp_path):
    data = np.load(demo_folder / "digits.npz")
    np.savez(tmp_path / "bright.npz", x=data["x"][:20].astype(np.float32) * 255, y=data["y"][:20])
    return tmp_path / "bright.npz"


def test_the_demo_is_silent(hwquant, demo_folder, network, digits_build, tmp_path):
    files = ("-c", demo_folder / "calibration.npz", "-o", tmp_path / "net.hwq")
    data = ("-d", demo_folder / "digits.npz")
    for command in (
        ("quantize", demo_folder / "digits.onnx", *files),
        ("evaluate", network, *data),
        ("evaluate", demo_folder / "digits.onnx", *data),
        ("compile", network, "--array", "8x8", "-o", tmp_path / "build"),
        ("estimate", digits_build.folder),
        ("simulate", digits_build.folder, *data, "-n", 2, "--simulator", "cxxrtl"),
    ):
        outcome = hwquant(*command, "--json")
        assert outcome.status == 0, outcome.stderr
        assert outcome.json["warnings"] == []
        assert lines(outcome) == []


def test_quantize_tells_of_outliers_and_of_the_ratio_of_every_output(hwquant, demo_folder, glitch, tmp_path):
    arguments = ("quantize", demo_folder / "digits.onnx", "-c", glitch, "-o", tmp_path / "net.hwq")
    outcome = hwquant(*arguments)
    (outlier,) = (line for line in lines(outcome) if "typical" in line)
    assert "sample 7 of the calibration data of input 'image' reaches 6.25e+04 times as far" in outlier
    assert "SQNR: scores " in outcome.stdout
    assert "measured on 199 samples of the calibration data without outliers" in outcome.stdout
    result = hwquant(*arguments, "--json", "--validation", demo_folder / "digits.npz").json
    assert {"outliers", "low_sqnr"} <= {item["kind"] for item in result["warnings"]}
    assert set(result["warnings"][0]) == {"kind", "where", "message", "option", "value"}
    assert result["sqnr"]["data"] == "validation data"
    assert result["sqnr"]["samples"] == 200  # as many as layers were fitted to


def test_evaluate_and_simulate_tell_of_clipped_inputs(hwquant, network, digits_build, bright):
    evaluated = hwquant("evaluate", network, "-d", bright, "--json")
    simulated = hwquant(
        "simulate", digits_build.folder, "-d", bright, "-n", 1, "--simulator", "cxxrtl", "--json"
    )
    for outcome in (evaluated, simulated):
        assert outcome.status == 0, outcome.stderr
        first = outcome.json["warnings"][0]
        assert (first["kind"], first["where"]) == ("clipped_input", "image")
        assert f"warning: {first['message']}" in lines(outcome)


def test_compile_and_estimate_tell_of_idle_columns(hwquant, network, tmp_path):
    outcome = hwquant("compile", network, "--array", "4x6", "-o", tmp_path / "build", "--json")
    (idle,) = outcome.json["warnings"]
    assert (idle["kind"], idle["option"]) == ("idle_array", "--array 4x4")
    assert lines(outcome) == [f"warning: {idle['message']}"]
    assert hwquant("estimate", tmp_path / "build", "--json").json["warnings"] == [idle]
    assert idle["message"] in (tmp_path / "build" / "report.html").read_text()


def test_many_of_a_kind_are_counted(capsys):
    warn(
        [Advice("low_sqnr", name, f"layer {name}") for name in "abcde"]
        + [Advice("outliers", "x", "sample 3")]
    )
    assert capsys.readouterr().err.splitlines() == [
        "warning: layer a",
        "warning: layer b",
        "warning: layer c",
        "warning: 2 more like it; --json lists them",
        "warning: sample 3",
    ]


UNFINISHED = """
from amaranth.back import rtlil
from amaranth.hdl import Elaboratable, Module
from hwquant.cli import outcome

class Part(Elaboratable):
    pass

def command():
    rtlil.convert(Module(), ports=[])
    part = Part()
    raise outcome.Terminated

raise SystemExit(outcome.run(command, lambda: outcome.Asked("hwquant compile", False, False, False)))
"""


def test_a_design_that_is_interrupted_leaves_one_line():
    done = subprocess.run([sys.executable, "-c", UNFINISHED], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "terminated\n")
