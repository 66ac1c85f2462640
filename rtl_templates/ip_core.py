"""The accelerator as a core for a system of one's own: Verilog, and the file by which FuseSoC finds it."""

import re
from importlib.metadata import version

from amaranth.lib.wiring import Component

from hwquant.errors import HwquantError
from hwquant.program.program import Program
from hwquant.rtl_templates.axi import AxiAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.rtl_templates.wishbone import WishboneAccelerator

BUSES = {
    "axi": (AxiAccelerator, "AXI4-Lite registers, AXI4-Stream frames and results"),
    "wishbone": (WishboneAccelerator, "a Wishbone B4 bus of 32 bits"),
    "stream": (None, "bare streams with valid and ready, and the register file"),
}
"""What surrounds the accelerator, by name, and what that is."""

FUSESOC = """\
CAPI=2:
name: hwquant:accelerators:{name}:{version}
description: >-
  Neural network accelerator, {rows}x{columns} array, program {checksum:#010x}, with {bus}
filesets:
  rtl:
    files: [{verilog}]
    file_type: verilogSource-2005
targets:
  default:
    filesets: [rtl]
    toplevel: {top}
  lint:
    filesets: [rtl]
    toplevel: {top}
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wno-fatal]
"""


def core_files(program: Program, bus: str) -> dict[str, str]:
    """The files of a core, by name: Verilog-2005, with the program in its memories, and a FuseSoC ``.core``.

    Parameters
    ----------
    program : what it executes
    bus : a key of :data:`BUSES`

    Returns
    -------
    contents by file name; the ``.core`` is last, and names the others

    Raises
    ------
    HwquantError : there is no such bus
    """
    if bus not in BUSES:
        raise HwquantError(f"there is no bus {bus!r}; choose one of {', '.join(BUSES)}")
    wrapper, description = BUSES[bus]
    component: Component = accelerator(program)
    if wrapper is not None:
        component = wrapper(component)
    top = f"hwquant_{bus}"
    name = re.sub(r"[^a-z0-9_]+", "_", f"{program.name}_{bus}".lower()).strip("_")
    core = FUSESOC.format(
        name=name,
        version=version("hwquant"),
        rows=program.config.rows,
        columns=program.config.columns,
        checksum=program.checksum,
        bus=description,
        verilog=f"{top}.v",
        top=top,
    )
    return {f"{top}.v": to_verilog(component, top), f"{top}.core": core}
