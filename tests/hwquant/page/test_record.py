"""What a build remembers of how it was made."""

import pytest

from hwquant.build import RECORD
from hwquant.errors import HwquantError
from hwquant.files import sealed
from hwquant.page.record import Accuracy, Record, load_record, save_record


def test_a_record_comes_back_as_it_was(tmp_path):
    record = Record().after("compile", "hwquant compile net.hwq").after("build x", "hwquant build --board x")
    record = Record(record.commands, Accuracy("data.npz", 100, 0.97, 0.98, "net.onnx"))
    save_record(tmp_path, record)
    assert load_record(tmp_path) == record
    assert set(record.commands["compile"].versions) >= {"python", "hwquant", "numpy", "amaranth"}


def test_a_folder_without_a_record_has_an_empty_one(tmp_path):
    assert load_record(tmp_path) == Record()


def test_a_command_that_does_the_same_takes_the_place_of_the_one_before():
    record = Record().after("compile", "one").after("report", "two").after("compile", "three")
    assert [item.line for item in record.commands.values()] == ["three", "two"]


def test_the_same_commands_give_the_same_bytes(tmp_path):
    contents = []
    for _ in range(2):
        save_record(tmp_path, Record().after("compile", "hwquant compile net.hwq"))
        contents.append((tmp_path / RECORD).read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"commands": {"a": 1}, "accuracy": null}', b"\xff"])
def test_a_damaged_record_says_what_to_do(tmp_path, content):
    (tmp_path / RECORD).write_bytes(content)
    with pytest.raises(HwquantError, match=r"record\.json is damaged .*; delete it"):
        load_record(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("data", 3), ("model", None), ("samples", "many"), ("samples", 0), ("samples", True)),
        *(("integer", "much"), ("integer", None), ("integer", 3), ("real", "much"), ("real", -1)),
        *((None, "much"), (None, 3), (None, []), (None, {}), (None, 0)),
    ],
)
def test_an_impossible_accuracy_in_a_record_is_damage(tmp_path, key, value):
    accuracy = {"data": "x.npz", "samples": 10, "integer": 0.5, "real": 1, "model": "x.onnx"}
    changed = value if key is None else {**accuracy, key: value}
    (tmp_path / RECORD).write_bytes(sealed({"commands": {}, "accuracy": accuracy}))
    assert load_record(tmp_path).accuracy == Accuracy(**accuracy)
    (tmp_path / RECORD).write_bytes(sealed({"commands": {}, "accuracy": changed}))
    with pytest.raises(HwquantError, match=r"record\.json is damaged .*; delete it"):
        load_record(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("line", 3), ("versions", 3), ("versions", {"python": 3})])
def test_an_impossible_command_in_a_record_is_damage(tmp_path, key, value):
    command = {"line": "hwquant", "versions": {"python": "3"}, key: value}
    (tmp_path / RECORD).write_bytes(sealed({"commands": {"compile": command}, "accuracy": None}))
    with pytest.raises(HwquantError, match=r"record\.json is damaged .*; delete it"):
        load_record(tmp_path)
