"""Files and folders with changed bytes, or changed and sealed again: refused, or right; soon, and in little memory.

``HWQUANT_FUZZ_CASES`` and ``HWQUANT_FUZZ_SEED`` make the nightly campaign longer, or another one.
"""

import copy
import hashlib
import io
import json
import os
import shutil
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from hwquant_testing.limits import attempt

from hwquant import container, golden, hwq
from hwquant.build import FILES, MANIFEST, load_build
from hwquant.data import load_samples
from hwquant.errors import Damaged, HwquantError
from hwquant.interface import Input
from hwquant.program import storage

FEW, MANY = 25, int(os.environ.get("HWQUANT_FUZZ_CASES", "2000"))
SEED = int(os.environ.get("HWQUANT_FUZZ_SEED", "0"))
INPUT = (Input("image", (2, 3), (2, 3, 1)),)


def cases(function):
    """A few in every run, many in the night; the failing seed is in the message."""
    many = pytest.param(range(SEED, SEED + MANY), marks=pytest.mark.nightly, id="many")
    return pytest.mark.parametrize("seeds", [pytest.param(range(FEW), id="few"), many])(function)


def mutated(data, rng):
    """Bytes with one to three changes: flipped, replaced, cut out, doubled, cut off."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        position, length = int(rng.integers(len(changed))), int(rng.integers(1, 9))
        match rng.integers(6):
            case 0 | 1:
                changed[position] ^= 1 << int(rng.integers(8))
            case 2:
                changed[position : position + length] = rng.bytes(len(changed[position : position + length]))
            case 3:
                del changed[position : position + length]
            case 4:
                changed[position:position] = changed[position : position + length]
            case _:
                del changed[max(1, len(changed) - length) :]
    return bytes(changed)


WEIRD = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63 - 1,
    -(2**63),
    1e308,
    -1e-308,
    0.5,
    "",
    "x",
    "\x1b[2J",
    [],
    {},
    [[]],
)


def mutate_value(value, rng):
    """A JSON value with one change somewhere in it, in place; the new value."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = sorted(value)[rng.integers(len(value))]
        if rng.random() < 0.1:
            del value[key]
        else:
            value[key] = mutate_value(value[key], rng)
        return value
    if isinstance(value, list) and value and rng.random() < 0.9:
        index = int(rng.integers(len(value)))
        if rng.random() < 0.1:
            value.append(copy.deepcopy(value[index]))
        else:
            value[index] = mutate_value(value[index], rng)
        return value
    if type(value) in (int, float) and rng.random() < 0.5:
        return value + int(rng.integers(-2, 3))
    return WEIRD[rng.integers(len(WEIRD))]


def mutate_array(array, rng):
    """Another shape, another dtype, or other numbers."""
    match rng.integers(5):
        case 0:
            return array.astype(
                ("int8", "uint8", "int64", "float32", "float64", "bool", "uint64")[rng.integers(7)]
            )
        case 1:
            return array.reshape(-1)
        case 2:
            return array[..., None]
        case 3:
            return array[:-1] if array.ndim else array
        case _:
            changed = array.copy()
            if changed.size:
                largest = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else np.inf
                changed.flat[rng.integers(changed.size)] = largest
            return changed


def reseal(body):
    """Bytes with a right checksum around them."""
    return body + hashlib.sha256(body).hexdigest().encode()


@cases
@pytest.mark.parametrize("kind", ["hwq", "hwp"])
def test_changed_bytes_of_a_container_are_noticed(seeds, kind, digits_build, tmp_path):
    name, load = {"hwq": ("net.hwq", hwq.load), "hwp": ("program.hwp", storage.load)}[kind]
    whole = (digits_build.folder / name).read_bytes()
    path = tmp_path / name
    for seed in seeds:
        content = mutated(whole, np.random.default_rng(seed))
        if content != whole:
            path.write_bytes(content)
            assert isinstance(attempt(load, path), Damaged), f"seed {seed}"


@cases
@pytest.mark.parametrize("name", ["net.hwq", "program.hwp"])
def test_a_container_that_was_changed_and_sealed_again_has_the_same_members_or_is_refused(
    seeds, name, digits_build, tmp_path
):
    kind = {"net.hwq": "network", "program.hwp": "program"}[name]
    whole = (digits_build.folder / name).read_bytes()
    version = storage.VERSION if name == "program.hwp" else 1
    content = container.unpack(whole, kind, version, name)
    for seed in seeds:
        data = reseal(mutated(whole[: -container.DIGEST_BYTES], np.random.default_rng(seed)))
        found = attempt(container.unpack, data, kind, version, name)
        if not isinstance(found, Damaged):
            assert container.pack(kind, 1, *found) == container.pack(kind, 1, *content), f"seed {seed}"


@cases
def test_a_network_that_was_changed_and_sealed_again_computes_or_is_refused(
    seeds, digits_build, digits_samples, tmp_path
):
    meta, arrays = container.read(digits_build.folder / "net.hwq", "network")
    path, accepted = tmp_path / "net.hwq", 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        changed, numbers = copy.deepcopy(meta), dict(arrays)
        if rng.random() < 0.7:
            changed["network"] = mutate_value(changed["network"], rng)
        else:
            member = sorted(numbers)[rng.integers(len(numbers))]
            numbers[member] = mutate_array(numbers[member], rng)
        container.write(path, "network", 1, changed, numbers)
        qgraph = attempt(hwq.load, path)
        if not isinstance(qgraph, HwquantError):
            accepted += 1
            hwq.save(qgraph, path)
            outcome = attempt(golden.predict, qgraph, digits_samples.x[:2])
            assert isinstance(outcome, list | HwquantError), f"seed {seed}"
    assert 0 < accepted < len(seeds)


@cases
def test_a_program_that_was_changed_and_sealed_again_is_another_or_refused(seeds, digits_build, tmp_path):
    meta, arrays = container.read(digits_build.folder / "program.hwp", "program", storage.VERSION)
    path = tmp_path / "program.hwp"
    for seed in seeds:
        rng = np.random.default_rng(seed)
        changed, numbers = copy.deepcopy(meta), dict(arrays)
        if rng.random() < 0.7:
            changed["program"] = mutate_value(changed["program"], rng)
        else:
            member = sorted(numbers)[rng.integers(len(numbers))]
            numbers[member] = mutate_array(numbers[member], rng)
        container.write(path, "program", storage.VERSION, changed, numbers)
        program = attempt(storage.load, path)
        if not isinstance(program, HwquantError):
            storage.save(program, path)
            assert storage.load(path).checksum == program.checksum, f"seed {seed}"


@cases
def test_a_build_with_a_changed_byte_or_name_is_refused(seeds, digits_build, tmp_path):
    folder = tmp_path / "build"
    shutil.copytree(digits_build.folder, folder)
    names = [*FILES, MANIFEST]
    for seed in seeds:
        rng = np.random.default_rng(seed)
        path = folder / names[rng.integers(len(names))]
        whole = path.read_bytes()
        content = mutated(whole, rng)
        match rng.integers(8):
            case 0:
                path.rename(folder / "other")
            case 1:
                path.write_bytes((folder / names[rng.integers(len(names))]).read_bytes())
            case _:
                path.write_bytes(content)
        if not path.exists() or path.read_bytes() != whole:
            assert isinstance(attempt(load_build, folder), HwquantError), f"seed {seed}"
        (folder / "other").unlink(missing_ok=True)
        path.write_bytes(whole)
    load_build(folder)


@cases
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_data_with_changed_bytes_is_the_same_or_refused(seeds, save, tmp_path):
    x = np.random.default_rng(1).normal(size=(9, 2, 3)).astype(np.float32)
    path = tmp_path / "data.npz"
    save(path, x=x, y=np.arange(9))
    whole = path.read_bytes()
    for seed in seeds:
        path.write_bytes(mutated(whole, np.random.default_rng(seed)))
        found = attempt(load_samples, path, INPUT)
        if not isinstance(found, HwquantError):
            np.testing.assert_array_equal(found.x, x, err_msg=f"seed {seed}")
            # The labels are optional: without their name they are not there.
            assert found.y is None or (found.y == np.arange(9)).all(), f"seed {seed}"


@cases
def test_arrays_with_changed_headers_are_what_numpy_reads_or_refused(seeds, tmp_path):
    x = np.random.default_rng(1).normal(size=(9, 2, 3)).astype(np.float32)
    buffer, path = io.BytesIO(), tmp_path / "data.npz"
    np.save(buffer, x)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        content = bytearray(buffer.getvalue())
        content[:128] = (mutated(bytes(content[:128]), rng) + bytes(128))[:128]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", bytes(content))
        found = attempt(load_samples, path, INPUT)
        if not isinstance(found, HwquantError):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of headers that Python 2 wrote
                with np.load(path, allow_pickle=False) as file:
                    expected = file["x"]
            np.testing.assert_array_equal(found.x, expected, err_msg=f"seed {seed}")


def npy(shape, dtype, size):
    """A header that says a shape, and as many zeros as ``size`` bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(size)


def bomb(path, members, comment=b""):
    """A zip of a few megabytes, of 5 GB of zeros in each member; made without making them."""
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    with open(path, "wb") as file:
        directory = b""
        for name, head, size in members:
            begin = file.tell()
            body, check = io.BytesIO(), zlib.crc32(head)
            body.write(block.compress(head))
            chunk = bytes(1 << 20)
            packed = block.flush(zlib.Z_FULL_FLUSH)
            body.write(packed)
            once = block.compress(chunk) + block.flush(zlib.Z_FULL_FLUSH)
            count = size >> 20
            for _ in range(count):
                body.write(once)
            body.write(block.flush(zlib.Z_FINISH))
            del check  # the checksum of so much is not computed: nothing may read as far as it
            data, total = body.getvalue(), len(head) + (count << 20)
            fields = struct.pack("<HHHHHIII", 20, 0, 8, 0, 33, 0, len(data), total) + struct.pack(
                "<H", len(name)
            )
            file.write(b"PK\3\4" + fields + b"\0\0" + name + data)
            directory += b"PK\1\2\x14\0" + fields + bytes(12) + struct.pack("<I", begin)[:4] + name
            block = zlib.compressobj(9, zlib.DEFLATED, -15)
        begin = file.tell()
        end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), begin, len(comment))
        file.write(directory + b"PK\5\6" + end + comment)
    return path


SIZE = 4000 << 20  # below 4 GiB, where zip needs other fields


def test_a_bomb_of_data_is_refused_and_its_first_samples_are_read(tmp_path, peak):
    rows = SIZE // 24
    head = npy((rows, 2, 3), "<f4", 0)
    path = bomb(tmp_path / "data.npz", [(b"x.npy", head, rows * 24 >> 20 << 20)])
    assert path.stat().st_size < 8 << 20
    with peak(300):
        found = attempt(load_samples, path, INPUT)
        assert isinstance(found, HwquantError)
        assert "more than 50 times" in str(found) or "its header says" in str(found)


def test_data_that_compresses_well_is_read_whole_or_in_part(tmp_path, peak):
    x = np.zeros((2_000_000, 2, 3), np.float32)
    np.savez_compressed(tmp_path / "data.npz", x=x)
    assert (tmp_path / "data.npz").stat().st_size < 100_000
    with peak(20):
        assert len(load_samples(tmp_path / "data.npz", INPUT, 10)) == 10
    assert len(load_samples(tmp_path / "data.npz", INPUT)) == 2_000_000


@pytest.mark.parametrize("sealed", [False, True])
def test_a_bomb_of_a_network_is_refused(tmp_path, peak, sealed):
    path = bomb(tmp_path / "net.hwq", [(b"manifest.json", b" ", SIZE)], b"0" * container.DIGEST_BYTES)
    if sealed:
        path.write_bytes(reseal(path.read_bytes()[: -container.DIGEST_BYTES]))
    with peak(300):
        assert isinstance(attempt(hwq.load, path), Damaged)


@pytest.fixture
def peak():
    """Holds what runs inside to megabytes of new memory."""
    from hwquant_testing.limits import limited

    return lambda megabytes: limited(seconds=2, memory=megabytes << 20)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 1}', '{"a": NaN}', '{"a": 1e400}', '{"a": 1' + "0" * 400 + "}", "[" * 100_000, '"\ud800'],
    ids=["twice", "nan", "infinite", "long", "deep", "surrogate"],
)
def test_json_that_is_not_quite_json_is_damage(tmp_path, text):
    data = text.encode("utf-8", "surrogatepass")
    members = {"a.json": data}
    digests = {name: hashlib.sha256(item).hexdigest() for name, item in members.items()}
    manifest = {"format": "hwquant network", "version": 1, "sha256": digests}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = b"0" * container.DIGEST_BYTES
        archive.writestr("a.json", data)
        archive.writestr("manifest.json", json.dumps(manifest))
    path = tmp_path / "net.hwq"
    path.write_bytes(reseal(buffer.getvalue()[: -container.DIGEST_BYTES]))
    assert isinstance(attempt(container.read, path, "network"), Damaged)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 77])
def test_members_are_stored_and_never_compressed(digits_build, tmp_path, method):
    whole = (digits_build.folder / "net.hwq").read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = b"0" * container.DIGEST_BYTES
        for name in source.namelist():
            archive.writestr(name, source.read(name), method if method != 77 else zipfile.ZIP_STORED)
    body = buffer.getvalue()
    if method == 77:  # a method that nobody knows, in every local header and in the directory
        body = bytearray(body)
        for signature, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
            position = body.find(signature)
            while position >= 0:
                body[position + place : position + place + 2] = b"\x4d\0"
                position = body.find(signature, position + 4)
        body = bytes(body)
    path = tmp_path / "net.hwq"
    path.write_bytes(reseal(body[: -container.DIGEST_BYTES]))
    found = attempt(hwq.load, path)
    assert isinstance(found, Damaged)
    assert "is compressed" in str(found) or "is not valid" in str(found)


def test_a_device_and_a_pipe_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        assert "is no ordinary file" in str(attempt(hwq.load, path))
        assert "is no ordinary file" in str(attempt(load_samples, path, INPUT))
