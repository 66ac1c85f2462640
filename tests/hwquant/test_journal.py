"""Lines that outlive the process that wrote them, and no line that it did not write."""

import pytest

from hwquant.errors import Busy, Damaged, HwquantError
from hwquant.journal import JournalFile

HEADER = {"format": "lines", "version": 1, "of": {"network": "a"}}


def opened(path, header=HEADER, resume=True):
    seen = {}
    return JournalFile(
        path, header, "count", resume, lambda number, content: seen.update({number: content})
    ), seen


@pytest.fixture
def path(tmp_path):
    journal, _ = opened(tmp_path / "journal", resume=False)
    with journal:
        journal.append({"n": 1})
        journal.append({"n": 2})
    return tmp_path / "journal"


def test_lines_come_back_with_their_numbers(path):
    journal, seen = opened(path)
    with journal:
        assert seen == {2: {"n": 1}, 3: {"n": 2}}
        with pytest.raises(Busy):
            opened(path)


def test_only_what_was_finished_counts(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.warns(UserWarning, match="was not finished"):
        journal, seen = opened(path)
    with journal:
        assert seen == {2: {"n": 1}}
        journal.append({"n": 2})
    assert path.read_bytes() == whole


def test_messages_name_what_the_lines_are_of(path):
    with pytest.raises(HwquantError, match="holds an earlier count"):
        opened(path, resume=False)
    with pytest.raises(HwquantError, match="belongs to a count with other network"):
        opened(path, HEADER | {"of": {"network": "b"}})
    with pytest.raises(Damaged, match="no journal of a count"):
        opened(path, HEADER | {"version": 2})
    path.write_bytes(path.read_bytes().replace(b'"n": 2', b'"n": 3'))
    with pytest.raises(Damaged, match="damaged at line 3"):
        opened(path)
