"""``hwquant prune``."""

from dataclasses import replace

import numpy as np
import pytest

from hwquant import golden, hwq
from hwquant.frontends import load_model
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.pruning import pruned_share


@pytest.fixture
def arguments(demo_folder, tmp_path):
    """Two passes over the demo network."""
    data = np.load(demo_folder / "digits.npz")
    np.savez(tmp_path / "train.npz", x=data["x"][:200], y=data["y"][:200])
    np.savez(tmp_path / "validation.npz", x=data["x"][200:], y=data["y"][200:])
    files = [demo_folder / "digits.onnx", "--train", tmp_path / "train.npz"]
    files += ["--validation", tmp_path / "validation.npz", "-c", demo_folder / "calibration.npz"]
    options = ["-o", tmp_path / "net.hwq", "--array", "4x4", "--max-drop", 10, "--max-sensitivity", 60]
    training = ["--epochs", 2, "--lr", 0.003, "--batch-size", 16]
    return [*files, *options, *training, "--step", 0.5, "--passes", 2, "--final-epochs", 1]


def test_the_network_is_pruned_skipped_and_as_fast_as_reported(hwquant, arguments, tmp_path):
    result = hwquant("prune", *arguments, "--json").json
    qgraph = hwq.load(tmp_path / "net.hwq")
    program = compile_network(qgraph, (4, 4))
    assert result["cycles"]["pruned"] == timing(program).cycles < result["cycles"]["dense"]
    weights = [term.weight for node in qgraph.nodes for term in getattr(node, "terms", ())]
    zero = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.size for weight in weights)
    assert 0 < result["pruned"] <= zero
    tiles = [(layer.tiles, layer.tiles_skipped) for layer in program.layers]
    assert result["skipped"] == sum(b for _, b in tiles) / sum(a for a, _ in tiles) > 0
    assert [(layer["tiles"], layer["skipped"]) for layer in result["layers"]] == tiles
    x, y = (np.load(tmp_path / "validation.npz")[name] for name in "xy")
    before, after = result["accuracy"]["before"], result["accuracy"]["after"]
    assert after["integer"] == (golden.predict(qgraph, x)[0].argmax(axis=1) == y).mean()
    assert after["integer"] >= before["integer"] - 0.1
    last = [item["verdict"] for item in result["passes"] if item["met"]][-1]
    assert after == {"float": last["floating"], "integer": last["integer"]}
    assert [item["epochs"] for item in result["passes"]] == [2, 2, 1]
    assert result["epochs"] == 5
    assert set(result["sensitivity"]) == {"conv1", "conv2", "scores"}
    assert not (tmp_path / "net.hwq.checkpoint").exists()


def test_people_see_layers_and_what_was_gained(hwquant, arguments):
    outcome = hwquant("prune", *arguments)
    assert outcome.status == 0, outcome.stderr
    for text in (
        "weights pruned",
        "tiles skipped",
        "accuracy on 160 validation samples",
        "as integers",
        "conv2",
        "scores",
    ):
        assert text in outcome.stdout


def test_the_float_network_is_kept_and_can_be_quantized_again(hwquant, arguments, tmp_path, demo_folder):
    result = hwquant("prune", *arguments, "--float", tmp_path / "pruned.onnx", "--json").json
    assert result["float"] == str(tmp_path / "pruned.onnx")
    assert pruned_share(load_model(tmp_path / "pruned.onnx")) == result["pruned"] > 0
    calibration = ["-c", demo_folder / "calibration.npz"]
    outcome = hwquant("quantize", tmp_path / "pruned.onnx", *calibration, "-o", tmp_path / "again.hwq")
    assert outcome.status == 0, outcome.stderr
    first, again = (hwq.load(tmp_path / name) for name in ("net.hwq", "again.hwq"))
    q = golden.quantize_input(first, np.load(tmp_path / "validation.npz")["x"])
    assert all(
        np.array_equal(golden.run(again, q)[name], value) for name, value in golden.run(first, q).items()
    )


def test_files_of_the_wrong_kind_are_refused_before_any_work(hwquant, arguments, tmp_path):
    position = arguments.index("-o") + 1
    wrong = [*arguments[:position], tmp_path / "z.onnx", *arguments[position + 1 :]]
    hwquant("prune", *wrong).fails("--output writes a .hwq file; name it so, not 'z.onnx'")
    hwquant("prune", *arguments, "--float", tmp_path / "z.hwq").fails("--float writes a .onnx file")


def test_after_ctrl_c_resume_gives_the_same_file(hwquant, arguments, tmp_path, monkeypatch):
    from hwquant import training

    assert hwquant("prune", *arguments).status == 0
    expected = (tmp_path / "net.hwq").read_bytes()
    (tmp_path / "net.hwq").unlink()

    fit, calls = training.fit, []

    def interrupted(network, retraining, **named):
        def report(what, done, total, note):
            retraining.progress(what, done, total, note)
            calls.append(what)
            if len(calls) == 3:
                raise KeyboardInterrupt

        return fit(network, replace(retraining, progress=report), **named)

    monkeypatch.setattr(training, "fit", interrupted)
    assert hwquant("prune", *arguments).status == 130
    assert calls == ["pass 1", "pass 1", "pass 2"]
    assert not (tmp_path / "net.hwq").exists()
    monkeypatch.setattr(training, "fit", fit)
    assert (tmp_path / "net.hwq.checkpoint").exists()
    assert hwquant("prune", *arguments, "--resume").status == 0
    assert (tmp_path / "net.hwq").read_bytes() == expected


def test_without_validation_samples_a_tenth_of_the_training_samples_decides(hwquant, arguments):
    position = arguments.index("--validation")
    result = hwquant("prune", *arguments[:position], *arguments[position + 2 :], "--json").json
    assert result["samples"] == {"train": 180, "validation": 20, "calibration": 200}


def test_options_reach_pruning_and_quantization(hwquant, arguments, tmp_path):
    options = ["--filters", 1, "--group-size", 2, "--prune", "above", "--reorder", "--threshold-factor", 1.1]
    options += [
        "--order",
        "together",
        "--step",
        0.4,
        "--least-step",
        0.4,
        "--anchor",
        "max",
        "--scales",
        "multiplier",
    ]
    options += ["--bits", 5, "--per-channel", "--max-drop", 100, "--max-sensitivity", 100, "--passes", 1]
    options += ["--anchor", "max", "--rounding", "truncate", "--literal-range"]
    outcome = hwquant("prune", *arguments, *options, "--json")
    assert outcome.status == 0, outcome.stderr
    terms = [term for node in hwq.load(tmp_path / "net.hwq").nodes for term in getattr(node, "terms", ())]
    assert {term.bits for term in terms} == {5}
    assert {term.anchor for term in terms} == {"max"}
    chosen = hwq.load(tmp_path / "net.hwq").options["quantizer"]
    assert (chosen["rounding"], chosen["literal_range"]) == ("truncate", True)
    assert terms[0].scale.size == 8
    assert [sorted(item["layers"]) for item in outcome.json["passes"]] == [["conv1", "conv2", "scores"], []]


def test_bad_input_is_one_line(hwquant, arguments, tmp_path, demo_folder):
    hwquant("prune", *arguments, "--filters", "two").fails("'two' is neither a number nor C")
    hwquant("prune", *arguments, "--array", "8").fails("is not ROWSxCOLUMNS")
    hwquant("prune", *arguments, "--resume").fails("cannot resume from")
    hwquant("prune", *arguments, "--loss", "magic").fails("loss")
    hwquant("prune", *arguments[:2], demo_folder / "calibration.npz", *arguments[3:]).fails("has no labels y")
    hwquant("prune", *arguments, "--max-sensitivity", 0, "--step", 1, "--least-step", 1).fails(
        "too sensitive"
    )
    hwquant("prune", "none.onnx", *arguments[1:]).fails("none.onnx")
    assert not (tmp_path / "net.hwq").exists()
