import hashlib
import io
import json
import os
import zipfile

import numpy as np
import pytest

from hwquant import container
from hwquant.errors import HwquantError

MEMBERS = {"network": {"name": "net", "scale": 0.1, "layers": [1, 2]}}
ARRAYS = {"weight": np.arange(-3, 3, dtype=np.int8).reshape(2, 3), "bias": np.array([1.5, -2.0])}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.hwq"
    container.write(path, "network", 1, MEMBERS, ARRAYS)
    return path


def signed(members):
    """A file with a right checksum around whatever members, as only a deliberate hand makes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = b"0" * 64
        for name, data in members.items():
            archive.writestr(name, data)
    body = buffer.getvalue()[:-64]
    return body + hashlib.sha256(body).hexdigest().encode()


def manifest(members, **changes):
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    return json.dumps({"format": "hwquant network", "version": 1, "sha256": digests} | changes).encode()


def test_a_container_holds_what_was_written(file):
    meta, arrays = container.read(file, "network")
    assert meta == MEMBERS
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 2, 3, 4)])
def test_every_shape_and_kind_of_number_survives(tmp_path, shape):
    arrays = {
        dtype: np.ones(shape, dtype) for dtype in ("bool", "int8", "uint8", "int64", "float32", "float64")
    }
    container.write(tmp_path / "f", "network", 1, {}, arrays)
    _, read = container.read(tmp_path / "f", "network")
    assert {name: (a.dtype, a.shape) for name, a in read.items()} == {
        name: (a.dtype, a.shape) for name, a in arrays.items()
    }


def test_same_content_gives_same_bytes(file, tmp_path):
    other = {"layers": [1, 2], "scale": 0.1, "name": "net"}
    arrays = {
        "bias": ARRAYS["bias"].astype(">f8"),
        "weight": np.asfortranarray(ARRAYS["weight"]),
    }
    container.write(tmp_path / "other.hwq", "network", 1, {"network": other}, arrays)
    assert (tmp_path / "other.hwq").read_bytes() == file.read_bytes()


def test_a_container_is_an_ordinary_zip(file):
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["bias.npy", "manifest.json", "network.json", "weight.npy"]
        assert json.loads(archive.read("network.json")) == MEMBERS["network"]


def test_a_change_of_any_byte_is_noticed(file):
    data = file.read_bytes()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        file.write_bytes(changed)
        with pytest.raises(HwquantError, match=r"file\.hwq is"):
            container.read(file, "network")


def test_truncation_anywhere_is_noticed(file):
    data = file.read_bytes()
    for length in [*range(0, len(data), 7), len(data) - 1]:
        file.write_bytes(data[:length])
        with pytest.raises(HwquantError, match=r"file\.hwq is"):
            container.read(file, "network")


def test_appended_bytes_are_noticed(file):
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(HwquantError, match=r"truncated or damaged.*write it again"):
        container.read(file, "network")


def test_a_file_of_something_else_is_refused(file):
    file.write_bytes(b"\x08\x07some other format" * 20)
    with pytest.raises(HwquantError, match="not a file that hwquant wrote"):
        container.read(file, "network")


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(HwquantError, match=r"cannot read .*nowhere\.hwq: No such file"):
        container.read(tmp_path / "nowhere.hwq", "network")


def test_a_container_of_another_kind_is_refused(file):
    with pytest.raises(HwquantError, match="is a 'hwquant network' file; a 'hwquant program' file is needed"):
        container.read(file, "program")


def test_a_newer_version_is_refused(tmp_path):
    container.write(tmp_path / "f", "network", 3, MEMBERS, ARRAYS)
    assert container.read(tmp_path / "f", "network", newest=3)[0] == MEMBERS
    with pytest.raises(
        HwquantError, match="has format version 3, this hwquant reads up to 2; update hwquant"
    ):
        container.read(tmp_path / "f", "network", newest=2)


def test_a_missing_member_is_named(file):
    data = {"a.json": b"{}", "b.json": b"{}"}
    file.write_bytes(signed({"a.json": b"{}", "manifest.json": manifest(data)}))
    with pytest.raises(HwquantError, match=r"lacks the member 'b\.json'"):
        container.read(file, "network")


def test_an_unknown_member_is_named(file):
    file.write_bytes(signed({"a.json": b"{}", "manifest.json": manifest({})}))
    with pytest.raises(HwquantError, match=r"unknown member 'a\.json'"):
        container.read(file, "network")


def test_a_member_that_does_not_match_the_manifest_is_named(file):
    file.write_bytes(signed({"a.json": b"[]", "manifest.json": manifest({"a.json": b"{}"})}))
    with pytest.raises(HwquantError, match=r"damaged member 'a\.json'"):
        container.read(file, "network")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"manifest.json": b"not JSON"},
        {"manifest.json": b"[]"},
        {"manifest.json": b"{}"},
        {"manifest.json": b'{"format": "hwquant network", "version": "1", "sha256": {}}'},
        {"a.json": b"{", "manifest.json": manifest({"a.json": b"{"})},
        {"a.npy": b"not an array", "manifest.json": manifest({"a.npy": b"not an array"})},
    ],
)
def test_nonsense_with_a_right_checksum_is_refused(file, members):
    file.write_bytes(signed(members))
    with pytest.raises(HwquantError, match=r"file\.hwq is not a valid hwquant file"):
        container.read(file, "network")


def test_pickled_arrays_are_not_loaded(file, tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    data = (tmp_path / "a.npy").read_bytes()
    file.write_bytes(signed({"a.npy": data, "manifest.json": manifest({"a.npy": data})}))
    with pytest.raises(HwquantError, match="not a valid hwquant file"):
        container.read(file, "network")


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(HwquantError, match=r"cannot write .*net\.hwq: .*choose a folder"):
        container.write(tmp_path / folder / "net.hwq", "network", 1, MEMBERS, ARRAYS)


@pytest.mark.parametrize("function", ["mkdir", "write", "fsync"])
def test_a_failed_write_leaves_what_was_there(file, monkeypatch, function):
    before = file.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(HwquantError, match="No space left on device"):
        container.write(file, "network", 1, {}, {})
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
