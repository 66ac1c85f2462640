"""Checkpoint files."""

import pickle

import pytest
import torch

from hwquant.errors import HwquantError
from hwquant.training import Checkpoint

OWNER = {"network": "a", "options": "b"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.pt"


def test_what_was_saved_is_read_again(path):
    checkpoint = Checkpoint(path, OWNER)
    assert checkpoint.state == {}
    checkpoint.save(first={"x": torch.arange(3), "n": [1, "two", None]})
    checkpoint.save(second=2)
    state = Checkpoint(path, OWNER, resume=True).state
    assert torch.equal(state["first"].pop("x"), torch.arange(3))
    assert state == {"first": {"n": [1, "two", None]}, "second": 2}


def test_without_resuming_a_file_is_replaced_only_when_there_is_something_to_save(path):
    Checkpoint(path, OWNER).save(x=1)
    new = Checkpoint(path, {"network": "c"})
    assert Checkpoint(path, OWNER, resume=True).state == {"x": 1}
    new.save(y=2)
    assert Checkpoint(path, {"network": "c"}, resume=True).state == {"y": 2}


def test_a_failed_write_leaves_the_file_before(path):
    checkpoint = Checkpoint(path, OWNER)
    checkpoint.save(x=1)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        checkpoint.save(x=lambda: None)
    assert Checkpoint(path, OWNER, resume=True).state == {"x": 1}
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_the_checkpoint_of_another_training_is_refused(path):
    Checkpoint(path, OWNER).save(x=1)
    with pytest.raises(HwquantError, match="belongs to a training with another network"):
        Checkpoint(path, OWNER | {"network": "z"}, resume=True)


def test_what_is_no_checkpoint_is_refused(path):
    with pytest.raises(HwquantError, match=r"cannot resume from .*No such file"):
        Checkpoint(path, OWNER, resume=True)
    for content in (b"", b"garbage" * 50, b"PK\x03\x04 no zip"):
        path.write_bytes(content)
        with pytest.raises(HwquantError, match=r"training\.pt is no checkpoint"):
            Checkpoint(path, OWNER, resume=True)
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(HwquantError, match="is no checkpoint of hwquant"):
        Checkpoint(path, OWNER, resume=True)


def test_a_truncated_checkpoint_is_refused(path):
    Checkpoint(path, OWNER).save(x=torch.zeros(1000))
    content = path.read_bytes()
    for length in (10, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:length])
        with pytest.raises(HwquantError, match="is no checkpoint"):
            Checkpoint(path, OWNER, resume=True)


class Evil:
    def __reduce__(self):
        return print, ("a pickle ran code",)


def test_nothing_in_a_checkpoint_is_executed(path, capsys):
    torch.save({"format": "hwquant training 1", "owner": OWNER, "state": Evil()}, path)
    with pytest.raises(HwquantError, match="is no checkpoint"):
        Checkpoint(path, OWNER, resume=True)
    assert capsys.readouterr().out == ""


def test_a_folder_that_is_missing_is_refused_at_once(tmp_path):
    with pytest.raises(HwquantError, match=r"the folder .* does not exist; make it first"):
        Checkpoint(tmp_path / "none" / "training.pt", OWNER)
