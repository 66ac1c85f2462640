"""Outputs are checked before any work is done."""

import os
import shutil

import pytest


@pytest.fixture
def model(demo_folder):
    return demo_folder / "digits.onnx"


def test_each_output_has_the_suffix_of_what_is_written(hwquant, model, network, tmp_path):
    x = tmp_path / "x"
    cases = [
        (["quantize", model, "-c", x, "-o", tmp_path / "net.onnx"], "--output writes a .hwq file"),
        (["prune", model, "--train", x, "-c", x, "-o", tmp_path / "x.onnx"], "--output writes a .hwq file"),
        (["progressive", model, "--train", x, "-c", x, "-o", tmp_path / "x"], "--output writes a .hwq file"),
        (["search", model, "-c", x, "-d", x, "-o", tmp_path / "x.json"], "--output writes a .hwq file"),
        (
            ["search", model, "-c", x, "-d", x, "-o", tmp_path / "x.hwq", "--front", tmp_path / "f.csv"],
            "--front writes a .json file",
        ),
        (
            ["search", model, "-c", x, "-d", x, "-o", tmp_path / "x.hwq", "--plot", tmp_path / "f.svg"],
            "--plot writes a .png file",
        ),
        (["export", network, "-o", tmp_path / "net.hwq"], "--output writes a .onnx file"),
        (["truncate", model, "-c", x, "-o", tmp_path / "n.onnx"], "--output writes a .hwq file"),
        (["truncate", model, "-c", x, "-o", tmp_path / "n.hwq", "--to", "float16"], "writes a .onnx file"),
    ]
    for arguments, message in cases:
        hwquant(*arguments, "--json").fails(message, kind="invalid")
    assert list(tmp_path.iterdir()) == []


def test_no_output_is_an_input_or_another_output(hwquant, network, model, tmp_path):
    before = network.read_bytes()
    link = tmp_path / "link.onnx"
    link.symlink_to(network)
    hwquant("export", network, "-o", link).fails("would replace")
    data = tmp_path / "x.npz"
    given = ["prune", model, "--train", data, "-c", data, "-o", tmp_path / "n.hwq", "--checkpoint"]
    hwquant(*given, data).fails("--checkpoint would replace")
    hwquant(*given, tmp_path / "n.hwq").fails("--output and --checkpoint both write")
    assert network.read_bytes() == before


@pytest.mark.parametrize("inside", [".", "boards", "boards/mine"])
def test_nothing_else_is_written_into_a_build(hwquant, network, model, digits_build, tmp_path, inside):
    """It would not be one afterwards: a file that does not belong to it, or is not what its checksum says."""
    build = shutil.copytree(digits_build.folder, tmp_path / "build")
    (build / "boards" / "mine").mkdir(parents=True)
    (tmp_path / "link").symlink_to(build)
    place = tmp_path / "link" / inside
    before = sorted(build.rglob("*"))
    x = tmp_path / "x"
    for arguments in (
        ["quantize", model, "-c", x, "-o", place / "net.hwq"],
        ["export", network, "-o", place / "net.onnx"],
        ["compile", network, "--array", "2x2", "-o", place / "other"],
        ["search", model, "-c", x, "-d", x, "-o", tmp_path / "x.hwq", "--front", place / "report.json"],
    ):
        hwquant(*arguments).fails("is in the build")
    assert sorted(build.rglob("*")) == before


def test_what_cannot_be_written_is_refused_before_the_inputs_are_read(hwquant, tmp_path, monkeypatch):
    given = ["quantize", "none.onnx", "-c", "none.npz", "-o"]
    hwquant(*given, tmp_path / "no" / "n.hwq").fails("does not exist")
    hwquant(*given, tmp_path / f"{'n' * 251}.hwq").fails("its name has more than 246 bytes")
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != str(tmp_path))
    hwquant(*given, tmp_path / "n.hwq").fails(f"cannot write into {tmp_path}: it is not writable")
    (tmp_path / "build").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: mode == os.R_OK or path != tmp_path / "build")
    (tmp_path / "n.hwq").touch()
    compiling = ["compile", tmp_path / "n.hwq", "--array", "4x4", "-o", tmp_path / "build"]
    hwquant(*compiling).fails(f"the folder {tmp_path / 'build'} is not writable")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["quantize", "m", "-c", "c", "-o", "n.hwq", "--percentile", "99"],
            "--percentile is for --calibration",
        ),
        (
            ["search", "m", "-c", "c", "-d", "d", "-o", "n.hwq", "--exhaustive", "--seed", "3"],
            "--seed means nothing",
        ),
        (
            ["search", "m", "-c", "c", "-d", "d", "-o", "n.hwq", "--jobs", "3", "--scheduler", "tcp://x"],
            "--jobs means",
        ),
        (
            [
                "search",
                "m",
                "-c",
                "c",
                "-d",
                "d",
                "-o",
                "n.hwq",
                "--limit",
                "cycles=9",
                "--drop-from",
                "int8",
            ],
            "--drop-from means nothing without --max-drop",
        ),
        (["truncate", "m", "-c", "c", "-o", "n.hwq", "--int8-ends"], "--int8-ends is for binary weights"),
        (["truncate", "m", "-c", "c", "-o", "n.hwq", "--epochs", "2"], "--epochs is for fine-tuning"),
    ],
)
def test_options_that_would_do_nothing_are_named(hwquant, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    hwquant(*arguments).fails(message)
