"""Generated Verilog as RTLIL: the Yosys that comes with Amaranth, which makes CXXRTL, reads no Verilog."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from hwquant.errors import ToolStopped, require
from hwquant.files import working_folder, write_bytes

_YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


def core_rtlil(name: str, verilog: str, cells: Path | None = None) -> str:
    """A core as RTLIL.

    Parameters
    ----------
    name : str
        Name of its module.
    verilog : str
        Its text.
    cells : Path or None
        File with the Verilog of what it is made of.

    Raises
    ------
    MissingPackage
        pyosys is not installed.
    ToolStopped
        Yosys stopped.
    """
    if find_spec("pyosys") is None:
        raise require("pyosys", "boards", f"a simulation of {name}")
    with working_folder() as folder:
        write_bytes(folder / "core.v", verilog.encode())
        commands = [
            *(f"read_verilog {file}" for file in (folder / "core.v", cells) if file),
            *(f"hierarchy -top {name}", "proc", "flatten", "opt_clean -purge"),
            *(f"setattr -mod -unset top {name}", f"write_rtlil {folder / 'core.il'}"),
        ]
        done = subprocess.run(
            [sys.executable, "-c", _YOSYS, *commands], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ToolStopped(f"Yosys stopped on {name}: {done.stderr.strip()[-500:]}")
        return (folder / "core.il").read_text(encoding="utf-8")
