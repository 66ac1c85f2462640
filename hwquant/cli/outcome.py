"""What a command leaves behind: an exit status and, with ``--json``, one object on stdout."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, TextIO

import click

from hwquant.errors import HwquantError
from hwquant.printable import printable

TRUE, ERROR, INTERRUPTED, TERMINATED = 0, 2, 130, 143
DEBUG = "HWQUANT_DEBUG"
"""Environment variable that does what ``--debug`` does."""
KINDS = {
    "invalid": "an input or an option is wrong, or the system refuses something (no such file, no space, no memory)",
    "unsupported": "a valid network, or a part of it, that hwquant cannot do",
    "does_not_fit": "an array, a memory or a board is too small",
    "damaged": "a file or folder is not what was written",
    "busy": "another process is writing what this one wants to write or read",
    "missing_package": "an optional package, or a program, is not installed, or is not the version that is needed",
    "tool_stopped": "synthesis, place and route, or another program ended with an error",
    "memory_fault": "the external memory of a board has answered with an error",
    "usage": "the command line is wrong",
    "interrupted": "Ctrl-C, or SIGTERM",
    "internal": "an exception that nobody foresaw: a fault of hwquant's",
}
"""Kinds of errors, each with what went wrong."""


class Terminated(KeyboardInterrupt):
    """SIGTERM as an exception: a command does what it does after Ctrl-C."""


@dataclass(frozen=True)
class Asked:
    """What a command line asks for that matters for errors as well, so also where the rest of it is wrong.

    Attributes
    ----------
    command : str
        Name of the command, such as "hwquant quantize".
    as_json, debug : bool
        Whether ``--json`` and ``--debug`` are there.
    text : bool
        Whether it asks for help or the version, instead of what the command does.
    """

    command: str
    as_json: bool
    debug: bool
    text: bool


@dataclass(frozen=True)
class Failure:
    """An error as it is shown.

    Attributes
    ----------
    status : int
        Exit status.
    kind : str
        One of :data:`KINDS`.
    message : str
        What went wrong, and the way out.
    fields : mapping of str to object
        The error's own fields, as JSON has them.
    """

    status: int
    kind: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def asked(group: click.Group, arguments: Sequence[str]) -> Asked:
    """Read what a command line asks for as click does, but past what is wrong with it."""
    context = click.Context(group, resilient_parsing=True, **group.context_settings)
    options, rest = _options(group, context, arguments)
    name, command = "hwquant", None
    if rest:
        with suppress(Exception):  # running the command tells
            command = group.get_command(context, rest[0])
    if command is not None:
        name = f"{name} {rest[0]}"
        options |= _options(command, click.Context(command, context, resilient_parsing=True), rest[1:])[0]
    elif rest:
        before = rest[: rest.index("--")] if "--" in rest else rest
        options |= {"as_json": "--json" in before, "debug": "--debug" in before}
    return Asked(
        command=name,
        as_json=bool(options.get("as_json")),
        debug=bool(options.get("debug")) or os.environ.get(DEBUG, "0") not in ("", "0"),
        text=bool(not rest or options.get("help") or options.get("version")),
    )


def _options(
    command: click.Command, context: click.Context, arguments: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The options that a command line sets, ``"help"`` among them, and what is left of it."""
    parser = command.make_parser(context)
    parser.ignore_unknown_options = True
    options, rest, _ = parser.parse_args(list(arguments))
    asks_help = command.get_help_option(context)
    if asks_help is not None and options.get(asks_help.name or ""):
        options["help"] = True
    return dict(options), rest


_held: ContextVar[list[str] | None] = ContextVar("held", default=None)
"""Result of the command that runs; it is printed when the command has ended, as an error may still come."""


def result(text: str) -> None:
    """Take the JSON object that a command ends with."""
    held = _held.get()
    if held is None:
        say(f"{text}\n")
    else:
        held[:] = [text]


def run(command: Callable[[], object], ask: Callable[[], Asked]) -> int:
    """Run a command, print what is left to print, and give the exit status.

    Parameters
    ----------
    command : callable
        What runs; it raises :class:`click.exceptions.Exit` for another status than 0.
    ask : callable
        Gives what the command line asks for. Signals that come meanwhile wait until the command runs.

    Returns
    -------
    int
        The exit status.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    what = ask()

    def unmasked() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        command()

    return _run(unmasked, what)


def _run(command: Callable[[], object], what: Asked) -> int:
    if what.text:
        text = StringIO()
        with redirect_stdout(text):
            status, failure = _judged(command, what)
        shown = text.getvalue()
        return _end(status, failure, json.dumps({"text": shown}) + "\n" if what.as_json else shown, what)
    if not what.as_json:
        status, failure = _judged(command, what)
        return _end(status, failure, "", what)
    held: list[str] = []
    token = _held.set(held)
    try:
        with _stdout_to_stderr():
            status, failure = _judged(command, what)
    finally:
        _held.reset(token)
    if failure is None and not held:
        failure = Failure(ERROR, "internal", f"{what.command} ended without a result; please report it")
    return _end(status, failure, "".join(f"{item}\n" for item in held), what)


def _judged(command: Callable[[], object], what: Asked) -> tuple[int, Failure | None]:
    try:
        with _termination(), _warnings():
            command()
    except click.exceptions.Exit as end:
        return end.exit_code, None
    except BaseException as error:
        _forget_unfinished()
        failure = explain(error, what)
        if what.debug and failure.kind not in ("usage", "interrupted"):
            _complain(traceback.format_exc())
        return failure.status, failure
    return TRUE, None


def _end(status: int, failure: Failure | None, text: str, what: Asked) -> int:
    if failure is not None:
        status, text = failure.status, ""
        line = printable(" ".join(failure.message.split()))
        _complain(f"{line}\n" if failure.kind == "interrupted" else f"error: {line}\n")
        if what.as_json:
            error = {"kind": failure.kind, "message": line, **failure.fields}
            text = json.dumps({"error": error}, allow_nan=False) + "\n"
    try:
        say(text)
    except HwquantError as error:
        _complain(f"error: {error}\n")
        return ERROR
    return status


def _forget_unfinished() -> None:
    """Say nothing of components that an error has left out of a design; Amaranth does so after a traceback."""
    hdl = sys.modules.get("amaranth.hdl")
    if hdl is not None:
        warnings.simplefilter("ignore", hdl.UnusedElaboratable)


def explain(error: BaseException, what: Asked) -> Failure:
    """The failure that an exception is shown as."""
    if isinstance(error, HwquantError):
        fields = {name: _plain(value) for name, value in vars(error).items() if not name.startswith("_")}
        return Failure(ERROR, error.kind, str(error), fields)
    if isinstance(error, click.UsageError):
        return Failure(ERROR, "usage", f"{error.format_message()} (try: {what.command} --help)")
    if isinstance(error, click.ClickException):
        return Failure(ERROR, "usage", error.format_message())
    if isinstance(error, Terminated):
        return Failure(TERMINATED, "interrupted", "terminated")
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Failure(INTERRUPTED, "interrupted", "interrupted")
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        names = ", ".join(os.fsdecode(name) for name in (error.filename, error.filename2) if _is_name(name))
        return Failure(ERROR, "invalid", f"{names or what.command}: {reason}")
    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        hint = "give less data at a time (-n), a smaller network, or more memory"
        return Failure(ERROR, "invalid", f"{what.command} ran out of memory{detail}; {hint}")
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("hwquant"):
        package = error.name.partition(".")[0]
        message = (
            f"{what.command} needs the package {package!r}, which is not installed; install hwquant again"
        )
        return Failure(ERROR, "missing_package", message, {"package": package, "extra": ""})
    kind = type(error).__name__
    detail = f"{kind}: {error}" if str(error) else kind
    message = f"{what.command} was stopped by a fault of its own ({detail}); please report it, with what --debug prints"
    return Failure(ERROR, "internal", message, {"exception": kind})


def _is_name(name: object) -> bool:
    """Whether something is a file's name; an OSError may have a descriptor in its place, or nothing."""
    return isinstance(name, (str, bytes, os.PathLike))


def _plain(value: Any) -> Any:
    """The field of an error as a plain JSON value."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def note(line: str) -> None:
    """Print a line to stderr, beside the result."""
    _complain(f"{printable(line)}\n")


def say(text: str) -> None:
    """Print to stdout. A reader that has gone, as in ``hwquant inspect ... | head``, is no error.

    Raises
    ------
    HwquantError
        Stdout cannot be written to, such as a file on a full disk.
    """
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        _drop(sys.stdout)
    except OSError as error:
        _drop(sys.stdout)
        raise HwquantError(f"cannot write to stdout: {error.strerror or error}") from error


def _complain(text: str) -> None:
    """Print to stderr; where that is impossible too, the status alone tells."""
    try:
        _write(sys.stderr, text)
    except OSError:
        _drop(sys.stderr)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed, as by >&-
        return
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _drop(stream: TextIO) -> None:
    """Drop what is still in a stream's buffer: at exit, Python would try again and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Inside, what libraries, and programs that they run, print to stdout goes to stderr."""
    try:
        kept = os.dup(1)
    except OSError:  # closed
        with redirect_stdout(sys.stderr):
            yield
        return
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        try:
            os.dup2(2, 1)
        except OSError:  # closed
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _warnings() -> Iterator[None]:
    """Inside, a warning of Python's is a line on stderr, without the place in the code."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        note(f"warning: {' '.join(str(message).split())}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def _termination() -> Iterator[None]:
    """Inside, SIGTERM raises `Terminated`, so that what is open is closed and what is half done removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
