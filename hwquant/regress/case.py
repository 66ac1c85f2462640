"""One configuration of a regression: compiled, simulated, compared with the golden model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Literal

import numpy as np

from hwquant import __version__
from hwquant.errors import DoesNotFit, Unsupported
from hwquant.fingerprint import fingerprint
from hwquant.golden import run as golden
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.raw_choice import PackInput
from hwquant.program.sides import Array
from hwquant.program.sizing import OffsetChoice
from hwquant.qgraph import IntArray, QGraph
from hwquant.regress.coverage import covered
from hwquant.sim.buses import NO_BUS, behind_bus
from hwquant.sim.check import check
from hwquant.sim.contract import Task, judge
from hwquant.sim.external_memory import settings
from hwquant.sim.options import SimulationOptions
from hwquant.sim.simulators import record
from hwquant.sim.trace import NO_STALLS, Stalls

Status = Literal["passed", "failed", "crashed", "refused"]


@dataclass(frozen=True, eq=False)
class Case:
    """All that a configuration is.

    Attributes
    ----------
    name : str
        Its name, which is the same in every run.
    qgraph : QGraph
        The network.
    inputs : mapping of ndarray of int64, shape (N, C, H, W)
        Integers of its inputs, by name.
    array : tuple of int
        The array, as :func:`~hwquant.program.compiler.compile_network` takes it.
    offset : {"auto", "none", "edge", "sum"}, default "auto"
        Where offsets are added.
    bus : str, default "stream"
        What surrounds the accelerator: one of :data:`hwquant.sim.buses.BUSES`.
    hardware : ArrayConfig, optional
        Existing hardware to compile for; None has it made for the network.
    memory : ExternalMemory, optional
        The memory outside.
    limits : mapping of int, optional
        Greatest depths of memories, and widths, by name.
    pack_input : {"auto", "none"}, default "auto"
        Whether the hardware may get a packer.
    simulator : str, default "cxxrtl"
        What simulates it.
    stalls : Stalls, optional
        Pauses of the host.
    pauses : int, default 0
        In how many of 256 cycles external memory pauses at random.
    """

    name: str
    qgraph: QGraph
    inputs: Mapping[str, IntArray]
    array: Array
    offset: OffsetChoice = "auto"
    bus: str = NO_BUS
    hardware: ArrayConfig | None = None
    memory: ExternalMemory | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    pack_input: PackInput = "auto"
    simulator: str = "cxxrtl"
    stalls: Stalls | None = None
    pauses: int = 0

    @cached_property
    def digest(self) -> str:
        """The checksum of all that an outcome depends on."""
        values = [getattr(self, item.name) for item in fields(self) if item.name != "qgraph"]
        network = (getattr(self.qgraph, name) for name in ("inputs", "nodes", "outputs", "tensors"))
        return fingerprint(__version__, *network, *values)


@dataclass(frozen=True)
class Outcome:
    """What became of a configuration.

    Attributes
    ----------
    status : {"passed", "failed", "crashed", "refused"}
        Refused is what cannot be compiled for this array and these memories: no fault.
    message : str, default ""
        The first wrong value, or why it was refused or crashed.
    cycles : int, default 0
        Clock cycles of an inference, as predicted and, where it passed, as counted.
    coverage : mapping of int, optional
        Hits of each bin that was hit, by name.
    seconds : float, default 0.0
        Time that it took; of no account in comparisons.
    """

    status: Status
    message: str = ""
    cycles: int = 0
    coverage: Mapping[str, int] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)

    @property
    def bad(self) -> bool:
        """Whether it is a fault."""
        return self.status in ("failed", "crashed")


def evaluate(case: Case) -> Outcome:
    """Compile a configuration, simulate it, and compare every tensor, output and count of cycles.

    Parameters
    ----------
    case : Case
        The configuration.

    Returns
    -------
    Outcome
        What became of it. The golden model's reference, too, must give the hardware's outputs.

    Raises
    ------
    HwquantError
        The simulator is missing, or stopped; or the array contradicts the network or the memory.
    """
    try:
        program = compile_network(
            case.qgraph,
            case.array,
            offset=case.offset,
            config=case.hardware,
            limits=case.limits or None,
            pack_input=case.pack_input,
            external=case.memory,
        )
    except (DoesNotFit, Unsupported) as error:
        return Outcome("refused", str(error))
    count = len(next(iter(case.inputs.values())))
    task = Task(
        *(program, program.frame(case.inputs), count, case.stalls or NO_STALLS),
        memory_pauses=case.pauses,
    )
    options = SimulationOptions(
        case.simulator,
        watch=count,
        stalls=case.stalls,
        memory_pauses=case.pauses,
        design=behind_bus(program, case.bus, settings(task)),
    )
    log = record(task, options)
    run = judge(log, task)
    # A bus has a pace of its own from frame to frame; an inference takes as many cycles behind it.
    stalled = case.stalls is not None or case.bus != NO_BUS
    verdict = check(run, program, case.qgraph, case.inputs, stalled=stalled, paused=case.pauses > 0)
    if verdict.first is not None:
        return Outcome("failed", str(verdict.first), verdict.cycles)
    got = program.results(run.words)
    for name, values in golden(case.qgraph, case.inputs, exact=True).items():
        if not np.array_equal(got[name], values):
            return Outcome("failed", f"output {name!r} is not that of the reference", verdict.cycles)
    hits = covered(program, case.qgraph, case.inputs, log, case.pauses, case.bus)
    return Outcome("passed", "", verdict.cycles, hits)
