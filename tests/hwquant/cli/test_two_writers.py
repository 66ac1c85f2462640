"""Two commands that want one place at once: one says that the other is there, or they come one after the other.

``HWQUANT_PAIRS`` says how many pairs, ``HWQUANT_FUZZ_SEED`` how far apart they begin.
"""

import os
import shutil
import time

import numpy as np
import pytest
from hwquant_testing import killing

from hwquant import hwq
from hwquant.build import BOARDS, FILES, MANIFEST, PAGE, RECORD, load_build
from hwquant.page import load_record
from hwquant.page.boards import board_results

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
FEW, MANY = 1, int(os.environ.get("HWQUANT_PAIRS", "50"))
SEED = int(os.environ.get("HWQUANT_FUZZ_SEED", "0"))
BUSY = ("another hwquant is writing to", "another hwquant has replaced")


def pairs(function):
    """A few in every run, many in the night."""
    many = pytest.param(MANY, marks=pytest.mark.nightly, id="many")
    return pytest.mark.parametrize("number", [pytest.param(FEW, id="few"), many])(function)


def race(number, commands, tmp_path, look):
    """Run two commands at once, many times; ``look`` raises if what is there is not whole, or not of those that ended
    well, whose numbers it is given."""
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    seconds = killing.run(commands[0], logs[0])
    rng = np.random.default_rng(SEED)
    for count in range(number):
        children = [killing.start(commands[0], logs[0])]
        time.sleep(rng.uniform(0, 0.3 * seconds))
        children.append(killing.start(commands[1], logs[1]))
        statuses = [killing.finish(child) for child in children]
        message = f"seed {SEED}, pair {count}: {statuses}, {[log.read_text()[-500:] for log in logs]}"
        assert set(statuses) <= {0, 2}, message
        assert 0 in statuses, message
        for status, log in zip(statuses, logs):
            assert status == 0 or any(text in log.read_text() for text in BUSY), message
        look([index for index, status in enumerate(statuses) if status == 0], message)


@pairs
def test_two_compile_into_one_folder(number, network, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    arrays = ("4x4", "8x8")

    def look(ended, message):
        build = load_build(place / "build")
        found = f"{build.program.config.rows}x{build.program.config.columns}"
        assert found in [arrays[index] for index in ended], message
        assert found in load_record(build.folder).commands["compile"].line, message
        assert set(os.listdir(build.folder)) == {*FILES, MANIFEST, PAGE, RECORD}, message
        assert os.listdir(place) == ["build"], message

    commands = [["compile", network, "--array", array, "-o", place / "build"] for array in arrays]
    race(number, commands, tmp_path, look)


@pytest.mark.nightly
@pytest.mark.parametrize("boards", [("generic", "generic"), ("generic", "other")], ids="-".join)
def test_two_build_for_boards(boards, digits_build, tmp_path):
    folder = tmp_path / "build"
    shutil.copytree(digits_build.folder, folder)
    (tmp_path / "other.toml").write_text('title = "Other"\ndevice = "generic"\n')
    commands = [
        [
            "build",
            folder,
            "--board",
            board if board == "generic" else tmp_path / f"{board}.toml",
            "--clock",
            clock,
        ]
        for board, clock in zip(boards, (10, 50))
    ]

    def look(ended, message):
        load_build(folder)
        names = {boards[0], *(boards[index] for index in ended)}
        assert {item.report["board"] for item in board_results(folder)} >= names, message
        assert set(os.listdir(folder / BOARDS)) == {"generic"} | names, message
        assert load_record(folder).commands.keys() >= {f"build {name}" for name in names}, message
        page = (folder / PAGE).read_text()
        assert all(f"<h3>{name}</h3>" in page for name in names), message
        if len(set(boards)) > 1:
            assert ended == [0, 1], message

    race(MANY, commands, tmp_path, look)


@pairs
def test_two_quantize_into_one_file(number, demo_folder, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    data = np.load(demo_folder / "calibration.npz")
    np.savez(tmp_path / "few.npz", x=data["x"][:16])
    common = ["quantize", demo_folder / "digits.onnx", "-c", tmp_path / "few.npz", "-o", place / "net.hwq"]

    def look(ended, message):
        assert ended == [0, 1], message
        hwq.load(place / "net.hwq")
        assert os.listdir(place) == ["net.hwq"], message

    race(number, [[*common, "--bits", bits] for bits in (8, 4)], tmp_path, look)
