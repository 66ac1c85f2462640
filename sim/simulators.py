"""One entry to all simulators."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwquant.errors import HwquantError, check_type
from hwquant.program.program import Program
from hwquant.qgraph import IntArray
from hwquant.sim.contract import Task, judge
from hwquant.sim.registry import VERILOG_SIMULATORS, find_simulator
from hwquant.sim.trace import NO_STALLS, Log, Run, Stalls

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


def simulate(
    program: Program,
    frames: IntArray,
    *,
    simulator: str = "verilator",
    watch: int = 0,
    waves: str | os.PathLike[str] | None = None,
    build_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[int], None] | None = None,
    stalls: Stalls | None = None,
    design: Component | None = None,
    verilog: str | None = None,
) -> Run:
    """Sends frames back to back through the simulated accelerator.

    Parameters
    ----------
    program : Program
        What the accelerator holds.
    frames : int64 array
        (N, words, lanes), from :meth:`~hwquant.program.program.Program.frame`.
    simulator : str
        A key of :data:`~hwquant.sim.registry.SIMULATORS`.
    watch : int
        Number of frames, from the first on, whose writes to the activation memory are recorded.
    waves : path or None
        Wave file to write; its suffix is the simulator's.
    build_dir : path or None
        Where built simulators are kept; the user's cache folder where None.
    progress : callable or None
        Called with the number of finished frames, now and then.
    stalls : Stalls or None
        Pauses of the host; never where None.
    design : Component or None
        What is simulated in place of the program's accelerator: anything with its ports.
    verilog : str or None
        The same as text, for simulators that execute Verilog.

    Raises
    ------
    HwquantError
        Frames of the wrong shape or range, an unknown or missing simulator (how to get it), a failing build, or
        a breach of the rules of :mod:`hwquant.sim.contract`.
    """
    run = attempt(
        program,
        frames,
        simulator=simulator,
        watch=watch,
        waves=waves,
        build_dir=build_dir,
        progress=progress,
        stalls=stalls,
        design=design,
        verilog=verilog,
    )
    if run.breach is not None:
        raise HwquantError(f"{simulator}, seed {(stalls or NO_STALLS).seed}: {run.breach}")
    return run


def attempt(
    program: Program,
    frames: IntArray,
    *,
    simulator: str,
    watch: int = 0,
    waves: str | os.PathLike[str] | None = None,
    build_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[int], None] | None = None,
    stalls: Stalls | None = None,
    design: Component | None = None,
    verilog: str | None = None,
) -> Run:
    """The same, but a breach of the rules is left in the run, for whoever compares it with the golden model."""
    check_type("program", program, Program, hint="hwquant.compile_network makes one")
    _check_frames(program, frames)
    task = Task(program, frames, max(0, min(watch, len(frames))), stalls or NO_STALLS)
    log = record(
        task,
        simulator=simulator,
        waves=waves,
        build_dir=build_dir,
        progress=progress,
        design=design,
        verilog=verilog,
    )
    return judge(log, task)


def record(
    task: Task,
    *,
    simulator: str,
    waves: str | os.PathLike[str] | None = None,
    build_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[int], None] | None = None,
    design: Component | None = None,
    verilog: str | None = None,
) -> Log:
    """What a simulator's testbench sees, not judged."""
    backend = find_simulator(simulator)
    path = None if waves is None else Path(waves)
    if path is not None and backend.waves is None:
        raise HwquantError(f"the simulator {simulator} writes no waves; choose another one")
    if path is not None and path.suffix != backend.waves:
        raise HwquantError(
            f"the simulator {simulator} writes waves as *{backend.waves}, not as {path.name!r}"
        )
    if path is not None and not path.absolute().parent.is_dir():
        raise HwquantError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if verilog is not None and not backend.verilog:
        raise HwquantError(
            f"the simulator {simulator} does not execute Verilog; choose {' or '.join(VERILOG_SIMULATORS)}"
        )
    if design is not None and verilog is not None:
        raise HwquantError("the simulated hardware is given twice; leave out either design or verilog")
    log: Log = import_module(backend.module).record(
        task,
        waves=path,
        build_dir=None if build_dir is None else Path(build_dir),
        progress=progress,
        design=design,
        verilog=verilog,
    )
    return log


def _check_frames(program: Program, frames: IntArray) -> None:
    check_type("frames", frames, np.ndarray, hint="Program.frame makes them of quantized inputs")
    words, lanes = sum(item.words for item in program.inputs), program.config.lanes
    if frames.ndim != 3 or frames.shape[1:] != (words, lanes) or not len(frames):
        raise HwquantError(f"frames must have shape (N, {words}, {lanes}), N > 0, not {frames.shape}")
    half = 1 << (program.config.activation_bits - 1)
    if frames.dtype.kind != "i" or frames.min() < -half or frames.max() >= half:
        raise HwquantError(f"frames must be signed integers within {-half}..{half - 1}")
