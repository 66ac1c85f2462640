"""Programs in files: what comes back is what was saved, and nothing else is accepted."""

import dataclasses

import numpy as np
import pytest

from hwquant import container
from hwquant.errors import HwquantError
from hwquant.program import storage
from hwquant.program.cycles import timing


def assert_equal(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        else:
            assert a == b, field.name
            assert type(a) is type(b), field.name


@pytest.fixture
def saved(digits_program, tmp_path):
    path = tmp_path / "program.hwp"
    storage.save(digits_program, path)
    return path


def test_every_field_of_a_saved_program_comes_back(digits_program, saved):
    loaded = storage.load(saved)
    assert_equal(digits_program, loaded)
    assert list(loaded.tensors) == list(digits_program.tensors)
    assert loaded.checksum == digits_program.checksum
    assert timing(loaded) == timing(digits_program)


def test_a_loaded_program_frames_the_same_words(digits_program, digits_qgraph, digits_samples, saved):
    from hwquant.golden import quantize_input

    q = quantize_input(digits_qgraph, digits_samples.x[:3])
    np.testing.assert_array_equal(storage.load(saved).frame(q), digits_program.frame(q))


def test_the_same_program_gives_the_same_bytes(digits_program, saved, tmp_path):
    storage.save(storage.load(saved), tmp_path / "again.hwp")
    assert (tmp_path / "again.hwp").read_bytes() == saved.read_bytes()


def test_words_wider_than_any_integer_type_survive():
    words = (0, (1 << 100) - 3, 17)
    assert storage._unpack(storage._pack(words)) == words


def test_every_flipped_byte_and_truncation_is_noticed(saved):
    content = saved.read_bytes()
    for position in range(0, len(content), 97):
        saved.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
        with pytest.raises(HwquantError, match=r"program\.hwp"):
            storage.load(saved)
        saved.write_bytes(content[:position])
        with pytest.raises(HwquantError, match=r"program\.hwp"):
            storage.load(saved)


def test_another_kind_of_file_is_refused(digits_qgraph, tmp_path):
    from hwquant import hwq

    hwq.save(digits_qgraph, tmp_path / "net.hwq")
    with pytest.raises(HwquantError, match="'hwquant network' file; a 'hwquant program' file is needed"):
        storage.load(tmp_path / "net.hwq")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta, arrays: meta.pop("layers"), "'layers' is missing"),
        (lambda meta, arrays: arrays.pop("words"), "'words' is missing"),
        (lambda meta, arrays: meta["config"].update(rows=99), "rows must be 2..32, not 99"),
        (lambda meta, arrays: meta["config"].update(colour=1), "colour"),
        (lambda meta, arrays: meta.update(checksum=meta["checksum"] ^ 1), "do not have the checksum"),
        (
            lambda meta, arrays: arrays.update(words=arrays["words"] ^ 1),
            "unknown opcode|do not have the checksum",
        ),
        (lambda meta, arrays: arrays.update(words=arrays["words"][:0]), "do not have the checksum"),
        (
            lambda meta, arrays: arrays.update(words=arrays["words"].astype(np.int64)),
            "instructions are int64",
        ),
        (lambda meta, arrays: arrays.update(bias=arrays["bias"].astype(np.float64)), "its bias are float64"),
    ],
)
def test_a_file_made_by_hand_must_hold_a_program(saved, change, message):
    meta, arrays = container.read(saved, storage.KIND, storage.VERSION)
    change(meta["program"], arrays)
    container.write(saved, storage.KIND, storage.VERSION, meta, arrays)
    with pytest.raises(HwquantError, match=rf"holds no valid program: .*({message})"):
        storage.load(saved)
