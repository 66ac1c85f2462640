"""Reads what is written for the tools, strictly: each file as the list of its commands, and nothing but commands.

Tcl is read by Tcl itself, in which every command of Vivado's is one that notes its arguments.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from hwquant.boards.board import Board

Command = tuple[str, ...]

_NAME, _VALUE, _MEGAHERTZ = r"([a-z0-9_]+)", r"([A-Za-z0-9_.]+)", r"([0-9]+(?:\.[0-9]{1,6})?)"
_ATTRIBUTES = r"((?: [A-Z_]+=[A-Za-z0-9_.]+)+)"
GRAMMARS = {
    "top.lpf": (
        rf'(LOCATE) COMP "{_NAME}" SITE "{_VALUE}";',
        rf'(IOBUF) PORT "{_NAME}"{_ATTRIBUTES};',
        rf'(FREQUENCY) PORT "{_NAME}" {_MEGAHERTZ} MHZ;',
    ),
    "top.pcf": (rf"(set_io)( -pullup yes)? {_NAME} {_VALUE}", rf"(set_frequency) {_NAME} {_MEGAHERTZ}"),
    "top.cst": (rf'(IO_LOC) "{_NAME}" {_VALUE};', rf'(IO_PORT) "{_NAME}"{_ATTRIBUTES};'),
    "top.xdc": (
        rf"(set_property) ([A-Z_]+) {_VALUE} \[get_ports {_NAME}\]",
        rf"(create_clock) -name {_NAME} -period ([0-9]+\.[0-9]{{3}}) \[get_ports clock\]",
    ),
}
"""Commands of each language as regular expressions: what does not match is not a command that we write."""


def commands(name: str, text: str) -> list[Command]:
    """The commands of a constraints file, one a line."""
    assert text.endswith("\n")
    found = []
    for line in text[:-1].split("\n"):
        matches = [match for grammar in GRAMMARS[name] if (match := re.fullmatch(grammar, line, re.ASCII))]
        assert len(matches) == 1, f"{name}: not a command: {line!r}"
        found.append(tuple(group or "" for group in matches[0].groups()))
    return found


def expected(board: Board) -> list[Command]:
    """What a board's constraints must say: its pins, their attributes, its clock, and nothing else."""
    found: list[Command] = []
    pins = [(port, board.pins[port]) for port in board.ports if port in board.pins]
    megahertz = f"{board.clock_hz / 1e6:.6f}".rstrip("0").rstrip(".")
    for port, pin in pins:
        together = "".join(f" {key}={value}" for key, value in pin.attributes.items())
        match board.device.family.name:
            case "ecp5":
                found.append(("LOCATE", port, pin.location))
                found += [("IOBUF", port, together)] if together else []
            case "ice40":
                pull = " -pullup yes" if pin.attributes.get("PULLUP") == "1" else ""
                found.append(("set_io", pull, port, pin.location))
            case "gowin":
                found.append(("IO_LOC", port, pin.location))
                found += [("IO_PORT", port, together)] if together else []
            case "xilinx7":
                values = {"PACKAGE_PIN": pin.location, **pin.attributes}
                found += [("set_property", key, value, port) for key, value in values.items()]
    match board.device.family.name:
        case "ecp5":
            found.append(("FREQUENCY", "clock", megahertz))
            found += [("FREQUENCY", "eth_rx_clk", "125")] if "eth_rx_clk" in board.ports else []
        case "ice40":
            found.append(("set_frequency", "clock", megahertz))
        case "xilinx7":
            found.append(("create_clock", "clock", f"{1e9 / board.clock_hz:.3f}"))
    return found


VIVADO = (
    *(
        "create_project",
        "read_verilog",
        "read_xdc",
        "synth_design",
        "opt_design",
        "place_design",
        "route_design",
    ),
    *(
        "report_timing_summary",
        "report_utilization",
        "write_bitstream",
        "set_property",
        "create_clock",
        "get_ports",
    ),
)
_HARNESS = """
set out [open [lindex $argv 1] w]
set script [lindex $argv 0]
set argv [lrange $argv 2 end]
set argc [llength $argv]
proc note {args} {
    set words {}
    foreach word $args {lappend words x[binary encode hex [encoding convertto utf-8 $word]]}
    puts $::out [join $words]
}
foreach name {%s} {
    namespace eval ::[namespace qualifiers $name] {}
    proc $name args "note $name {*}\\$args; return \\[lindex \\$args end\\]"
}
%s
proc unknown args {note unknown {*}$args}
trace add variable ::env {array read} {apply {args {note variable {*}$args}}}
foreach name {exec open socket glob cd file load exit pwd} {
    rename $name {}
    proc $name args "note forbidden $name {*}\\$args"
}
source -encoding utf-8 $script
close $out
"""


def run_tcl(
    script: str,
    folder: Path,
    commands: Sequence[str] = VIVADO,
    arguments: Sequence[str] = (),
    prelude: str = "",
) -> list[Command]:
    """What Tcl does with a script: each command with its arguments, in order; also what it must not do.

    ``commands`` are those of Vivado, of which each gives its last argument; ``prelude`` defines others in their place.
    A command that Vivado has not, one that reaches out of the interpreter, and the environment when it is read are
    noted as "unknown", "forbidden" and "variable". Skips where there is no Tcl.
    """
    tclsh = shutil.which("tclsh")
    if tclsh is None:
        pytest.skip("Tcl is not here: apt install tcl")
    for name, text in (("harness.tcl", _HARNESS % (" ".join(commands), prelude)), ("script.tcl", script)):
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [tclsh, "harness.tcl", "script.tcl", "noted", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr
    lines = (folder / "noted").read_text(encoding="ascii").splitlines()
    return [tuple(bytes.fromhex(word[1:]).decode() for word in line.split()) for line in lines]
