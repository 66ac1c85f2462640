"""Cores with AXI ports in Icarus, with cocotbext-axi around them."""

import json

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from hwquant.sim.cocotb_build import environment


def build(verilog, top, folder):
    """Compile the simulation of a core in a folder, which is returned."""
    source = folder / f"{top}.v"
    source.write_text(verilog)
    with environment({}):
        get_runner("icarus").build(
            sources=[source],
            hdl_toplevel=top,
            build_args=["-g2005"],
            build_dir=folder,
            timescale=("1ns", "1ps"),
            log_file=folder / "build.log",
        )
    return folder


def play(built, top, folder, module, scenario, settings):
    """Run a scenario of a module of this package in Icarus; it finds its settings in HWQUANT_AXI."""
    log, xml = folder / "simulation.log", folder / "results.xml"
    with environment({}):
        get_runner("icarus").test(
            test_module=f"hwquant_testing.{module}",
            testcase=scenario,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=built,
            test_dir=folder,
            results_xml=str(xml),
            extra_env={"HWQUANT_AXI": json.dumps(settings)},
            log_file=log,
        )
    assert get_results(xml) == (1, 0), log.read_text()[-3000:]
