"""What must hold whatever a file contains: an answer or a refusal, soon, and in little memory."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwquant.errors import HwquantError

SECONDS = 5
"""Of processor time, for a small file."""
MEMORY = 1 << 30
"""Bytes beyond what the process had before."""
_SELF = Path("/proc/self")


class LimitExceeded(BaseException):
    """Not an Exception: nothing between here and the code under test may take it for a fault of its own."""


def attempt(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a function returns, or the `HwquantError` that it raises.

    Any other exception goes through as it is, with its traceback: to a user it would be a crash.

    Raises
    ------
    LimitExceeded
        if it takes more than `SECONDS` of processor time, or `MEMORY` bytes more than there were
    """
    with limited():
        try:
            return function(*arguments, **named)
        except HwquantError as error:
            return error


@contextmanager
def limited(seconds: float = SECONDS, memory: int = MEMORY) -> Iterator[None]:
    """Hold what runs inside to limits of processor time and (on Linux) of memory; not for threads."""

    def too_slow(*_: object) -> None:
        raise LimitExceeded(f"more than {seconds} s of processor time")

    before = _resident("VmRSS", reset=True)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGPROF, too_slow)
    begin = time.process_time()
    try:
        if before is not None:  # beyond twice the limit an allocation fails, before the machine does
            resource.setrlimit(resource.RLIMIT_AS, (_kibibytes("VmSize") * 1024 + 2 * memory, limits[1]))
        signal.setitimer(signal.ITIMER_PROF, seconds)
        yield
    except MemoryError as error:
        raise LimitExceeded(f"more than {2 * memory >> 20} MiB asked for") from error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)
    spent = time.process_time() - begin  # a signal waits for compiled code to return
    if spent > seconds:
        raise LimitExceeded(f"{spent:.1f} s of processor time, more than {seconds}")
    if before is not None and (taken := _kibibytes("VmHWM") * 1024 - before) > memory:
        raise LimitExceeded(f"{taken >> 20} MiB of memory, more than {memory >> 20}")


def _resident(field: str, reset: bool) -> int | None:
    """Bytes that are resident, the peak counted anew from here; None where the system does not tell."""
    if not _SELF.is_dir():
        return None
    if reset:
        (_SELF / "clear_refs").write_text("5")
    return _kibibytes(field) * 1024


def _kibibytes(field: str) -> int:
    for line in (_SELF / "status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise LookupError(field)
