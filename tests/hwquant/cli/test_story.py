"""From the float network to the build: each command takes what the one before wrote, and the last tells the story."""

import numpy as np
import pytest

from hwquant import hwq
from hwquant.export import save_float
from hwquant.frontends import load_model
from hwquant.history import Step, history


def load(path):
    with np.load(path) as file:
        return dict(file)


@pytest.fixture
def folder(demo_folder, tmp_path):
    """A network with its samples, some to train with and some to judge with."""
    data = load(demo_folder / "digits.npz")
    np.savez(tmp_path / "train.npz", x=data["x"][:120], y=data["y"][:120])
    np.savez(tmp_path / "test.npz", x=data["x"][120:200], y=data["y"][120:200])
    (tmp_path / "options.toml").write_text(
        """
        [prune]
        passes = 2
        epochs = 1.0
        max-drop = 100
        max-sensitivity = 100
        threshold-factor = { scores = 0.5, "*" = 1.0 }
        sensitivity-samples = 40

        [search]
        bits = [3, 4]
        trials = 8
        max-drop = 100
        jobs = 1

        [progressive]
        epochs = 1.0
        lr = 0.0005
        rounds = 1
        """
    )
    return tmp_path


def test_prune_then_search_then_progressive_then_compile(hwquant, demo_folder, folder):
    data = ["-c", demo_folder / "calibration.npz", "--config", folder / "options.toml"]
    train = ["--train", folder / "train.npz", "--validation", folder / "test.npz"]
    pruned, found, trained = folder / "pruned.onnx", folder / "found.hwq", folder / "trained.hwq"
    front = folder / "front.json"

    def run(*arguments):
        done = hwquant(*arguments)
        assert done.status == 0, done.stderr
        return done

    model = demo_folder / "digits.onnx"
    run("prune", model, *train, *data, "-o", folder / "pruned.hwq", "--float", pruned)
    run("search", pruned, *data, "-d", folder / "test.npz", "-o", found, "--front", front)
    run("progressive", pruned, *train, *data, "-o", trained, "--bits-from", front)
    build = folder / "build"
    run("compile", trained, "--array", "8x8", "-o", build)

    zeros = {node.name: node.weight == 0 for node in load_model(pruned).nodes if hasattr(node, "weight")}
    network = hwq.load(trained)
    terms = [term for node in network.nodes for term in getattr(node, "terms", ())]
    assert any(mask.any() for mask in zeros.values())
    assert all((term.weight[mask] == 0).all() for term, mask in zip(terms, zeros.values(), strict=True))
    picked = hwq.load(found).options["quantizer"]["bits"]
    assert network.options["quantizer"]["bits"] == picked
    assert [step.method for step in history(network.options)] == ["prune", "search", "progressive"]
    shown = run("inspect", trained).stdout
    for number, step in enumerate(history(network.options), 1):
        assert f"{number}. {step}" in shown
    page = (build / "report.html").read_text()
    assert page.index("<b>prune</b>") < page.index("<b>search</b>") < page.index("<b>progressive</b>")


def test_a_float_network_keeps_its_history_in_a_file(demo_folder, tmp_path):
    from dataclasses import replace

    told = replace(load_model(demo_folder / "digits.onnx"), history=(Step("prune", "half", {"passes": 2}),))
    save_float(told, tmp_path / "told.onnx")
    assert load_model(tmp_path / "told.onnx").history == told.history
