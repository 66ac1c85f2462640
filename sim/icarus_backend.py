"""Icarus Verilog under cocotb: slow, but it builds in no time and knows about undefined values."""

from __future__ import annotations

import subprocess

from hwquant.sim import cocotb_backend
from hwquant.sim.cocotb_build import Tool, check_python, find_program
from hwquant.sim.contract import Task
from hwquant.sim.options import SimulationOptions
from hwquant.sim.trace import Log


def tool() -> Tool:
    """Find Icarus Verilog on the system.

    Returns
    -------
    Tool
        How cocotb's runner calls it.

    Raises
    ------
    HwquantError
        It or cocotb is not installed; says how to get it.
    """
    check_python("Icarus")
    for name in ("iverilog", "vvp"):
        find_program(
            name,
            "Icarus",
            "Debian: apt install iverilog; elsewhere: https://github.com/YosysHQ/oss-cad-suite-build",
        )
    # It only says its version next to complaints about an optional preprocessor, and exits with 1.
    banner = subprocess.run(["iverilog", "-V"], capture_output=True, text=True, check=False).stdout
    return Tool(
        name="icarus",
        version=banner.partition("\n")[0],
        product="sim.vvp",
        build_args=("-g2005",),  # the standard that the Verilog keeps to
        waves_at_build=False,
        wave_arguments=lambda path: {"plusargs": [f"+waves={path}"]},
    )


def record(task: Task, options: SimulationOptions) -> Log:
    """Run a task in Icarus Verilog under cocotb.

    Parameters
    ----------
    task : Task
        What is sent, and what is looked at.
    options : SimulationOptions
        Where simulators and waves are kept, and what is simulated.

    Returns
    -------
    Log
        What the testbench has seen, not judged.

    Raises
    ------
    HwquantError
        Icarus or cocotb is not installed, or stopped.
    """
    return cocotb_backend.record(tool(), task, options)
