"""One entry to all simulators."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from hwquant.errors import HwquantError, check_type
from hwquant.options import chosen
from hwquant.program.program import Program
from hwquant.qgraph import IntArray
from hwquant.sim.contract import Task, judge
from hwquant.sim.options import SimulationOptions
from hwquant.sim.registry import find_simulator
from hwquant.sim.trace import NO_STALLS, Log, Run


def simulate(
    program: Program, frames: IntArray, options: SimulationOptions | None = None, **changes: Any
) -> Run:
    """Send frames back to back through the simulated accelerator.

    Parameters
    ----------
    program : Program
        What the accelerator holds.
    frames : ndarray of int64, shape (N, words, lanes)
        Input frames, from :meth:`~hwquant.program.program.Program.frame`.
    options : SimulationOptions or None
        All options at once, instead of single ones by name.
    **changes : object
        Single options: the attributes of :class:`~hwquant.sim.options.SimulationOptions`.

    Returns
    -------
    Run
        What the hardware did.

    Raises
    ------
    HwquantError
        Frames of the wrong shape or range, an unknown or missing simulator (how to get it), a failing build, or
        a breach of the rules of :mod:`hwquant.sim.contract`.
    """
    options = chosen(SimulationOptions, options, changes)
    run = attempt(program, frames, options)
    if run.breach is not None:
        raise HwquantError(f"{options.simulator}, seed {(options.stalls or NO_STALLS).seed}: {run.breach}")
    return run


def attempt(program: Program, frames: IntArray, options: SimulationOptions) -> Run:
    """Send frames through the simulated accelerator, and leave a breach of the rules in the run.

    It is for whoever compares the run with the golden model.

    Parameters
    ----------
    program : Program
        What the accelerator holds.
    frames : ndarray of int64, shape (N, words, lanes)
        Input frames, from :meth:`~hwquant.program.program.Program.frame`.
    options : SimulationOptions
        How it is simulated.

    Returns
    -------
    Run
        What the hardware did.

    Raises
    ------
    HwquantError
        Frames of the wrong shape or range, a missing simulator (how to get it), or a failing build.
    """
    check_type("program", program, Program, hint="hwquant.compile_network makes one")
    _check_frames(program, frames)
    watched = max(0, min(options.watch, len(frames)))
    stalls = options.stalls or NO_STALLS
    task = Task(program, frames, watched, stalls, options.memory, options.memory_pauses)
    return judge(record(task, options), task)


def record(task: Task, options: SimulationOptions) -> Log:
    """Run a task in the simulator that the options name.

    Parameters
    ----------
    task : Task
        What is sent, and what is looked at.
    options : SimulationOptions
        How it is simulated.

    Returns
    -------
    Log
        What the simulator's testbench has seen, not judged.
    """
    log: Log = import_module(find_simulator(options.simulator).module).record(task, options)
    return log


def _check_frames(program: Program, frames: IntArray) -> None:
    check_type("frames", frames, np.ndarray, hint="Program.frame makes them of quantized inputs")
    beats, values = program.frame_words[0], program.config.frame_values
    if frames.ndim != 3 or frames.shape[1:] != (beats, values) or not len(frames):
        raise HwquantError(f"frames must have shape (N, {beats}, {values}), N > 0, not {frames.shape}")
    half = 1 << (program.config.activation_bits - 1)
    if frames.dtype.kind != "i" or frames.min() < -half or frames.max() >= half:
        raise HwquantError(f"frames must be signed integers within {-half}..{half - 1}")
