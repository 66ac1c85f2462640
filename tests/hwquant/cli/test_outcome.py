"""Exit status and JSON object, whatever ends a command."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hwquant_testing.signals import signalled

import hwquant.cli
from hwquant import errors
from hwquant.cli import COMMANDS, outcome
from hwquant.cli.common import emit, json_option
from hwquant.cli.outcome import KINDS, asked

SCRIPT = [sys.executable, "-m", "hwquant.cli"]


@pytest.fixture
def ends(monkeypatch):
    """``ends(action, "--json")``: what the command ``fit`` leaves when its body is ``action(as_json)``."""

    def run(action, *arguments, env=None):
        @click.command("fit")
        @click.option("--network")
        @json_option
        def command(network, as_json):
            action(as_json)

        monkeypatch.setattr(hwquant.cli.Commands, "get_command", lambda self, ctx, name: command)
        result = CliRunner().invoke(hwquant.cli.main, ["fit", *arguments], env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


def raises(error):
    def action(as_json):
        raise error

    return action


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.hwq")
CASES = [
    (errors.HwquantError("no"), 2, {"kind": "invalid", "message": "no"}),
    (
        errors.Unsupported("no Sin", where="node 3", operator="Sin"),
        2,
        {"kind": "unsupported", "message": "no Sin", "where": "node 3", "operator": "Sin"},
    ),
    (
        errors.DoesNotFit(
            "too big", resource="weight memory", needed=float("inf"), available=7, remedy="prune"
        ),
        2,
        {
            "kind": "does_not_fit",
            "message": "too big",
            "resource": "weight memory",
            "needed": None,
            "available": 7,
            "remedy": "prune",
        },
    ),
    (errors.Damaged("bad", path="a.hwq"), 2, {"kind": "damaged", "message": "bad", "path": "a.hwq"}),
    (
        errors.MissingPackage("none", package="onnx", extra="onnx"),
        2,
        {"kind": "missing_package", "message": "none", "package": "onnx", "extra": "onnx"},
    ),
    (click.UsageError("wrong"), 2, {"kind": "usage", "message": "wrong (try: hwquant fit --help)"}),
    (FULL, 2, {"kind": "invalid", "message": "out.hwq: No space left on device"}),
    (
        OSError(24, "Too many open files"),
        2,
        {"kind": "invalid", "message": "hwquant fit: Too many open files"},
    ),
    (KeyboardInterrupt(), 130, {"kind": "interrupted", "message": "interrupted"}),
]


@pytest.mark.parametrize(("error", "status", "fields"), CASES, ids=lambda item: type(item).__name__)
def test_an_error_is_a_status_a_line_and_an_object(ends, error, status, fields):
    result = ends(raises(error), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (status, {"error": fields})
    plain = ends(raises(error))
    assert (plain.exit_code, plain.stdout) == (status, "")
    prefix = "" if status == 130 else "error: "
    assert result.stderr == plain.stderr == f"{prefix}{fields['message']}\n"


UNFORESEEN = [
    KeyError(99),
    RecursionError("maximum recursion depth exceeded"),
    ZeroDivisionError(),
    EOFError("end"),
    SystemExit(0),
    SystemExit("bye"),
    ExceptionGroup("several", [ValueError("a")]),
    GeneratorExit(),
]


@pytest.mark.parametrize("error", UNFORESEEN, ids=repr)
def test_what_nobody_foresaw_is_an_error_that_names_the_command_and_no_verdict(ends, error):
    result = ends(raises(error), "--json")
    content = json.loads(result.stdout)["error"]
    assert (result.exit_code, content["kind"]) == (2, "internal")
    assert content["message"].startswith("hwquant fit was stopped by a fault of its own (")
    assert content["message"].endswith("); please report it, with what --debug prints")
    assert result.stderr == f"error: {content['message']}\n"
    expected = "RuntimeError" if isinstance(error, SystemExit) else type(error).__name__
    assert content["exception"] == expected


@pytest.mark.parametrize(("arguments", "env"), [(["--debug"], {}), ([], {outcome.DEBUG: "1"})])
def test_debug_prints_the_traceback_on_stderr(ends, arguments, env):
    result = ends(raises(KeyError("layer")), *arguments, "--json", env=env)
    assert "Traceback (most recent call last):" in result.stderr
    assert "in action" in result.stderr
    assert json.loads(result.stdout)["error"]["kind"] == "internal"
    assert "Traceback" not in ends(raises(KeyError("layer")), env={outcome.DEBUG: "0"}).stderr


def test_debug_is_an_option_of_the_group_too(hwquant):
    result = hwquant("--debug", "inspect", "missing.hwq")
    assert "Traceback" in result.stderr
    assert result.status == 2


def test_a_package_that_every_command_needs_is_named(ends):
    result = ends(
        raises(ModuleNotFoundError("No module named 'numpy.linalg'", name="numpy.linalg")), "--json"
    )
    content = json.loads(result.stdout)["error"]
    assert (content["kind"], content["package"]) == ("missing_package", "numpy")


def test_a_warning_is_one_line_on_stderr(ends, recwarn):
    def action(as_json):
        import warnings

        warnings.simplefilter("always")
        warnings.warn("take\ncare \x1b", stacklevel=1)
        emit(as_json, {})

    result = ends(action, "--json")
    assert (result.stderr, result.stdout) == ("warning: take care \\x1b\n", "{}\n")


def test_running_out_of_memory_says_so(ends):
    result = ends(raises(MemoryError("Unable to allocate 4 TiB")), "--json")
    content = json.loads(result.stdout)["error"]
    assert content["kind"] == "invalid"
    assert content["message"].startswith(
        "hwquant fit ran out of memory (Unable to allocate 4 TiB); give less"
    )


def test_an_error_after_the_result_replaces_it(ends):
    def action(as_json):
        emit(as_json, {"done": True}, "done")
        raise errors.HwquantError("and then")

    result = ends(action, "--json")
    assert json.loads(result.stdout) == {"error": {"kind": "invalid", "message": "and then"}}
    assert result.exit_code == 2


def test_a_false_verdict_is_1_and_has_its_result(ends):
    def action(as_json):
        emit(as_json, {"fits": False}, "no")
        click.get_current_context().exit(1)

    result = ends(action, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"fits": False})


def test_a_number_that_json_has_not_is_an_error_not_half_an_object(ends):
    result = ends(lambda as_json: emit(as_json, {"sqnr": float("nan")}), "--json")
    assert json.loads(result.stdout)["error"]["kind"] == "internal"
    assert result.exit_code == 2


def test_a_command_that_forgets_its_result_is_an_error(ends):
    result = ends(lambda as_json: None, "--json")
    assert json.loads(result.stdout)["error"]["kind"] == "internal"


def test_only_the_object_is_on_stdout(tmp_path):
    code = """
import os, subprocess, sys, warnings, click, hwquant.cli
from hwquant.cli.common import emit, json_option
@click.command("fit")
@json_option
def command(as_json):
    print("a library")
    warnings.warn("a warning")
    os.write(1, b"a compiled library\\n")
    subprocess.run(["echo", "a program"])
    emit(as_json, {"name": "\\x1b[31m"})
hwquant.cli.Commands.get_command = lambda self, ctx, name: command
hwquant.cli.main(["fit", "--json"])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, '{"name": "\\u001b[31m"}\n')
    for text in ("a library", "a warning", "a compiled library", "a program"):
        assert text in run.stderr


@pytest.mark.parametrize(
    ("arguments", "as_json"),
    [
        (["fit", "net.hwq", "--json"], True),
        (["fit", "--json", "net.hwq", "--bogus"], True),
        (["fit", "--bogus", "3", "--json"], True),
        (["fit", "net.hwq", "--", "--json"], False),
        (["fit", "net.hwq", "--board", "--json"], False),
        (["fit", "net.hwq", "--board", "--json", "--json"], True),
        (["fit", "net.hwq", "--js"], False),
        (["fit", "--board=--json"], False),
        (["train", "--json"], True),
        (["train", "--", "--json"], False),
        (["--json", "fit"], True),
        (["--", "fit", "--json"], True),
        (["run", "b", "-n5", "--port", "sim", "--json", "-d"], True),
        ([], False),
    ],
)
def test_json_is_asked_for_where_click_would_take_it_so(arguments, as_json):
    assert asked(hwquant.cli.main, arguments).as_json == as_json


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["--bogus", "-h"], ["--help", "--array"]])
def test_help_is_one_object_too(hwquant, arguments):
    text = hwquant("fit", "--help").stdout
    assert text.startswith("Usage: hwquant fit [OPTIONS] NET.hwq")
    outcome = hwquant("fit", "--json", *arguments)
    assert outcome.status == (2 if "--bogus" in arguments or "--array" in arguments else 0)
    assert outcome.status or outcome.json == {"text": text}
    assert hwquant("-h").stdout == hwquant("--help").stdout


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "\udcff\udcfe", "\x1b[2J.hwq", "a\nb.hwq"])
@pytest.mark.parametrize("command", [["inspect"], ["fit"], ["estimate"], ["export", "-o", "x.onnx"]])
def test_names_that_no_file_has_are_one_printable_line(hwquant, command, name):
    outcome = hwquant(*command, name, "--json")
    outcome.fails("")
    assert outcome.stderr.removesuffix("\n").isprintable()


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_disk_behind_stdout_is_an_error(more):
    with open("/dev/full", "w") as full:
        run = subprocess.run([*SCRIPT, "fit", "-h", *more], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (2, "error: cannot write to stdout: No space left on device\n")


def test_a_reader_that_has_gone_changes_no_verdict(tmp_path):
    code = """
import sys, click, hwquant.cli
from hwquant.cli.common import emit, json_option
@click.command("fit")
@json_option
@click.pass_context
def command(context, as_json):
    emit(as_json, {"fits": False}, *["does not fit"] * 100_000)
    context.exit(1)
hwquant.cli.Commands.get_command = lambda self, ctx, name: command
hwquant.cli.main()
"""
    for more in ([], ["--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        run = subprocess.run(
            [sys.executable, "-c", code, "fit", *more], stdout=writer, stderr=subprocess.PIPE
        )
        os.close(writer)
        assert (run.returncode, run.stderr) == (1, b"")


def test_closed_streams_change_no_verdict(network):
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        for more in ("", "--json"):
            command = f"{sys.executable} -m hwquant.cli inspect {network} {more} {closed}"
            assert subprocess.run(["bash", "-c", command], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("number", "status", "message"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_with_one_line_and_one_object(tmp_path, number, status, message):
    returncode, out, err = signalled(tmp_path, number, "--json")
    assert (returncode, err) == (status, message)
    assert json.loads(out) == {"error": {"kind": "interrupted", "message": message}}


EARLY = """
import os, signal, sys
from importlib import import_module
from hwquant import cli
def interrupted(name):
    os.kill(os.getpid(), signal.{number})
    return import_module(name)
cli.import_module = interrupted
cli.main(["boards", "--json"])
"""
"""A command that gets a signal while its module is imported."""


@pytest.mark.parametrize(("number", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_before_the_command_runs_ends_with_one_line_too(number, status):
    run = subprocess.run(
        [sys.executable, "-c", EARLY.format(number=number)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (run.returncode, run.stderr.count("\n")) == (status, 1)
    assert json.loads(run.stdout)["error"]["kind"] == "interrupted"


def test_signals_are_handled_as_before_when_the_command_has_ended(hwquant):
    before = signal.getsignal(signal.SIGTERM)
    hwquant("inspect", "missing")
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_kinds_are_documented_and_are_those_of_the_errors():
    subclasses = [errors.HwquantError, *errors.HwquantError.__subclasses__()]
    assert {item.kind for item in subclasses} <= set(KINDS)
    listed = hwquant.cli.__doc__.split("(``hwquant.cli.outcome.KINDS``): ")[1].split(".")[0]
    assert [item.strip() for item in listed.replace("\n", " ").split(",")] == list(KINDS)


def test_summaries_are_whole_in_80_columns():
    lines = subprocess.run(
        SCRIPT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}, check=True
    ).stdout.splitlines()
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert all(len(line) < 80 and line.endswith(".") and "..." not in line for line in listed)


def test_without_a_command_there_is_help_and_no_error(hwquant):
    outcome = hwquant()
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout == hwquant("--help").stdout


def test_names_reach_the_terminal_printable_and_json_exact(ends, capsys):
    from rich.table import Table

    evil = "\x1b[31m\u202e[bold][/]"
    table = Table(title=evil, caption=evil)
    table.add_column(evil)
    table.add_row(evil)

    def action(as_json):
        emit(as_json, {"name": evil}, evil, table)

    text = ends(action).stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count(r"\x1b[31m\u202e[bold][/]") == 5
    assert json.loads(ends(action, "--json").stdout) == {"name": evil}


def test_nothing_catches_the_base_class_to_steer_by():
    """Only what ends a command, or adds to an error and raises it again, may."""
    import ast

    root = Path(hwquant.__file__).parent.parent
    found = set()
    for folder in ("hwquant", "rtl_templates", "sim", "boards"):
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.ExceptHandler) or node.type is None:
                    continue
                names = {ast.unparse(item).split(".")[-1] for item in ast.walk(node.type)}
                again = isinstance(node.body[-1], ast.Raise)
                if "HwquantError" in names and not again:
                    found.add(path.relative_to(root).as_posix())
    assert found == MAY_CATCH


MAY_CATCH = {"hwquant/cli/outcome.py", "hwquant/regress/child.py"}  # each ends a process
