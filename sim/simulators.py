"""One entry to all simulators."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from hwquant.errors import HwquantError, check_type
from hwquant.program.program import Program
from hwquant.qgraph import IntArray
from hwquant.sim.trace import NO_STALLS, Run, Stalls


@dataclass(frozen=True)
class Simulator:
    """A backend: its module has a function ``simulate`` with the arguments of :func:`simulate`.

    ``waves`` is the suffix of the wave files that it writes, None where it writes none; ``verilog`` says
    whether it executes the emitted Verilog rather than the components themselves.
    """

    module: str
    waves: str | None
    verilog: bool


SIMULATORS = {
    "verilator": Simulator("hwquant.sim.verilator_backend", waves=".vcd", verilog=True),
    "icarus": Simulator("hwquant.sim.icarus_backend", waves=".fst", verilog=True),
    "amaranth": Simulator("hwquant.sim.amaranth_backend", waves=".vcd", verilog=False),
    "cxxrtl": Simulator("hwquant.sim.cxxrtl_simulate", waves=None, verilog=False),
}
"""By name. Verilator under cocotb is the testbench of record; CXXRTL is the fastest with many networks;
Amaranth's own simulator needs nothing else."""


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
    verilog: str | None = None,
) -> Run:
    """Sends frames back to back through the simulated accelerator.

    Parameters
    ----------
    frames : integers (N, words, lanes), from :meth:`~hwquant.program.program.Program.frame`
    simulator : a key of :data:`SIMULATORS`
    watch : number of frames, from the first on, whose writes to the activation memory are recorded
    waves : wave file to write; its suffix is the simulator's
    build_dir : where built simulators are kept; the user's cache folder where None
    progress : called with the number of finished frames, now and then
    stalls : pauses of the host; never where None
    verilog : text of the accelerator's Verilog, for simulators that execute it; generated where None

    Raises
    ------
    HwquantError : frames of the wrong shape or range, an unknown or missing simulator (how to get it), a
        failing build, or a breach of the streams' rules
    """
    check_type("program", program, Program, hint="hwquant.compile_network makes one")
    backend = find_simulator(simulator)
    _check_frames(program, frames)
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
        raise HwquantError(f"the simulator {simulator} does not execute Verilog; choose verilator or icarus")
    run: Run = import_module(backend.module).simulate(
        program,
        frames,
        watch=max(0, min(watch, len(frames))),
        waves=path,
        build_dir=None if build_dir is None else Path(build_dir),
        progress=progress,
        stalls=stalls or NO_STALLS,
        verilog=verilog,
    )
    return run


def find_simulator(name: str) -> Simulator:
    """The entry of :data:`SIMULATORS`, or an error that lists them."""
    if name not in SIMULATORS:
        raise HwquantError(f"unknown simulator {name!r}; choose one of {', '.join(SIMULATORS)}")
    return SIMULATORS[name]


def _check_frames(program: Program, frames: IntArray) -> None:
    check_type("frames", frames, np.ndarray, hint="Program.frame makes them of quantized inputs")
    words, lanes = sum(item.words for item in program.inputs), program.config.lanes
    if frames.ndim != 3 or frames.shape[1:] != (words, lanes) or not len(frames):
        raise HwquantError(f"frames must have shape (N, {words}, {lanes}), N > 0, not {frames.shape}")
    half = 1 << (program.config.activation_bits - 1)
    if frames.dtype.kind != "i" or frames.min() < -half or frames.max() >= half:
        raise HwquantError(f"frames must be signed integers within {-half}..{half - 1}")
