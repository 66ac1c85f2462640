"""How the open tools are run: Yosys (pyosys) for synthesis, nextpnr and packers for the rest.

nextpnr and packers are those on the PATH, where they are (oss-cad-suite, a distribution's packages), else the wheels'
(YoWASP), which are WebAssembly and several times slower. Yosys is pyosys always: it is machine code in a wheel, and the
counts of cells that estimates are fitted to are its.

Each runs in the folder of its files with relative paths, since WebAssembly programs see no other folder. What they
are given is the families' (:mod:`hwquant.boards.families`).

Why not Amaranth's ``platform.build()``? For Gowin it calls nextpnr-gowin, which nextpnr-himbaechel has replaced, and
amaranth-boards has no Tang Nano 20K; a user's board would be a Python class, where it is a TOML file that cannot run
anything; YoWASP's programs have names of their own, each of which it would have to be told by a variable of the
environment; and it goes through to the bitstream in one script, where cells are counted here before anything is placed,
and a design is routed again at a clock that it can bear.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from hwquant.boards.families.family import BLOCKS, Device, Family
from hwquant.boards.families.flow import NETLIST, TIMING, Executable, OpenFlow, Routed, RoutingJob
from hwquant.boards.unread import release
from hwquant.errors import ToolStopped, require
from hwquant.files import leave, write_bytes

_YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in open(sys.argv[1]):
    libyosys.run_pass(line.strip(), design)
"""


def synthesize(
    rtlil: Path, device: Device, top: str = "top", verilog: str = "", sources: Sequence[str] = ()
) -> dict[str, int]:
    """Synthesize RTLIL; ``netlist.json`` appears beside it.

    Parameters
    ----------
    rtlil : Path
        File with the design.
    device : Device
        The FPGA that it is synthesized for.
    top : str, default "top"
        Name of the top module.
    verilog : str, default ""
        Name of a file beside it that gets the netlist in Verilog; "" for none.
    sources : sequence of str, optional
        Names of files of Verilog beside it, with modules of the design.

    Returns
    -------
    dict of str to int
        Number of cells of the flat netlist by type.
    """
    folder = rtlil.parent
    command = device.family.synthesis(device, top)
    if device.family.blocks:
        write_bytes(folder / BLOCKS, own_blocks(device.family).encode())
    reading = [f"read_rtlil {rtlil.name}", *(f"read_verilog {name}" for name in sources)]
    yosys([*reading, command], folder, "synthesis")
    design = json.loads((folder / NETLIST).read_text(encoding="utf-8"))
    module = design["modules"][top]
    if device.family.improve:
        device.family.improve(module)
        write_bytes(folder / NETLIST, json.dumps(design).encode())
    if verilog:
        yosys([f"read_json {NETLIST}", f"write_verilog -noattr {verilog}"], folder, "verilog")
    if device.family.unread:  # after the Verilog, which has no output at a constant
        release(module, device.family.unread)
        write_bytes(folder / NETLIST, json.dumps(design).encode())
    return dict(sorted(Counter(cell["type"] for cell in module["cells"].values()).items()))


def own_blocks(family: Family) -> str:
    """Verilog of the blocks that synthesis is not to look into; "" where a family has none."""
    if not family.blocks:
        return ""
    return (resources.files("hwquant.boards") / "cells" / family.blocks).read_text(encoding="utf-8")


def yosys(commands: list[str], folder: Path, name: str) -> None:
    """Run commands of Yosys in a folder; its log is the file ``name``.log there."""
    if find_spec("pyosys") is None:
        raise require("pyosys", "boards", "synthesis")
    script = folder / f"{name}.ys"
    write_bytes(script, "\n".join([*commands, ""]).encode())
    run([sys.executable, "-c", _YOSYS, script.name], folder, f"{name}.log", "Yosys")


def place_and_route(flow: OpenFlow, job: RoutingJob, folder: Path) -> Routed:
    """Place and route ``netlist.json``; what the packer reads appears beside it.

    A missed clock is not an error: the result says what was reached.
    """
    run([tool(flow.router), *flow.routing(job), *flow.routed], folder, "routing.log", "nextpnr")
    return flow.report((folder / TIMING).read_text())


def packed_cells(flow: OpenFlow, arguments: list[str], folder: Path) -> int:
    """Pack ``netlist.json`` without placing it, and count the cells that are to be placed.

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
    run([tool(flow.router), *arguments, "--pack-only"], folder, "cells.log", "nextpnr")
    text = (folder / "cells.log").read_text(encoding="utf-8")
    found = re.search(rf"^Info:\s+{flow.cell}:\s+(\d+)/", text, re.MULTILINE)
    if not found:
        raise ToolStopped(f"nextpnr did not say how many cells of the kind {flow.cell} it packs")
    return int(found[1])


def pack(flow: OpenFlow, device: Device, folder: Path) -> Path:
    """Make the bitstream of a routed design; its path."""
    run([tool(flow.packer), *flow.packing(device)], folder, "packing.log", flow.packer.name)
    return folder / flow.bitstream


def check_tools(family: Family) -> None:
    """Raise unless all tools of a family are installed, before the first of them works for minutes."""
    if find_spec("pyosys") is None:
        raise require("pyosys", "boards", "synthesis")
    if isinstance(family.flow, OpenFlow):
        for executable in (family.flow.router, family.flow.packer):
            tool(executable)


def native(executable: Executable) -> str | None:
    """Path of a program in machine code on the PATH; None where there is none."""
    return shutil.which(executable.native) if executable.native else None


def native_versions(family: Family) -> dict[str, str]:
    """What the programs on the PATH that a family's flow uses say of their version, by name."""
    flow = family.flow
    programs = (flow.router, flow.packer) if isinstance(flow, OpenFlow) else ()
    found = {program.native: native(program) for program in programs}
    return {name: _version(path) for name, path in found.items() if path is not None}


def _version(path: str) -> str:
    """The first line that a program says of its version; "" where it has no such option (icepack)."""
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return next(iter((done.stdout or done.stderr).strip().splitlines()), "") if not done.returncode else ""


def tool(executable: Executable) -> str:
    """Path of a program on the PATH, or of its wheel's beside this Python; raises where it is not installed."""
    if path := native(executable):
        return path
    beside = Path(sys.executable).with_name(executable.name)
    found = str(beside) if beside.exists() else shutil.which(executable.name)
    if found is None:
        raise require(executable.package, "boards", f"building a bitstream ({executable.name})")
    return found


def run(arguments: list[str], folder: Path, log: str, what: str) -> None:
    """Run a program in a folder.

    Parameters
    ----------
    arguments : list of str
        The program and its arguments.
    folder : Path
        Folder that it runs in.
    log : str
        Name of the file in that folder that gets its output.
    what : str
        Name of the program in messages.

    Raises
    ------
    ToolStopped
        The program failed; the message has its first error, and where its output is kept, as the folder may go.
    """
    # Its temporary files stay in the folder: a program that is killed leaves them behind.
    environment = {**os.environ, "TMPDIR": str(folder.absolute())}
    with (folder / log).open("w", encoding="utf-8") as output:
        done = subprocess.run(
            arguments, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        text = (folder / log).read_text(encoding="utf-8", errors="replace")
        errors = re.findall(r"^.*ERROR.*$", text, re.MULTILINE)
        if done.returncode > 0:
            status = f"status {done.returncode}"
            errors = errors or text.strip().splitlines()[-1:]
        else:  # the last line of a program that was killed is none of its errors
            status = f"killed by signal {-done.returncode}"
        kept = leave(folder / log)
        raise ToolStopped(
            f"{what} stopped: {errors[0].strip() if errors else status} (all that it said is in {kept})"
        )
