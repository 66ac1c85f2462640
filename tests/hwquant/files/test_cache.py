"""What is kept is checked before it is used, made once, and limited."""

import os
import re
import subprocess
import sys
import time

import pytest
from hwquant_testing.faults import dies_at

from hwquant.errors import HwquantError
from hwquant.files import cache, cached, entry_name, working_folder

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


class Filler:
    """Fills an entry, and counts how often."""

    def __init__(self, size=1000):
        self.size, self.calls = size, 0

    def __call__(self, work):
        self.calls += 1
        (work / "result").write_bytes(bytes(self.size))
        (work / "object").mkdir()
        (work / "object" / "junk").write_text("not kept")


def test_an_entry_has_the_name_of_all_that_it_depends_on():
    names = {
        entry_name("a", "b", "c"),
        entry_name("a", "bc"),
        entry_name("a", "b", "d"),
        entry_name("x", "b", "c"),
    }
    assert len(names) == 4
    assert entry_name("a", "b", "c") in names
    assert all(re.fullmatch(r"[ax]-[0-9a-f]{24}", name) for name in names)


def test_an_entry_is_made_once_and_holds_what_is_kept(tmp_path):
    fill = Filler()
    for _ in range(2):
        entry = cached(tmp_path, "a-1", ["result"], fill)
    assert fill.calls == 1
    assert sorted(os.listdir(entry)) == ["entry.json", "result"]
    assert os.listdir(tmp_path) == ["a-1"]


@pytest.mark.parametrize("name", ["result", "entry.json"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "empty", "list", "link", "folder"])
def test_a_damaged_entry_is_made_again(tmp_path, name, damage):
    fill = Filler()
    entry = cached(tmp_path, "a-1", ["result"], fill)
    content = (entry / name).read_bytes()
    (entry / name).unlink()
    match damage:
        case "truncated":
            (entry / name).write_bytes(content[:-1])
        case "flipped":
            (entry / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "empty":
            (entry / name).write_bytes(b"")
        case "list":
            (entry / name).write_bytes(b"[]\n")
        case "link":
            (entry / name).symlink_to("nowhere")
        case "folder":
            (entry / name).mkdir()
    again = cached(tmp_path, "a-1", ["result"], fill)
    assert fill.calls == 2
    assert (again / name).read_bytes() == content


def test_a_failure_leaves_nothing(tmp_path):
    def fill(work):
        (work / "result").write_text("half")
        raise HwquantError("g++ failed")

    with pytest.raises(HwquantError, match="g\\+\\+ failed"):
        cached(tmp_path, "a-1", ["result"], fill)
    assert os.listdir(tmp_path) == []


def test_what_killed_processes_left_is_removed_by_the_next(tmp_path):
    for number in range(100):
        if not dies_at(number, lambda: cached(tmp_path, "a-1", ["result"], Filler())):
            break
        cached(tmp_path, "b-2", ["result"], Filler())
        assert set(os.listdir(tmp_path)) <= {"a-1", "b-2"}
        assert (cached(tmp_path, "a-1", ["result"], Filler()) / "result").read_bytes() == bytes(1000)
        for name in ("a-1", "b-2"):
            cache.discard(tmp_path / name)
    assert 15 < number < 100


def test_beyond_the_limit_the_oldest_go_unless_they_are_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    for index in range(4):
        entry = cached(tmp_path, f"a-{index}", ["result"], Filler(3500))
        os.utime(entry, (0, time.time() - 7200 + index))
    assert sorted(os.listdir(tmp_path)) == ["a-2", "a-3"]
    cached(tmp_path, "a-2", ["result"], Filler(3500))  # used now
    cached(tmp_path, "a-4", ["result"], Filler(3500))
    assert sorted(os.listdir(tmp_path)) == ["a-2", "a-4"]
    for index in (5, 6):
        cached(tmp_path, f"a-{index}", ["result"], Filler(3500))
    assert sorted(os.listdir(tmp_path)) == ["a-2", "a-4", "a-5", "a-6"], "these were used a moment ago"


def test_what_is_no_entry_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 0)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("text")
    (tmp_path / "tmpabc").mkdir()
    os.utime(cached(tmp_path, "a-1", ["result"], Filler()), (0, 0))
    cached(tmp_path, "a-2", ["result"], Filler())
    assert sorted(os.listdir(tmp_path)) == ["a-2", "mine", "tmpabc"]


def test_two_processes_make_an_entry_once(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from hwquant.files import cached\n"
        "def fill(work):\n"
        "    with open(sys.argv[2], 'a') as file: file.write('x')\n"
        "    time.sleep(0.5); (work / 'result').write_text('done')\n"
        "print((cached(Path(sys.argv[1]), 'a-1', ['result'], fill) / 'result').read_text())"
    )
    command = [sys.executable, "-c", script, tmp_path / "cache", tmp_path / "calls"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["done\n", "done\n"]
    assert (tmp_path / "calls").read_text() == "x"


def test_a_working_folder_goes_and_so_do_those_of_dead_processes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def work():
        with working_folder() as folder:
            (folder / "file").write_text("x")

    for number in range(20):
        if not dies_at(number, work):
            break
    (tmp_path / "hwquant-work-mine").write_text("a file is not ours")
    with working_folder() as first, working_folder() as second:
        assert {first.name, second.name, "hwquant-work-mine"} == set(os.listdir(tmp_path))
    assert os.listdir(tmp_path) == ["hwquant-work-mine"]
