"""Boards' own reports, as the page shows them."""

import dataclasses
import json

import pytest

from hwquant.board_report import write_board_report
from hwquant.boards.implement import Implementation
from hwquant.errors import Damaged, HwquantError
from hwquant.page.boards import KEYS, board_results


@pytest.fixture
def put(board_report, tmp_path):
    """Writes a board's report with some changes; its path."""

    def write(**changes):
        report = {**dataclasses.asdict(board_report), **changes}
        place = tmp_path / "boards" / str(report["board"])
        place.mkdir(parents=True)
        write_board_report(place, report)
        return place / "report.json"

    return write


def test_the_fastest_board_comes_first_with_its_resources(put, tmp_path):
    put(board="slow", core_frames_per_second=10.0, clock_mhz=10.0)
    put()
    put(
        board="generic",
        clock_mhz=0.0,
        core_frames_per_second=0.0,
        frames_per_second=0.0,
        used={},
        available={},
    )
    results = board_results(tmp_path)
    assert [item.report["board"] for item in results] == ["ulx3s-25f", "slow", "generic"]
    assert [item.hertz for item in results] == [100e6, 10e6, 0.0]
    assert [(use.name, use.share) for use in results[0].uses] == [
        ("lut", 0.5),
        ("ff", pytest.approx(3000 / 24288)),
        ("dsp", 0.0),
        ("ram", 1.0),
    ]
    assert results[2].uses == ()


def test_a_build_without_boards_has_no_board_results(tmp_path):
    assert board_results(tmp_path) == ()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"used": {"lut": 1}, "available": {}}'])
def test_a_damaged_report_says_what_to_do(put, tmp_path, content):
    put().write_text(content)
    with pytest.raises(
        HwquantError, match=r"report\.json .*; delete its folder, and build for this board again"
    ):
        board_results(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("frames_per_second", value) for value in ("x", None, True, -1)],
        *(("clock_mhz", None), ("fmax_mhz", "100"), ("seconds", "60"), ("attempts", "1")),
        *(("versions", []), ("versions", {"pyosys": 3}), ("notes", 3), ("notes", "a note"), ("notes", [3])),
        *(("used", "lut"), ("used", {"lut": "many"}), ("used", {"lut": 1.5}), ("available", [])),
        *(
            ("board", 3),
            ("device", None),
            ("bitstream", ["top.bit"]),
            ("bitstream", "/etc/passwd"),
            ("bitstream", "../top.bit"),
        ),
    ],
)
def test_a_value_of_another_kind_is_named(put, tmp_path, key, value):
    put(**{key: value})
    with pytest.raises(Damaged, match=rf"report\.json is damaged .*'{key}'.*delete its folder"):
        board_results(tmp_path)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "1" + "0" * 400, "[" * 100_000], ids=len)
def test_a_value_that_no_number_can_have_is_damage(put, tmp_path, value):
    path = put()
    path.write_text(path.read_text().replace('"seconds": ', f'"seconds": {value}, "other": '))
    with pytest.raises(Damaged, match=r"report\.json is damaged"):
        board_results(tmp_path)


@pytest.mark.parametrize("name", ["bitstream", "frames_per_second"])
def test_a_report_that_was_changed_by_hand_is_damage(put, tmp_path, name):
    path = put()
    path.write_bytes(json.dumps({**json.loads(path.read_text()), name: 1}, indent=1).encode() + b"\n")
    with pytest.raises(Damaged, match=r"report\.json is damaged \(its checksum is wrong\)"):
        board_results(tmp_path)


def test_a_report_that_is_about_to_be_written_need_not_be_whole(put, tmp_path):
    put().write_text("{}")
    put(board="other")
    assert [item.report["board"] for item in board_results(tmp_path, replaced="ulx3s-25f")] == ["other"]


def test_the_page_shows_what_boards_report():
    assert {field.name for field in dataclasses.fields(Implementation)} >= set(KEYS)
