"""The simulators under licence that cocotb has, by its names for them; each builds where it runs, anew each time."""

from __future__ import annotations

from hwquant.sim import cocotb_backend
from hwquant.sim.cocotb_build import Tool, check_python, find_program
from hwquant.sim.contract import Task
from hwquant.sim.options import SimulationOptions
from hwquant.sim.registry import LICENSED
from hwquant.sim.trace import Log

BUILD_ARGS = {"xcelium": ("-sv",), "dsim": ("-top", "work.testbench")}
"""Options for building, of those that need some."""
PARAMETERS_AT_RUN = {"questa", "riviera", "activehdl"}
"""Those that are told the parameters of the top module when they begin to simulate."""


def tool(name: str) -> Tool:
    """Find a simulator on the system.

    Parameters
    ----------
    name : str
        A key of :data:`~hwquant.sim.registry.LICENSED`.

    Returns
    -------
    Tool
        How cocotb's runner calls it.

    Raises
    ------
    HwquantError
        A program of it, or cocotb, is not installed; says which.
    """
    check_python(name)
    for program in LICENSED[name].programs:
        find_program(program, name, "install the simulator, and put its programs into PATH")
    return Tool(
        name=name,
        build_args=BUILD_ARGS.get(name, ()),
        in_place=True,
        parameters_at_run=name in PARAMETERS_AT_RUN,
    )


def record(task: Task, options: SimulationOptions) -> Log:
    """Run a task in the simulator that the options name, under cocotb.

    Parameters
    ----------
    task : Task
        What is sent, and what is looked at.
    options : SimulationOptions
        The simulator, and what is simulated.

    Returns
    -------
    Log
        What the testbench has seen, not judged.

    Raises
    ------
    HwquantError
        The simulator or cocotb is not installed, or stopped.
    """
    return cocotb_backend.record(tool(options.simulator), task, options)
