"""Boards' own reports, as the page shows them."""

import dataclasses
import json

import pytest

from hwquant.boards.implement import Implementation
from hwquant.errors import HwquantError
from hwquant.page.boards import KEYS, board_results


@pytest.fixture
def put(board_report, tmp_path):
    """Writes a board's report with some changes; its path."""

    def write(**changes):
        report = dataclasses.replace(board_report, **changes)
        place = tmp_path / "boards" / report.board
        place.mkdir(parents=True)
        (place / "report.json").write_text(json.dumps(dataclasses.asdict(report)))
        return place / "report.json"

    return write


def test_the_fastest_board_comes_first_with_its_resources(put, tmp_path):
    put(board="slow", frames_per_second=10.0, clock_mhz=10.0)
    put()
    put(board="generic", clock_mhz=0.0, frames_per_second=0.0, used={}, available={})
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


def test_before_any_board_there_is_none(tmp_path):
    assert board_results(tmp_path) == ()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"used": {"lut": 1}, "available": {}}'])
def test_a_damaged_report_says_what_to_do(put, tmp_path, content):
    put().write_text(content)
    with pytest.raises(HwquantError, match=r"report\.json .*; build for this board again"):
        board_results(tmp_path)


def test_what_is_shown_is_what_boards_report():
    assert {field.name for field in dataclasses.fields(Implementation)} >= KEYS
