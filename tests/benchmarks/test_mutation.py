"""The record of damaged RTL: what is in it, what was not begun, and how it is gone on with."""

import importlib
import itertools
import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from hwquant.prove.claims import CLAIMS


@pytest.fixture
def mutation(benchmark_module):
    return benchmark_module("mutation")


def test_mutants_without_a_difference_in_some_cycles_count_as_not_killed(mutation):
    mutant = importlib.import_module("mutant_fates").SOUND
    outcomes = ["claim", "simulation", "equivalent", "bounded", "survived"]
    counts = mutation.summary([mutation.Fate(mutant, outcome, "") for outcome in outcomes])
    assert counts["bounded"] == 1
    assert counts["killed"] == 0.5


def test_the_record_names_what_was_not_begun_and_each_mutant_not_killed(mutation, monkeypatch):
    mutant = importlib.import_module("mutants").Mutant(
        1, "", "top.dut", "inv $1.A[0]", ("rtl_templates/streams.py:1",), ()
    )
    fates = [mutation.Fate(mutant, outcome, "why") for outcome in ("bounded", "survived", "claim")]
    monkeypatch.setattr(mutation, "CORES", ())
    monkeypatch.setattr(mutation, "damaged_component", lambda *arguments: fates)
    # A minute at each look at the clock.
    clock = itertools.count(0, 60)
    monkeypatch.setattr(mutation, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    written = []
    monkeypatch.setattr(mutation, "write_results", lambda name, content: written.append(content))
    result = CliRunner().invoke(mutation.main, ["--minutes", "5"])
    assert result.exit_code == 1, result.output
    record = written[-1]
    begun = [target["target"] for target in record["targets"]]
    assert 0 < len(begun) < len(CLAIMS)
    assert sorted(begun + record["not_begun"]) == sorted(item.name for item in CLAIMS)
    assert record["begun"]["mutants"] == 3 * len(begun)
    assert record["begun"]["killed"] == pytest.approx(1 / 3, abs=1e-4)
    listed = [
        {key: one[key] for key in ("outcome", "lines", "change")}
        for one in record["targets"][0]["not_killed"]
    ]
    lines, change = ["rtl_templates/streams.py:1"], "inv $1.A[0]"
    assert listed == [{"outcome": name, "lines": lines, "change": change} for name in ("bounded", "survived")]
    assert f"{len(begun)} of {len(CLAIMS)} targets" in result.output


def test_a_record_is_gone_on_with_and_its_targets_judged_again(mutation, monkeypatch, tmp_path):
    mutant = importlib.import_module("mutants").Mutant(
        1, "", "top.dut", "inv $1.A[0]", ("rtl_templates/streams.py:1",), ()
    )
    outcomes = {}

    def damaged(claim, *arguments):
        return [mutation.Fate(mutant, outcomes.get(claim.name, "claim"), "why")]

    monkeypatch.setattr(mutation, "CORES", ())
    monkeypatch.setattr(mutation, "CLAIMS", [SimpleNamespace(name=name) for name in ("one", "two", "three")])
    monkeypatch.setattr(mutation, "damaged_component", damaged)
    monkeypatch.setattr(mutation, "FOLDER", tmp_path)

    def write(name, content):
        (tmp_path / f"{name}.json").write_text(json.dumps({"results": content}))

    def run(*options):
        monkeypatch.setattr(mutation, "write_results", write)
        result = CliRunner().invoke(mutation.main, options)
        return result, json.loads((tmp_path / "mutation.json").read_text())["results"]

    outcomes["two"] = "survived"
    result, first = run()
    assert result.exit_code == 1
    assert (first["begun"]["killed"], first["not_begun"]) == (pytest.approx(2 / 3, abs=1e-4), [])
    kept = [target for target in first["targets"] if target["target"] != "one"]
    write("mutation", first | {"targets": kept, "not_begun": ["one"]})
    outcomes["two"] = "claim"
    result, second = run("--resume")
    assert [target["target"] for target in second["targets"]] == ["one", "two", "three"]
    assert second["begun"] == first["begun"]  # what was there is not judged again
    result, third = run("--resume", "--component", "two")
    assert (result.exit_code, third["begun"]["killed"], third["begun"]["mutants"]) == (0, 1.0, 3)
    assert third["files"] == {"streams": third["begun"]}
    result, _ = run("--resume", "--seed", "2")
    assert "the record is of --seed 1 --sample 40" in result.output


@pytest.fixture
def core(mutation, monkeypatch):
    """A core whose simulator gives the answers that are set, without one."""
    core = importlib.import_module("mutated_core").MutatedCore("", [])
    answers, asked = [], []
    monkeypatch.setattr(core, "_start", lambda: None)

    def answer(number, seconds):
        asked.append((number, seconds))
        return answers.pop(0)

    monkeypatch.setattr(core, "_asked", answer)
    return SimpleNamespace(core=core, answers=answers, asked=asked)


def test_a_mutant_that_is_late_is_asked_again_after_the_core_without_a_damage(core):
    core.answers += [None, "", "frame 1"]
    assert core.core.verdict(7) == "frame 1"
    assert [number for number, _ in core.asked] == [7, 0, 7]
    assert core.asked[1][1] is None


def test_a_mutant_that_is_late_once_may_survive(core):
    core.answers += [None, "", ""]
    assert core.core.verdict(7) == ""


def test_a_mutant_that_is_late_twice_is_found_out(core):
    core.answers += [None, "", None]
    assert "not done" in core.core.verdict(7)


def test_a_core_that_is_wrong_without_a_damage_judges_nothing(core):
    core.answers += [None, "frame 1"]
    with pytest.raises(RuntimeError, match="wrong without a damage"):
        core.core.verdict(7)
