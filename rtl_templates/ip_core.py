"""The accelerator as a core for a system of one's own: Verilog, and the files by which tools and software find it."""

import re

from amaranth.lib.wiring import Component

from hwquant import __version__
from hwquant.errors import HwquantError
from hwquant.link.protocol import word_bytes
from hwquant.program.program import Program
from hwquant.program.registers import IDENTITY, VERSION
from hwquant.rtl_templates.axi import AxiAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.identifiers import module_name
from hwquant.rtl_templates.port_list import port_list, with_port_list
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.rtl_templates.vivado_core import IP, dma_bytes, vivado_scripts
from hwquant.rtl_templates.wishbone import WishboneAccelerator

BUSES = {
    "axi": (AxiAccelerator, "AXI4-Lite registers, AXI4-Stream frames and results"),
    "wishbone": (WishboneAccelerator, "a Wishbone B4 bus of 32 bits"),
    "stream": (None, "bare streams with valid and ready, and the register file"),
}
"""What surrounds the accelerator, by name, and what that is."""

ALONG = ("registers.rdl", "registers.h", "registers.md", "lint.vlt")
"""Files that go along with every core as they are."""

DRIVERS = {
    "axi": ("hwquant_core.h", "hwquant_dma.h", "hwquant_dma.c", "hwquant_pynq.py"),
    "wishbone": ("hwquant_core.h", "hwquant.h", "hwquant.c", "hwquant_litex.py"),
    "stream": (),
}
"""Those that go along with a core of a bus."""

HEADER = """\
/* The network of the core {top}, for the driver in {driver}. */
#ifndef {top}_NETWORK_H
#define {top}_NETWORK_H

#include "hwquant_core.h"

static const struct hwquant_network {top}_network = {{
    {identity:#010x}u, /* identity */
    {version}u, /* version */
    {checksum:#010x}u, /* checksum */
    {beats}u, /* beats */
    {beat_bytes}u, /* beat_bytes */
    {words}u, /* words */
    {word_bytes}u, /* word_bytes */
    {memory_bytes}u, /* memory_bytes */
}};

#endif
"""

FUSESOC = """\
CAPI=2:
name: hwquant:accelerators:{name}:{version}
description: >-
  Neural network accelerator, {rows}x{columns} array, program {checksum:#010x}, with {bus}
filesets:
  waivers:
    files: [lint.vlt]
    file_type: vlt
  rtl:
    files: ["{verilog}"]
    file_type: verilogSource-2005
targets:
  default:
    filesets: [rtl]
    toplevel: "{top}"
  lint:
    filesets: [waivers, rtl]
    toplevel: "{top}"
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wall]
"""


def core_files(program: Program, bus: str, name: str | None = None) -> dict[str, str]:
    """Make the files of a core: Verilog, a description of its registers, and what tools need.

    The Verilog-2005 has the program in its memories. The registers are described in SystemRDL, as a C header and in
    Markdown, in the same way for all cores.

    Parameters
    ----------
    program : Program
        What the core executes.
    bus : str
        A key of :data:`BUSES`.
    name : str or None
        Name of the module, the files and the FuseSoC core, with which the name of every module inside begins, so that
        cores of different names go into one design; None: those of :func:`core_names`.

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
    stem, top = core_names(program, bus, name)
    wrapper, description = BUSES[bus]
    component: Component = accelerator(program)
    if wrapper is not None:
        component = wrapper(component)
    ports = port_list(component)
    core = FUSESOC.format(
        name=name or re.sub(r"[^a-z0-9_]+", "_", f"{program.name}_{bus}".lower()).strip("_"),
        version=__version__,
        rows=program.config.rows,
        columns=program.config.columns,
        checksum=program.checksum,
        bus=description,
        verilog=f"{stem}.v",
        top=top,
    )
    return {
        f"{stem}.v": with_port_list(to_verilog(component, top), top, ports),
        **{file: (IP / file).read_text(encoding="utf-8") for file in (*ALONG, *DRIVERS[bus])},
        **({f"{stem}_network.h": _network(program, bus, top)} if DRIVERS[bus] else {}),
        **(vivado_scripts(program, top, stem) if bus == "axi" else {}),
        f"{stem}.core": core,
    }


def core_names(program: Program, bus: str, name: str | None) -> tuple[str, str]:
    """Name a core's files, and its module: both as asked for, else by the bus, and the module by the checksum, too.

    Raises
    ------
    HwquantError
        The name is no Verilog identifier.
    """
    if name is not None:
        return name, module_name(name)
    return f"hwquant_{bus}", f"hwquant_{bus}_{program.checksum:08x}"


def _network(program: Program, bus: str, top: str) -> str:
    """What the C driver of a bus must know of a core."""
    (beats, beat), (words, word) = program.frame_sizes
    size = dma_bytes if bus == "axi" else word_bytes
    return HEADER.format(
        top=top,
        driver=next(name for name in DRIVERS[bus] if name.endswith(".c")),
        identity=IDENTITY,
        version=VERSION,
        checksum=program.checksum,
        beats=beats,
        beat_bytes=size(beat),
        words=words,
        word_bytes=size(word),
        memory_bytes=program.config.external_bytes,
    )
