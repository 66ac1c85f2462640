"""Locks on folders themselves: they end with the process that holds them, and leave no file behind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hwquant.errors import Busy

POLL = 0.01
"""Seconds between two looks at a lock that another process has."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def busy(place: Path) -> Busy:
    """The error of the second of two commands that write to a place."""
    return Busy(f"another hwquant is writing to {place}; repeat this when it is done")


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder unless another process has; whether it is locked now."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file or folder is still at a path, or was replaced since."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextmanager
def locked(
    folder: Path, place: Path, *, wait: float = 0.0, make: bool, shared: bool = False
) -> Iterator[None]:
    """Hold a folder's lock.

    Parameters
    ----------
    folder : Path
        Folder that is locked; no symbolic link.
    place : Path
        What is written, as messages name it.
    wait : float, default 0.0
        Seconds to wait for another process.
    make : bool
        Whether to make the folder where it is missing.
    shared : bool, default False
        Whether to share the lock with others that say so too.

    Raises
    ------
    Busy
        Another process has the lock.
    OSError
        The folder is missing, or is none.
    """
    end = time.monotonic() + wait
    while True:
        if make:
            with suppress(FileExistsError):  # another process', alive or dead: the lock will tell
                os.mkdir(folder)
        try:
            descriptor = os.open(folder, _FOLDER)
        except FileNotFoundError:
            if make and folder.parent.is_dir():
                continue  # its owner removed it just now
            raise
        try:
            if not try_lock(descriptor, shared=shared):
                if time.monotonic() >= end:
                    raise busy(place)
                time.sleep(POLL)
                continue
            if is_at(descriptor, folder):
                yield
                return
        finally:
            os.close(descriptor)
