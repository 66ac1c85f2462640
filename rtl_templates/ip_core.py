"""The accelerator as a core for a system of one's own: Verilog, and the file by which FuseSoC finds it."""

import re

from amaranth.lib.wiring import Component

from hwquant import __version__
from hwquant.errors import HwquantError
from hwquant.program.program import Program
from hwquant.rtl_templates.axi import AxiAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.identifiers import module_name
from hwquant.rtl_templates.register_map import register_map
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
    files: ["{verilog}"]
    file_type: verilogSource-2005
targets:
  default:
    filesets: [rtl]
    toplevel: "{top}"
  lint:
    filesets: [rtl]
    toplevel: "{top}"
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wno-fatal]
"""


def core_files(program: Program, bus: str, name: str | None = None) -> dict[str, str]:
    """Make the files of a core: Verilog, a description of its registers, and what FuseSoC needs.

    The Verilog-2005 has the program in its memories; the registers are described in Markdown.

    Parameters
    ----------
    program : Program
        What the core executes.
    bus : str
        A key of :data:`BUSES`.
    name : str or None
        Name of the module, the files and the FuseSoC core, with which the name of every module inside begins, so that
        cores of different names go into one design; None: ``hwquant_`` and the bus.

    Returns
    -------
    dict of str to str
        Contents by file name; the ``.core`` is last, and names the Verilog.

    Raises
    ------
    HwquantError
        There is no such bus, or the name is no Verilog identifier.
    """
    if bus not in BUSES:
        raise HwquantError(f"there is no bus {bus!r}; choose one of {', '.join(BUSES)}")
    top = f"hwquant_{bus}" if name is None else module_name(name)
    wrapper, description = BUSES[bus]
    component: Component = accelerator(program)
    if wrapper is not None:
        component = wrapper(component)
    core = FUSESOC.format(
        name=name or re.sub(r"[^a-z0-9_]+", "_", f"{program.name}_{bus}".lower()).strip("_"),
        version=__version__,
        rows=program.config.rows,
        columns=program.config.columns,
        checksum=program.checksum,
        bus=description,
        verilog=f"{top}.v",
        top=top,
    )
    return {
        f"{top}.v": to_verilog(component, top),
        f"{top}.md": register_map(top, bus, external=program.config.external_bits > 0),
        f"{top}.core": core,
    }
