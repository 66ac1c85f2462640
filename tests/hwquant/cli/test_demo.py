"""``hwquant demo``: the main job, and the network that ships."""

import os
import subprocess
import sys

import numpy as np
import pytest

from hwquant.build import load_build


def test_the_demo_runs_the_whole_path(hwquant, tmp_path):
    output = tmp_path / "demo"
    outcome = hwquant("demo", "--output", output, "--json")
    assert outcome.status == 0, outcome.stderr
    result = outcome.json
    assert result["total"] == 360
    assert result["accuracy"]["float"] >= 0.97
    assert result["accuracy"]["integer"] >= result["accuracy"]["float"] - 0.01
    simulation = result["simulation"]
    assert simulation["simulator"] == "verilator"
    assert simulation["samples"] == simulation["samples_with_layers"] >= 20
    assert simulation["mismatches"] == 0
    assert simulation["cycles"] == result["cycles"]
    assert load_build(output / "build").report.cycles == result["cycles"]
    assert result["verilog"] == str(output / "build" / "hwquant.v")
    # What it leaves is enough to go on with, and a second run replaces it.
    assert hwquant("evaluate", output / "net.hwq", "-d", output / "digits.npz", "--json").json["total"] == 360
    text = hwquant("demo", "--output", output).stdout
    for word in (
        "accuracy 98.89% in float",
        "24 samples, 0 mismatches",
        "utilization",
        "memory bits",
        "Verilog: ",
    ):
        assert word in text


def test_a_folder_with_something_else_is_left_alone(hwquant, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    hwquant("demo", "--output", tmp_path).fails("holds 'thesis.tex'; choose another folder with --output")
    assert os.listdir(tmp_path) == ["thesis.tex"]
    hwquant("demo", "--output", tmp_path / "a" / "b").fails("cannot make the folder")
    hwquant("demo", "--output", tmp_path / "thesis.tex").fails("cannot make the folder")


def test_the_demo_names_a_compiler_that_is_missing(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path / "nothing")}
    command = [sys.executable, "-m", "hwquant.cli", "demo", "--output", tmp_path / "demo"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 2
    assert (
        "error: simulation in Verilator needs g++, which is not installed; Debian: apt install g++"
        in run.stderr
    )


def test_the_shipped_network_has_the_shape_that_its_readme_says(digits_graph, digits_samples, demo_folder):
    assert digits_graph.inputs[0].shape == (1, 8, 8)
    assert digits_graph.shapes["conv1"] == (8, 8, 8)
    assert digits_graph.shapes["conv2"] == (16, 8, 8)
    assert digits_graph.shapes["pool"] == (16, 4, 4)
    assert digits_samples.x.shape == (360, 1, 8, 8)
    text = (demo_folder / "README.md").read_text()
    from hwquant import floating

    correct = int(
        (floating.predict(digits_graph, digits_samples.x)[0].argmax(axis=1) == digits_samples.y).sum()
    )
    assert f"{correct} of the 360 test images" in text


def test_test_and_calibration_images_come_from_scikit_learn_and_do_not_overlap(demo_folder):
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    known = {image.astype(np.uint8).tobytes(): label for image, label in zip(digits.images, digits.target)}
    with np.load(demo_folder / "digits.npz") as test, np.load(demo_folder / "calibration.npz") as calibration:
        for image, label in zip(test["x"], test["y"]):
            assert known[image.tobytes()] == label
        used = {image.tobytes() for image in calibration["x"]}
        assert used <= set(known)
        assert not used & {image.tobytes() for image in test["x"]}


@pytest.mark.nightly
def test_training_again_gives_the_shipped_files(demo_folder, tmp_path):
    """Byte for byte with the packages that the README names, and in behaviour with any."""
    for package in ("torch", "onnx", "onnxscript", "sklearn"):
        pytest.importorskip(package)
    import shutil
    from importlib.metadata import version

    text = (demo_folder / "README.md").read_text()
    names = {"torch": "(CPU)", "onnx": "", "onnxscript": "", "scikit-learn": "", "numpy": ""}
    if any(f"{name} {version(name).split('+')[0]}" not in text.replace("\n", " ") for name in names):
        pytest.skip("other versions than the ones in hwquant/demo/README.md")
    shutil.copy(demo_folder / "train.py", tmp_path)
    subprocess.run([sys.executable, tmp_path / "train.py"], check=True, capture_output=True)
    for name in ("digits.onnx", "digits.npz", "calibration.npz"):
        assert (tmp_path / name).read_bytes() == (demo_folder / name).read_bytes()
