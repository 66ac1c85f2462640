"""Commands that are killed: the old or the new is there, whole; the next command works, and nothing is left.

``HWQUANT_KILLS`` says how many moments of each command, ``HWQUANT_FUZZ_SEED`` which.
"""

import os
import shutil

import numpy as np
import pytest
from hwquant_testing import killing

from hwquant import hwq
from hwquant.build import BOARDS, FILES, MANIFEST, PAGE, RECORD, check_boards, check_build, load_build
from hwquant.page.boards import board_results

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
FEW, MANY = 2, int(os.environ.get("HWQUANT_KILLS", "100"))
SEED = int(os.environ.get("HWQUANT_FUZZ_SEED", "0"))
WHOLE = 5
"""After so many kills a command may end."""


@pytest.fixture
def place(tmp_path):
    """Where commands write; logs and data are elsewhere."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def training(demo_folder, tmp_path):
    """Options of both commands that train."""
    data = np.load(demo_folder / "digits.npz")
    np.savez(tmp_path / "train.npz", x=data["x"][:64], y=data["y"][:64])
    np.savez(tmp_path / "few.npz", x=data["x"][:16])
    return ["--train", tmp_path / "train.npz", "-c", tmp_path / "few.npz", "--batch-size", 16]


def attack(kills, commands, output, look, tmp_path):
    """Kill two commands in turn, which write different things to one place.

    ``look`` gives what is there, raises if it is not whole, and does not repair; ``output`` are the names in the
    place when a command has ended.
    """
    log, results, seconds = tmp_path / "log", [], 0.0
    for command in commands:
        seconds = killing.run(command, log)
        results.append(look())
    assert results[0] != results[1]
    before = results[1]
    killed = 0
    for count, share in enumerate(np.random.default_rng(SEED).uniform(0, 1.1, kills)):
        which, delay = (
            count % 2,
            share * seconds,
        )  # over the time that a command takes just now, and a bit more
        message = f"seed {SEED}, kill {count} after {delay:.3f} s"
        killed += killing.kill_after(delay, commands[which], log)
        found = look()
        assert found in (before, results[which]), message
        before = found
        if count % WHOLE == WHOLE - 1 or count == kills - 1:
            seconds = killing.run(commands[1 - which], log)
            before = look()
            assert before == results[1 - which], message
            assert sorted(os.listdir(output.parent)) == [output.name], message
    assert killed >= kills // 2


def kills(function):
    """A handful in every run, many in the night."""
    many = pytest.param(MANY, marks=pytest.mark.nightly, id="many")
    return pytest.mark.parametrize("number", [pytest.param(FEW, id="few"), many])(function)


@kills
def test_a_killed_quantize_leaves_the_old_network_or_the_new(number, demo_folder, place, tmp_path):
    data = np.load(demo_folder / "calibration.npz")
    np.savez(tmp_path / "few.npz", x=data["x"][:16])
    output = place / "net.hwq"
    common = ["quantize", demo_folder / "digits.onnx", "-c", tmp_path / "few.npz", "-o", output]

    def look():
        hwq.load(output)
        return output.read_bytes()

    attack(number, [[*common, "--bits", bits] for bits in (8, 4)], output, look, tmp_path)


@kills
def test_a_killed_compile_leaves_the_old_build_or_the_new(number, network, place, tmp_path):
    output = place / "build"

    def look():
        manifest = check_build(output)
        assert set(os.listdir(output)) >= {*FILES, MANIFEST}
        return manifest

    def whole():
        found = look()
        load_build(output)  # repairs
        assert {item.name for item in output.iterdir()} <= {*FILES, MANIFEST, PAGE, RECORD}
        assert os.listdir(place) == ["build"]
        return found

    commands = [["compile", network, "--array", array, "-o", output] for array in ("4x4", "8x8")]
    attack(number, commands, output, whole, tmp_path)


@pytest.mark.nightly
def test_a_killed_build_leaves_the_old_bitstream_or_the_new(digits_build, place, tmp_path):
    output = place / "build"
    shutil.copytree(digits_build.folder, output)

    def look():
        load_build(output)
        assert {item.name for item in output.iterdir()} <= {*FILES, MANIFEST, PAGE, RECORD, BOARDS}
        check_boards(output)
        results = board_results(output)
        assert os.listdir(output / BOARDS) == ["generic"]
        return results[0].report["sha256"]["top.v"]

    commands = [["build", output, "--board", "generic", "--clock", clock] for clock in (10, 50)]
    attack(MANY, commands, output, look, tmp_path)


@pytest.mark.nightly
def test_a_killed_progressive_leaves_the_old_network_or_the_new(demo_folder, training, place, tmp_path):
    output = place / "net.hwq"
    common = [
        "progressive",
        demo_folder / "digits.onnx",
        *training,
        "--epochs",
        1,
        "--rounds",
        2,
        "-o",
        output,
    ]

    def look():
        hwq.load(output)
        return output.read_bytes()

    attack(MANY, [[*common, "--bits", bits] for bits in (8, 4)], output, look, tmp_path)


@pytest.mark.nightly
def test_a_killed_prune_leaves_the_old_network_or_the_new(demo_folder, training, place, tmp_path):
    output = place / "net.hwq"
    common = ["prune", demo_folder / "digits.onnx", *training, "--epochs", 1, "--passes", 1, "-o", output]
    common += ["--array", "4x4", "--max-drop", 50, "--max-sensitivity", 90, "--sensitivity-samples", 16]

    def look():
        hwq.load(output)
        return output.read_bytes()

    attack(MANY, [[*common, "--step", step] for step in (0.2, 0.5)], output, look, tmp_path)
