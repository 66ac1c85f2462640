"""The emitted Verilog has no lint but what rtl_templates/ip/lint.vlt names and explains."""

import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards.tools import yosys
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.random_networks import Features, random_qgraph
from hwquant.rtl_templates.axi import AxiAccelerator
from hwquant.rtl_templates.board import SerialAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.ip_core import BUSES, IP, core_files
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.rtl_templates.wishbone import WishboneAccelerator
from hwquant.sim.verilator_backend import folder

WAIVERS = IP / "lint.vlt"


def lint(text: str, path: Path) -> set[str]:
    """Names of the warnings that Verilator has about a Verilog text."""
    (path / "hwquant.v").write_text(text)
    command = ["verilator", "--lint-only", "-Wall", "--top-module", "hwquant", str(WAIVERS), "hwquant.v"]
    environment = {**os.environ, "PATH": f"{folder()}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True)
    warnings = set(re.findall(r"^%Warning-(\w+)", done.stderr, re.MULTILINE))
    assert bool(done.returncode) == bool(warnings), done.stderr
    return warnings


def verilog(seed: int, array: tuple[int, int], offset: str, features: Features) -> str:
    qgraph = random_qgraph(np.random.default_rng(seed), features)
    return to_verilog(accelerator(compile_network(qgraph, array, offset=offset)))


SINGLE = Features(per_channel=False)
NARROW = Features(weight_bits=(2, 2), activation_bits=(2, 2))
CONNECTED = Features(weight_bits=(1, 2), per_channel=False, size=(1, 1), channels=(30, 40), residual=False)
"""Weights of which several rows share a word and are loaded in a cycle."""


@pytest.mark.parametrize(
    ("seed", "array", "offset", "features"),
    [
        (0, (4, 4), "edge", SINGLE),
        (1, (8, 8), "sum", SINGLE),
        (2, (4, 8), "edge", Features()),
        (3, (8, 4), "sum", Features(multiplier=True)),
        (4, (3, 5), "edge", Features(multiplier=True)),
        (5, (2, 2), "sum", NARROW),
        (6, (7, 2), "edge", NARROW),
        (7, (16, 3), "edge", CONNECTED),
        (8, (9, 4), "sum", CONNECTED),
    ],
)
def test_the_verilog_is_clean(tmp_path, seed, array, offset, features):
    assert lint(verilog(seed, array, offset, features), tmp_path) == set()


@pytest.mark.parametrize(
    "top", [partial(SerialAccelerator, divisor=104), AxiAccelerator, WishboneAccelerator]
)
@pytest.mark.parametrize(
    ("array", "features"), [((2, 2), NARROW), ((5, 5), SINGLE)], ids=["words of 4 bits", "words of 40 bits"]
)
def test_the_verilog_of_what_surrounds_the_accelerator_is_clean(tmp_path, top, array, features):
    program = compile_network(random_qgraph(np.random.default_rng(5), features), array, offset="sum")
    assert lint(to_verilog(top(accelerator(program))), tmp_path) == set()


def test_the_verilog_of_packers_is_clean(tmp_path):
    """Of inputs with one plane and several, with lines and without, of one beat a pixel and three."""
    net = Net(x=(3, 9, 8), z=(1, 10, 20))
    outputs = net.conv("x", 5, (3, 3), stride=(2, 2), padding=(1, 1, 1, 1)), net.conv("z", 3, (1, 1))
    program = compile_network(net.build(*outputs), (8, 4))
    assert [item.planes(8) for item in program.config.raw_inputs] == [4, 1]
    assert lint(to_verilog(SerialAccelerator(accelerator(program), 104)), tmp_path) == set()


@pytest.mark.parametrize(("array", "groups"), [((5, 5), 7), ((2, 4, 4), 1)], ids=["taps", "arrays"])
def test_the_verilog_of_taps_and_of_several_arrays_is_clean(tmp_path, array, groups):
    net = Net(x=(7, 6, 9))
    net.conv(net.conv("x", 7, (3, 3), groups=groups, padding=(1, 1, 1, 1)), 9)
    assert lint(to_verilog(accelerator(compile_network(net.build(), array))), tmp_path) == set()


@pytest.mark.parametrize(
    ("array", "bits", "activations"), [((4, 4), 32, 110), ((4, 4), 16, 200), ((4, 4), 128, 200)]
)
def test_the_verilog_of_external_memory_is_clean(tmp_path, array, bits, activations):
    """Of words in one beat and in several, with halves of the activation memory and without."""
    qgraph = random_qgraph(np.random.default_rng(2), Features(layers=(1, 2)))
    limits = {"weight_depth": 24, "parameter_depth": 16, "activation_depth": activations}
    program = compile_network(qgraph, array, external=ExternalMemory(bits), limits=limits)
    assert bool(program.config.half_depth) == (activations == 110)
    assert lint(to_verilog(AxiAccelerator(accelerator(program))), tmp_path) == set()


@pytest.mark.parametrize("bits", [7, 14, 30])
def test_the_verilog_is_clean_however_large_external_memory_is(tmp_path, bits):
    halves = {"activation_depth": 96, "half_depth": 64, "parameter_depth": 32}
    config = ArrayConfig(3, 3, external_bits=32, external_address_bits=bits, **halves)
    assert lint(to_verilog(AxiAccelerator(Accelerator(config, program=[1]))), tmp_path) == set()


@pytest.mark.parametrize("bits", [16, 128])
def test_the_verilog_that_fetches_a_program_is_clean(tmp_path, bits):
    halves = {"parameter_depth": 32, "program_depth": 64, "program_half": 32}
    config = ArrayConfig(3, 3, external_bits=bits, external_address_bits=14, **halves)
    assert lint(to_verilog(AxiAccelerator(Accelerator(config))), tmp_path) == set()


@pytest.fixture(scope="module", params=[0, 32], ids=["inside", "outside"])
def programs(request):
    qgraph = random_qgraph(np.random.default_rng(2), Features(layers=(1, 2)))
    limits = {"weight_depth": 24, "parameter_depth": 16} if request.param else {}
    external = ExternalMemory(request.param) if request.param else None
    return compile_network(qgraph, (4, 4), external=external, limits=limits)


@pytest.fixture(params=BUSES)
def core(programs, request, tmp_path):
    """Folder with the files of a core of each bus."""
    if programs.config.external_bits and request.param == "wishbone":
        pytest.skip("Wishbone has no port to external memory")
    for name, text in core_files(programs, request.param, "hwquant").items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_core_is_clean_in_verilator_with_the_waivers_beside_it(core):
    assert (core / "lint.vlt").read_text() == WAIVERS.read_text()
    assert lint((core / "hwquant.v").read_text(), core) == set()


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_a_core_is_clean_in_icarus(core):
    command = ["iverilog", "-g2005", "-Wall", "-s", "hwquant", "-o", "/dev/null", "hwquant.v"]
    done = subprocess.run(command, cwd=core, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_core_is_clean_in_yosys(core):
    pytest.importorskip("pyosys")
    yosys(
        ["read_verilog hwquant.v", "hierarchy -check -top hwquant", "proc", "opt_clean", "check -assert"],
        core,
        "hwquant",
    )
    assert "Warning" not in (core / "hwquant.log").read_text()


def test_a_core_is_clean_in_slang(core):
    driver = pytest.importorskip("pyslang.driver").Driver()
    driver.addStandardArgs()
    assert driver.parseCommandLine(f"slang -Wextra -Werror --top hwquant {core / 'hwquant.v'}")
    assert driver.processOptions()
    assert driver.parseAllSources()
    driver.reportCompilation(driver.createCompilation(), False)
    assert driver.reportDiagnostics(True)


@pytest.fixture(scope="module")
def clean():
    return verilog(0, (2, 2), "edge", SINGLE)


@pytest.mark.parametrize(
    ("fault", "warning"),
    [
        ("wire [3:0] floating; wire [3:0] copy; assign copy = floating;", "UNDRIVEN"),
        ("wire [3:0] narrow; assign narrow = bus__write_data;", "WIDTHTRUNC"),
        ("wire [3:0] narrow; assign narrow = bus__write_data + bus__write_data;", "WIDTHTRUNC"),
        ("wire [63:0] wide; assign wide = bus__write_data;", "WIDTHEXPAND"),
        ("assign monitor__valid = bus__write;", "MULTIDRIVEN"),
        ("always @(negedge clk) swap <= 0;", "MULTIDRIVEN"),
        ("hwquant__writer another (.clk(clk));", "PINMISSING"),
        ("reg latch; always @* if (clk) latch = bus__write;", "LATCH"),
        ("reg late; always @(posedge clk) late = bus__write;", "BLKSEQ"),
    ],
)
def test_the_waivers_leave_real_faults_visible(clean, tmp_path, fault, warning):
    top = re.search(r"^module hwquant\(.*?^endmodule\n", clean, re.DOTALL | re.MULTILINE)[0]
    faulty = clean.replace(top, top.replace("endmodule", f"  {fault}\nendmodule"))
    assert warning in lint(faulty, tmp_path)


def test_every_waiver_is_explained():
    lines = WAIVERS.read_text().splitlines()
    groups = "\n".join(lines[1:]).split("\n\n")
    waivers = [group.splitlines() for group in groups if "lint_off" in group]
    assert len(waivers) <= 8
    for group in waivers:
        assert group[0].startswith("// ")
