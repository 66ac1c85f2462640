"""What the commands share: options, output, files."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment

from hwquant.advice import SHOWN, Advice, to_json
from hwquant.cli import outcome
from hwquant.cli.config import config_option
from hwquant.cli.reading import Reading
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.printable import printable
from hwquant.qgraph import QGraph

if TYPE_CHECKING:
    from hwquant.build import Build
    from hwquant.page import Accuracy

Command = TypeVar("Command", bound=Callable[..., Any])

NETWORK_SUFFIX = ".hwq"
FILE_WIDTH = 120
"""Columns of tables that go into a file or a pipe."""


def json_option(command: Command) -> Command:
    """Add ``--json``, ``--config`` and ``--debug``, which every command has."""
    as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    debug = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        help=f"Print the traceback of an error ({outcome.DEBUG}=1 does too).",
    )
    return as_json(debug(config_option(command)))


def link_option(command: Command) -> Command:
    """Add ``--link``: which of a board's host links is meant."""
    return click.option(
        "--link",
        type=click.Choice(["auto", "uart", "usb", "ethernet"]),
        default="auto",
        show_default=True,
        help="Host link, of a board that has several (hwquant boards); auto is the one that its file names.",
    )(command)


def data_option(command: Command) -> Command:
    """Add the option ``-d DATA.npz``."""
    return click.option(
        "-d",
        "--data",
        required=True,
        type=click.Path(path_type=Path),
        metavar="DATA.npz",
        help="x (N, then the input's shape; float32, float64, int8 or uint8) and optionally y (integer labels). With "
        "several inputs, an array for each by its name in place of x.",
    )(command)


def count_option(command: Command) -> Command:
    """Add the option ``-n N``."""
    return click.option(
        "-n", "--count", type=click.IntRange(min=1), metavar="N", help="Use only the first N samples."
    )(command)


def emit(
    as_json: bool, result: Mapping[str, Any], *output: RenderableType, advice: Sequence[Advice] | None = None
) -> None:
    """Print a command's result: one JSON object, or tables and lines for people.

    Parameters
    ----------
    as_json : bool
        Whether to print the object.
    result : mapping of str to object
        The object, of plain JSON values.
    *output : RenderableType
        Tables and lines for people.
    advice : sequence of Advice, optional
        Lines on stderr, and "warnings" of the object; None for commands that never have any.
    """
    if advice is not None:
        result = {**result, "warnings": to_json(advice)}
        warn(advice)
    if as_json:
        outcome.result(json.dumps(result, allow_nan=False))
        return
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    with console.capture() as text:
        for item in output:
            # A path that is broken over two lines cannot be copied.
            line = isinstance(item, str)
            console.print(printable(item) if isinstance(item, str) else _Printable(item), soft_wrap=line)
    outcome.say(text.get())


class _Printable:
    """What makes the names of others, in something to print, printable."""

    def __init__(self, item: RenderableType) -> None:
        self._item = item

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._item, options):
            if segment.control or segment.text == "\n":
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def warn(advice: Sequence[Advice]) -> None:
    """Print a line on stderr for each warning, but not for more than a few of a kind."""
    for kind in dict.fromkeys(item.kind for item in advice):
        alike = [item for item in advice if item.kind == kind]
        for item in alike[:SHOWN]:
            outcome.note(f"warning: {item}")
        if len(alike) > SHOWN:
            outcome.note(f"warning: {len(alike) - SHOWN} more like it; --json lists them")


def load_network(path: Path, reading: Reading) -> Graph | QGraph:
    """Load a float network (.onnx, .pt2) as ``reading`` says, or an integer one (.hwq, or exported)."""
    if path.suffix.lower() == NETWORK_SUFFIX:
        from hwquant import hwq

        reading.check_unused(str(path))
        return hwq.load(path)
    return reading.read_back(path) or reading.load(path)


def check_output_file(path: Path) -> None:
    """Raise early, before minutes of work, where a file cannot be written."""
    from hwquant.build import check_outside
    from hwquant.files import check_name

    if not path.parent.is_dir():
        raise HwquantError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    check_name(path)
    if path.is_dir():
        raise HwquantError(f"cannot write {path}: it is a folder; name a file")
    if path.exists() and not path.is_file():
        raise HwquantError(f"cannot write {path}: it is no file; name another")
    check_outside(path.parent)
    check_writable(path.parent)


def check_writable(folder: Path) -> None:
    """Raise early where nothing can be written into a folder."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise HwquantError(f"cannot write into {folder}: it is not writable; choose another folder")


def command_line() -> str:
    """The command that runs, as it may be shown to others: absolute paths are reduced to names."""
    context = click.get_current_context()
    root = context.find_root()
    # A command that is called without the group, as by a test, has no arguments of the group's.
    arguments: Sequence[str] = root.obj if root is not context else [str(context.info_name)]
    shown = [re.sub(r"(^|=)/(?:.*/)?", r"\1", item) for item in arguments if item != "--json"]
    return shlex.join(["hwquant", *shown])


def write_report(build: Build, key: str | None, accuracy: Accuracy | None = None) -> Path:
    """Note the command that runs, and write ``report.html`` of a build; its path.

    Parameters
    ----------
    build : Build
        The build.
    key : str or None
        What the command does, such as "compile"; one that did the same before is forgotten. None notes nothing.
    accuracy : Accuracy or None, optional
        Accuracy that was measured just now; None keeps what was measured before.
    """
    from dataclasses import replace

    from hwquant.build import holding
    from hwquant.page import Record, update_record, write_page

    def change(record: Record) -> Record:
        if key:
            record = record.after(key, command_line())
        return replace(record, accuracy=accuracy) if accuracy else record

    with holding(build):
        update_record(build.folder, change)
        return write_page(build)


def rates_line(core: float, whole: float, link_share: float, link: str) -> str:
    """Inferences a second of the core, and through a host link, and which of the two is the bottleneck."""
    slower = f"the host link, with {link_share:.1%} of the time" if link_share > 0.5 else "the core"
    rates = f"{core:,.0f} frames a second of the core, at most {whole:,.1f} through the host link ({link})"
    return f"{rates}; the bottleneck is {slower}"
