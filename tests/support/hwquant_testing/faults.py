"""What the disk can do to a writer: the process dies between any two system calls, or a call fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hwquant.files import places

CHANGES = ("mkdir", "open", "write", "fsync", "rename", "replace", "unlink", "rmdir", "ftruncate")
"""Functions of ``os`` through which everything that is written goes."""
NEEDS_SPACE = {"mkdir", "write", "fsync", "rename", "replace", "exchange"}
DEAD = 9


@contextmanager
def watched(before: Callable[[str, int], None]) -> Iterator[list[str]]:
    """Call ``before`` with the name and the number of each system call about to be made; the names so far."""
    names: list[str] = []

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            names.append(name)
            before(name, len(names) - 1)
            return function(*arguments, **options)

        return call

    patches = [patch.object(os, name, wrap(name, getattr(os, name))) for name in CHANGES]
    patches.append(patch.object(places, "exchange", wrap("exchange", places.exchange)))
    for item in patches:
        item.start()
    try:
        yield names
    finally:
        for item in patches:
            item.stop()


def dies_at(number: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a process that dies at its system call of this number; False where it ends before."""
    child = os.fork()
    if child == 0:

        def die(_: str, count: int) -> None:
            if count == number:
                os._exit(DEAD)

        status = 1
        try:
            with watched(die):
                work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, DEAD), f"status {code} instead of dying at call {number}"
    return code == DEAD


@contextmanager
def failing(number: int, *, on: bool) -> Iterator[list[str]]:
    """Let the system call of this number say that the disk is full; with ``on``, all later ones that take space too.

    A rename that undoes another needs none.
    """
    failed = False

    def fail(name: str, count: int) -> None:
        nonlocal failed
        first = count == number and name in NEEDS_SPACE
        later = on and failed and name in {"mkdir", "write", "fsync"}
        if first or later:
            failed = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with watched(fail) as names:
        yield names
