"""A configuration in a process of its own: what crashes or hangs there is an outcome, and no end of the regression."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

from hwquant.errors import HwquantError
from hwquant.regress.case import Case, Outcome, evaluate


def isolated(case: Case, timeout: float) -> Outcome:
    """Evaluate a configuration in a process of its own.

    Parameters
    ----------
    case : Case
        The configuration.
    timeout : float
        Seconds after which it is ended.

    Returns
    -------
    Outcome
        What became of it; "crashed" where the process raised, died or took too long.
    """
    begin = time.perf_counter()
    lifeline, ours = os.pipe()  # nobody writes: the child reads the end of it when this process has died
    with open(lifeline, "rb"), open(ours, "wb"):
        process = subprocess.Popen(
            # -P: no module of the current folder
            [sys.executable, "-P", "-m", "hwquant.regress.child", str(lifeline)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[lifeline],
            start_new_session=True,  # Ctrl-C comes here alone
        )
        outcome = _wait(process, case, timeout)
    return replace(outcome, seconds=time.perf_counter() - begin)


def _wait(process: subprocess.Popen[bytes], case: Case, timeout: float) -> Outcome:
    with process:
        try:
            out, complaints = process.communicate(pickle.dumps(case), timeout)
        except subprocess.TimeoutExpired:
            return Outcome("crashed", f"it was ended after {timeout:g} seconds")
        finally:
            with suppress(ProcessLookupError):
                # Simulators that it began, too, even if it has died itself.
                os.killpg(process.pid, signal.SIGKILL)
    return _outcome(process.returncode, out, complaints)


def _outcome(status: int, out: bytes, complaints: bytes) -> Outcome:
    if status == 0:
        found: Outcome = pickle.loads(out)
        return found
    lines = complaints.decode(errors="replace").strip().splitlines()
    said = f": {lines[-1]}" if lines else ""
    return Outcome("crashed", f"the process ended with status {status}{said}")


def _end_with(lifeline: int) -> None:
    """Wait until the other end of a pipe is closed; then end this process and all that it began."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Evaluate the case on stdin, and write its outcome to stdout; what tools print there goes to stderr."""
    threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    case: Case = pickle.load(sys.stdin.buffer)
    try:
        outcome = evaluate(case)
    except HwquantError as error:
        outcome = Outcome("crashed", " ".join(str(error).split()))
    with answer:
        pickle.dump(outcome, answer)


if __name__ == "__main__":
    main()
