"""Files and folders are replaced whole or not at all, whatever happens meanwhile, and nothing is left behind."""

import errno
import itertools
import os
import threading

import pytest
from hwquant_testing.faults import NEEDS_SPACE, dies_at, failing

from hwquant.errors import Busy, HwquantError
from hwquant.files import (
    alone,
    check_name,
    keeping,
    make_folder,
    places,
    recover,
    replacing,
    update_bytes,
    write_bytes,
    write_together,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
MOST_CALLS = 60


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def exchanging(request, monkeypatch):
    """Once as on Linux, once as where the system cannot exchange two names."""
    if not request.param:
        monkeypatch.setattr(places, "exchange", lambda *_: False)
    return request.param


def put_file(place, text):
    write_bytes(place, text.encode())


def put_folder(place, text):
    with replacing(place) as new:
        (new / "one").write_text(text)
        make_folder(new / "inner")
        (new / "inner" / "two").write_text(text)


def read(place):
    """The text at a place, None where nothing is; a half-written folder is an error."""
    if not os.path.lexists(place):
        return None
    if place.is_file():
        return place.read_text()
    assert sorted(os.listdir(place)) == ["inner", "one"]
    assert (place / "one").read_text() == (place / "inner" / "two").read_text()
    return (place / "one").read_text()


@pytest.mark.parametrize("put", [put_file, put_folder])
@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("next_command", ["reads", "writes"])
def test_a_process_may_die_between_any_two_system_calls(tmp_path, exchanging, put, before, next_command):
    seen = set()
    for number in itertools.count():
        folder = tmp_path / str(number)
        folder.mkdir()
        if before:
            put(folder / "place", before)
        if not dies_at(number, lambda place=folder / "place": put(place, "new" * 2000)):
            break
        if exchanging:
            assert read(folder / "place") in (before, "new" * 2000)
        if next_command == "reads":
            recover(folder / "place")
            seen.add(read(folder / "place"))
            assert os.listdir(folder) in ([], ["place"])
        else:
            put(folder / "place", "next")
            assert read(folder / "place") == "next"
            assert os.listdir(folder) == ["place"]
    assert 8 < number < MOST_CALLS
    assert seen == ({before, "new" * 2000} if next_command == "reads" else set())


def complaint(put, place):
    """What the error of a write says; empty where there is none."""
    try:
        put(place, "new" * 2000)
    except HwquantError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("put", [put_file, put_folder])
@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("on", [False, True], ids=["once", "from then on"])
def test_a_full_disk_leaves_the_old_and_nothing_else(tmp_path, exchanging, put, before, on):
    place = tmp_path / "place"
    if before:
        put(place, before)
    failures = 0
    for number in range(MOST_CALLS):
        with failing(number, on=on) as names:
            message = complaint(put, place)
        if message:
            failures += 1
            assert places.SUFFIX not in message
            assert "No space left on device; free some space" in message
        elif number >= len(names):
            break
        else:
            assert names[number] not in NEEDS_SPACE
        if read(place) != before:
            # Without an exchange a file that was renamed over another cannot come back.
            assert not exchanging or names[number] not in NEEDS_SPACE
            if before:
                put(place, before)
            else:
                places.clear(place)
        assert os.listdir(tmp_path) == (["place"] if before else [])
    assert failures >= 4


def test_the_second_of_two_commands_says_so_at_once(tmp_path):
    with replacing(tmp_path / "place") as new:
        (new / "one").write_text("first")
        with pytest.raises(Busy, match=r"another hwquant is writing to .*/place; repeat"):
            put_folder(tmp_path / "place", "second")
    assert (tmp_path / "place" / "one").read_text() == "first"
    assert os.listdir(tmp_path) == ["place"]


def test_what_is_added_to_is_not_replaced_and_the_other_way_round(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "READERS", 0.0)
    put_folder(tmp_path / "place", "old")
    with keeping(tmp_path / "place"), keeping(tmp_path / "place"):
        with pytest.raises(Busy):
            put_folder(tmp_path / "place", "new")
        with pytest.raises(Busy), alone(tmp_path / "place"):
            pass
    with replacing(tmp_path / "place"), pytest.raises(Busy), keeping(tmp_path / "place"):
        pass
    with pytest.raises(HwquantError, match=r"cannot read .*none: No such file"), keeping(tmp_path / "none"):
        pass


def test_a_reader_does_not_disturb_a_writer(tmp_path):
    put_folder(tmp_path / "place", "old")
    with replacing(tmp_path / "place") as new:
        (new / "one").write_text("x")
        (new / "inner").mkdir()
        (new / "inner" / "two").write_text("x")
        recover(tmp_path / "place")
        assert read(tmp_path / "place") == "old"
    assert read(tmp_path / "place") == "x"


def test_only_who_wants_what_is_being_written_for_the_first_time_has_to_wait(tmp_path):
    with replacing(tmp_path / "place") as new:
        (new / "one").write_text("x")
        recover(tmp_path)
        with pytest.raises(Busy):
            recover(tmp_path / "place")
    assert os.listdir(tmp_path) == ["place"]


def test_of_writers_of_one_file_each_sees_what_the_one_before_wrote(tmp_path):
    path = tmp_path / "count"
    write_bytes(path, b"0")

    def add():
        for _ in range(20):
            update_bytes(path, lambda: str(int(path.read_text()) + 1).encode())

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "80"
    assert os.listdir(tmp_path) == ["count"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_an_exception_leaves_the_old(tmp_path, error):
    put_folder(tmp_path / "place", "old")

    def work():
        with replacing(tmp_path / "place") as new:
            (new / "one").write_text("half")
            raise error("stopped")

    with pytest.raises(HwquantError if error is OSError else error):
        work()
    assert read(tmp_path / "place") == "old"
    assert os.listdir(tmp_path) == ["place"]


@pytest.mark.parametrize("target", ["file", "folder", "nothing"])
def test_a_link_is_replaced_by_a_file_and_not_followed(tmp_path, target):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(target)
    write_bytes(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_text() == "new"
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "link"]


def test_a_folder_may_be_reached_through_a_link_of_the_users(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for text in ("old", "new"):
        write_bytes(tmp_path / "link" / "file", text.encode())
        put_folder(tmp_path / "link" / "place", text)
        assert (tmp_path / "real" / "file").read_text() == read(tmp_path / "real" / "place") == text
    assert sorted(os.listdir(tmp_path / "real")) == ["file", "place"]


def test_a_link_is_no_folder_to_replace(tmp_path):
    put_folder(tmp_path / "mine", "mine")
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "dangling").symlink_to("none")
    (tmp_path / "file").write_text("mine")
    for name, what in (("link", "symbolic link"), ("dangling", "symbolic link"), ("file", "file")):
        with pytest.raises(HwquantError, match=f"{name}: it is a {what}"):
            put_folder(tmp_path / name, "new")
    assert read(tmp_path / "mine") == "mine"
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file", "link", "mine"]


def test_links_in_a_folder_that_is_replaced_go_and_what_they_point_to_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("text")
    put_folder(tmp_path / "place", "old")
    (tmp_path / "place" / "link").symlink_to(tmp_path / "mine")
    os.link(tmp_path / "mine" / "thesis", tmp_path / "place" / "hard")
    put_folder(tmp_path / "place", "new")
    assert read(tmp_path / "place") == "new"
    assert (tmp_path / "mine" / "thesis").read_text() == "text"


def test_hard_links_keep_the_old(tmp_path):
    write_bytes(tmp_path / "one", b"old")
    os.link(tmp_path / "one", tmp_path / "other")
    write_bytes(tmp_path / "one", b"new")
    assert (tmp_path / "other").read_text() == "old"


def test_a_pipe_and_a_folder_are_no_places_for_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HwquantError, match="pipe: it is no ordinary file"):
        write_bytes(tmp_path / "pipe", b"")
    with pytest.raises(HwquantError, match="Is a directory"):
        write_bytes(tmp_path, b"")
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_name_may_be_as_long_as_there_is_room_for_its_staging_folder(tmp_path):
    longest = tmp_path / ("ü" * 123)
    check_name(longest)
    write_bytes(longest, b"")
    with pytest.raises(HwquantError, match="its name has more than 246 bytes; choose a shorter one"):
        check_name(tmp_path / ("ü" * 123 + "n"))


@pytest.mark.parametrize("kind", ["file", "link", "with something in it"])
def test_what_hwquant_did_not_make_is_not_removed(tmp_path, kind):
    staging = places.staging_of(tmp_path / "place")
    (tmp_path / "mine").mkdir()
    match kind:
        case "file":
            staging.write_text("mine")
        case "link":
            staging.symlink_to("mine")
        case _:
            staging.mkdir()
            (staging / "thesis").write_text("mine")
    for _ in range(2):
        with pytest.raises(HwquantError, match="is in the way"):
            write_bytes(tmp_path / "place", b"new")
    assert sorted(os.listdir(tmp_path)) == [staging.name, "mine"]
    assert kind != "with something in it" or (staging / "thesis").read_text() == "mine"


def test_files_that_belong_together_are_all_there_or_none(tmp_path, monkeypatch):
    folder = tmp_path / "core"
    create = places._create

    def full(path, data):
        if data == b"too much":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        create(path, data)

    monkeypatch.setattr(places, "_create", full)
    files = {"a": b"1", "b": b"too much", "c": b"3"}
    with pytest.raises(
        HwquantError, match=r"cannot write .*core/b: No space left on device; free some space"
    ):
        write_together(folder, files)
    assert not folder.exists()
    folder.mkdir()
    for name in ("a", "mine"):
        (folder / name).write_bytes(b"old")
    with pytest.raises(HwquantError, match="core/b"):
        write_together(folder, files)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": b"old", "mine": b"old"}
    assert write_together(folder, {"a": b"1", "b": b"2"}) == [folder / "a", folder / "b"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a": b"1",
        "b": b"2",
        "mine": b"old",
    }
