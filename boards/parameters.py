"""What a synthesized design is given afterwards: places, settings of its PLL, and the cycles of a bit on its link."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth.hdl import Instance

from hwquant.boards.families.family import Device
from hwquant.boards.families.flow import NETLIST
from hwquant.errors import ToolStopped
from hwquant.files import write_bytes

DIVISOR = "divisor"
"""The port whose bits become constants."""
CABLE = "cable"
"""The part of the top that has a PLL of its own."""
BUFFER = "IBUF"
"""Cell of a port's input where synthesis makes pads; what becomes a constant has none."""
TOP = "top"


class Netlist:
    """A netlist in Yosys' JSON.

    Parameters
    ----------
    path : Path
        The file.
    device : Device
        The FPGA: its family may have cells that are given places.
    """

    def __init__(self, path: Path, device: Device) -> None:
        self._design = json.loads(path.read_text(encoding="utf-8"))
        self._top = self._design["modules"][TOP]
        if device.family.place:
            device.family.place(self._top, device.name)
        self._ports = dict(self._top["ports"])
        self._cells = self._top["cells"]
        self._open: list[tuple[list[Any], int, int]] = []  # connections of the divisor's bits
        bits = {bit: index for index, bit in enumerate(self._ports.get(DIVISOR, {"bits": ()})["bits"])}
        for name, cell in list(self._cells.items()):
            if cell["type"] == BUFFER and (bit := cell["connections"]["I"][0]) in bits:
                bits[cell["connections"]["O"][0]] = bits[bit]
                del self._cells[name]
        for cell in self._cells.values():
            for connection in cell["connections"].values():
                self._open += [
                    (connection, place, bits[bit]) for place, bit in enumerate(connection) if bit in bits
                ]

    def write(self, folder: Path, divisor: int | None, pll: Instance | None) -> None:
        """Write the netlist with all numbers into a folder, as what place and route reads.

        Parameters
        ----------
        folder : Path
            The folder.
        divisor : int or None
            What the port of a UART's divisor gets; None where the netlist has no such port.
        pll : Instance or None
            The PLL; None where the netlist has none.
        """
        for connection, place, index in self._open:
            connection[place] = str((divisor or 0) >> index & 1)
        self._top["ports"] = {name: port for name, port in self._ports.items() if name != DIVISOR}
        if pll is not None:
            cells = [
                cell
                for name, cell in self._cells.items()
                if cell["type"] == pll.type and not name.startswith(f"{CABLE}.")
            ]
            if len(cells) != 1:
                raise ToolStopped(f"the netlist has {len(cells)} cells {pll.type!r}, where one PLL is wanted")
            cells[0]["parameters"] |= _encoded(pll.parameters)
        write_bytes(folder / NETLIST, json.dumps(self._design).encode())


def _encoded(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as Yosys writes them: integers in 32 binary digits."""
    return {
        name: f"{value & 0xFFFFFFFF:032b}" if isinstance(value, int) else str(value)
        for name, value in parameters.items()
    }
