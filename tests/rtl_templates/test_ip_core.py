"""Cores: their Verilog has the ports of the bus, and the FuseSoC file names what is there."""

import re

import pytest
from hwquant_testing.small_networks import Net

from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.rtl_templates.ip_core import BUSES, core_files

yaml = pytest.importorskip("yaml")

PORTS = {
    "axi": {"aclk", "aresetn", "s_axi_awaddr", "s_axi_rdata", "s_axis_tdata", "m_axis_tlast"},
    "wishbone": {"clk", "rst", "cyc", "stb", "we", "adr", "dat_w", "dat_r", "ack", "err"},
    "stream": {"clk", "rst", "frames__valid", "frames__payload", "results__ready", "bus__address"},
}


@pytest.fixture(scope="module")
def program():
    net = Net(x=(2, 2, 2))
    net.conv("x", 2)
    return compile_network(net.build(), (2, 3))


@pytest.mark.parametrize("bus", BUSES)
def test_a_core_is_complete(program, bus):
    files = core_files(program, bus)
    top = f"hwquant_{bus}"
    assert list(files) == [f"{top}.v", f"{top}.core"]
    verilog, text = files.values()
    header = re.search(rf"^module {top}\((.*?)\);", verilog, re.MULTILINE | re.DOTALL)[1]
    assert set(header.replace(",", " ").split()) >= PORTS[bus]
    assert text.startswith("CAPI=2:\n")
    core = yaml.safe_load(text.removeprefix("CAPI=2:\n"))
    assert re.fullmatch(rf"hwquant:accelerators:small_{bus}:\d+\.\d+\.\d+", core["name"])
    assert f"2x3 array, program {program.checksum:#010x}" in core["description"]
    assert core["filesets"]["rtl"] == {"files": [f"{top}.v"], "file_type": "verilogSource-2005"}
    for target in core["targets"].values():
        assert target["toplevel"] == top
        assert target["filesets"] == ["rtl"]


def test_the_same_program_gives_the_same_files(program):
    assert core_files(program, "axi") == core_files(program, "axi")


def test_an_unknown_bus_is_an_error(program):
    with pytest.raises(HwquantError, match="no bus 'pci'; choose one of axi, wishbone, stream"):
        core_files(program, "pci")
