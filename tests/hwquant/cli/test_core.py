"""``hwquant core``: files for a system of one's own."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant.build import load_build, write_build
from hwquant.driver.description import core_description
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory
from hwquant.rtl_templates import ip_core
from hwquant.sim.core_bench import core_bench


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    net = Net(x=(2, 2, 2))
    net.conv("x", 2)
    network = net.build()
    return write_build(network, compile_network(network, (2, 2)), tmp_path_factory.mktemp("core") / "build")


def test_the_help_has_every_bus(hwquant):
    assert f"--bus [{'|'.join(ip_core.BUSES)}]" in hwquant("core", "--help").stdout


@pytest.mark.parametrize("bus", ["axi", "wishbone"])
def test_the_files_of_a_core_are_written(hwquant, build, tmp_path, bus):
    result = hwquant("core", build.folder, "--bus", bus, "-o", tmp_path / "core", "--json").json
    expected = ip_core.core_files(build.program, bus)
    expected |= core_bench(build.qgraph, build.program, bus, result["name"], f"hwquant_{bus}")
    if bus == "axi":
        expected["hwquant_axi_network.json"] = core_description(build.qgraph, build.program, 2, 2)
    assert result["files"] == [str(tmp_path / "core" / name) for name in expected]
    assert result["checksum"] == build.program.checksum
    assert {path.name: path.read_text() for path in (tmp_path / "core").iterdir()} == expected


def test_a_core_has_the_name_that_was_asked_for(hwquant, build, tmp_path):
    result = hwquant("core", build.folder, "--name", "mine", "-o", tmp_path / "core", "--json").json
    assert result["name"] == "mine"
    assert {"mine.core", "mine.v", "mine_tb.v"} <= {path.name for path in (tmp_path / "core").iterdir()}
    assert "module mine(" in (tmp_path / "core" / "mine.v").read_text()
    outcome = hwquant("core", build.folder, "--name", "../mine", "-o", tmp_path / "none")
    outcome.fails("cannot name a Verilog module")


def test_people_read_which_files_of_a_core_were_written(hwquant, build, tmp_path):
    text = hwquant("core", build.folder, "-o", tmp_path).stdout
    assert text.splitlines()[0] == f"wrote {tmp_path}/hwquant_axi.v"
    assert sorted(text.splitlines()) == sorted(f"wrote {path}" for path in tmp_path.iterdir())


def test_a_design_that_vivado_would_refuse_is_left_out_and_that_is_said(hwquant, tmp_path):
    net = Net(x=(2, 2, 2))
    net.conv("x", 2)
    network = net.build()
    limits = {"weight_depth": 8, "parameter_depth": 8}
    program = compile_network(network, (2, 2), external=ExternalMemory(16), limits=limits)
    build = write_build(network, program, tmp_path / "build")
    outcome = hwquant("core", build.folder, "--name", "net", "-o", tmp_path / "core", "--json")
    (warning,) = outcome.json["warnings"]
    assert (warning["kind"], warning["where"]) == ("no_overlay", "net_design.tcl")
    assert "warning: net_design.tcl is left out: SmartConnect takes no port" in outcome.stderr
    assert "net_package.tcl" in {path.name for path in (tmp_path / "core").iterdir()}
    assert not (tmp_path / "core" / "net_design.tcl").exists()


@pytest.mark.parametrize("inside", ["", "core", "boards/core", "boards/../core"])
def test_the_build_folder_stays_a_build(hwquant, build, inside):
    before = sorted(build.folder.rglob("*"))
    hwquant("core", build.folder, "-o", build.folder / inside).fails("is in the build")
    assert sorted(build.folder.rglob("*")) == before
    load_build(build.folder)


def test_a_link_into_the_build_is_in_the_build(hwquant, build, tmp_path):
    (tmp_path / "link").symlink_to(build.folder)
    hwquant("core", build.folder, "-o", tmp_path / "link" / "core").fails("is in the build")


def test_a_folder_that_cannot_be_made_is_an_error(hwquant, build, tmp_path):
    (tmp_path / "file").write_text("")
    hwquant("core", build.folder, "-o", tmp_path / "file").fails("cannot make the folder")
    hwquant("core", build.folder, "-o", tmp_path / "none" / "core", "--json").fails("cannot make the folder")
