"""The accelerator after synthesis, as Verilog that simulates: a family's cells with Yosys' models of them.

For ``simulate(..., verilog=netlist(program, device))``: what place and route will get, in the same testbench as
the Verilog that it was made from.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hwquant.boards import tools
from hwquant.boards.device import Device
from hwquant.errors import HwquantError
from hwquant.program.program import Program
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_rtlil

TOP = "hwquant"
MODELS = {"ice40": ("ice40/cells_sim.v",)}
"""Files of Yosys' share folder. Of ECP5's and Gowin's block RAMs and multipliers it has no models."""


def netlist(program: Program, device: Device) -> str:
    """Verilog of the synthesized accelerator with all cell models that it needs.

    Raises
    ------
    HwquantError : no models of the device's family, or synthesis fails
    """
    if device.family not in MODELS:
        raise HwquantError(f"there are no cell models for {device.name}; choose one of {', '.join(MODELS)}")
    with tempfile.TemporaryDirectory() as work:
        source = Path(work, "accelerator.il")
        source.write_text(to_rtlil(accelerator(program), TOP), encoding="utf-8")
        tools.synthesize(source, device.family, device.series, TOP, verilog="netlist.v")
        text = Path(work, "netlist.v").read_text(encoding="utf-8")
    models = [_model(name) for name in MODELS[device.family]]
    # Ports with default values, which only SystemVerilog has, are left out.
    return "\n".join(["`define NO_ICE40_DEFAULT_ASSIGNMENTS", text, *models])


def _model(name: str) -> str:
    """A file of Yosys' share folder with its includes in place."""
    from pyosys import libyosys

    share = Path(libyosys.__file__).parent / "share"

    def read(path: Path) -> str:
        def include(match: re.Match[str]) -> str:
            return read(path.parent / match[1])

        return re.sub(r'^\s*`include "([\w.]+)"', include, path.read_text(), flags=re.MULTILINE)

    return read(share / name)
