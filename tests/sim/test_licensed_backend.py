"""Simulators under licence: called as their runners call them, and refused by name where they are not there.

Icarus stands in for them, behind programs of their names that take their options.
"""

import sys

import pytest

from hwquant.errors import HwquantError, MissingPackage
from hwquant.sim import LICENSED, SIMULATORS, simulate
from hwquant.sim.check import verify
from hwquant.sim.registry import VHDL_SIMULATORS, find_simulator

STAND_IN = """
import os, subprocess, sys
import cocotb_tools.config

def build(sources, prefix, out):
    given = [f"-Ptestbench.{item.removeprefix(prefix)}" for item in sys.argv if item.startswith(prefix)]
    subprocess.run(["iverilog", "-g2005", "-s", "testbench", *given, "-o", out, *sources], check=True)

def simulate(image):
    os.execvp("vvp", ["vvp", "-m", cocotb_tools.config.lib_entry("vpi", "icarus"), image])
"""
HEAD = f"#!{sys.executable}\nimport os, pathlib, sys\nimport stand_in\n"
PROGRAMS = {
    "vcs": {
        "vcs": """
out = sys.argv[sys.argv.index("-o") + 1]
stand_in.build([item for item in sys.argv if item.endswith(".v")], "-pvalue+testbench.", out + ".vvp")
head = f"#!{sys.executable}\\nimport sys\\nsys.path.append({os.path.dirname(__file__)!r})\\nimport stand_in\\n"
pathlib.Path(out).write_text(head + f"stand_in.simulate({out + '.vvp'!r})\\n")
os.chmod(out, 0o755)
""",
    },
    "questa": {
        "vlib": "os.mkdir('library')\n",
        "vlog": "os.symlink(sys.argv[-1], 'library/' + os.path.basename(sys.argv[-1]))\n",
        "vsim": """
assert any(item.endswith(".testbench") for item in sys.argv), sys.argv
stand_in.build([f"library/{name}" for name in os.listdir("library")], "-g", "image.vvp")
stand_in.simulate("image.vvp")
""",
    },
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Put programs of such a name into the path."""

    def install(name):
        (tmp_path / "stand_in.py").write_text(STAND_IN)
        for program, body in PROGRAMS[name].items():
            path = tmp_path / program
            path.write_text(HEAD + body)
            path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return install


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_testbench_of_record_runs_in_it(case, installed, name):
    it = case("4x4 edge")
    installed(name)
    found = verify(it.program, it.qgraph, it.q[:1], simulator=name, watch=1)
    assert found.first is None
    assert found.watched == 1


@pytest.mark.parametrize("name", LICENSED)
def test_one_that_is_not_installed_is_named(case, monkeypatch, tmp_path, name):
    it = case("4x4 edge")
    monkeypatch.setenv("PATH", str(tmp_path))
    message = f"simulation in {name} needs {LICENSED[name].programs[0]}, which is not installed"
    with pytest.raises(MissingPackage, match=message):
        simulate(it.program, it.frames, simulator=name)


@pytest.mark.parametrize("name", VHDL_SIMULATORS)
def test_one_that_reads_vhdl_alone_is_refused(name):
    with pytest.raises(HwquantError, match=f"{name} reads VHDL alone, and the design is Verilog"):
        find_simulator(name)


def test_every_simulator_of_cocotb_is_known():
    from cocotb_tools.runner import SUPPORTED_RUNNERS

    assert set(SUPPORTED_RUNNERS) <= {*SIMULATORS, *LICENSED, *VHDL_SIMULATORS}
