"""``hwquant truncate``."""

import json

import numpy as np
import pytest

from hwquant import hwq
from hwquant.truncation import truncate


@pytest.fixture
def arguments(demo_folder):
    return (demo_folder / "digits.onnx", "-c", demo_folder / "calibration.npz")


@pytest.fixture
def training(demo_folder, tmp_path):
    with np.load(demo_folder / "digits.npz") as file:
        np.savez(tmp_path / "train.npz", x=file["x"][:100], y=file["y"][:100])
    return ("--train", tmp_path / "train.npz", "--epochs", 1, "--batch-size", 50)


def test_int8_writes_the_network_of_the_python_function_and_its_report(
    hwquant, arguments, demo_folder, digits_graph, digits_samples, tmp_path
):
    outputs = (
        "-o",
        tmp_path / "net.hwq",
        "--report",
        tmp_path / "report.json",
        "--plot",
        tmp_path / "parity.png",
    )
    outcome = hwquant("truncate", *arguments, "-d", demo_folder / "digits.npz", *outputs)
    assert outcome.status == 0, outcome.stderr
    with np.load(demo_folder / "calibration.npz") as file:
        expected = truncate(digits_graph, file["x"], "int8", test=digits_samples)
    hwq.save(expected.qgraph, tmp_path / "expected.hwq")
    assert (tmp_path / "net.hwq").read_bytes() == (tmp_path / "expected.hwq").read_bytes()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["accuracy"] == expected.parity.accuracy
    assert report["layers"] == json.loads(json.dumps(expected.parity.to_json()))["layers"]
    assert (tmp_path / "parity.png").read_bytes().startswith(b"\x89PNG")
    for word in ("matrix product", "max pooling", "SQNR dB", "parity.png"):
        assert word in outcome.stdout


def test_missed_limits_are_named_and_exit_with_1_and_everything_is_written(
    hwquant, arguments, demo_folder, tmp_path
):
    command = ("truncate", *arguments, "-d", demo_folder / "digits.npz", "--to", "binary", "--max-drop", 1)
    written = ("-o", tmp_path / "net.hwq", "--report", tmp_path / "report.json")
    outcome = hwquant(*command, "--min-sqnr", 25, *written)
    assert outcome.status == 1
    assert "parity missed: the network loses" in outcome.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["limits"] == {"max_drop": 1.0, "min_sqnr": 25.0}
    below = [row["name"] for row in report["operators"] if (row["error"]["sqnr_db"] or 99) < 25]
    assert [item["name"] for item in report["missed"] if item["what"] == "operator"] == below != []
    for name in below:
        assert f"parity missed: operator '{name}' alone has" in outcome.stdout
    assert [item["what"] for item in report["missed"]][-2:] == ["output", "accuracy"]
    assert report["missed"][-1]["value"] == pytest.approx(
        100 * (report["float_accuracy"] - report["accuracy"])
    )
    assert hwq.load(tmp_path / "net.hwq").name
    result = hwquant(*command, *written, "--json")
    assert result.status == 1
    assert [item["what"] for item in result.json["missed"]] == ["accuracy"]


def test_limits_that_are_kept_exit_with_0(hwquant, arguments, demo_folder, tmp_path):
    limits = ("--max-drop", 1, "--min-sqnr", 20)
    outcome = hwquant(
        "truncate", *arguments, "-d", demo_folder / "digits.npz", *limits, "-o", tmp_path / "net.hwq"
    )
    assert outcome.status == 0, outcome.stdout
    assert "parity kept" in outcome.stdout


def test_the_network_compiles_and_simulates_without_a_difference(hwquant, arguments, demo_folder, tmp_path):
    assert hwquant("truncate", *arguments, "--to", "binary", "-o", tmp_path / "net.hwq").status == 0
    assert hwquant("compile", tmp_path / "net.hwq", "--array", "4x4", "-o", tmp_path / "build").status == 0
    data = ("-d", demo_folder / "digits.npz", "-n", 5, "--simulator", "cxxrtl", "--layers")
    result = hwquant("simulate", tmp_path / "build", *data, "--json").json
    assert (result["samples"], result["mismatches"]) == (5, 0)


def test_float16_is_a_model_that_evaluates(hwquant, arguments, demo_folder, tmp_path):
    result = hwquant("truncate", *arguments, "--to", "float16", "-o", tmp_path / "half.onnx", "--json").json
    assert result["to"] == "float16"
    assert result["accuracy"] is None
    evaluated = hwquant("evaluate", tmp_path / "half.onnx", "-d", demo_folder / "digits.npz", "--json").json
    assert evaluated["accuracy"] > 0.98


def test_fine_tuning_leaves_no_checkpoint_when_it_ends(hwquant, arguments, training, tmp_path):
    outcome = hwquant(
        "truncate", *arguments, "--to", "binary", "--int8-ends", *training, "-o", tmp_path / "net.hwq"
    )
    assert outcome.status == 0, outcome.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.hwq", "train.npz"]
    options = hwq.load(tmp_path / "net.hwq").options
    assert options["finetuned"]["training"]["batch_size"] == 50
    guard = options["finetuned"]["guard"]
    assert guard["samples"] == "10 of the 100 training samples, which are not trained on"
    assert {"compensated", "direct", "trained"} <= {score["name"] for score in guard["scores"]}
    assert f"best on {guard['samples']}: {guard['best']}" in outcome.stdout


def test_an_interrupted_fine_tuning_goes_on_to_the_same_network(
    hwquant, arguments, training, tmp_path, monkeypatch
):
    from hwquant.training import loop

    command = ("truncate", *arguments, "--to", "binary", *training[:2], "--epochs", 2, "-o")
    assert hwquant(*command, tmp_path / "whole.hwq").status == 0
    original, calls = loop.loss_and_score, []

    def interrupt(result):
        calls.append(result)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(result)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "loss_and_score", interrupt)
        outcome = hwquant(*command, tmp_path / "net.hwq")
    assert outcome.status == 130
    assert "--resume goes on" in outcome.stderr
    assert not (tmp_path / "net.hwq").exists()
    assert hwquant(*command, tmp_path / "net.hwq", "--resume").status == 0
    assert (tmp_path / "net.hwq").read_bytes() == (tmp_path / "whole.hwq").read_bytes()
    assert not (tmp_path / "net.hwq.checkpoint").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "net.onnx"), "--output writes a .hwq file"),
        (("--to", "float16", "-o", "net.hwq"), "--output writes a .onnx file"),
        (("-o", "net.hwq", "--epochs", 3), "--epochs is for fine-tuning: give --train"),
        (("-o", "net.hwq", "--batch-size", 3), "--batch-size is for fine-tuning"),
        (("-o", "net.hwq", "--resume"), "--resume is for fine-tuning"),
        (("-o", "net.hwq", "--checkpoint", "file"), "--checkpoint is for fine-tuning"),
        (("-o", "none/net.hwq"), "does not exist"),
        (("-o", "net.hwq", "--plot", "none/parity.png"), "does not exist"),
        (("-o", "net.hwq", "--int8-ends"), "--int8-ends is for binary"),
        (("-o", "net.hwq", "--binary", "unipolar"), "--binary is for binary weights"),
        (("-o", "net.hwq", "--max-drop", 1), "--max-drop needs labels y, which"),
        (("-o", "net.hwq", "--min-sqnr", -1), "--min-sqnr"),
        (("-o", "net.hwq", "-d", "none.npz"), "none.npz"),
        (("--to", "int4", "-o", "net.hwq"), "int4"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    hwquant, arguments, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    hwquant("truncate", *arguments, *options).fails(message)
    assert list(tmp_path.iterdir()) == []


def test_training_data_need_labels(hwquant, arguments, demo_folder, tmp_path):
    with np.load(demo_folder / "digits.npz") as file:
        np.savez(tmp_path / "train.npz", x=file["x"])
    command = ("truncate", *arguments, "-o", tmp_path / "net.hwq", "--train", tmp_path / "train.npz")
    hwquant(*command).fails("has no labels y; training and accuracy need them")
