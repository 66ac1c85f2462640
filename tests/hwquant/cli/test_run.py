"""``hwquant run``: a build on a simulated board, by the driver that real boards have."""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from hwquant_testing.small_networks import board_network

from hwquant.board_report import write_board_report
from hwquant.build import write_build
from hwquant.cli.run import built_baud
from hwquant.errors import HwquantError
from hwquant.golden import predict
from hwquant.link.transport import BAUD, USB_PRODUCT, USB_VENDOR
from hwquant.program.compiler import compile_network
from hwquant.sim import BOARD_SIMULATORS

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def network():
    return board_network()


@pytest.fixture(scope="module")
def build(network, tmp_path_factory):
    program = compile_network(network, (2, 2))
    return write_build(network, program, tmp_path_factory.mktemp("board") / "build")


@pytest.fixture(scope="module")
def data(network, tmp_path_factory):
    """Labels that are right but for two."""
    path = tmp_path_factory.mktemp("data") / "data.npz"
    x = np.random.default_rng(0).uniform(-128, 127, (12, 2, 4, 4)).astype(np.float32)
    y = predict(network, x)[0].reshape(12, -1).argmax(axis=1)
    y[[3, 5]] = (y[[3, 5]] + 1) % 8
    np.savez(path, x=x, y=y)
    return path


@needs_compiler
@pytest.mark.parametrize("simulator", BOARD_SIMULATORS)
def test_a_simulated_board_computes_what_the_golden_model_computes(hwquant, build, data, simulator):
    result = hwquant(
        "run", build.folder, "--port", "sim", "--simulator", simulator, "-d", data, "--json"
    ).json
    assert (result["samples"], result["mismatches"], result["first_mismatch"]) == (12, 0, None)
    assert result["accuracy"] == 10 / 12
    assert result["cycles"] == build.report.cycles
    assert result["requests"] >= 24
    assert result["retries"] >= result["timeouts"]
    assert result["frames_per_second"] > 0


@needs_compiler
def test_people_read_of_mismatches_and_the_accuracy_of_a_run(hwquant, build, data):
    text = hwquant("run", build.folder, "--port", "sim", "-d", data, "-n", 4).stdout
    assert "4 samples on sim: " in text
    assert "0 mismatches: the outputs are those of the golden model" in text
    assert "accuracy 75.00%" in text


@needs_compiler
def test_a_difference_is_found_unless_nobody_asks(hwquant, network, build, data, tmp_path):
    """A build whose network has one bias more than its hardware."""
    layer = network.nodes[0]
    bias = layer.bias + (np.arange(len(layer.bias)) == 1) * (1 << int(layer.shift.max()) + 3)
    other = dataclasses.replace(network, nodes=(dataclasses.replace(layer, bias=bias), *network.nodes[1:]))
    folder = write_build(other, build.program, tmp_path / "build").folder
    outcome = hwquant("run", folder, "--port", "sim", "-d", data, "--json")
    assert outcome.status == 1
    assert outcome.json["mismatches"] > 0
    assert 0 <= outcome.json["first_mismatch"] < 12
    outcome = hwquant("run", folder, "--port", "sim", "-d", data)
    assert "samples differ from the golden model, the first is " in outcome.stdout
    outcome = hwquant("run", folder, "--port", "sim", "-d", data, "--no-check", "--json")
    assert (outcome.status, outcome.json["mismatches"]) == (0, None)


def test_a_simulator_that_has_no_board_is_refused(hwquant, build, data):
    hwquant("run", build.folder, "--port", "sim", "--simulator", "icarus", "-d", data).fails("--simulator")
    hwquant("run", build.folder, "--port", "sim", "--simulator", "spice", "-d", data).fails("--simulator")


@pytest.mark.parametrize(
    ("simulator", "how"), [("cxxrtl", "install it"), ("verilator", "Debian: apt install g++")]
)
def test_a_simulator_without_a_compiler_says_how_to_get_it(build, data, tmp_path, simulator, how):
    command = [sys.executable, "-m", "hwquant.cli", "run", build.folder, "--port", "sim", "-d", data]
    empty = {**os.environ, "PATH": str(tmp_path), "HWQUANT_CACHE": str(tmp_path / "cache")}
    run = subprocess.run([*command, "--simulator", simulator], env=empty, capture_output=True, text=True)
    assert run.returncode == 2
    assert re.search(f"^error: .* needs g\\+\\+.*{re.escape(how)}", run.stderr, re.MULTILINE)
    assert "Traceback" not in run.stderr


def test_a_port_that_does_not_exist_is_an_error(hwquant, build, data):
    hwquant("run", build.folder, "--port", "/dev/ttyNONE", "-d", data, "--json").fails(
        "there is no port /dev/ttyNONE; connect the board, or use --port sim"
    )


@pytest.mark.parametrize("port", ["comfoo", "COM", "COM1x"])
def test_a_name_that_only_begins_as_a_port_of_windows_is_none(hwquant, build, data, port):
    hwquant("run", build.folder, "--port", port, "-d", data).fails(f"there is no port {port}; connect")


def test_a_port_of_windows_is_tried(hwquant, build, data):
    hwquant("run", build.folder, "--port", "com987", "--baud", 9600, "-d", data).fails(
        "cannot open the port com987"
    )


def test_an_option_that_would_be_ignored_is_refused(hwquant, build, data):
    hwquant("run", build.folder, "--port", "sim", "--baud", 9600, "-d", data).fails(
        "--baud means nothing with --port sim; leave it out"
    )
    hwquant("run", build.folder, "--port", "COM1", "--simulator", "cxxrtl", "-d", data).fails(
        "--simulator means nothing with --port COM1; leave it out"
    )


def test_a_file_in_place_of_a_port_is_an_error(hwquant, build, data):
    hwquant("run", build.folder, "--port", data, "--baud", 9600, "-d", data).fails(
        f"cannot open the port {data}"
    )


def test_a_rate_of_zero_is_refused(hwquant, build, data):
    hwquant("run", build.folder, "--port", "sim", "-d", data, "--baud", 0).fails("--baud")


def test_the_rate_is_that_of_the_boards_that_were_built(tmp_path):
    with pytest.raises(HwquantError, match=r"no board was built in .*; say with --baud which rate"):
        built_baud(tmp_path)
    for name, rate in (("one", 115_200), ("other", 115_200), ("third", 2_000_000)):
        if name == "third":
            assert built_baud(tmp_path) == 115_200
        (tmp_path / "boards" / name).mkdir(parents=True)
        write_board_report(tmp_path / "boards" / name, {"baud": rate})
    with pytest.raises(
        HwquantError, match=r"one 115200, other 115200, third 2000000\); say which with --baud"
    ):
        built_baud(tmp_path)
    write_board_report(tmp_path / "boards" / "one", {})
    with pytest.raises(HwquantError, match="does not say the baud rate; build for this board again"):
        built_baud(tmp_path)


def test_a_board_at_a_usb_cable_has_no_rate_and_is_found_by_its_numbers(
    hwquant, build, data, tmp_path, monkeypatch
):
    from serial.tools import list_ports
    from serial.tools.list_ports_common import ListPortInfo

    (tmp_path / "boards" / "one").mkdir(parents=True)
    write_board_report(tmp_path / "boards" / "one", {"link": "usb", "baud": 0})
    assert built_baud(tmp_path) == BAUD
    (tmp_path / "boards" / "other").mkdir()
    write_board_report(tmp_path / "boards" / "other", {"link": "uart", "baud": 115_200})
    assert built_baud(tmp_path) == 115_200
    ports = [ListPortInfo(f"/dev/nowhere{number}") for number in range(3)]
    for port, numbers in zip(ports, [(0x0403, 0x6010), (USB_VENDOR, USB_PRODUCT), (USB_VENDOR, USB_PRODUCT)]):
        port.vid, port.pid = numbers
    command = ("run", build.folder, "--port", "usb", "-d", data)
    for count, message in (
        (1, "no USB device has the numbers 1209:0001 of a board; connect the USB port"),
        (2, "cannot open the port /dev/nowhere1"),
        (3, "several boards are connected (/dev/nowhere1, /dev/nowhere2); say with --port which"),
    ):
        monkeypatch.setattr(list_ports, "comports", lambda count=count: ports[:count])
        hwquant(*command).fails(message)
    hwquant(*command, "--baud", 9600).fails("--baud means nothing with --port usb; leave it out")


def test_a_board_on_a_network_that_does_not_answer_is_an_error(hwquant, build, data, monkeypatch):
    from hwquant.link import session

    monkeypatch.setattr(session.Session.__init__, "__defaults__", (0.01, 3, 5, 20.0, time.monotonic))
    command = ("run", build.folder, "-d", data, "--port")
    hwquant(*command, "udp://127.0.0.1:9").fails("no answer from the board on udp://127.0.0.1:9 to OPEN")
    hwquant(*command, "udp://no.such.name.invalid").fails(
        "there is no way to udp://no.such.name.invalid:5005"
    )
    hwquant(*command, "udp://127.0.0.1", "--baud", 9600).fails(
        "--baud means nothing with --port udp://127.0.0.1"
    )
    hwquant(*command, "udp://").fails("there is no port udp://; connect the board")


def test_a_port_where_nobody_answers_is_an_error(hwquant, build, data, monkeypatch):
    from hwquant.link import session

    monkeypatch.setattr(session.Session.__init__, "__defaults__", (0.01, 3, 5, 20.0, time.monotonic))
    master, slave = os.openpty()
    try:
        hwquant("run", build.folder, "--port", os.ttyname(slave), "--baud", 9600, "-d", data).fails(
            "no answer from the board on "
        )
    finally:
        os.close(master)
        os.close(slave)
