"""How far a command is, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from hwquant.cli.outcome import note as say
from hwquant.printable import printable
from hwquant.progress import Progress


@contextmanager
def progress() -> Iterator[Progress]:
    """Show progress on stderr: by a bar on a terminal, elsewhere by a line when a stage begins."""
    console = Console(stderr=True, highlight=False, markup=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

        def track(what: str, done: int, total: int, note: str = "", /) -> None:
            what, note = printable(what), printable(note)
            if what not in tasks:
                for task in tasks.values():
                    bars.update(task, visible=False)
                tasks[what] = bars.add_task(what, total=None)
                if not console.is_terminal:
                    console.print(f"{what} ...")
            description = f"{what}: {note}" if note else what
            bars.update(tasks[what], description=description, completed=done, total=total or None)

        yield track


@contextmanager
def leaving(file: Path, what: str) -> Iterator[None]:
    """Inside, Ctrl-C says ``what`` the checkpoint has, if it is there, and how to go on from it."""
    try:
        yield
    except KeyboardInterrupt:
        if file.exists():
            say(f"{file} {what}; the same command with --resume goes on")
        raise
