"""What place and route makes of a netlist before it places anything: in how many cells it packs it.

That number decides whether a design fits, and it is larger than the netlist's: carry chains begin and end in cells of
their own, a distributed RAM takes places of LUTs and flip-flops beside it, some flip-flops cannot share a place.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from hwquant.boards import tools
from hwquant.boards.families.family import Device
from hwquant.boards.families.flow import NETLIST, OpenFlow
from hwquant.errors import ToolStopped
from hwquant.files import working_folder, write_bytes

PADS = ("IBUF", "OBUF")
"""Cells of ports, where synthesis makes pads."""
LOG = "packing_cells.log"


def packed_cells(flow: OpenFlow, arguments: list[str], folder: Path) -> int:
    """Pack ``netlist.json``, and count the cells that are to be placed.

    Parameters
    ----------
    flow : OpenFlow
        The tools.
    arguments : list of str
        The router's arguments for the netlist.
    folder : Path
        Folder of the netlist, and of constraints that the arguments name.

    Raises
    ------
    ToolStopped
        The router stops, or does not say.
    """
    tools.run([tools.tool(flow.router), *arguments, "--pack-only"], folder, LOG, "nextpnr")
    found = re.search(
        rf"^Info:\s+{flow.cell}:\s+(\d+)/", (folder / LOG).read_text(encoding="utf-8"), re.MULTILINE
    )
    if not found:
        raise ToolStopped(f"nextpnr did not say how many cells of the kind {flow.cell} it packs")
    return int(found[1])


def component_cells(folder: Path, device: Device, top: str) -> int:
    """Count the cells of a component alone, whose ports are at no pins; 0 where no open tool packs.

    Parameters
    ----------
    folder : Path
        Folder with ``netlist.json``.
    device : Device
        The FPGA.
    top : str
        Name of the component's module.
    """
    flow = device.family.flow
    if not isinstance(flow, OpenFlow):
        return 0
    design = json.loads((folder / NETLIST).read_text(encoding="utf-8"))
    module = design["modules"][top]
    module["ports"] = {}
    module["cells"] = {name: cell for name, cell in module["cells"].items() if cell["type"] not in PADS}
    package = ["--package", device.packages[0]] if "package" in device.family.board_fields else []
    with working_folder() as place:
        write_bytes(place / NETLIST, json.dumps(design).encode())
        return packed_cells(flow, [*device.arguments, "--json", NETLIST, *package], place)
