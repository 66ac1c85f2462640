"""``hwquant report``, and the page that compiling and the demo leave."""

import json
import shutil

import numpy as np
import pytest

from hwquant.build import PAGE, RECORD, load_build


@pytest.fixture
def build(hwquant, network, tmp_path):
    assert hwquant("compile", network, "--array", "8x8", "-o", tmp_path / "build").status == 0
    return tmp_path / "build"


def record(build):
    return json.loads((build / RECORD).read_text())


def test_compiling_writes_the_page_and_notes_the_command_without_folders(build, tmp_path):
    assert (build / PAGE).read_text().startswith("<!DOCTYPE html>")
    assert record(build)["commands"]["compile"]["line"] == "hwquant compile net.hwq --array 8x8 -o build"
    for name in (PAGE, RECORD):
        assert str(tmp_path) not in (build / name).read_text()


def test_the_accuracy_is_measured_once_and_kept(hwquant, build, demo_folder, digits_samples):
    measured = hwquant(
        *("report", build, "-d", demo_folder / "digits.npz", "--model", demo_folder / "digits.onnx", "--json")
    ).json
    assert measured["report"] == str(build / PAGE)
    known = hwquant("evaluate", build / "net.hwq", "-d", demo_folder / "digits.npz", "--json").json
    real = hwquant("evaluate", demo_folder / "digits.onnx", "-d", demo_folder / "digits.npz", "--json").json
    assert measured["accuracy"] == {
        "integer": known["accuracy"],
        "float": real["accuracy"],
        "total": len(digits_samples),
    }
    line = "hwquant report build -d digits.npz --model digits.onnx"
    assert record(build)["commands"]["report"]["line"] == line
    text = (build / PAGE).read_text()
    assert hwquant("report", build).stdout == f"wrote {build / PAGE}\n"
    assert (build / PAGE).read_text() == text
    assert load_build(build).report.name == "digits"


def test_integers_alone_can_be_measured_on_some_samples(hwquant, build, demo_folder):
    outcome = hwquant("report", build, "-d", demo_folder / "digits.npz", "-n", 50)
    assert outcome.stdout.startswith("50 samples: accuracy ")
    accuracy = record(build)["accuracy"]
    assert (accuracy["samples"], accuracy["real"]) == (50, None)


def test_the_same_network_keeps_the_accuracy_and_another_forgets_it(hwquant, build, network, demo_folder):
    hwquant("report", build, "-d", demo_folder / "digits.npz")
    hwquant("compile", network, "--array", "8x8", "-o", build)
    assert record(build)["accuracy"]["samples"] == 360
    hwquant("compile", network, "--array", "4x4", "-o", build)
    assert record(build)["accuracy"] is None
    assert list(record(build)["commands"]) == ["compile"]


def test_the_same_command_gives_the_same_bytes(hwquant, build, network, tmp_path):
    (tmp_path / "again").mkdir()
    hwquant("compile", network, "--array=8x8", "-o", tmp_path / "again" / "build")
    shutil.copy(build / RECORD, tmp_path / "again" / "build" / RECORD)
    hwquant("report", tmp_path / "again" / "build")
    assert (tmp_path / "again" / "build" / PAGE).read_bytes() == (build / PAGE).read_bytes()


def test_what_cannot_be_measured_is_said_before_anything_is_written(hwquant, build, demo_folder, tmp_path):
    before = (build / PAGE).read_bytes()
    data, model = demo_folder / "digits.npz", demo_folder / "digits.onnx"
    hwquant("report", build, "--model", model).fails("the accuracy needs samples: give -d DATA.npz")
    hwquant("report", build, "-d", data, "--model", build / "net.hwq").fails("--model is for the float one")
    hwquant("report", build, "-d", data, "--output", "none").fails("has no output 'none'")
    np.savez(tmp_path / "unlabelled.npz", x=np.zeros((2, 64), np.float32).reshape(2, 1, 8, 8))
    hwquant("report", build, "-d", tmp_path / "unlabelled.npz").fails("has no labels y")
    hwquant("report", tmp_path / "none").fails("there is no build folder")
    assert (build / PAGE).read_bytes() == before
    (build / RECORD).write_text("{")
    hwquant("report", build).fails("record.json is damaged")


def test_the_page_of_a_board_is_refreshed(hwquant, build):
    assert "Built for none yet" in (build / PAGE).read_text()
    outcome = hwquant("build", build, "--board", "generic", "--clock", 50, "--json")
    assert outcome.json["page"] == str(build / PAGE)
    assert "<h3>generic</h3>" in (build / PAGE).read_text()
    line = "hwquant build build --board generic --clock 50"
    assert record(build)["commands"]["build generic"]["line"] == line


@pytest.mark.parametrize(
    ("name", "content"), [("boards/other/report.json", '{"clock_mhz": null}'), (RECORD, '{"commands": 3}')]
)
def test_what_is_damaged_is_said_before_a_board_is_built_or_anything_measured(
    hwquant, build, demo_folder, monkeypatch, name, content
):
    def work(*_arguments, **_options):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("hwquant.boards.implement.implement", work)
    monkeypatch.setattr("hwquant.cli.report.predict", work)
    (build / name).parent.mkdir(parents=True, exist_ok=True)
    (build / name).write_text(content)
    hwquant("build", build, "--board", "generic").fails(str(build / name))
    hwquant("report", build, "-d", demo_folder / "digits.npz").fails(str(build / name))


def test_a_board_whose_report_is_damaged_can_be_built_again(hwquant, build):
    assert hwquant("build", build, "--board", "generic", "--clock", 50).status == 0
    (build / "boards" / "generic" / "report.json").write_text('{"clock_mhz": null}')
    hwquant("report", build).fails("delete its folder, and build for this board again")
    hwquant("build", build, "--board", "generic", "--clock", 50).fails("delete its folder")
    shutil.rmtree(build / "boards" / "generic")
    assert hwquant("build", build, "--board", "generic", "--clock", 50).status == 0
    assert hwquant("report", build).status == 0
