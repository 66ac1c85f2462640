"""The command line as a whole: help, errors, exit status."""

import signal
import subprocess
import sys

import click
import pytest
from hwquant_testing.signals import signalled

from hwquant import __version__
from hwquant.cli import COMMANDS, main


def test_help_lists_every_command(hwquant):
    outcome = hwquant("--help")
    assert outcome.status == 0
    for name in COMMANDS:
        assert name in outcome.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_first_sentence_of_each_help(name):
    command = main.get_command(click.Context(main), name)
    assert COMMANDS[name] == command.get_short_help_str(limit=1000)
    assert not command.hidden


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_json(hwquant, name):
    outcome = hwquant(name, "--help")
    assert outcome.status == 0
    assert "--json" in outcome.stdout


def test_the_version_is_printed(hwquant):
    assert __version__ in hwquant("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "No such command 'train'"),
        (["estimate"], "Missing argument 'BUILD/'"),
        (["estimate", "a", "--fast"], "No such option"),
        (
            ["quantize", "m.onnx", "-c", "c.npz", "-o", "n.hwq", "--bits", "9"],
            "9 is not in the range 1<=x<=8",
        ),
        (["quantize", "m.onnx", "-c", "c.npz", "-o", "n.hwq", "--activation-bits", "1"], "not in the range"),
        (["quantize", "m.onnx", "-c", "c.npz", "-o", "n.hwq", "--bits", "four"], "not a valid integer"),
        (["quantize", "m.onnx", "-c", "c.npz", "-o", "n.hwq", "--anchor", "left"], "'left' is not one of"),
        (
            ["quantize", "m.onnx", "-c", "c.npz", "-o", "n.hwq", "--percentile", "50"],
            "not in the range 50<x<=100",
        ),
        (
            ["quantize", "m.onnx", "-c", "c.npz", "-o", "n.hwq", "--symmetric", "--literal-range"],
            "no literal range",
        ),
        (["evaluate", "n.hwq", "-d", "d.npz", "-n", "0"], "0 is not in the range x>=1"),
        (["compile", "n.hwq", "--array", "8x8", "-o", "b", "--offset", "none"], "'none' is not one of"),
        (["compile", "n.hwq", "--array", "8x8", "-o", "b", "--weight-depth", "-1"], "not in the range"),
        (["simulate", "b", "-d", "d.npz", "--simulator", "spice"], "'spice' is not one of"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_usage_is_one_line_and_status_2(hwquant, arguments, message, as_json):
    outcome = hwquant(*arguments, *(["--json"] if as_json else []))
    outcome.fails(message)
    assert bool(outcome.stdout) == as_json


def test_a_pipe_that_is_closed_early_is_no_error(network):
    command = f"{sys.executable} -m hwquant.cli inspect {network} | head -1"
    run = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert run.stderr == ""


def test_control_c_ends_with_one_line(tmp_path):
    assert signalled(tmp_path, signal.SIGINT) == (130, "", "interrupted")
