"""Board files: those that come along, and a user's own with every mistake in it."""

import pytest

from hwquant.boards.board import PINS, board_names, load_board, parse_board
from hwquant.boards.device import DEVICES
from hwquant.errors import HwquantError

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")

MINE = """
title = "Mine"
device = "lfe5u-25f"
package = "CABGA256"
speed = "7"
[pins.clock]
location = "A1"
hertz = 50_000_000
[pins.rx]
location = "B1"
attributes = {IO_TYPE = "LVCMOS33"}
[pins.tx]
location = "C1"
"""


@pytest.mark.parametrize("name", board_names())
def test_a_board_has_what_its_top_needs(name):
    board = load_board(name)
    assert board.name == name
    assert board.title
    if board.device.family == "generic":
        assert not board.pins
        return
    assert {"clock", "rx", "tx"} <= set(board.pins) <= set(PINS)
    assert len({pin.location for pin in board.pins.values()}) == len(board.pins)
    assert 10_000_000 <= board.clock_hz <= 200_000_000
    assert board.target_mhz * 1e6 % board.baud == 0, "the UART's rate is exact at the target clock"


def test_the_boards_that_people_have_are_there():
    assert {
        *("ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "orangecrab-25f", "colorlight-i5"),
        *("icebreaker", "tang-nano-9k", "tang-nano-20k", "arty-a7-35", "arty-a7-100", "generic"),
    } <= set(board_names())


def test_pins_come_from_amaranth_boards():
    pins = load_board("ulx3s-85f").pins
    assert (pins["clock"].location, pins["rx"].location, pins["tx"].location) == ("G2", "M1", "L4")
    assert load_board("icebreaker").pins["led"].inverted


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    board = load_board(path)
    assert (board.name, board.title, board.clock_hz, board.target_mhz) == ("mine", "Mine", 50_000_000, 50)
    assert board.device is DEVICES["ecp5-25k"]
    assert board.pins["rx"].attributes == {"IO_TYPE": "LVCMOS33"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("lfe5u-25f", "lfe5u-99f"), "device 'lfe5u-99f' is none of"),
        (("title", "titel"), "unknown key 'titel'"),
        (('title = "Mine"', ""), "title must be a text of 1 to 100 printable characters, and is missing"),
        (("[pins.rx]", "[pins.rX]"), "unknown pin 'rX'"),
        (('[pins.tx]\nlocation = "C1"', ""), "the pin 'tx' is missing"),
        (('location = "B1"', ""), "pin rx: location must be a pin .*, and is missing"),
        (("hertz = 50_000_000", "hertz = 50"), "hertz must be an integer from 1_000_000 to"),
        (("hertz", "frequency"), "unknown key 'frequency'"),
        (('speed = "7"', "speed = 7"), "speed must be a text"),
        (('speed = "7"', 'baud = "fast"'), "baud must be an integer from 1_200"),
        (('speed = "7"', "target_mhz = -1"), "target_mhz must be a number from 1 to 1000, not -1"),
        (('speed = "7"', 'speed = "7"\ntarget_mhz = 0'), "target_mhz must be a number from 1 to 1000"),
        (('speed = "7"', 'speed = "7"\ntarget_mhz = nan'), "target_mhz must be a number from 1 to 1000"),
        (('speed = "7"', 'speed = "7"\ntarget_mhz = inf'), "target_mhz must be a number from 1 to 1000"),
        (('speed = "7"', 'speed = "7"\ntarget_mhz = true'), "target_mhz must be a number from 1 to 1000"),
        (('package = "CABGA256"', ""), "package is missing, which the tools need for lfe5u-25f"),
        (("CABGA256", ""), "package is missing"),
        (('speed = "7"', ""), "speed is missing"),
        (('device = "lfe5u-25f"\npackage = "CABGA256"', 'device = "ice40up5k"'), "package is missing"),
        (("lfe5u-25f", "xc7a35t"), "part is missing, which the tools need for xc7a35t"),
        (
            ("[pins.tx]", '[pins.led]\nlocation = "L1"\ninverted = "no"\n[pins.tx]'),
            "pin led: inverted must be true or false",
        ),
        (('speed = "7"', "speed = "), "is not TOML"),
        (('speed = "7"', 'speed = "7"\namaranth = "ulx3s:No"'), "amaranth-boards has no platform 'ulx3s:No'"),
        (('speed = "7"', 'speed = "7"\namaranth = "ulx3s:Resource"'), "has no platform 'ulx3s:Resource'"),
        (
            ('speed = "7"', 'speed = "7"\namaranth = "ulx3s:LatticeECP5Platform"'),
            "no platform 'ulx3s:LatticeECP5Platform'",
        ),
        (
            ('speed = "7"', 'speed = "7"\namaranth = "ulx3s"'),
            "amaranth must be a platform of amaranth-boards, such as",
        ),
        (
            ('speed = "7"', 'speed = "7"\namaranth = "upduino_v1:UpduinoV1Platform"'),
            "has no clock on a single pin",
        ),
    ],
)
def test_mistakes_are_named(change, message):
    assert change[0] in MINE
    with pytest.raises(HwquantError, match=message) as error:
        parse_board("mine", MINE.replace(*change), "mine.toml")
    assert str(error.value).startswith("mine.toml")


def test_a_board_that_does_not_exist_names_those_that_do(tmp_path):
    with pytest.raises(HwquantError, match=r"there is no board 'ulx4s'; there are .*icebreaker.*TOML"):
        load_board("ulx4s")
    with pytest.raises(HwquantError, match=r"cannot read the board file .*none.toml"):
        load_board(tmp_path / "none.toml")
