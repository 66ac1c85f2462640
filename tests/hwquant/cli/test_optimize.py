"""``hwquant optimize``: from a float network to a build, in one command."""

import json

import numpy as np
import pytest

from hwquant import hwq
from hwquant.boards import shapes
from hwquant.build import load_build
from hwquant.program.cycles import timing


@pytest.fixture
def arguments(demo_folder, tmp_path, monkeypatch):
    few = ((2, 4), (4, 4), (4, 8), (8, 4))  # arrays, for the time that the others take
    monkeypatch.setattr(shapes, "SHAPES", few)
    with np.load(demo_folder / "digits.npz", allow_pickle=False) as file:
        np.savez(tmp_path / "train.npz", x=file["x"][:200], y=file["y"][:200])
        np.savez(tmp_path / "test.npz", x=file["x"][200:260], y=file["y"][200:260])
    with np.load(demo_folder / "calibration.npz", allow_pickle=False) as file:
        np.savez(tmp_path / "calibration.npz", x=file["x"][:40])
    return [
        *("optimize", demo_folder / "digits.onnx", "--board", "icebreaker"),
        *("--train", tmp_path / "train.npz", "-c", tmp_path / "calibration.npz", "-o", tmp_path / "net.hwq"),
        *("--jobs", 1, "--bits", "3,8", "--activation-bits", "5,8", "--offsets", "edge", "--trials", 7),
        *("--generation", 3, "--arrays", 1, "--passes", 1, "--finalists", 1, "--rounds", 1, "--epochs", 0.5),
        *("--regain", 50),
    ]


def test_the_pick_its_build_the_front_and_the_plot_are_written(hwquant, arguments, tmp_path):
    front, plot, build = tmp_path / "front.json", tmp_path / "front.png", tmp_path / "build"
    outcome = hwquant(
        *arguments,
        *(
            "--test",
            tmp_path / "test.npz",
            "--front",
            front,
            "--plot",
            plot,
            "--build",
            build,
            "--max-drop",
            5,
            "--json",
        ),
    )
    assert outcome.status == 0, outcome.stderr
    found = outcome.json
    assert found["picked"] in found["front"]
    assert found["improvement"] == found["picked"]["fps"] / found["baseline"]["fps"] > 1.3
    assert set(found["test"]) == {"float", "baseline", "picked"}
    kept = json.loads(front.read_text())
    assert {key: found[key] for key in kept} == kept
    assert plot.read_bytes().startswith(b"\x89PNG")
    built = load_build(build)
    assert timing(built.program).cycles == found["picked"]["cycles"]
    assert [built.program.config.rows, built.program.config.columns] == found["picked"]["array"]
    network = hwq.load(tmp_path / "net.hwq")
    assert network.options["quantizer"]["bits"] == found["picked"]["bits"]
    assert not (tmp_path / "net.hwq.work").exists()
    fitted = hwquant("fit", tmp_path / "net.hwq", "--board", "icebreaker", "--json")
    assert fitted.json["chosen"]["cycles"] == found["picked"]["cycles"]


def test_where_nothing_keeps_to_the_limits_the_front_is_shown_and_what_was_done_stays(
    hwquant, arguments, tmp_path
):
    slow = [*arguments, "--finalists", 0, "--arrays", 0, "--min-fps", 1e9]
    outcome = hwquant(*slow)
    assert outcome.status == 2
    assert "none of 7 candidates keeps to the limits on icebreaker" in outcome.stderr
    assert "8-bit dense" in outcome.stdout
    assert not (tmp_path / "net.hwq").exists()
    assert (tmp_path / "net.hwq.work" / "journal").exists()
    hwquant(*slow, "--json").fails("net.hwq.work/journal holds an earlier search; go on with it (--resume)")
    hwquant(*slow, "--resume", "--json").fails("lower --min-fps", kind="does_not_fit")
