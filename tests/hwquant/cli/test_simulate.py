"""``hwquant simulate``: equal or not, and how it says so."""

import dataclasses
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant import build as build_module
from hwquant.build import load_build, write_build
from hwquant.files import digest, sealed
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory
from hwquant.qgraph import Layer


@pytest.fixture
def data(demo_folder):
    return demo_folder / "digits.npz"


@pytest.fixture(scope="module")
def wrong_build(digits_qgraph, digits_program, tmp_path_factory):
    """A build whose network differs from its hardware in one bias of the second layer."""
    nodes = list(digits_qgraph.nodes)
    index = next(i for i, node in enumerate(nodes) if node.name == "relu2")
    assert isinstance(nodes[index], Layer)
    bias = nodes[index].bias.copy()
    bias[5] += 1 << int(nodes[index].shift.max())
    nodes[index] = dataclasses.replace(nodes[index], bias=bias)
    qgraph = dataclasses.replace(digits_qgraph, nodes=tuple(nodes))
    return write_build(qgraph, digits_program, tmp_path_factory.mktemp("wrong") / "build").folder


@pytest.mark.parametrize("simulator", ["verilator", "cxxrtl"])
def test_hardware_and_golden_model_agree_in_every_layer(hwquant, digits_build, data, simulator):
    arguments = ("simulate", digits_build.folder, "-d", data, "-n", 20, "--simulator", simulator)
    outcome = hwquant(*arguments, "--layers", "--json")
    assert outcome.status == 0, outcome.stderr
    result = outcome.json
    assert (result["samples"], result["mismatches"], result["first_mismatch"]) == (20, 0, None)
    assert result["samples_with_layers"] == 20
    assert result["cycles"] == digits_build.report.cycles


def test_people_read_of_mismatches_and_cycles(hwquant, digits_build, data):
    outcome = hwquant("simulate", digits_build.folder, "-d", data, "-n", 2, "--simulator", "cxxrtl")
    assert "2 samples, 0 mismatches: the outputs are those of the golden model" in outcome.stdout
    assert f"{digits_build.report.cycles:,} cycles an inference, as predicted" in outcome.stdout


def test_the_first_mismatch_is_named_and_the_status_is_1(hwquant, wrong_build, data):
    arguments = ("simulate", wrong_build, "-d", data, "-n", 3, "--simulator", "cxxrtl")
    outcome = hwquant(*arguments, "--layers", "--json")
    assert outcome.status == 1
    assert outcome.json["mismatches"] == 3
    first = outcome.json["first_mismatch"]
    assert {key: first[key] for key in ("sample", "layer", "channel")} == {
        "sample": 0,
        "layer": "pool",
        "channel": 5,
    }
    assert first["expected"] == first["got"] + 1
    outcome = hwquant(*arguments, "--layers")
    assert outcome.status == 1
    assert (
        f"first mismatch: sample 0, layer 'pool', y {first['y']}, x {first['x']}, channel 5: "
        in outcome.stdout
    )
    outcome = hwquant("simulate", wrong_build, "-d", data, "-n", 60, "--simulator", "cxxrtl")
    assert "--layers finds the first layer that differs" in outcome.stdout


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed")
def test_the_verilog_of_the_build_is_what_runs(hwquant, digits_build, data, tmp_path):
    """Not Verilog that is generated anew: a wrong weight in the file, with right checksums, shows."""
    build = write_build(digits_build.qgraph, digits_build.program, tmp_path / "build")
    arguments = ("simulate", build.folder, "-d", data, "-n", 1, "--simulator", "icarus", "--layers", "--json")
    assert hwquant(*arguments).status == 0
    bits = build.program.config.columns * build.program.config.slot_bits
    row = f"{bits}'h{build.program.weight_image[0]:0{bits // 4}x}"
    text = build.verilog.read_text()
    assert row in text
    build.verilog.write_text(
        text.replace(row, f"{bits}'h{build.program.weight_image[0] ^ 0x40:0{bits // 4}x}")
    )
    digests = {name: digest(build.folder / name) for name in build_module.FILES}
    manifest = {"format": build_module.FORMAT, "version": build_module.VERSION, "sha256": digests}
    (build.folder / build_module.MANIFEST).write_bytes(sealed(manifest))
    outcome = hwquant(*arguments)
    assert outcome.status == 1
    assert outcome.json["first_mismatch"]["layer"] == "relu1"


def test_waves_are_written_beside_the_build(hwquant, digits_qgraph, digits_program, data, tmp_path):
    build = write_build(digits_qgraph, digits_program, tmp_path / "build").folder
    result = hwquant(
        "simulate", build, "-d", data, "-n", 1, "--simulator", "amaranth", "--waves", "--json"
    ).json
    assert (result["samples"], result["mismatches"]) == (1, 0)
    assert result["waves"] == str(tmp_path / "build.vcd")
    assert (tmp_path / "build.vcd").stat().st_size > 10_000
    load_build(build)


def test_cxxrtl_writes_no_waves(hwquant, digits_build, data):
    hwquant("simulate", digits_build.folder, "-d", data, "--simulator", "cxxrtl", "--waves").fails(
        "writes no waves"
    )


@pytest.mark.parametrize(
    ("simulator", "message"),
    [
        ("verilator", "needs g++, which is not installed; Debian: apt install g++"),
        ("icarus", "needs iverilog, which is not installed; Debian: apt install iverilog"),
        ("cxxrtl", "g++"),
    ],
)
def test_a_simulator_that_is_not_installed_says_how_to_get_it(
    digits_build, data, tmp_path, simulator, message
):
    command = [sys.executable, "-m", "hwquant.cli", "simulate", digits_build.folder, "-d", data, "-n", "1"]
    empty = {**os.environ, "PATH": str(tmp_path), "HWQUANT_CACHE": str(tmp_path / "cache")}
    run = subprocess.run([*command, "--simulator", simulator], env=empty, capture_output=True, text=True)
    assert run.returncode == 2
    errors = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed")
def test_the_netlist_for_a_device_is_simulated(hwquant, tmp_path):
    pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")
    net = Net(x=(2, 4, 4))
    net.conv("x", 2, (3, 3))
    qgraph = net.build()
    build = write_build(qgraph, compile_network(qgraph, (2, 2)), tmp_path / "build").folder
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32))
    arguments = ("simulate", build, "-d", tmp_path / "data.npz", "--layers")
    result = hwquant(*arguments, "--simulator", "icarus", "--netlist", "gw1n-9", "--json").json
    assert (result["samples"], result["mismatches"], result["netlist"]) == (1, 0, "gw1nr-9")
    hwquant(*arguments, "--netlist", "gw1n-9", "--simulator", "cxxrtl").fails("cxxrtl reads no netlists")
    hwquant(*arguments, "--netlist", "xc7a35t").fails("no cell models for xc7a35t")
    hwquant(*arguments, "--netlist", "zx81").fails("there is no device 'zx81'")


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog (iverilog) is not installed")
def test_external_memory_is_simulated_beside_the_accelerator(hwquant, tmp_path):
    net = Net(x=(2, 6, 6))
    net.conv("x", 2, (3, 3), padding=(1, 1, 1, 1))
    qgraph, limits = net.build(), {"activation_depth": 64, "weight_depth": 20, "parameter_depth": 8}
    program = compile_network(qgraph, (2, 2), external=ExternalMemory(32), limits=limits)
    assert program.config.half_depth > 0
    build = write_build(qgraph, program, tmp_path / "build").folder
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).normal(size=(2, 2, 6, 6)).astype(np.float32))
    arguments = ("simulate", build, "-d", tmp_path / "data.npz", "--layers", "--simulator", "icarus")
    result = hwquant(*arguments, "--json").json
    assert (result["samples"], result["mismatches"], result["verilog_made_anew"]) == (2, 0, True)
    assert result["cycles"] == timing(program).cycles
    hwquant(*arguments, "--netlist", "gw1n-9").fails("has external memory, which netlists have not")


def test_inferences_of_a_batch_are_counted_as_such(hwquant, tmp_path):
    net = Net(x=(5, 1, 1))
    net.conv(net.conv("x", 4), 3)
    qgraph = net.build()
    write_build(qgraph, compile_network(qgraph, (2, 2), batch=3), tmp_path / "build")
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).standard_normal((4, 5, 1, 1)))
    command = [
        "simulate",
        tmp_path / "build",
        "-d",
        tmp_path / "data.npz",
        "--simulator",
        "amaranth",
        "--layers",
    ]
    assert "2 inferences of 3 samples each, 0 mismatches" in hwquant(*command).stdout
    result = hwquant(*command, "--json").json
    assert (result["samples"], result["batch"], result["mismatches"]) == (2, 3, 0)


def test_bad_builds_and_data_are_refused(hwquant, digits_build, data, tmp_path, demo_folder):
    hwquant("simulate", tmp_path / "none", "-d", data).fails("there is no build folder")
    hwquant("simulate", digits_build.folder, "-d", tmp_path / "none.npz").fails("none.npz")
    hwquant("simulate", digits_build.folder, "-d", demo_folder / "digits.onnx").fails("digits.onnx")
    hwquant("simulate", digits_build.folder, "-d", data, "-n", 10_000, "--json").fails("has 360 samples")
