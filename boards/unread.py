"""Outputs of a netlist's cells that nothing reads, and that are left open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

OPEN = "x"
"""What Yosys' JSON has at an output that is not connected."""


def release(module: dict[str, Any], unread: Mapping[str, str]) -> None:
    """Leave outputs open that nothing reads.

    nextpnr for ECP5 leads the last carry of every chain out of it where that output is connected: a CCU2C, two LUTs.

    Parameters
    ----------
    module : dict
        A flat module of Yosys' JSON, which is changed.
    unread : mapping of str to str
        The outputs, of one bit, by type of cell.
    """
    cells = module["cells"].values()
    readers: Counter[object] = Counter(bit for port in module["ports"].values() for bit in port["bits"])
    for cell in cells:
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                readers.update(bits)
    for cell in cells:
        port = unread.get(cell["type"])
        if port and not any(readers[bit] for bit in cell["connections"][port]):
            cell["connections"][port] = [OPEN]
