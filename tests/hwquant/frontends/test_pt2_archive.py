"""Archives around programs: read whole, or refused, whatever their bytes are."""

import pickle
import shutil
import warnings
import zipfile

import numpy as np
import pytest
from hwquant_testing.limits import limited
from hwquant_testing.pt2_files import rewritten

from hwquant.errors import Damaged, HwquantError
from hwquant.floating import predict
from hwquant.frontends import load_model


class Harmful:
    """Unpickling this leaves a trace."""

    executed = False

    def __reduce__(self):
        return (setattr, (Harmful, "executed", True))


def test_pickled_example_inputs_are_never_opened(saved):
    path, net, x = saved
    sample = "data/sample_inputs/model.pt"
    rewritten(path, lambda name, document: None, drop=[sample], add={sample: pickle.dumps(Harmful())})
    (got,) = predict(load_model(path), x.numpy())
    np.testing.assert_allclose(got, net(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert not Harmful.executed


def test_pickled_weights_are_refused_unopened(saved):
    path = saved[0]

    def change(name, document):
        if name.endswith("weights_config.json"):
            document["config"]["0.weight"].update(use_pickle=True, path_name="evil")

    rewritten(path, change, add={"data/weights/evil": pickle.dumps(Harmful())})
    with pytest.raises(HwquantError, match=r"pickled tensor '0.weight'; hwquant never unpickles"):
        load_model(path)
    assert not Harmful.executed


def test_pickled_custom_objects_are_refused_unopened(saved):
    path = saved[0]

    def change(name, document):
        if name == "models/model.json":
            spec = {"custom_obj": {"arg": {"name": "obj", "class_fqn": "a.b"}, "custom_obj_name": "o"}}
            document["graph_module"]["signature"]["input_specs"].append(spec)

    rewritten(path, change)
    with pytest.raises(HwquantError, match=r"custom object among its inputs; hwquant never unpickles"):
        load_model(path)


@pytest.mark.parametrize("name", ["data/weights/model.pt", "data/constants/model.pt"])
def test_archives_of_older_versions_are_refused(saved, name):
    rewritten(saved[0], lambda *_: None, add={name: b"pickle"})
    with pytest.raises(HwquantError, match=r"before torch 2.9, whose weights are pickled"):
        load_model(saved[0])


def test_the_oldest_format_and_other_archives_are_refused(tmp_path):
    path = tmp_path / "net.pt2"
    for name, message in (
        ("serialized_exported_program.json", r"before torch 2.9"),
        ("something", r"holds no exported program; write one with torch.export.save"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"{}")
        with pytest.raises(HwquantError, match=message):
            load_model(path)


def test_truncated_files_are_refused_at_every_length(saved):
    path = saved[0]
    whole = path.read_bytes()
    # One of the members is an archive itself, so a piece of the file may be one.
    message = r"net.pt2' (is not a .pt2 file, or is truncated|holds no exported program)"
    for size in (*range(0, len(whole), 501), len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(HwquantError, match=message):
            load_model(path)


def test_a_flipped_byte_in_what_is_read_is_noticed(saved):
    path = saved[0]
    whole = path.read_bytes()
    archive = zipfile.ZipFile(path)
    for info in archive.infolist():
        name = info.filename.partition("/")[2]
        if name.startswith(("data/weights", "models/")):
            lengths = whole[info.header_offset + 26 : info.header_offset + 30]
            header = 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            damaged = bytearray(whole)
            damaged[info.header_offset + header + info.file_size // 2] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(HwquantError, match=r"is damaged: Bad CRC-32"):
                load_model(path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04" + bytes(100)])
def test_garbage_is_refused(tmp_path, content):
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(HwquantError, match=r"not a .pt2 file, or is truncated"):
        load_model(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HwquantError, match=r"cannot read '.*no.pt2': No such file"):
        load_model(tmp_path / "no.pt2")


def test_other_byte_orders_and_compressed_archives_are_refused(saved, tmp_path):
    path = saved[0]
    copy = tmp_path / "copy.pt2"
    shutil.copy(path, copy)
    rewritten(path, lambda *_: None, drop=["byteorder"], add={"byteorder": b"big"})
    with pytest.raises(HwquantError, match=r"little-endian"):
        load_model(path)
    with zipfile.ZipFile(copy) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info), zipfile.ZIP_DEFLATED)
    with pytest.raises(HwquantError, match=r"is compressed"):
        load_model(path)


def central(data, name, offset, value):
    """The archive with a field of a member's entry in the directory at its end changed."""
    changed = bytearray(data)
    at = changed.rindex(name) - 46
    changed[at + offset : at + offset + len(value)] = value
    return bytes(changed)


def test_a_member_name_that_is_not_utf8_is_refused(saved):
    path = saved[0]
    data = path.read_bytes().replace(b"/byteorder", b"/byte\xff\xfe\xfder")
    name = next(name for name in zipfile.ZipFile(path).namelist() if name.endswith("/byteorder")).encode()
    flags = (1 << 11).to_bytes(2, "little")  # "the name is UTF-8"
    path.write_bytes(central(data, name.replace(b"byteorder", b"byte\xff\xfe\xfder"), 8, flags))
    with pytest.raises(Damaged, match=r"is not a .pt2 file, or is truncated"):
        load_model(path)


def test_two_members_of_one_name_are_refused(saved):
    path = saved[0]
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/byteorder", b"little")
    with pytest.raises(Damaged, match=r"has two members named 'byteorder'"):
        load_model(path)


def test_members_in_two_folders_are_refused(saved):
    path = saved[0]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data/weights/weight_9", b"")
    with pytest.raises(Damaged, match=r"has members in several folders, where torch has one"):
        load_model(path)


def test_sizes_that_are_lies_are_refused(saved):
    path = saved[0]
    data = path.read_bytes()
    sizes = (1 << 30).to_bytes(4, "little") * 2
    name = next(name for name in zipfile.ZipFile(path).namelist() if name.endswith("weight_0")).encode()
    path.write_bytes(central(data, name, 20, sizes))  # compressed and uncompressed
    with pytest.raises(Damaged, match=r"has members that are larger than the file"):
        load_model(path)


def test_bombs_are_refused_soon_and_in_little_memory(saved, tmp_path):
    path = saved[0]
    bomb = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data/weights/weight_0", bytes(400 << 20))
    with limited(seconds=2, memory=300 << 20), pytest.raises(Damaged, match=r"is compressed"):
        load_model(bomb)

    # One small member, which the file says to repeat with strides of zero in as many weights as it likes.
    def expanded(name, document):
        if name.endswith("weights_config.json"):
            for payload in document["config"].values():
                count = len(payload["tensor_meta"]["sizes"])
                sizes = [{"as_int": 10**6}, *[{"as_int": 10}] * (count - 1)]
                payload["tensor_meta"].update(sizes=sizes, strides=[{"as_int": 0}] * count)

    rewritten(path, expanded)
    with limited(seconds=2, memory=300 << 20), pytest.raises(Damaged, match=r"is larger than its storage"):
        load_model(path)


def test_deep_json_is_refused(saved):
    rewritten(
        saved[0], lambda *_: None, drop=["models/model.json"], add={"models/model.json": b"[" * 100_000}
    )
    with pytest.raises(Damaged, match=r"does not have the form .*RecursionError"):
        load_model(saved[0])
