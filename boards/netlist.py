"""The accelerator after synthesis, as Verilog that simulates: a family's cells with models of them.

For ``simulate(..., verilog=netlist(program, device))``: what place and route will get, in the same testbench as
the Verilog that it was made from.
"""

from __future__ import annotations

import re
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from amaranth.lib.wiring import Component

from hwquant.boards import tools
from hwquant.boards.budget import dsp_budget
from hwquant.boards.families import FAMILIES
from hwquant.boards.families.family import CellModels, Device
from hwquant.errors import Unsupported, require
from hwquant.files import working_folder, write_bytes
from hwquant.program.program import Program
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_rtlil

TOP = "hwquant"
MODULE = re.compile(r"^(?:\(\*[^*]*\*\)\s*)?module\s+\\?([\w$]+).*?\bendmodule\b", re.MULTILINE | re.DOTALL)


def netlist(program: Program, device: Device, component: Component | None = None) -> str:
    """Verilog of the synthesized accelerator with all cell models that it needs.

    It is elaborated as for boards, but weights are in its memories also where a board's host would load them.

    Parameters
    ----------
    program : Program
        The program whose accelerator it is.
    device : Device
        The FPGA whose cells it consists of.
    component : Component or None, optional
        What is synthesized in the place of the program's accelerator; it has the same ports.

    Raises
    ------
    Unsupported
        There are no models of the cells of the device's family.
    HwquantError
        Synthesis fails.
    """
    models = device.family.models
    if models is None:
        known = ", ".join(family.name for family in FAMILIES.values() if family.models)
        raise Unsupported(
            f"there are no cell models for {device.name}; choose a device of the families {known}"
        )
    with working_folder() as work:
        source = work / "accelerator.il"
        text = to_rtlil(component or accelerator(program), TOP, dsp_budget(program.config, device))
        write_bytes(source, text.encode())
        tools.synthesize(source, device, TOP, verilog="netlist.v")
        return with_models((work / "netlist.v").read_text(encoding="utf-8"), models)


def with_models(text: str, models: CellModels) -> str:
    """Add models to Verilog of a family's cells: those of the cells that it names.

    Yosys' files are not taken whole: some of their modules are there twice, or empty, or in SystemVerilog.
    """
    if find_spec("pyosys") is None:
        raise require("pyosys", "boards", "cell models")
    from pyosys import libyosys

    folder = resources.files("hwquant.boards") / "cells"
    ours = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in models.own)
    theirs = _with_includes(Path(libyosys.__file__).parent / "share" / models.yosys)
    modules = {match[1]: match[0] for match in MODULE.finditer(theirs) if "blackbox" not in match[0][:40]}
    wanted, new = set(), _names(text + ours) & set(modules)
    while new:
        wanted |= new
        new = {name for module in new for name in _names(modules[module])} & set(modules) - wanted

    before = [*(f"`define {macro}" for macro in models.macros), text, ours]
    # What Yosys' models define themselves is outside the modules.
    macros = MODULE.sub("", theirs)
    return "\n".join([*before, macros, *(modules[name] for name in sorted(wanted)), ""])


def _names(text: str) -> set[str]:
    return set(re.findall(r"[\w$]+", text))


def _with_includes(path: Path) -> str:
    """Text of a Verilog file with the files that it includes."""

    def include(match: re.Match[str]) -> str:
        return _with_includes(path.parent / match[1])

    return re.sub(r'^\s*`include "([\w.]+)"', include, path.read_text(), flags=re.MULTILINE)
