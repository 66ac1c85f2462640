"""The build folder: whole or not at all, replaced only if it is ours, every byte checked."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from hwquant_testing.small_networks import Net

from hwquant import build as build_module
from hwquant.build import EXTERNAL, FILES, MANIFEST, load_build, write_build
from hwquant.errors import Damaged, HwquantError
from hwquant.files import digest, places, sealed
from hwquant.program import storage
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory


@pytest.fixture
def folder(digits_build, tmp_path):
    shutil.copytree(digits_build.folder, tmp_path / "build")
    return tmp_path / "build"


def contents(folder):
    return {item.name: item.read_bytes() for item in folder.iterdir()}


def test_a_build_holds_its_five_files_and_comes_back(folder, digits_program, digits_qgraph):
    assert set(contents(folder)) == {*FILES, MANIFEST}
    build = load_build(folder)
    assert build.program.checksum == digits_program.checksum
    assert [node.name for node in build.qgraph.nodes] == [node.name for node in digits_qgraph.nodes]
    modules = [line for line in build.verilog.read_text().splitlines() if line.startswith("module ")]
    assert sum(line.startswith("module hwquant(") for line in modules) == 1
    assert len(modules) > 10
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(build.report.to_json()))


def test_the_same_input_gives_the_same_bytes(folder, digits_qgraph, digits_program, tmp_path):
    write_build(digits_qgraph, digits_program, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(folder)


def test_a_build_is_replaced_whole_and_an_equal_one_left_alone(
    folder, digits_qgraph, digits_program, tmp_path
):
    from hwquant.program.compiler import compile_network

    before = {name: (folder / name).stat().st_mtime_ns for name in FILES}
    write_build(digits_qgraph, digits_program, folder)
    assert {name: (folder / name).stat().st_mtime_ns for name in FILES} == before
    other = compile_network(digits_qgraph, (4, 4))
    write_build(digits_qgraph, other, folder)
    assert load_build(folder).program.checksum == other.checksum
    assert os.listdir(tmp_path) == ["build"]


def test_what_external_memory_holds_is_a_file_of_its_build(folder, digits_qgraph, digits_program):
    program = compile_network(digits_qgraph, (4, 4), external=ExternalMemory(32))
    write_build(digits_qgraph, program, folder)
    assert set(contents(folder)) == {*FILES, EXTERNAL, MANIFEST}
    assert (folder / EXTERNAL).read_bytes() == program.external_image.tobytes() != b""
    assert load_build(folder).program.checksum == program.checksum
    (folder / EXTERNAL).write_bytes(b"another")
    with pytest.raises(Damaged, match=r"external\.bin is damaged"):
        load_build(folder)
    (folder / EXTERNAL).unlink()
    with pytest.raises(Damaged, match=r"external\.bin is missing"):
        load_build(folder)
    write_build(digits_qgraph, digits_program, folder)
    assert set(contents(folder)) == {*FILES, MANIFEST}
    (folder / EXTERNAL).write_bytes(b"of nobody")
    with pytest.raises(HwquantError, match=r"external\.bin does not belong to the build"):
        load_build(folder)


def test_an_empty_folder_is_filled(digits_qgraph, digits_program, tmp_path):
    (tmp_path / "build").mkdir()
    write_build(digits_qgraph, digits_program, tmp_path / "build")
    load_build(tmp_path / "build")


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_flipped_byte_names_its_file(folder, name):
    content = (folder / name).read_bytes()
    step = max(1, len(content) // 40)
    for position in range(0, len(content), step):
        flipped = bytes([content[position] ^ 0x20])
        (folder / name).write_bytes(content[:position] + flipped + content[position + 1 :])
        with pytest.raises(HwquantError, match=rf"{name} is damaged"):
            load_build(folder)
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(HwquantError, match=rf"{name} is damaged"):
        load_build(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(HwquantError, match=rf"{name} is missing; compile the network again"):
        load_build(folder)


def test_an_added_file_is_named(folder):
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(HwquantError, match=r"notes\.txt does not belong to the build"):
        load_build(folder)


def test_a_program_of_another_network_is_noticed(folder):
    """Also where every checksum is right."""
    net = Net(x=(2, 2, 2))
    net.conv("x", 2)
    storage.save(compile_network(net.build(), (2, 2)), folder / "program.hwp")
    digests = {name: digest(folder / name) for name in FILES}
    (folder / MANIFEST).write_bytes(sealed({"format": "hwquant build", "version": 1, "sha256": digests}))
    with pytest.raises(Damaged, match=r"program\.hwp is of another network than net\.hwq; compile"):
        load_build(folder)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        ((2, 2), {}),
        ((3, 2, 2), {}),
        ((2, 2), {"batch": 3}),
        ((2, 2, 2), {"batch": 5}),
        ((2, 2), {"external": ExternalMemory(16)}),
    ],
)
def test_whatever_a_network_is_compiled_for_its_build_comes_back(array, options, tmp_path):
    net = Net(x=(5, 1, 1))
    net.conv(net.conv("x", 4), 3)
    program = compile_network(net.build(), array, **options)
    write_build(net.build(), program, tmp_path / "build")
    assert load_build(tmp_path / "build").program.checksum == program.checksum


def test_a_folder_that_is_no_build_is_refused(folder, tmp_path):
    with pytest.raises(
        HwquantError, match=r"there is no build folder .*none; make one with: hwquant compile"
    ):
        load_build(tmp_path / "none")
    with pytest.raises(HwquantError, match=r"net.hwq is a file, and no build folder; make one with"):
        load_build(folder / "net.hwq")
    (folder / MANIFEST).unlink()
    with pytest.raises(HwquantError, match=r"is no build folder: cannot read manifest\.json"):
        load_build(folder)


def test_a_newer_version_asks_for_an_update(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("self")
    (folder / MANIFEST).write_bytes(sealed({**manifest, "version": 3}))
    with pytest.raises(
        HwquantError, match="has format version 3, this hwquant reads up to 2; update hwquant"
    ):
        load_build(folder)


@pytest.mark.parametrize("names", [("notes.txt",), ("hwquant.v",), (*FILES, MANIFEST, "notes.txt")])
def test_a_folder_with_something_else_is_never_replaced(folder, names, digits_qgraph, digits_program):
    for item in folder.iterdir():
        if item.name not in names:
            item.unlink()
    if "notes.txt" in names:
        (folder / "notes.txt").write_text("mine")
    before = contents(folder)
    with pytest.raises(HwquantError, match="choose another folder"):
        write_build(digits_qgraph, digits_program, folder)
    assert contents(folder) == before


def test_a_target_that_cannot_be_is_refused(digits_qgraph, digits_program, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(HwquantError, match="it is a file; choose another name"):
        write_build(digits_qgraph, digits_program, tmp_path / "file")
    with pytest.raises(HwquantError, match=r"the folder .*absent does not exist; make it first"):
        write_build(digits_qgraph, digits_program, tmp_path / "absent" / "build")
    with pytest.raises(HwquantError, match=r"cannot write .*file/build"):
        write_build(digits_qgraph, digits_program, tmp_path / "file" / "build")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(HwquantError, match="it is the current folder"):
        write_build(digits_qgraph, digits_program, ".")
    assert sorted(os.listdir(tmp_path)) == ["file", "here"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is a folder that nobody can write to")
def test_an_unwritable_parent_is_an_error(digits_qgraph, digits_program):
    with pytest.raises(HwquantError, match="cannot write /proc/build"):
        write_build(digits_qgraph, digits_program, "/proc/build")


def test_a_failure_half_way_leaves_the_old_build(
    folder, digits_qgraph, digits_program, tmp_path, monkeypatch
):
    from hwquant.program.compiler import compile_network

    before = contents(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_module, "digest", full)
    with pytest.raises(HwquantError, match="No space left on device; free some space"):
        write_build(digits_qgraph, compile_network(digits_qgraph, (4, 4)), folder)
    assert contents(folder) == before
    assert os.listdir(tmp_path) == ["build"]


@pytest.mark.parametrize("exchanging", [True, False])
def test_a_failure_at_the_last_step_puts_the_old_build_back(
    folder, digits_qgraph, tmp_path, monkeypatch, exchanging
):
    from hwquant.program.compiler import compile_network

    before = contents(folder)

    def failing(path):
        if path == tmp_path:
            raise OSError(13, "Permission denied")

    monkeypatch.setattr(places, "_sync", failing)
    if not exchanging:
        monkeypatch.setattr(places, "exchange", lambda *_: False)
    with pytest.raises(HwquantError, match="Permission denied"):
        write_build(digits_qgraph, compile_network(digits_qgraph, (4, 4)), folder)
    assert contents(folder) == before
    assert os.listdir(tmp_path) == ["build"]


def test_the_verilog_does_not_depend_on_the_hash_seed(folder, tmp_path):
    script = (
        "import sys; from hwquant.build import load_build, write_build; b = load_build(sys.argv[1]);"
        "write_build(b.qgraph, b.program, sys.argv[2])"
    )
    subprocess.run(
        [sys.executable, "-c", script, folder, tmp_path / "other"],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
    )
    assert contents(tmp_path / "other") == contents(folder)
