"""Locks on folders themselves: they end with the process that holds them, and there is no file to clean up."""

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
    """What the second of two commands says."""
    return Busy(f"another hwquant is writing to {place}; repeat this when it is done")


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder, unless another has it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether what is open is still what bears the name: it may have been replaced since."""
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
        What is locked; no symbolic link.
    place : Path
        What is written, for the message.
    wait : float
        Seconds to wait for another process.
    make : bool
        Make the folder where it is missing.
    shared : bool
        Together with others that say so too.

    Raises
    ------
    Busy
        If another process has the lock.
    OSError
        If the folder is missing, or none.
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
