"""What Yosys makes of a component, kept in a cache folder: a design is synthesized once."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from amaranth.lib.wiring import Component

from hwquant.boards import tools
from hwquant.boards.families.family import Device, Family
from hwquant.boards.families.flow import NETLIST, OpenFlow
from hwquant.boards.packing import component_cells
from hwquant.errors import require
from hwquant.files import cached, json_bytes, parse_json, read_bytes, write_bytes
from hwquant.rtl_templates.dsp import DspBudget
from hwquant.rtl_templates.verilog import to_rtlil

TOP = "hwquant"
RESULT = "synthesis.json"


@dataclass(frozen=True)
class Synthesis:
    """The netlist of a component.

    Attributes
    ----------
    cells : dict of str to int
        Number of cells by type.
    packed : int
        Number of cells that place and route packs these in; 0 where no open tool does.
    parts : dict of str to dict of str to int
        Number of cells by type, for each part of the hierarchy whose name they bear ("array.pe" for all processing
        elements); a cell of two parts bears the name of one of them.
    """

    cells: dict[str, int]
    packed: int
    parts: dict[str, dict[str, int]]

    def used(self, family: Family) -> dict[str, int]:
        """Count resources; see :meth:`hwquant.boards.families.family.Family.count`."""
        return {**family.count(self.cells), **({"cell": self.packed} if self.packed else {})}


def synthesized(component: Component, device: Device, budget: DspBudget | None, cache: Path) -> Synthesis:
    """Synthesize a component alone, its ports at pins; what was synthesized before comes from the cache.

    Parameters
    ----------
    component : Component
        What is synthesized.
    device : Device
        The FPGA that it is synthesized for.
    budget : DspBudget or None
        What the component is told about the device (:meth:`hwquant.boards.families.family.Device.budget`).
    cache : Path
        Folder of earlier results; they are told apart by the checksum of the RTLIL, the command and the versions of
        Yosys and nextpnr.

    Raises
    ------
    HwquantError
        The package pyosys is missing, or Yosys stops.
    """
    if find_spec("pyosys") is None:
        raise require("pyosys", "boards", "synthesis")
    text = to_rtlil(component, TOP, budget)
    command = device.family.synthesis(device, TOP)
    identity = [text, command, tools.own_blocks(device.family), device.series, version("pyosys")]
    if device.family.improve:
        identity.append(device.family.improve.__name__)
    if isinstance(flow := device.family.flow, OpenFlow):
        identity.append(version(flow.router.package))
    key = hashlib.sha256("/".join(identity).encode()).hexdigest()[:24]

    def fill(work: Path) -> None:
        source = work / "top.il"
        write_bytes(source, text.encode())
        cells = tools.synthesize(source, device, TOP)
        packed = component_cells(work, device, TOP)
        write_bytes(work / RESULT, json_bytes(asdict(Synthesis(cells, packed, _parts(work / NETLIST)))))

    entry = cached(cache, f"synthesis-{key}", [RESULT], fill)
    return Synthesis(**parse_json(read_bytes(entry / RESULT)))


def _parts(netlist: Path) -> dict[str, dict[str, int]]:
    parts: dict[str, dict[str, int]] = {}
    cells = json.loads(netlist.read_text(encoding="utf-8"))["modules"][TOP]["cells"]
    for name, cell in cells.items():
        part = part_of(name)
        counts = parts.setdefault(part, {})
        counts[cell["type"]] = counts.get(cell["type"], 0) + 1
    return parts


def part_of(name: str) -> str:
    """The part of the hierarchy to which a cell belongs: at most two levels, without indices."""
    path = name.removeprefix("board.").removeprefix("accelerator.").split(".")[:-1]
    return re.sub(r"(_\d+)+|\d+", "", ".".join(path[:2])) or "top"
