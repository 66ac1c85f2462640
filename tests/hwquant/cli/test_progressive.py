"""``hwquant progressive``."""

import numpy as np
import pytest

from hwquant import golden, hwq
from hwquant.quantize import QuantizeOptions
from hwquant.quantize import quantize as quantize_network
from hwquant.training import ProgressiveOptions, Training, TrainOptions, progressive

MODULE = """
import torch

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(1, 8, 3)
        self.scores = torch.nn.Linear(8 * 36, 10)

    def forward(self, x):
        return self.scores(torch.relu(self.first(x / 16)).flatten(1))

def make():
    return Tiny()

def broken():
    raise OSError("no weights here")
"""


def load(path):
    with np.load(path) as file:
        return dict(file)


@pytest.fixture
def files(demo_folder, tmp_path):
    """train.npz and test.npz."""
    data = load(demo_folder / "digits.npz")
    np.savez(tmp_path / "train.npz", x=data["x"][:160], y=data["y"][:160])
    np.savez(tmp_path / "test.npz", x=data["x"][160:], y=data["y"][160:])
    return tmp_path


@pytest.fixture
def arguments(demo_folder, files):
    return (
        demo_folder / "digits.onnx",
        "--train",
        files / "train.npz",
        "-c",
        demo_folder / "calibration.npz",
        "-o",
        files / "net.hwq",
    )


QUICK = ("--epochs", 1, "--bits", 3, "--lr", 0.001)


def test_the_network_is_the_one_that_the_python_function_gives(
    hwquant, arguments, files, digits_graph, demo_folder
):
    options = (
        "--fraction",
        0.4,
        "--rounds",
        3,
        "--optimizer",
        "sgd",
        "--lr",
        0.01,
        "--loss",
        "mse",
        "--seed",
        3,
    )
    outcome = hwquant("progressive", *arguments, *QUICK, *options, "--batch-size", 32, "--per-channel")
    assert outcome.status == 0, outcome.stderr
    assert "best on 16 of the 160 training samples, which are not trained on: " in outcome.stdout
    train = load(files / "train.npz")
    expected = progressive(
        digits_graph,
        Training(
            (train["x"], train["y"].astype(np.int64)),
            TrainOptions(epochs=1.0, optimizer="sgd", lr=0.01, loss="mse", seed=3, batch_size=32),
        ),
        load(demo_folder / "calibration.npz")["x"],
        QuantizeOptions(bits=3, per_channel=True),
        ProgressiveOptions(fraction=0.4, rounds=3),
    )
    hwq.save(expected, files / "expected.hwq")
    assert (files / "net.hwq").read_bytes() == (files / "expected.hwq").read_bytes()
    assert not (files / "net.hwq.checkpoint").exists()


def test_json_reports_accuracies_and_stages(hwquant, arguments, files):
    result = hwquant("progressive", *arguments, *QUICK, "--test", files / "test.npz", "--json").json
    test = load(files / "test.npz")
    qgraph = hwq.load(files / "net.hwq")
    exact = float((golden.predict(qgraph, test["x"])[0].argmax(axis=1) == test["y"]).mean())
    assert result["network"] == str(files / "net.hwq")
    assert result["accuracy"] == {"float": pytest.approx(0.99, abs=0.02), "integer": exact}
    trained = result["guard"]["best"].startswith("trained")
    assert [item["kind"] for item in result["warnings"]] == ["training_hurts"] * (not trained)
    assert [stage["name"] for stage in result["stages"]][-2:] == ["round 1/2", "round 2/2"]
    assert [score["name"] for score in result["guard"]["scores"]][:3] == ["compensated", "direct", "trained"]
    assert result["stages"][-1]["frozen"] == 1


def test_after_ctrl_c_resuming_gives_the_same_network(hwquant, arguments, files, monkeypatch):
    assert hwquant("progressive", *arguments, *QUICK).status == 0
    expected = (files / "net.hwq").read_bytes()
    (files / "net.hwq").unlink()

    import hwquant.training.loop as loop

    real, calls = loop.loss_and_score, []

    def interrupted(result):
        calls.append(result)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(result)

    monkeypatch.setattr(loop, "loss_and_score", interrupted)
    outcome = hwquant("progressive", *arguments, *QUICK)
    assert outcome.status == 130
    assert "net.hwq.checkpoint has what was done; the same command with --resume goes on" in outcome.stderr
    assert not (files / "net.hwq").exists()
    monkeypatch.setattr(loop, "loss_and_score", real)
    hwquant("progressive", *arguments, "--resume", "--epochs", 2, "--bits", 3, "--lr", 0.001).fails(
        "another training"
    )
    assert hwquant("progressive", *arguments, *QUICK, "--resume").status == 0
    assert (files / "net.hwq").read_bytes() == expected


def test_a_module_of_the_user_is_exported(hwquant, arguments, files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "my_tiny_network.py").write_text(MODULE)
    for name in ("make", "Tiny"):
        outcome = hwquant(
            "progressive", f"my_tiny_network:{name}", *arguments[1:], "--epochs", 0.5, "--lr", 0.001, "--json"
        )
        assert outcome.status == 0, outcome.stderr
        assert outcome.json["name"] == "Tiny"
    for name in ("broken", "absent"):
        hwquant("progressive", f"my_tiny_network:{name}", *arguments[1:]).fails(
            f"cannot make the network 'my_tiny_network:{name}'"
        )
    hwquant("progressive", "no_such_module:make", *arguments[1:]).fails("No module named 'no_such_module'")


def test_bad_input_is_refused_in_one_line(hwquant, arguments, files):
    hwquant("progressive", *arguments, "--resume").fails("cannot resume from")
    hwquant("progressive", *arguments, "--loss", "hinge").fails("loss 'hinge' is not a sum")
    hwquant("progressive", *arguments, "--lr", -1).fails("lr must be a number of at least 0, not -1.0")
    hwquant("progressive", *arguments, "--subnetworks", 9).fails("subnetworks must be an integer from 1 to 3")
    np.savez(files / "unlabelled.npz", x=load(files / "train.npz")["x"])
    hwquant("progressive", arguments[0], "--train", files / "unlabelled.npz", *arguments[3:]).fails(
        "no labels y"
    )
    hwquant("progressive", *arguments[:5], "-o", files / "no" / "net.hwq").fails("does not exist")


def test_training_that_lost_is_not_written_and_told_of(hwquant, arguments, files, digits_graph, demo_folder):
    np.savez(files / "val.npz", **load(files / "test.npz"))
    absurd = ("--validation", files / "val.npz", "--epochs", 1, "--bits", 4, "--lr", 1)
    calibration = load(demo_folder / "calibration.npz")["x"]
    expected = quantize_network(digits_graph, calibration, bits=4, error_compensation=True)
    for more in ((), ("--all-at-once",)):
        outcome = hwquant("progressive", *arguments, *absurd, *more)
        assert outcome.status == 0, outcome.stderr
        assert "best on 200 validation samples: compensated (loss " in outcome.stdout
        assert "the network called 'compensated'" in outcome.stdout
        assert "training did not make the network better" in outcome.stderr
        written = hwq.load(files / "net.hwq")
        for mine, other in zip(written.nodes, expected.nodes, strict=True):
            for term, wanted in zip(getattr(mine, "terms", ()), getattr(other, "terms", ()), strict=True):
                assert np.array_equal(term.codes, wanted.codes)
    result = hwquant("progressive", *arguments, *absurd, "--literal", "--json").json
    assert (result["guard"]["best"], result["guard"]["returned"]) == ("compensated", "trained")
    assert [item["kind"] for item in result["warnings"]] == ["training_hurts"]
    hwquant("progressive", *arguments, "--literal", "--all-at-once").fails("leave out --all-at-once")
