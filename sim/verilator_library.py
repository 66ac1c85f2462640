"""Verilog as a shared object: Verilator around a driver in C++, without cocotb."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from pathlib import Path

from hwquant.errors import ToolStopped
from hwquant.files import cache_folder, cached, entry_name, write_bytes
from hwquant.sim.verilator_backend import environment

LIBRARY = "hwquant.so"
BUILD = (
    *("--cc", "--exe", "--build", "-O3", "--top-module", "hwquant"),
    # The executable is linked as a library. Several of them share a process, but no names (-fno-gnu-unique).
    *("-CFLAGS", "-fPIC -fno-gnu-unique", "-LDFLAGS", "-shared -Wl,-z,defs", "-MAKEFLAGS", "OPT_FAST=-O2"),
    *("-Wno-fatal", "-Wno-lint"),  # tests/rtl_templates/test_lint.py looks at warnings
)


def compile_design(verilog: str, driver: str) -> Path:
    """Compile a design and the C++ that drives it, or take them from the cache.

    Parameters
    ----------
    verilog : str
        Verilog of the design, whose top is ``hwquant``.
    driver : str
        C++ of the driver.

    Returns
    -------
    Path
        The shared object.

    Raises
    ------
    MissingPackage
        Verilator or a program that it needs is not installed; says how to get it.
    ToolStopped
        Verilator stopped.
    """
    variables = environment()
    name = entry_name("verilator-library", verilog, driver, *BUILD, version("verilator"))

    def fill(work: Path) -> None:
        write_bytes(work / "hwquant.v", verilog.encode())
        write_bytes(work / "driver.cpp", driver.encode())
        command = ["verilator", *BUILD, "--Mdir", ".", "-o", LIBRARY, "hwquant.v", "driver.cpp"]
        # Temporary files of a compiler that is killed stay, so they belong into the folder.
        own = {**os.environ, **variables, "TMPDIR": str(work.absolute())}
        done = subprocess.run(command, cwd=work, env=own, capture_output=True, text=True)
        if done.returncode:
            raise ToolStopped(
                f"verilator failed on the design: {done.stderr.strip()[-2000:] or f'status {done.returncode}'}"
            )

    return cached(cache_folder(), name, [LIBRARY], fill) / LIBRARY
