"""Cores: their Verilog has the ports of the bus, and the FuseSoC file names what is there."""

import json
import re
import shutil
import subprocess

import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards.tools import yosys
from hwquant.driver.description import core_description
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory
from hwquant.rtl_templates.ip_core import ALONG, BUSES, DRIVERS, IP, core_files

yaml = pytest.importorskip("yaml")
pytest.importorskip("pyosys")

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
    top = f"hwquant_{bus}_{program.checksum:08x}"
    stem = f"hwquant_{bus}"
    own = [f"{stem}_network.h"] if DRIVERS[bus] else []
    own += [f"{stem}_package.tcl", f"{stem}_design.tcl"] if bus == "axi" else []
    assert list(files) == [f"{stem}.v", *ALONG, *DRIVERS[bus], *own, f"{stem}.core"]
    verilog, text = files[f"{stem}.v"], files[f"{stem}.core"]
    header = re.search(rf"^module {top}\((.*?)^\);", verilog, re.MULTILINE | re.DOTALL)[1]
    ports = re.findall(r"^  (\w+),?  // (?:in|out), \d+ bits?: \S.*$", header, re.MULTILINE)
    assert len(ports) == len(header.strip().splitlines())
    assert set(ports) >= PORTS[bus]
    assert text.startswith("CAPI=2:\n")
    core = yaml.safe_load(text.removeprefix("CAPI=2:\n"))
    assert re.fullmatch(rf"hwquant:accelerators:small_{bus}:\d+\.\d+\.\d+", core["name"])
    assert f"2x3 array, program {program.checksum:#010x}" in core["description"]
    assert core["filesets"]["rtl"] == {"files": [f"{stem}.v"], "file_type": "verilogSource-2005"}
    for target in core["targets"].values():
        assert target["toplevel"] == top
        assert target["filesets"][-1] == "rtl"


def test_the_same_program_gives_the_same_files(program):
    assert core_files(program, "axi") == core_files(program, "axi")


def test_modules_of_two_cores_in_one_design_have_different_names(program, tmp_path):
    """Names differ even where one core is named as a module of the other might be.

    The cores are of different networks; Yosys and Icarus elaborate both under one top.
    """
    net = Net(seed=1, x=(3, 3, 3))
    net.conv("x", 3, (2, 2), shift=5)
    other = compile_network(net.build(), (3, 2))
    defined = set()
    for name, network in (("left", program), ("left_pe", other)):
        files = core_files(network, "axi", name)
        modules = re.findall(r"^module (\S+?)\(", files[f"{name}.v"], re.MULTILINE)
        assert len(modules) > 10
        assert all(module == name or module.startswith(f"{name}__") for module in modules)
        assert yaml.safe_load(files[f"{name}.core"].removeprefix("CAPI=2:\n"))["name"].split(":")[2] == name
        assert defined.isdisjoint(modules)
        defined.update(modules)
        (tmp_path / f"{name}.v").write_text(files[f"{name}.v"])
    (tmp_path / "both.v").write_text(
        "module both(input wire aclk, input wire aresetn);\n"
        "left l(.aclk(aclk), .aresetn(aresetn));\nleft_pe r(.aclk(aclk), .aresetn(aresetn));\nendmodule\n"
    )
    sources = [str(tmp_path / name) for name in ("left.v", "left_pe.v", "both.v")]
    yosys(
        ["read_verilog left.v left_pe.v both.v", "hierarchy -check -top both", "proc", "stat"],
        tmp_path,
        "both",
    )
    if shutil.which("iverilog"):
        subprocess.run(["iverilog", "-g2005", "-s", "both", "-o", "/dev/null", *sources], check=True)


def test_the_default_name_is_of_the_bus_and_the_program(program):
    name = f"hwquant_axi_{program.checksum:08x}"
    plain, named = core_files(program, "axi"), core_files(program, "axi", name)
    assert plain["hwquant_axi.v"] == named[f"{name}.v"]
    assert core_files(program, "axi", "mine")["mine.v"] == plain["hwquant_axi.v"].replace(name, "mine")


@pytest.mark.parametrize("name", ["on", "No", "yes", "y", "e1"])
def test_a_name_that_is_a_value_of_yaml_stays_a_text(program, name):
    text = core_files(program, "stream", name)[f"{name}.core"]
    core = yaml.safe_load(text.removeprefix("CAPI=2:\n"))
    assert core["targets"]["default"]["toplevel"] == core["targets"]["lint"]["toplevel"] == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "1st", "a b", "a-b", "a;b", "a\n", "_a", "\u00e4", "x" * 64, "module", "logic"),
        *("a__b", "a_", "a\n\n"),
    ],
)
def test_what_cannot_name_a_module_is_refused(program, name):
    with pytest.raises(HwquantError, match="cannot name a Verilog module"):
        core_files(program, "axi", name)


@pytest.mark.parametrize("bus", ["axi", "wishbone"])
def test_a_core_without_external_memory_needs_none(program, bus):
    assert "    0u, /* memory_bytes */\n" in core_files(program, bus, "net")["net_network.h"]


def test_headers_of_cores_whose_names_differ_in_case_alone_go_into_one_program(program):
    headers = [core_files(program, "axi", name)[f"{name}_network.h"] for name in ("net", "Net", "NET")]
    guards = [re.search(r"#ifndef (\w+)", header)[1] for header in headers]
    assert len(set(guards)) == 3


def test_software_reserves_what_the_core_loads_and_stores():
    """Bands of the activations lie behind the image of the file."""
    net = Net(x=(2, 16, 16))
    net.conv(net.conv("x", 3, (3, 3)), 6)
    network = net.build()
    limits = {"activation_depth": 128, "weight_depth": 8, "parameter_depth": 8}
    program = compile_network(network, (4, 4), external=ExternalMemory(32), limits=limits)
    header = core_files(program, "axi", "net")["net_network.h"]
    size = int(re.search(r"(\d+)u, /\* memory_bytes \*/", header)[1])
    assert size == json.loads(core_description(network, program, 4, 4))["memory_bytes"]
    assert size == 4 << program.config.external_address_bits
    assert program.config.half_depth
    assert size > program.external_image.nbytes


def test_an_unknown_bus_is_an_error(program):
    with pytest.raises(HwquantError, match="no bus 'pci'; choose one of axi, wishbone, stream"):
        core_files(program, "pci")


CPP = """\
#include "hwquant.h"
#include "hwquant_dma.h"
#include "one_network.h"
#include "two_network.h"

uint32_t hwquant_read(uintptr_t) { return 0; }
void hwquant_write(uintptr_t, uint32_t) {}
void hwquant_flush(const uint8_t *, size_t) {}
void hwquant_invalidate(uint8_t *, size_t) {}
void hwquant_barrier(void) {}
int main() {
    const hwquant_network network = {};
    const hwquant core = {0, &network, 1};
    const hwquant_dma behind = {0, 0, &network, 1};
    return !(SIZES && two_network.memory_bytes == 0 &&
             hwquant_infer(&core, nullptr, nullptr) == HWQUANT_OK &&
             hwquant_dma_infer(&behind, nullptr, nullptr) == HWQUANT_TIMEOUT);
}
"""


def test_a_program_in_cpp_links_both_drivers_and_two_cores(program, tmp_path):
    (beats, _), (words, _) = program.frame_sizes
    sizes = f"one_network.beats == {beats} && one_network.words == {words}"
    (tmp_path / "main.cpp").write_text(CPP.replace("SIZES", sizes))
    for bus, name in (("wishbone", "one"), ("axi", "two")):
        (tmp_path / f"{name}_network.h").write_text(core_files(program, bus, name)[f"{name}_network.h"])
    hooks = [f"-DHWQUANT_{hook}" for hook in ("BUS", "CACHE", "BARRIER")]
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-DNDEBUG", *hooks, f"-I{IP}"]
    drivers = [str(IP / name) for name in ("hwquant.c", "hwquant_dma.c")]
    subprocess.run(["gcc", "-std=c99", *strict, "-c", *drivers], cwd=tmp_path, check=True)
    objects = ["hwquant.o", "hwquant_dma.o"]
    subprocess.run(
        ["g++", "-std=c++11", *strict, "main.cpp", *objects, "-o", "program"], cwd=tmp_path, check=True
    )
    subprocess.run([tmp_path / "program"], check=True)
