"""CXXRTL behind the entry that all simulators share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from hwquant.program.program import Program
from hwquant.qgraph import IntArray
from hwquant.sim import cxxrtl_backend
from hwquant.sim.trace import Run, Stalls

CHUNK = 16
"""Frames in one call of the compiled code, between two reports of progress."""


def simulate(
    program: Program,
    frames: IntArray,
    *,
    watch: int,
    waves: None,
    build_dir: Path | None,
    progress: Callable[[int], None] | None,
    stalls: Stalls,
    verilog: None,
) -> Run:
    """See :func:`hwquant.sim.simulate`; what is built is kept in the cache folder."""
    runs, seconds = [], 0.0
    with cxxrtl_backend.Bench(program) as bench:
        for start in range(0, len(frames), CHUNK):
            part = frames[start : start + CHUNK]
            watched = max(0, min(len(part), watch - start))
            pauses = replace(stalls, seed=stalls.seed + start)
            begin = time.perf_counter()
            runs.append(bench.run(part, watched, pauses))
            seconds += time.perf_counter() - begin
            if progress:
                progress(start + len(part))
    return Run(
        words=np.concatenate([run.words for run in runs]),
        cycles=tuple(count for run in runs for count in run.cycles),
        writes=tuple(frame for run in runs for frame in run.writes),
        periods=tuple(count for run in runs for count in run.periods),
        seconds=seconds,
    )
