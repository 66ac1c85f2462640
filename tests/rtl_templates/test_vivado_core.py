"""The scripts for Vivado that go with a core, read by Tcl: what they make is complete, and fits together."""

import pytest
from hwquant_testing.constraint_files import run_tcl
from hwquant_testing.small_networks import Net

from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory
from hwquant.program.program import Program
from hwquant.rtl_templates.ip_core import core_files
from hwquant.rtl_templates.vivado_core import dma_bytes, no_overlay, vivado_scripts

COMMANDS = (
    *("create_project", "close_project", "current_project", "add_files", "current_fileset", "set_property"),
    *("get_property", "update_compile_order", "update_ip_catalog", "create_bd_design", "create_bd_cell"),
    *("get_bd_cells", "get_bd_pins", "get_bd_intf_pins", "connect_bd_net", "connect_bd_intf_net"),
    *("apply_bd_automation", "assign_bd_address", "validate_bd_design", "save_bd_design", "make_wrapper"),
    *("get_files", "get_runs", "launch_runs", "wait_on_run", "open_run", "report_timing_summary"),
    *("report_utilization", "write_bitstream"),
    *("ipx::package_project", "ipx::current_core", "ipx::associate_bus_interfaces", "ipx::save_core"),
    *("ipx::get_address_blocks", "ipx::get_memory_maps", "ipx::create_xgui_files", "ipx::update_checksums"),
    "ipx::check_integrity",
)
"""Commands of Vivado (UG835) that the scripts use."""
MET = "proc get_property args {return 0.125}"
PARTS = {
    "core": {"s_axi", "s_axis", "m_axis", "m_axi"},
    "dma": {"S_AXI_LITE", "M_AXI_MM2S", "M_AXI_S2MM", "M_AXIS_MM2S", "S_AXIS_S2MM"},
    "ps": {"M_AXI_GP0", "S_AXI_HP0"},
    "control": {"S00_AXI", "M00_AXI", "M01_AXI"},
    "memory": {"S00_AXI", "S01_AXI", "S02_AXI", "M00_AXI"},
    "narrow": {"S_AXIS", "M_AXIS"},
    "widen": {"S_AXIS", "M_AXIS"},
    "reset": set(),
}
"""Interfaces of the cells."""
CLOCKS = {
    **dict.fromkeys(("core", "control", "memory", "narrow", "widen"), ("aclk",)),
    "dma": ("s_axi_lite_aclk", "m_axi_mm2s_aclk", "m_axi_s2mm_aclk"),
    "ps": ("M_AXI_GP0_ACLK", "S_AXI_HP0_ACLK"),
    "reset": ("slowest_sync_clk",),
}
RESETS = {
    **dict.fromkeys(("core", "control", "memory", "narrow", "widen"), ("aresetn",)),
    "dma": ("axi_resetn",),
}


def network():
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 6)
    return net.build()


@pytest.fixture(scope="module", params=["whole", "converted", "outside"])
def program(request):
    """Beats that take powers of two of bytes, that do not, and a port to external memory."""
    if request.param == "outside":
        limits = {"weight_depth": 8, "parameter_depth": 8}
        return compile_network(network(), (4, 4), external=ExternalMemory(32), limits=limits)
    return compile_network(network(), (4, 4) if request.param == "whole" else (5, 5))


def run(program, folder, arguments=(), prelude=MET):
    """What Vivado would be told: the commands, by name."""
    files = vivado_scripts(program, "net", "net")
    for name in ("net_package.tcl", "net_design.tcl"):
        (folder / name).write_text(files[name])
    told = run_tcl(files["net_design.tcl"], folder, COMMANDS, arguments, prelude)
    assert not [command for command in told if command[0] in ("unknown", "variable")]
    # The one thing beside Vivado: the hand-off lies where Vivado has put it.
    outside = [command for command in told if command[0] == "forbidden"]
    assert [command[1:4] for command in outside] == [("file", "copy", "-force")]
    assert outside[0][5] == "net.hwh"
    return told


def of(told, name):
    return [command[1:] for command in told if command[0] == name]


def test_the_ip_has_the_verilog_and_its_interfaces(program, tmp_path):
    told = run(program, tmp_path)
    verilog = core_files(program, "axi", "net")["net.v"]
    assert of(told, "add_files")[0] == ("-norecurse", "net.v")
    busses = [command[1] for command in of(told, "ipx::associate_bus_interfaces")]
    assert len(set(busses)) == len(busses)
    for bus in ("s_axi", "s_axis", "m_axis", "m_axi"):
        assert (f"  {bus}_" in verilog) == (bus in busses)
    assert [item[1] for item in of(told, "set_property") if item[0] == "name"] == ["net"]
    saved = [command[0] for command in told]
    assert saved.index("ipx::check_integrity") < saved.index("ipx::save_core")


def test_every_interface_clock_and_reset_of_the_design_is_connected_once(program, tmp_path):
    told = run(program, tmp_path)
    cells = {command[-1]: command[-2] for command in of(told, "create_bd_cell")}
    assert cells["core"] == "hwquant:accelerators:net:1.0"
    assert set(cells) <= set(PARTS)
    wanted = {f"{cell}/{name}" for cell in cells for name in PARTS[cell]}
    if not program.config.external_bits:
        wanted -= {"core/m_axi", "memory/S02_AXI"}
    connected = [end for command in of(told, "connect_bd_intf_net") for end in command]
    assert sorted(connected) == sorted(wanted)
    nets = of(told, "connect_bd_net")
    clocked = [to for source, to in nets if source == "ps/FCLK_CLK0"]
    assert sorted(clocked) == sorted(f"{cell}/{name}" for cell in cells for name in CLOCKS[cell])
    reset = [to for source, to in nets if source == "reset/peripheral_aresetn"]
    assert sorted(reset) == sorted(f"{cell}/{name}" for cell in cells for name in RESETS.get(cell, ()))
    assert len(nets) == len(clocked) + len(reset) + 1


def properties(told, cell):
    """What a cell's properties are set to."""
    found = {}
    for command in of(told, "set_property"):
        if command[0] == "-dict" and command[-1] == cell:
            words = command[1].replace("{", " ").replace("}", " ").split()
            found |= dict(zip(words[::2], words[1::2]))
    return {name.removeprefix("CONFIG."): value for name, value in found.items()}


def test_streams_are_as_wide_as_what_they_are_connected_to(program, tmp_path):
    told = run(program, tmp_path)
    (beats, frame), (words, word) = program.frame_sizes
    frame, word = -(-frame // 8), -(-word // 8)
    dma = properties(told, "dma")
    assert int(dma["c_m_axis_mm2s_tdata_width"]) == 8 * dma_bytes(8 * frame)
    assert int(dma["c_s_axis_s2mm_tdata_width"]) == 8 * dma_bytes(8 * word)
    for channel, stream in (("mm2s", "m_axis_mm2s"), ("s2mm", "s_axis_s2mm")):
        assert int(dma[f"c_m_axi_{channel}_data_width"]) >= max(32, int(dma[f"c_{stream}_tdata_width"]))
    longest = max(beats * dma_bytes(8 * frame), words * dma_bytes(8 * word))
    assert longest < 1 << int(dma["c_sg_length_width"])
    assert dma["c_include_sg"] == "0"
    cells = {command[-1] for command in of(told, "create_bd_cell")}
    assert ("narrow" in cells) == (frame != dma_bytes(8 * frame))
    assert ("widen" in cells) == (word != dma_bytes(8 * word))
    for cell, source, target in (
        ("narrow", dma_bytes(8 * frame), frame),
        ("widen", word, dma_bytes(8 * word)),
    ):
        if cell in cells:
            values = properties(told, cell)
            assert (values["S_TDATA_NUM_BYTES"], values["M_TDATA_NUM_BYTES"]) == (str(source), str(target))
            low = f"tdata[{8 * min(source, target) - 1}:0]"
            above = 8 * (target - source)
            assert values["TDATA_REMAP"] == (f"{above}'b{'0' * above},{low}" if above > 0 else low)
            assert values["TKEEP_REMAP"] == f"{target}'b{'1' * target}"
            assert values["TLAST_REMAP"] == "tlast[0]"
    assert properties(told, "memory")["NUM_SI"] == ("3" if program.config.external_bits else "2")


def test_part_and_clock_are_arguments(tmp_path):
    program = compile_network(network(), (4, 4))
    told = run(program, tmp_path)
    assert [command[-1] for command in of(told, "create_project")] == ["xc7z020clg400-1"] * 2
    assert properties(told, "ps")["PCW_FPGA0_PERIPHERAL_FREQMHZ"] == "100"
    told = run(program, tmp_path, ("xc7z010clg400-1", "50"))
    assert [command[-1] for command in of(told, "create_project")] == ["xc7z010clg400-1"] * 2
    assert properties(told, "ps")["PCW_FPGA0_PERIPHERAL_FREQMHZ"] == "50"


def test_a_clock_that_is_not_met_is_an_error_and_leaves_no_bitstream(tmp_path):
    program = compile_network(network(), (4, 4))
    missed = "proc get_property args {return -0.1}\nproc error text {note failed $text; return -level 2}"
    files = vivado_scripts(program, "net", "net")
    (tmp_path / "net_package.tcl").write_text(files["net_package.tcl"])
    told = run_tcl(files["net_design.tcl"], tmp_path, COMMANDS, (), missed)
    assert of(told, "failed") == [
        ("the timing is not met at 100 MHz (net_timing.rpt): give a lower clock after the part",)
    ]


def test_the_packaging_script_works_alone(tmp_path):
    files = vivado_scripts(compile_network(network(), (4, 4)), "net", "net")
    told = run_tcl(files["net_package.tcl"], tmp_path, COMMANDS, ("xc7a35tcpg236-1",), MET)
    assert told[0] == ("create_project", "-force", "package", "vivado/package", "-part", "xc7a35tcpg236-1")
    assert told[-1] == ("close_project",)


@pytest.mark.parametrize("bits", [16, 32])
def test_no_design_is_made_with_a_port_that_smartconnect_does_not_take(bits):
    limits = {"weight_depth": 8, "parameter_depth": 8}
    program = compile_network(network(), (4, 4), external=ExternalMemory(bits), limits=limits)
    scripts = vivado_scripts(program, "net", "net")
    assert ("net_design.tcl" in scripts) == (bits == 32)
    assert "net_package.tcl" in scripts
    if bits == 16:
        assert "no port to external memory of 16 bits; compile with --external axi32" in no_overlay(program)
    else:
        assert no_overlay(program) is None


@pytest.mark.parametrize("sizes", [((1 << 25, 16), (1, 8)), ((1, 8), (1 << 24, 24))], ids=["frame", "result"])
def test_no_design_is_made_for_transfers_that_axi_dma_cannot_count(monkeypatch, sizes):
    program = compile_network(network(), (4, 4))
    monkeypatch.setattr(Program, "frame_sizes", sizes)
    assert list(vivado_scripts(program, "net", "net")) == ["net_package.tcl"]
    assert "moves 67108863 bytes at a time, a frame or a result has 67108864; take" in no_overlay(program)
    monkeypatch.setattr(Program, "frame_sizes", tuple((max(1, count - 1), bits) for count, bits in sizes))
    assert no_overlay(program) is None
    assert "c_sg_length_width 26\n" in vivado_scripts(program, "net", "net")["net_design.tcl"]


@pytest.mark.parametrize(("bits", "size"), [(1, 1), (8, 1), (9, 2), (24, 4), (32, 4), (40, 8), (256, 32)])
def test_a_beat_takes_a_power_of_two_of_bytes(bits, size):
    assert dma_bytes(bits) == size
