"""What place and route makes of a netlist before it places anything: in how many cells it packs it.

That number decides whether a design fits, and it is larger than the netlist's: carry chains begin and end in cells of
their own, a distributed RAM takes places of LUTs and flip-flops beside it, some flip-flops cannot share a place.
"""

from __future__ import annotations

import json
from pathlib import Path

from hwquant.boards import tools
from hwquant.boards.families.family import Device
from hwquant.boards.families.flow import NETLIST, OpenFlow
from hwquant.files import working_folder, write_bytes

PADS = ("IBUF", "OBUF")
"""Cells of ports, where synthesis makes pads."""


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
        return tools.packed_cells(flow, [*device.arguments, "--json", NETLIST, *package], place)
