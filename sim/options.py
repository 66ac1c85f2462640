"""How hardware is simulated: by what, from what, and what is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwquant.errors import HwquantError
from hwquant.program.external import MemoryTiming
from hwquant.progress import Progress
from hwquant.sim.registry import VERILOG_SIMULATORS, find_simulator
from hwquant.sim.trace import Stalls

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@dataclass(frozen=True, eq=False)
class SimulationOptions:
    """Options of :func:`hwquant.sim.simulate` and :func:`hwquant.sim.check.verify`.

    Attributes
    ----------
    simulator : str, default 'verilator'
        A key of :data:`~hwquant.sim.registry.SIMULATORS` or :data:`~hwquant.sim.registry.LICENSED`.
    watch : int, default 0
        Number of frames, from the first on, whose writes to the activation memory are recorded.
    waves : path or None, default None
        Wave file to write; its suffix is the simulator's.
    build_dir : path or None, default None
        Where built simulators are kept; None: the user's cache folder.
    progress : Progress or None, default None
        Told the number of finished frames, now and then.
    stalls : Stalls or None, default None
        Pauses of the host; None: it never pauses.
    memory : MemoryTiming or None, default None
        When external memory serves bursts; None: as ``program.memory`` has it at the latest.
    memory_pauses : int, default 0
        In how many of 256 cycles each channel of external memory pauses at random, 0..255; then no cycles are
        predicted.
    design : Component or None, default None
        What is simulated in place of the program's accelerator: anything with its ports.
    verilog : str or None, default None
        Verilog that is simulated in place of the program's accelerator, by simulators that execute it.

    Raises
    ------
    HwquantError
        An unknown simulator, or one that cannot do what is asked.
    """

    simulator: str = "verilator"
    watch: int = 0
    waves: str | os.PathLike[str] | None = None
    build_dir: str | os.PathLike[str] | None = None
    progress: Progress | None = None
    stalls: Stalls | None = None
    memory: MemoryTiming | None = None
    memory_pauses: int = 0
    design: Component | None = None
    verilog: str | None = None

    def __post_init__(self) -> None:
        backend, name, path = find_simulator(self.simulator), self.simulator, self.wave_path
        if path is not None and backend.waves is None:
            raise HwquantError(f"the simulator {name} writes no waves; choose another one")
        if path is not None and path.suffix != backend.waves:
            raise HwquantError(f"the simulator {name} writes waves as *{backend.waves}, not as {path.name!r}")
        if path is not None and not path.absolute().parent.is_dir():
            raise HwquantError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
        if self.verilog is not None and not backend.verilog:
            raise HwquantError(
                f"the simulator {name} does not execute Verilog; choose {' or '.join(VERILOG_SIMULATORS)}"
            )
        if not 0 <= self.memory_pauses < 256:
            raise HwquantError(f"memory_pauses must be 0..255, not {self.memory_pauses}")
        if self.design is not None and self.verilog is not None:
            raise HwquantError("the simulated hardware is given twice; leave out either design or verilog")

    @property
    def wave_path(self) -> Path | None:
        """The wave file as a path."""
        return None if self.waves is None else Path(self.waves)

    @property
    def build_path(self) -> Path | None:
        """The folder of built simulators as a path."""
        return None if self.build_dir is None else Path(self.build_dir)

    def reporter(self, frames: int) -> Callable[[int], None] | None:
        """Make what a backend calls with the number of finished frames.

        Parameters
        ----------
        frames : int
            Number of all frames.

        Returns
        -------
        callable or None
            A function of one integer; None where nobody listens.
        """
        listener = self.progress
        if listener is None:
            return None
        what = f"build and run the simulation in {self.simulator}"
        listener(what, 0, frames)

        def report(done: int) -> None:
            listener(what, done, frames)

        return report
