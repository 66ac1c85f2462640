"""Outcomes on disk."""

import json
import os

import pytest

from hwquant.errors import Busy, Damaged, HwquantError
from hwquant.journal import line
from hwquant.search.evaluate import Outcome
from hwquant.search.journal import Journal, identity
from hwquant.search.tuning import Tuned

IDENTITY = {"network": "a", "test data": "b"}
OUTCOMES = {
    (8, 4): Outcome({"accuracy": 0.1 + 0.2, "cycles": 1934}, 1e-7 / 3, "c0ffee"),
    (2, 4): Outcome(error="does not fit"),
    Tuned((8, 4), "feed"): Outcome({"accuracy": 0.5, "cycles": 19}, 0.25, "ab", made=b"a network"),
    Tuned((2, 4), "feed"): Outcome(error="diverges"),
}


@pytest.fixture
def path(tmp_path):
    """A journal with two outcomes."""
    path = tmp_path / "net.hwq.journal"
    with Journal(path, IDENTITY, 2, resume=False) as journal:
        for configuration, outcome in OUTCOMES.items():
            journal.add(configuration, outcome)
    return path


def read(path):
    with Journal(path, IDENTITY, 2, resume=True) as journal:
        return journal.outcomes


def test_every_outcome_is_read_back_as_it_was(path):
    assert read(path) == OUTCOMES


def test_without_resume_an_existing_journal_is_left_alone(path):
    before = path.read_bytes()
    with pytest.raises(HwquantError, match="holds an earlier search; go on with it"):
        Journal(path, IDENTITY, 2, resume=False)
    assert path.read_bytes() == before


def test_resume_begins_a_journal_where_there_is_none(tmp_path):
    with Journal(tmp_path / "new", IDENTITY, 2, resume=True) as journal:
        journal.add((8, 8), OUTCOMES[8, 4])
    assert read(tmp_path / "new") == {(8, 8): OUTCOMES[8, 4]}


@pytest.mark.parametrize("name", IDENTITY)
def test_another_network_or_other_data_are_refused(path, name):
    with pytest.raises(HwquantError, match=f"belongs to a search with other {name}"):
        Journal(path, IDENTITY | {name: "z"}, 2, resume=True)


def test_a_line_that_was_not_finished_is_dropped_and_written_again(path):
    whole = path.read_bytes()
    for length in range(len(whole) - 1, whole.rfind(b"\n", 0, -1), -7):
        path.write_bytes(whole[:length])
        with pytest.warns(UserWarning, match=r"journal was not finished; what it held is evaluated again"):
            journal = Journal(path, IDENTITY, 2, resume=True)
        with journal:
            assert list(journal.outcomes) == list(OUTCOMES)[:-1]
            journal.add(list(OUTCOMES)[-1], list(OUTCOMES.values())[-1])
        assert path.read_bytes() == whole


def test_an_interrupted_first_line_is_no_journal_yet(path):
    path.write_bytes(path.read_bytes()[:20])
    with pytest.warns(UserWarning, match="was not finished"):
        assert read(path) == {}
    assert read(path) == {}


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_byte_is_noticed_in_every_line(path, line):
    lines = path.read_bytes().splitlines(keepends=True)
    for position in range(0, len(lines[line]) - 1, 11):
        changed = bytearray(lines[line])
        changed[position] ^= 1
        path.write_bytes(b"".join([*lines[:line], bytes(changed), *lines[line + 1 :]]))
        with pytest.raises(Damaged, match="remove the file"):
            Journal(path, IDENTITY, 2, resume=True)


@pytest.mark.parametrize(
    "content",
    [
        "hello\n",
        "hello",
        "a\nb",
        "[1]\n",
        "[" * 10_000 + "\n",
        json.dumps({"format": "x", "check": "y"}) + "\n",
    ],
)
def test_files_of_other_kinds_are_no_journals(tmp_path, content):
    (tmp_path / "file").write_text(content)
    with pytest.raises(HwquantError, match="remove the file"):
        Journal(tmp_path / "file", IDENTITY, 2, resume=True)
    assert (tmp_path / "file").read_text() == content


def test_lines_of_another_journal_do_not_count(path, tmp_path):
    other = Journal(tmp_path / "other", IDENTITY | {"network": "z"}, 2, resume=False)
    other.add((8, 4), OUTCOMES[8, 4])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + (tmp_path / "other").read_bytes().splitlines(keepends=True)[1])
    with pytest.raises(Damaged, match="damaged at line 2"):
        Journal(path, IDENTITY, 2, resume=True)


def test_a_missing_line_is_a_candidate_to_evaluate_again(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    assert Journal(path, IDENTITY, 2, resume=True).outcomes == {(2, 4): OUTCOMES[2, 4]}


def test_a_journal_that_is_no_file_is_refused(tmp_path):
    (tmp_path / "journal").mkdir()
    with pytest.raises(HwquantError, match=r"cannot (read|write) .*journal: Is a directory"):
        Journal(tmp_path / "journal", IDENTITY, 2, resume=True)


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(HwquantError, match=r"cannot write .*journal: No such file"):
        Journal(tmp_path / "no" / "journal", IDENTITY, 2, resume=False)


def test_two_searches_do_not_write_one_journal(path):
    with (
        Journal(path, IDENTITY, 2, resume=True),
        pytest.raises(Busy, match=r"another hwquant is writing to .*net\.hwq\.journal"),
    ):
        Journal(path, IDENTITY, 2, resume=True)
    assert read(path) == OUTCOMES


def test_a_journal_that_is_a_link_is_not_followed(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(HwquantError, match="it is a symbolic link"):
        Journal(tmp_path / "link", IDENTITY, 2, resume=True)
    assert path.read_bytes() == before


def test_a_file_of_the_user_without_an_end_of_line_is_no_line_that_was_cut_off(tmp_path):
    (tmp_path / "file").write_text("my notes")
    with pytest.raises(Damaged, match="is no journal of a search"):
        Journal(tmp_path / "file", IDENTITY, 2, resume=True)
    assert (tmp_path / "file").read_text() == "my notes"


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"bits": [8]},
            {"bits": "84"},
            {"bits": [8, 4.0]},
            {"measures": []},
            {"noise": None},
            {"network": 1},
        ),
        *({"noise": -1}, {"noise": True}, {"measures": {"accuracy": 1.5}}, {"measures": {"cycles": -1}}),
    ],
    ids=repr,
)
def test_lines_with_a_right_checksum_that_are_no_outcomes_are_damage(path, changes):
    lines = path.read_bytes().splitlines(keepends=True)
    content = {**json.loads(lines[1]), **changes}
    content.pop("check")
    path.write_bytes(lines[0] + line(content, json.loads(lines[0])["check"]))
    with pytest.raises(Damaged, match="damaged at line 2; remove"):
        read(path)


def test_a_full_disk_leaves_whole_lines(path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with (
        Journal(path, IDENTITY, 2, resume=True) as journal,
        pytest.raises(HwquantError, match="No space left on device; free some space"),
    ):
        journal.add((8, 8), OUTCOMES[8, 4])
    assert path.read_bytes() == before
    with pytest.raises(HwquantError, match="No space left"):
        Journal(path.with_name("new"), IDENTITY, 2, resume=False)
    assert not path.with_name("new").exists()


def test_without_a_path_outcomes_are_kept_in_memory():
    journal = Journal(None, IDENTITY, 2, resume=False)
    journal.add((8, 4), OUTCOMES[8, 4])
    assert journal.outcomes == {(8, 4): OUTCOMES[8, 4]}


def test_identity_tells_networks_data_and_options_apart(digits_graph, calibration, make_task):
    from dataclasses import replace

    data = {digits_graph.inputs[0].name: calibration}
    task = make_task()
    first = identity(digits_graph, data, task)
    assert first == identity(digits_graph, data, make_task())

    def changed(*arguments):
        other = identity(*arguments)
        return {name for name in first if first[name] != other[name]}

    node = digits_graph.nodes[0]
    weight = node.weight.copy()
    weight.flat[0] += 1e-9
    graph = replace(digits_graph, nodes=(replace(node, weight=weight), *digits_graph.nodes[1:]))
    assert changed(graph, data, task) == {"network"}
    assert changed(digits_graph, {name: x[1:] for name, x in data.items()}, task) == {"calibration data"}
    assert changed(digits_graph, data, replace(task, test=replace(task.test, y=task.test.y[::-1]))) == {
        "test data"
    }
    assert changed(digits_graph, data, make_task(per_channel=True)) == {"quantizer options"}
    assert changed(digits_graph, data, make_task(array=(4, 4))) == {"array"}
    assert changed(digits_graph, data, make_task(activations=(4, 8))) == {"searched layers"}
    assert changed(digits_graph, data, make_task(biases=(8,))) == {"searched layers"}
    assert changed(digits_graph, data, make_task(board="icebreaker")) == {"board"}
    assert changed(digits_graph, data, make_task(bits=(3, 8))) == set()


def test_other_searches_have_other_values(tmp_path):
    outcomes = {(0, 12): Outcome({"accuracy": 0.5}, 0.0, "a" * 64), (3, 20): Outcome(error="too large")}
    with Journal(tmp_path / "journal", IDENTITY, 2, resume=False, values=range(21)) as journal:
        for key, outcome in outcomes.items():
            journal.add(key, outcome)
    with Journal(tmp_path / "journal", IDENTITY, 2, resume=True, values=range(21)) as journal:
        assert journal.outcomes == outcomes
    with pytest.raises(Damaged, match="is damaged at line 2"):
        Journal(tmp_path / "journal", IDENTITY, 2, resume=True)
