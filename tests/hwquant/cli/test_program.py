"""``hwquant program``: only what was built reaches a board, and the loader gets it as data."""

import json
import os

import pytest

from hwquant.board_report import write_board_report

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")


@pytest.fixture
def place(tmp_path):
    """The folder of a board in a build, with a bitstream."""
    folder = tmp_path / "build" / "boards" / "ulx3s-25f"
    folder.mkdir(parents=True)
    (folder / "top.bit").write_bytes(b"bits")
    write_board_report(folder, {"device": "lfe5u-25f", "bitstream": "top.bit"})
    return folder


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """A loader that notes its arguments, one a line, and then talks; what it noted."""
    (tmp_path / "bin").mkdir()
    noted = tmp_path / "noted"
    loader = tmp_path / "bin" / "openFPGALoader"
    loader.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {noted}\necho loading\n")
    loader.chmod(0o755)
    monkeypatch.setenv("PATH", f"{loader.parent}{os.pathsep}{os.environ['PATH']}")
    return lambda: noted.read_text().splitlines() if noted.exists() else None


def build_of(place):
    return place.parent.parent


def test_the_loader_gets_the_bitstream_that_was_built(hwquant, place, loaded):
    outcome = hwquant("program", build_of(place), "--board", "ulx3s-25f", "--flash")
    assert outcome.status == 0
    assert loaded() == ["--board", "ulx3s", "--write-flash", str(place / "top.bit")]
    assert f"loaded {place / 'top.bit'}" in outcome.stdout


def test_a_folder_is_never_an_option(hwquant, place, loaded, monkeypatch):
    build_of(place).rename(build_of(place).with_name("-x"))
    monkeypatch.chdir(build_of(place).parent)
    assert hwquant("program", "--board", "ulx3s-25f", "--", "-x").status == 0
    assert loaded()[-1] == str(build_of(place).with_name("-x") / "boards" / "ulx3s-25f" / "top.bit")


def test_what_the_loader_says_is_no_part_of_the_json(hwquant, place, loaded, capfd):
    outcome = hwquant("program", build_of(place), "--board", "ulx3s-25f", "--json")
    assert outcome.json == {"board": "ulx3s-25f", "bitstream": str(place / "top.bit")}
    assert capfd.readouterr() == ("", "loading\n")


def test_without_a_build_it_is_said_how_to_make_one(hwquant, tmp_path, loaded):
    hwquant("program", tmp_path, "--board", "ulx3s-25f").fails(
        f"there is no bitstream for ulx3s-25f in {tmp_path}; build it with: hwquant build {tmp_path}"
    )
    assert loaded() is None


def test_without_a_loader_it_is_said_how_to_get_it(hwquant, place, monkeypatch):
    monkeypatch.setenv("PATH", "")
    hwquant("program", build_of(place), "--board", "ulx3s-25f").fails("openFPGALoader is not installed")


@pytest.mark.parametrize(
    "bitstream", ["/etc/passwd", "../secret", "..", ".", "", 3, ["top.bit"], None, "none.bit", "a\0b"]
)
def test_a_report_names_nothing_but_a_file_beside_it(hwquant, place, loaded, bitstream):
    (place.parent / "secret").write_bytes(b"secret")
    write_board_report(place, {"device": "lfe5u-25f", "bitstream": bitstream})
    assert hwquant("program", build_of(place), "--board", "ulx3s-25f").fails("").status == 2
    assert loaded() is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '"x"', "3", "null", '{"bitstream": "/etc/passwd"}', "[" * 9999]
)
def test_a_report_that_was_not_written_so_is_damaged(hwquant, place, loaded, content):
    (place / "report.json").write_text(content)
    hwquant("program", build_of(place), "--board", "ulx3s-25f").fails("report.json is damaged")
    assert loaded() is None


def test_a_bitstream_that_has_changed_or_is_a_link_is_not_loaded(hwquant, place, loaded):
    (place / "top.bit").write_bytes(b"bitz")
    hwquant("program", build_of(place), "--board", "ulx3s-25f").fails("is not what was built")
    (place / "top.bit").rename(place.parent / "elsewhere")
    (place.parent / "elsewhere").write_bytes(b"bits")
    (place / "top.bit").symlink_to(place.parent / "elsewhere")
    hwquant("program", build_of(place), "--board", "ulx3s-25f").fails("is not what was built")
    assert loaded() is None


def test_what_was_built_for_another_device_is_not_loaded(hwquant, place, loaded):
    write_board_report(place, {"device": "lfe5u-85f", "bitstream": "top.bit"})
    hwquant("program", build_of(place), "--board", "ulx3s-25f").fails(
        "built for another device than lfe5u-25f"
    )
    assert loaded() is None


def test_what_vivado_wrote_is_found(hwquant, tmp_path, loaded):
    place = tmp_path / "build" / "boards" / "arty-a7-35"
    place.mkdir(parents=True)
    (place / "vivado.tcl").write_text("# as built\n")
    write_board_report(place, {"device": "xc7a35t", "bitstream": ""})
    command = ("program", tmp_path / "build", "--board", "arty-a7-35")
    hwquant(*command).fails(f"Vivado makes it: cd {place} && vivado -mode batch -source vivado.tcl")
    (tmp_path / "other").write_bytes(b"x")
    (place / "top.bit").symlink_to(tmp_path / "other")
    hwquant(*command).fails("there is no bitstream in")
    (place / "top.bit").unlink()
    (place / "top.bit").write_bytes(b"bits of Vivado")
    assert json.loads(hwquant(*command, "--json").stdout)["bitstream"] == str(place / "top.bit")
    assert loaded() == ["--board", "arty_a7_35t", str(place / "top.bit")]
