"""An accelerator as an ASIC: area by Yosys and ABC, timing by OpenSTA.

The standard cells are those of Oklahoma State University (OSU), from Debian's qflow.
Memories are macros (:mod:`hwquant.boards.macros`). Nothing is placed: wires have no delay and no capacitance, and the
clock arrives everywhere at once.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import resources
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from amaranth.lib.wiring import Component

from hwquant.boards import tools
from hwquant.boards.macros import INPUT_PF, PARAMETERS, Macro, black_boxes, liberty, parse_macros
from hwquant.errors import HwquantError, MissingPackage, require
from hwquant.files import cached, entry_name, json_bytes, parse_json, read_bytes, write_bytes
from hwquant.rtl_templates.verilog import to_rtlil

TOP = "hwquant"
RESULT = "asic.json"
FOLDER = Path("/usr/share/qflow/tech")
PERIOD_NS = 100.0
"""Period in ns of the clock that timing is analysed for; the slack says which one would do."""
DRIVER = "BUFX2"
"""What drives the ports, for ABC and OpenSTA; a port loads like a pin of a memory."""
LEFT_OUT = ("TBUF", "LATCH", "CLKBUF", "PAD")
"""Cells whose names begin so are not for logic."""
SCRIPT = "+strash;dch;if,-g;strash;dch;map;topo;buffer,-c,-N,8;upsize;dnsize"
"""ABC's work, for speed: balance, map, buffer what drives more than 8 pins, choose drive strengths."""
NOTES = (
    "before placement: wires have no delay, the clock arrives everywhere at once",
    "memories are macros that are not in the area; they take their inputs at the clock's edge and answer at once",
)


@dataclass(frozen=True)
class Library:
    """Standard cells of a process.

    Attributes
    ----------
    name : str
        Name of the process.
    nanometres : int
        Feature size of the process in nm.
    volts : float
        Supply voltage in V.
    package : str
        Debian package that has the cells.
    """

    name: str
    nanometres: int
    volts: float
    package: str

    @property
    def liberty(self) -> Path:
        """Path of the Liberty file: functions and delays of the cells."""
        return self._file("lib")

    @property
    def lef(self) -> Path:
        """Path of the LEF file: sizes of the cells."""
        return self._file("lef")

    def _file(self, suffix: str) -> Path:
        path = FOLDER / self.name / f"{self.name}_stdcells.{suffix}"
        if not path.exists():
            raise MissingPackage(
                f"the cells of {self.name} are not installed ({path} is missing); Debian: apt install {self.package}",
                package=self.package,
            )
        return path

    def areas(self) -> dict[str, float]:
        """Area of each cell's outline in um2, not the Liberty file's, where some numbers serve mapping alone."""
        text = self.lef.read_text(encoding="utf-8")
        sizes = re.findall(r"MACRO (\w+)\n.*?SIZE\s+([\d.]+)\s+BY\s+([\d.]+)", text, re.DOTALL)
        return {name: float(width) * float(height) for name, width, height in sizes}


LIBRARIES = {
    item.name: item
    for item in (
        Library("osu018", 180, 1.8, "qflow-tech-osu018"),
        Library("osu035", 350, 3.3, "qflow-tech-osu035"),
    )
}


@dataclass(frozen=True)
class TimingPath:
    """The slowest path of those that were asked about.

    Attributes
    ----------
    start : str
        A register, by its signal, or a memory or port where the path begins.
    end : str
        A register, by its signal, or a memory or port where the path ends.
    ns : float
        Delay in ns, with the set-up time at the end of the path.
    """

    start: str
    end: str
    ns: float


@dataclass(frozen=True)
class Asic:
    """What an accelerator takes in a library's cells.

    Attributes
    ----------
    library : str
        Name of the library.
    area_um2 : float
        Area of all cells in um2, without the memories.
    flip_flop_area_um2 : float
        Area of the flip-flops alone in um2.
    gates : int
        Area of all cells in two-input NAND gates.
    cells : dict of str to int
        Number of cells by type.
    flip_flops : int
        Number of cells that store a bit.
    memories : tuple of Macro
        Memories, which are not in the area.
    slowest : TimingPath
        Slowest of all paths.
    memory_answer : TimingPath or None
        Slowest path that begins at a memory; None where there are no memories.
    megahertz : float
        Highest clock that the slowest path bears, in MHz.
    notes : tuple of str
        What to know about these figures.
    versions : dict of str to str
        Version of each tool.
    """

    library: str
    area_um2: float
    flip_flop_area_um2: float
    gates: int
    cells: dict[str, int]
    flip_flops: int
    memories: tuple[Macro, ...]
    slowest: TimingPath
    memory_answer: TimingPath | None
    megahertz: float
    notes: tuple[str, ...]
    versions: dict[str, str]

    @property
    def memory_bits(self) -> int:
        """Bits of all memories together."""
        return sum(item.bits for item in self.memories)

    @property
    def memory_ns(self) -> float | None:
        """Latest answer of a memory, in ns after the clock's edge, that does not slow the clock."""
        return None if self.memory_answer is None else self.slowest.ns - self.memory_answer.ns


def implement_asic(component: Component, library: Library, cache: Path) -> Asic:
    """Map a component to a library's cells and analyse its timing.

    Parameters
    ----------
    component : Component
        What is mapped.
    library : Library
        Cells that it is mapped to.
    cache : Path
        Folder of earlier results; they are told apart by checksums of the design and the cells, what is run, and
        the versions of the tools.

    Raises
    ------
    MissingPackage
        The library, Yosys or OpenSTA is not installed.
    HwquantError
        Yosys or OpenSTA stops, or a memory cannot be a macro.
    """
    # First, as Amaranth complains about components that were for nothing.
    design = to_rtlil(component, TOP)
    if find_spec("pyosys") is None:
        raise require("pyosys", "boards", "synthesis")
    if shutil.which("sta") is None:
        raise MissingPackage(
            "timing needs sta (OpenSTA), which is not installed; Debian: apt install opensta",
            package="opensta",
        )
    sta = subprocess.run(["sta", "-version"], capture_output=True, text=True, check=True).stdout.strip()
    versions = {"pyosys": version("pyosys"), "OpenSTA": sta}
    cells = library.liberty.read_text(encoding="utf-8") + library.lef.read_text(encoding="utf-8")
    own = "".join(_own(name) for name in ("memory_macro.v", "memory_map.v"))
    commands = repr((_collect(), _map(library, ()), _analysis(library, ())))
    name = entry_name("asic", design, cells, own, commands, liberty(()), json.dumps(versions))

    def fill(work: Path) -> None:
        write_bytes(work / RESULT, json_bytes(asdict(_implement(design, library, work, versions))))

    return _from_json(read_bytes(cached(cache, name, [RESULT], fill) / RESULT))


def _implement(design: str, library: Library, folder: Path, versions: dict[str, str]) -> Asic:
    write_bytes(folder / "design.il", design.encode())
    for name in ("memory_macro.v", "memory_map.v"):
        write_bytes(folder / name, _own(name).encode())
    tools.yosys(_collect(), folder, "memories")
    macros = parse_macros((folder / "memories.txt").read_text(encoding="utf-8"))
    write_bytes(folder / "macros.v", black_boxes(macros).encode())
    write_bytes(folder / "macros.lib", liberty(macros).encode())
    write_bytes(folder / "constraints", f"set_driving_cell {DRIVER}\nset_load {1000 * INPUT_PF}\n".encode())
    tools.yosys(_map(library, macros), folder, "mapping")
    netlist = folder / "netlist.v"
    # A leftover of split vectors, which OpenSTA does not read.
    write_bytes(netlist, netlist.read_text(encoding="utf-8").replace("  wire signed ", "  wire ").encode())
    statistics = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))["design"]
    types = {macro.type for macro in macros}
    cells = {name: int(count) for name, count in statistics["num_cells_by_type"].items() if name not in types}
    slowest, *answers = _sta(_analysis(library, macros), folder)
    areas = library.areas()
    unknown = sorted(set(cells) - set(areas))
    if unknown:
        raise HwquantError(f"{library.lef} says no size of the cell {unknown[0]}")
    area = sum(count * areas[name] for name, count in cells.items())
    registers = {name: count for name, count in cells.items() if name.startswith("DFF")}
    return Asic(
        library=library.name,
        area_um2=area,
        flip_flop_area_um2=sum(count * areas[name] for name, count in registers.items()),
        gates=round(area / areas["NAND2X1"]),
        cells=dict(sorted(cells.items())),
        flip_flops=sum(registers.values()),
        memories=macros,
        slowest=slowest,
        memory_answer=answers[0] if answers else None,
        megahertz=round(1000 / slowest.ns, 2),
        notes=NOTES,
        versions=versions,
    )


def _own(name: str) -> str:
    return resources.files("hwquant.boards").joinpath("cells", name).read_text(encoding="utf-8")


def _collect() -> list[str]:
    """Commands of Yosys that make memories black boxes."""
    return [
        "read_verilog -lib memory_macro.v",
        "read_rtlil design.il",
        f"hierarchy -check -top {TOP}",
        "proc",
        "flatten",
        "opt_clean",
        "memory -nomap",
        "opt_clean",
        "techmap -map memory_map.v",
        "select -assert-none t:$mem_v2",
        "opt_clean",
        "delete t:$scopeinfo",
        "tee -q -o memories.txt dump t:memory_macro",
        "write_rtlil collected.il",
    ]


def _map(library: Library, macros: Iterable[Macro]) -> list[str]:
    """Commands of Yosys that map logic to cells."""
    cells = re.findall(r"cell \((\w+)\)", library.liberty.read_text(encoding="utf-8"))
    left_out = " ".join(f"-dont_use {name}" for name in cells if name.startswith(LEFT_OUT))
    lines = [f"read_liberty -lib -ignore_miss_func {library.liberty}", "read_rtlil collected.il"]
    for macro in macros:
        lines.append(f"chtype -set {macro.type} c:{macro.name}")
        lines += [f"setparam -unset {name} c:{macro.name}" for name in PARAMETERS]
    return [
        *lines,
        "read_verilog -lib macros.v",
        f"hierarchy -check -top {TOP}",
        # Flip-flops of an ASIC have no value until they are reset.
        "setattr -unset init w:*",
        f"synth -top {TOP}",
        f"dfflibmap -liberty {library.liberty}",
        "opt_clean",
        "rename -wire t:DFF*",
        f"abc -liberty {library.liberty} -constr constraints {left_out} -script {SCRIPT}",
        "setundef -zero",
        "opt_clean",
        "splitnets -ports -format __v",
        "opt_clean",
        "tee -q -o statistics.json stat -json",
        "write_verilog -noexpr -simple-lhs -noattr netlist.v",
    ]


def _analysis(library: Library, macros: tuple[Macro, ...]) -> list[str]:
    """Commands of OpenSTA that report the slowest path, and the slowest one from a memory."""
    lines = [
        f"read_liberty {library.liberty}",
        "read_liberty macros.lib",
        "read_verilog netlist.v",
        f"link_design {TOP}",
        f"create_clock -name clk -period {PERIOD_NS} [get_ports clk]",
        "set inputs {}",
        "foreach port [all_inputs] { if {[get_property $port full_name] != {clk}} { lappend inputs $port } }",
        "set_input_delay 0 -clock clk $inputs",
        f"set_driving_cell -lib_cell {DRIVER} $inputs",
        "set_output_delay 0 -clock clk [all_outputs]",
        f"set_load {INPUT_PF} [all_outputs]",
        "report_checks -path_delay max -digits 4",
    ]
    if macros:
        names = " ".join(f"{{{macro.name}}}" for macro in macros)
        lines.append(f"report_checks -path_delay max -digits 4 -from [get_cells [list {names}]]")
    return [*lines, "exit"]


def _sta(commands: list[str], folder: Path) -> list[TimingPath]:
    """The paths that OpenSTA reports."""
    write_bytes(folder / "timing.tcl", "\n".join([*commands, ""]).encode())
    tools.run(["sta", "-no_splash", "-exit", "timing.tcl"], folder, "timing.log", "OpenSTA")
    return parse_paths((folder / "timing.log").read_text(encoding="utf-8"))


def parse_paths(log: str) -> list[TimingPath]:
    """The paths in the text that OpenSTA printed, in its order.

    Raises
    ------
    HwquantError
        The text has an error, or no path.
    """
    error = re.search(r"^Error: .*$", log, re.MULTILINE)
    if error or "Startpoint" not in log:
        raise HwquantError(f"OpenSTA stopped: {error[0] if error else 'no paths'}")
    paths = []
    for block in log.split("Startpoint: ")[1:]:
        end = re.search(r"^Endpoint: (\S+)", block, re.MULTILINE)
        slack = re.search(r"^ +(-?[\d.]+) +slack", block, re.MULTILINE)
        if end is None or slack is None:
            raise HwquantError("OpenSTA stopped in the middle of a path")
        ns = PERIOD_NS - float(slack[1])
        paths.append(TimingPath(_signal(block.split()[0]), _signal(end[1]), round(ns, 4)))
    return paths


def _signal(instance: str) -> str:
    """The signal of a flip-flop: Yosys calls the flip-flop by it, and adds the type."""
    return re.sub(r"\\+DFF\w+$", "", instance)


def _from_json(data: bytes) -> Asic:
    values = parse_json(data)
    paths = {key: values[key] and TimingPath(**values[key]) for key in ("slowest", "memory_answer")}
    memories = tuple(Macro(**item) for item in values["memories"])
    return Asic(**{**values, **paths, "memories": memories, "notes": tuple(values["notes"])})
