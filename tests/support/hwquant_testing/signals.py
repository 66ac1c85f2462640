"""A command that a signal reaches while it reads a network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

WAITING = "from hwquant import cli, hwq; hwq.load = lambda path: open(path, 'rb').read(); cli.main()"
"""The command line, for which a network takes as long to read as a pipe's other end is open."""


def signalled(folder: Path, number: signal.Signals, *options: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a command that gets a signal in the middle."""
    network = folder / "net.hwq"
    os.mkfifo(network)
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, "evaluate", network, "-d", "d.npz", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has them ignore the signal, and so their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            with open(network, "wb"):  # returns when the command has begun to read
                process.send_signal(number)
                out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    return process.returncode, out, err.strip()
