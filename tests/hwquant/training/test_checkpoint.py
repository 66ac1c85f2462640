"""Checkpoint files."""

import math

import numpy as np
import pytest
import torch

from hwquant.errors import HwquantError, Unsupported
from hwquant.training import Checkpoint, owner

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
    with pytest.raises(TypeError, match="a function cannot be kept in a checkpoint"):
        checkpoint.save(x=lambda: None)
    assert Checkpoint(path, OWNER, resume=True).state == {"x": 1}
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_the_checkpoint_of_another_training_is_refused(path):
    Checkpoint(path, OWNER).save(x=1)
    with pytest.raises(HwquantError, match=r"belongs to another training \(what differs: network\)"):
        Checkpoint(path, OWNER | {"network": "z"}, resume=True)


def test_what_is_no_checkpoint_is_refused(path):
    with pytest.raises(HwquantError, match=r"cannot resume from .*No such file"):
        Checkpoint(path, OWNER, resume=True)
    for content in (b"", b"garbage" * 50, b"PK\x03\x04 no zip"):
        path.write_bytes(content)
        with pytest.raises(HwquantError, match=r"training\.pt is"):
            Checkpoint(path, OWNER, resume=True)


class Evil:
    def __reduce__(self):
        return print, ("a pickle ran code",)


def test_nothing_is_unpickled_and_files_of_torch_are_refused_by_name(path, capsys):
    """Checkpoints of version 1 were such files."""
    torch.save({"format": "hwquant training 1", "owner": OWNER, "state": Evil()}, path)
    with pytest.raises(Unsupported, match="a checkpoint of an older hwquant, without digests"):
        Checkpoint(path, OWNER, resume=True)
    assert capsys.readouterr().out == ""


DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int64, torch.float16, torch.bfloat16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_keep_every_bit(path, dtype):
    bits = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (3, 8, 64), np.uint8))
    tensor = bits.to(dtype) if dtype == torch.bool else bits.view(dtype)
    state = {"whole": tensor, "one": tensor[0, 0, 0], "turned": tensor.transpose(0, 2)}
    Checkpoint(path, OWNER).save(x=state)
    found = Checkpoint(path, OWNER, resume=True).state["x"]
    for name, wanted in state.items():
        assert found[name].dtype == dtype
        assert found[name].shape == wanted.shape
        same = [item.contiguous().reshape(-1).view(torch.uint8) for item in (found[name], wanted)]
        assert torch.equal(*same)


def test_plain_values_come_back_as_they_were(path):
    value = {
        0: (1, 2.5, [None, True, "x"]),
        "y": [math.inf, -math.inf, 1e-320],
        "tensor": {"tensor": "tensors/0"},
    }
    Checkpoint(path, OWNER).save(x=value, nan=[math.nan])
    state = Checkpoint(path, OWNER, resume=True).state
    assert state["x"] == value
    assert math.isnan(state["nan"][0])
    assert type(state["x"][0]) is tuple


def test_what_an_owner_is_made_of():
    x = np.arange(4.0)
    assert owner(training_data=x) == owner(training_data=x.copy()) != owner(training_data=-x)
    assert list(owner(training_data=x)) == ["training data"]
    assert owner(loss=torch.nn.functional.mse_loss) != owner(loss=torch.nn.functional.l1_loss)


def test_a_folder_that_is_missing_is_refused_at_once(tmp_path):
    with pytest.raises(HwquantError, match=r"the folder .* does not exist; make it first"):
        Checkpoint(tmp_path / "none" / "training.pt", OWNER)
