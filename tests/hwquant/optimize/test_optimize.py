"""The whole optimization: what it promises, and that it goes on where it was cut off."""

import pickle
from dataclasses import replace

import pytest

from hwquant import golden
from hwquant.boards import shapes
from hwquant.errors import HwquantError, Unsupported
from hwquant.optimize import optimize
from hwquant.program.cycles import timing
from hwquant.training import Training

from .conftest import ARRAYS, OPTIONS


def test_every_step_was_taken(result):
    assert {item.design.network for item in result.candidates} > {0}
    assert any(item.trained for item in result.candidates)
    assert len(result.candidates) + len(result.failed) == 9
    assert result.baseline is not None
    assert set(result.baseline.design.bits.values()) == {result.baseline.design.activation_bits} == {8}


def test_the_pick_is_what_was_measured(result, subject):
    picked = result.pick()
    assert result.keeps(picked)
    for item in (picked, result.baseline, *(item for item in result.candidates if item.trained)):
        qgraph = result.network(item)
        program = result.program(item, qgraph)
        assert timing(program).cycles == item.measures["cycles"]
        assert item.measures["fps"] == item.measures["clock_mhz"] * 1e6 / item.measures["cycles"]
        output = golden.predict(qgraph, subject.validation.x)[0]
        assert subject.validation.accuracy(output) == item.accuracy


def test_the_pick_is_the_fastest_that_loses_no_more_than_is_allowed(result):
    picked = result.pick()
    allowed = [item for item in result.candidates if result.change(item) >= -OPTIONS.max_drop - 1e-9]
    assert picked.measures["fps"] == max(item.measures["fps"] for item in allowed)
    assert result.improvement(picked) == picked.measures["fps"] / result.baseline.measures["fps"] >= 1
    assert picked in result.front


def test_nothing_on_the_front_is_beaten(result):
    for item in result.front:
        assert not any(
            other.accuracy >= item.accuracy
            and other.measures["fps"] >= item.measures["fps"]
            and (other.accuracy, other.measures["fps"]) != (item.accuracy, item.measures["fps"])
            for other in result.candidates
        )


def test_pruned_networks_skip_tiles(result):
    dense = [item for item in result.candidates if not item.design.network]
    pruned = [item for item in result.candidates if item.design.network]
    both = [(a, b) for a in dense for b in pruned if a.configuration[1:] == b.configuration[1:]]
    same = [(a, b) for a, b in both if a.array == b.array == result.variants[b.design.network].array]
    assert same
    assert all(b.measures["cycles"] < a.measures["cycles"] for a, b in same)


def test_a_worker_that_gets_the_task_judges_alike(result, monkeypatch):
    monkeypatch.setattr(shapes, "SHAPES", ARRAYS)
    task = pickle.loads(pickle.dumps(result.task))
    item = next(item for item in result.candidates if item.design.network and not item.trained)
    outcome = task(item.configuration)
    assert outcome.measures == item.measures
    assert outcome.network == item.network


class CutOff(Exception):
    pass


def test_an_optimization_that_is_cut_off_anywhere_goes_on_to_the_same_result(result, subject, tmp_path):
    folder = tmp_path / "work"
    for what, last in (
        ("search dense", 3),
        ("prune", 1),
        ("search all", 9),
        ("train finalists", 13),
        ("", 0),
    ):
        seen = []

        def watch(now, done, total, note="", what=what, last=last, seen=seen):
            seen.append(now)
            if (now, done) == (what, last):
                raise CutOff

        try:
            again = subject.run(folder, resume=folder.exists(), progress=watch)
        except CutOff:
            assert what
    assert not what
    assert again.to_json() == result.to_json()
    lines = (folder / "journal").read_text().splitlines()[1:]
    assert len(lines) == len(set(lines)) == 9
    what_is_lost_is_made_again(again, subject, folder)


def what_is_lost_is_made_again(result, subject, folder):
    journal = folder / "journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]))  # the trained one
    pruned = sorted(folder.glob("*.pruned"))
    pruned[0].unlink()
    again = subject.run(folder, resume=True)
    assert again.to_json() == result.to_json()
    assert journal.read_text().splitlines(keepends=True) == lines
    assert sorted(folder.glob("*.pruned")) == pruned


def test_another_optimization_is_refused(subject, tmp_path):
    def stop(*arguments):
        if arguments[0] == "search dense":
            raise CutOff

    with pytest.raises(CutOff):
        subject.run(tmp_path / "work", progress=stop)
    with pytest.raises(HwquantError, match=r"go on with it \(--resume\)"):
        subject.run(tmp_path / "work")
    for changes, what in (({"max_drop": 3.0}, "optimizer's options"), ({"seed": 2}, "training options")):
        with pytest.raises(HwquantError, match=f"belongs to a search with other {what}"):
            subject.run(tmp_path / "work", replace(OPTIONS, **changes), resume=True)


def test_what_cannot_be_optimized_is_refused_before_anything_is_done(subject, tmp_path):
    data = subject.calibration, subject.validation
    with pytest.raises(Unsupported, match="'generic' has no device that a network could fit"):
        optimize(subject.graph, "generic", subject.training, *data)
    with pytest.raises(HwquantError, match="leave evaluate and checkpoint out"):
        optimize(
            subject.graph, "icebreaker", Training(subject.training.data, checkpoint=tmp_path / "x"), *data
        )
    unlabelled = replace(subject.validation, y=None)
    with pytest.raises(HwquantError, match="no labels y, which decide"):
        optimize(subject.graph, "icebreaker", subject.training, subject.calibration, unlabelled)
    assert not list(tmp_path.iterdir())
