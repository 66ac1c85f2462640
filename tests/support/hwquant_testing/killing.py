"""Commands in processes that are killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hwquant.cli import main

KILLED = -signal.SIGKILL


def start(arguments: Sequence[object], log: Path) -> int:
    """Begin a command in a process of its own; its number. What is imported already need not be imported again."""
    child = os.fork()
    if child:
        return child
    status = 3
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = sys.stderr = os.fdopen(output, "w")  # in place of what pytest captures
        main([str(item) for item in arguments])
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def finish(child: int) -> int:
    """Wait for a command; its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(arguments: Sequence[object], log: Path) -> float:
    """A whole command; the seconds that it took. Fails if it does."""
    begin = time.monotonic()
    status = finish(start(arguments, log))
    assert status == 0, f"{' '.join(map(str, arguments))} gave {status}: {log.read_text()[-2000:]}"
    return time.monotonic() - begin


def kill_after(delay: float, arguments: Sequence[object], log: Path) -> bool:
    """Begin a command and kill it after some seconds; False if it had ended by then, as it should."""
    child = start(arguments, log)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    status = finish(child)
    assert status in (0, KILLED), f"{' '.join(map(str, arguments))} gave {status}: {log.read_text()[-2000:]}"
    return status == KILLED
