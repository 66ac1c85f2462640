"""What is in a build's ``boards/``: sealed, and nobody else's."""

import json
import os
import shutil

import pytest

from hwquant.board_report import built_file, check_replaceable, read_board_report, write_board_report
from hwquant.build import BOARDS, check_target, load_build, write_build
from hwquant.errors import Damaged, HwquantError
from hwquant.files import digest, sealed


@pytest.fixture
def place(tmp_path):
    """A board's folder with two files."""
    place = tmp_path / "board"
    (place / "inner").mkdir(parents=True)
    (place / "top.bit").write_bytes(b"bits")
    (place / "inner" / "log").write_text("text")
    write_board_report(place, {"bitstream": "top.bit"})
    return place


def test_a_report_comes_back_with_digests(place):
    report = read_board_report(place)
    assert report["bitstream"] == "top.bit"
    assert report["sha256"] == {name: digest(place / name) for name in ("top.bit", "inner/log")}
    assert built_file(place, "top.bit") == place / "top.bit"
    check_replaceable(place)


def test_a_changed_byte_of_report_or_bitstream_is_noticed(place):
    (place / "top.bit").write_bytes(b"bats")
    with pytest.raises(Damaged, match=r"top\.bit is not what was built"):
        built_file(place, "top.bit")
    content = (place / "report.json").read_bytes()
    for position in range(0, len(content), 7):
        changed = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        (place / "report.json").write_bytes(changed)
        with pytest.raises(Damaged, match=r"report\.json (is damaged|has no)"):
            read_board_report(place)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../net.hwq", "..", "", "other.bit", "inner/log"])
def test_a_bitstream_is_a_file_that_was_built_there(place, name):
    (place / "other.bit").write_bytes(b"bits")
    (place / "report.json").write_bytes(sealed({**read_board_report(place), "bitstream": name}))
    with pytest.raises(HwquantError, match=r"cannot have the name|is not what was built"):
        built_file(place, read_board_report(place)["bitstream"])


def test_a_link_is_no_bitstream(place, tmp_path):
    (place / "top.bit").rename(tmp_path / "elsewhere")
    (place / "top.bit").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Damaged, match="is not what was built"):
        built_file(place, "top.bit")


@pytest.mark.parametrize("name", ["notes.txt", "inner/notes.txt", "impl/top.bit"])
def test_the_work_of_others_is_named(place, name):
    (place / name).parent.mkdir(exist_ok=True)
    (place / name).write_text("mine")
    with pytest.raises(HwquantError, match=f"holds '{name}', which hwquant did not write; move it away"):
        check_replaceable(place)


@pytest.mark.parametrize("content", ["[]", "{}", '{"sha256": [], "self": "x"}', "[" * 10000])
def test_other_json_in_place_of_a_board_report_is_damage(place, content):
    (place / "report.json").write_text(content)
    with pytest.raises(Damaged):
        read_board_report(place)


@pytest.fixture
def build(digits_build, tmp_path):
    """A build with a board, and a folder of somebody's beside it."""
    shutil.copytree(digits_build.folder, tmp_path / "build")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("text")
    board = tmp_path / "build" / BOARDS / "generic"
    board.mkdir(parents=True)
    (board / "top.v").write_text("module top;")
    write_board_report(board, {"board": "generic"})
    return load_build(tmp_path / "build")


@pytest.mark.parametrize("where", ["boards", "boards/generic"])
def test_links_in_a_build_are_not_followed(build, tmp_path, digits_qgraph, small_program, where):
    shutil.rmtree(build.folder / where)
    (build.folder / where).symlink_to(tmp_path / "mine")
    with pytest.raises(HwquantError, match="is no folder that hwquant made; move it away"):
        write_build(digits_qgraph, small_program, build.folder)
    from hwquant.boards.board import load_board
    from hwquant.boards.implement import implement

    with pytest.raises(HwquantError, match="is no folder that hwquant made; move it away"):
        implement(build, load_board("generic"), clock_mhz=50)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "text"
    assert os.listdir(tmp_path / "mine") == ["thesis.tex"]
    assert (build.folder / where).is_symlink()


def test_a_link_to_a_build_is_that_build(build, tmp_path, digits_qgraph, small_program):
    (tmp_path / "link").symlink_to("build")
    write_build(digits_qgraph, small_program, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load_build(build.folder).program.checksum == small_program.checksum
    assert not (build.folder / BOARDS).exists()
    assert sorted(os.listdir(tmp_path)) == ["build", "link", "mine"]


def test_links_to_files_of_a_build_are_replaced(build, tmp_path, digits_qgraph, small_program):
    for name in ("net.hwq", "report.html"):
        shutil.copy(build.folder / "net.hwq", tmp_path / "mine" / name)
        (build.folder / name).unlink(missing_ok=True)
        (build.folder / name).symlink_to(tmp_path / "mine" / name)
    write_build(digits_qgraph, small_program, build.folder)
    assert not (build.folder / "net.hwq").is_symlink()
    assert sorted(os.listdir(tmp_path / "mine")) == ["net.hwq", "report.html", "thesis.tex"]


def test_what_somebody_put_into_a_build_is_named_and_stays(build, digits_qgraph, small_program):
    for name in ("boards/mine/thesis.tex", "boards/generic/top.bit", "report.html/thesis.tex"):
        path = build.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
        with pytest.raises(HwquantError, match=r"hwquant did not write"):
            write_build(digits_qgraph, small_program, build.folder)
        assert path.read_text() == "text"
        path.unlink()
        if not os.listdir(path.parent):
            path.parent.rmdir()
    check_target(build.folder)


@pytest.fixture(scope="session")
def small_program(digits_qgraph):
    """Another program of the demo network."""
    from hwquant.program.compiler import compile_network

    return compile_network(digits_qgraph, (4, 4))


def test_a_command_does_not_add_to_the_build_of_another(build, digits_qgraph, small_program):
    from hwquant.boards.board import load_board
    from hwquant.boards.implement import implement

    write_build(digits_qgraph, small_program, build.folder)
    with pytest.raises(HwquantError, match=r"another hwquant has replaced .*; repeat this command"):
        implement(build, load_board("generic"), clock_mhz=50)
    assert not (build.folder / BOARDS).exists()


def test_the_report_is_json_that_others_can_read(place):
    assert json.loads((place / "report.json").read_text()).keys() == {"bitstream", "sha256", "self"}
