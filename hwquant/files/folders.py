"""Folders that are not results: temporary ones, in which programs work, and what stays of them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hwquant.errors import Busy
from hwquant.files.locks import locked

WORK, KEPT = "hwquant-work-", "hwquant-log-"


@contextmanager
def working_folder() -> Iterator[Path]:
    """Make a temporary folder, and remove it at the end, with those that died processes left."""
    root = Path(tempfile.gettempdir())
    for folder in list(root.glob(f"{WORK}*")):
        _sweep(folder)
    with ExitStack() as stack:
        folder = _claim(root, stack)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _claim(root: Path, stack: ExitStack) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=WORK, dir=root))
        with suppress(Busy, FileNotFoundError):  # swept by another process before it was locked
            stack.enter_context(locked(folder, folder, make=False))
            return folder


def _sweep(folder: Path) -> None:
    with suppress(Busy, OSError):  # alive, somebody else's, or gone by now
        if os.lstat(folder).st_uid == os.getuid():
            with locked(folder, folder, make=False):
                shutil.rmtree(folder)


def leave(path: Path) -> Path:
    """Copy a file to where the user can read it after this process has ended, and return its new path."""
    kept = Path(tempfile.mkdtemp(prefix=KEPT), path.name)
    shutil.copyfile(path, kept)
    return kept
