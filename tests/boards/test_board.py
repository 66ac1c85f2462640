"""Board files: those that come along, and a user's own with every mistake in it."""

import json
import os
import pkgutil
from importlib import import_module
from inspect import isabstract

import pytest

from hwquant.boards import platforms
from hwquant.boards.board import PINS, Board, board_names, load_board, parse_board
from hwquant.boards.device import DEVICES
from hwquant.boards.families import FAMILIES
from hwquant.boards.pins import HERTZ
from hwquant.errors import Damaged, HwquantError, MissingPackage, Unsupported

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
    if board.device is None:
        assert (board.name, board.device_name, board.pins) == ("generic", "generic", {})
        return
    assert {"clock", "rx", "tx"} <= set(board.pins) <= set(PINS)
    assert len({pin.location for pin in board.pins.values()}) == len(board.pins)
    assert 10_000_000 <= board.clock_hz <= 200_000_000
    serial = board.linked("uart")
    assert serial.rate(board.target_mhz * 1e6) == board.baud, "the target clock is fast enough"


def test_the_boards_that_people_have_are_there():
    assert {
        *("ulx3s-12f", "ulx3s-25f", "ulx3s-45f", "ulx3s-85f", "orangecrab-25f", "colorlight-i5"),
        *("icebreaker", "tang-nano-9k", "tang-nano-20k", "arty-a7-35", "arty-a7-100", "generic"),
    } <= set(board_names())


def test_pins_come_from_amaranth_boards():
    pins = load_board("ulx3s-85f").pins
    assert (pins["clock"].location, pins["rx"].location, pins["tx"].location) == ("G2", "M1", "L4")
    assert load_board("icebreaker").pins["led"].inverted


def test_a_board_file_of_the_user_s_own_is_read(tmp_path):
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
    with pytest.raises(HwquantError, match=r"cannot read the board file .*none.toml: .*hwquant boards lists"):
        load_board(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("Mine", "\\u202eMine"),
            r"title must be a text of 1 to 100 printable characters, not '\\u202eMine'",
        ),
        (("Mine", "t\\nexec touch x"), r"title must be a text of 1 to 100 printable characters"),
        (("Mine", " "), r"title must be a text of 1 to 100 printable characters, not ' '"),
        (("Mine", "m" * 101), r"title must be .* characters, not 'm{40}'\.\.\.$"),
        (("50_000_000", "1" + "0" * 400), "hertz must be an integer from .* not an integer of 1329 bits"),
        (("50_000_000", "0x" + "f" * 9000), "hertz must be an integer from .* not an integer of 36000 bits"),
        (("50_000_000", "9" * 5000), "is not TOML: "),
        (("50_000_000", "true"), "hertz must be an integer from .* not True"),
        (("50_000_000", "5e7"), "hertz must be an integer from .* not 50000000.0"),
        (("50_000_000", "1_000_000_001"), "hertz must be an integer from 1_000_000 to 1_000_000_000"),
        (("hertz = 50_000_000", ""), "pin clock: hertz must be an integer .*, and is missing"),
        (('"B1"', '"B1"\nhertz = 50_000_000'), "pin rx: unknown key 'hertz'; there are attributes, location"),
        (('"B1"', '"B1"\ninverted = true'), "pin rx: unknown key 'inverted'"),
        (('"B1"', '"C1"'), "the pins rx and tx are both at C1"),
        (('"B1"', '"B1\\nx"'), r"pin rx: location must be a pin .*, not 'B1\\nx'"),
        (('"B1"', '"[exec touch x]"'), "pin rx: location must be a pin"),
        (('"B1"', "7"), "pin rx: location must be a pin .*, not 7"),
        (("IO_TYPE", "IO_TIPE"), "pin rx: unknown attribute 'IO_TIPE'; ecp5 has CLAMP, DRIVE"),
        (("IO_TYPE", "PACKAGE_PIN"), "pin rx: unknown attribute 'PACKAGE_PIN'"),
        (('"LVCMOS33"', '"LVCMOS33; x"'), "pin rx: attribute IO_TYPE must match .*, not 'LVCMOS33; x'"),
        (('"LVCMOS33"', "[]"), "pin rx: attribute IO_TYPE must match .*, not an array"),
        (('IO_TYPE = "LVCMOS33"', "DRIVE = 5"), r"pin rx: attribute DRIVE must match 4\|8\|12\|16, not 5"),
        (("{IO_TYPE", '"x" #{IO_TYPE'), "pin rx: attributes must be a table, such as .*, not 'x'"),
        (("[pins.rx]", "[[pins.rx]]"), "pin rx must be a table, not an array"),
        (
            ('speed = "7"', 'speed = "7"\nprogrammer = "--reset"'),
            "programmer must be a name that openFPGALoader",
        ),
        (
            ('speed = "7"', 'speed = "7"\namaranth = "os:system"'),
            "amaranth-boards has no platform 'os:system'",
        ),
        (('speed = "7"', 'speed = "7"\namaranth = "test.blinky:X"'), "amaranth must be a platform of"),
        (
            ('speed = "7"', 'speed = "7"\namaranth = "icebreaker:ICEBreakerPlatform"'),
            "led of 'icebreaker:.*unknown attribute 'IO_STANDARD'",
        ),
        (("CABGA256", "CABGA257"), "package 'CABGA257' is none that lfe5u-25f comes in: CABGA256, CABGA381"),
        (('speed = "7"', 'speed = "9"'), "speed '9' is none that lfe5u-25f comes in: 6, 7, 8"),
        (('speed = "7"', 'speed = "7"\npart = "xc7a35tcsg324-1"'), "part 'xc7a35tcsg324-1' is no lfe5u-25f"),
        (("Mine", "m" * 17_000), "is no board file: it is larger than 16,384 bytes"),
        (('"Mine"', "[" * 3000), "is not TOML: "),
        (("title", '"\\u202etitle"'), r"unknown key '\\u202etitle'"),
    ],
)
def test_nothing_implausible_is_taken(change, message):
    assert change[0] in MINE
    with pytest.raises(HwquantError, match=message) as error:
        parse_board("mine", MINE.replace(*change, 1), "mine.toml")
    assert str(error.value).startswith("mine.toml")
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("part", "package", "speed"),
    [
        ("xc7a100tcsg324-1", "", ""),
        ("xc7a35tcsg324-4", "", ""),
        ("xc7a35tcsg324", "", ""),
        ("xc7a35tcsg324-1", "cpg236", ""),
        ("xc7a35tcsg324-1", "", "2"),
        ("[exec touch x]", "", ""),
        ("xc7a35tcsg324-1\n", "", ""),
    ],
)
def test_a_part_is_of_its_device_package_and_speed(part, package, speed):
    text = 'title = "x"\ndevice = "xc7a35t"\namaranth = "arty_a7:ArtyA7_35Platform"\n'
    for key, value in (("part", part), ("package", package), ("speed", speed)):
        text += f"{key} = {json.dumps(value)}\n"
    with pytest.raises(Unsupported, match="is no xc7a35t of this package and speed, such as xc7a35tc"):
        parse_board("x", text, "x.toml")


@pytest.mark.parametrize(
    "name", ["...toml", ".toml.toml", "-x.toml", "a b.toml", "ü.toml", "a\nb.toml", "x" * 65 + ".toml"]
)
def test_a_name_that_no_folder_should_have_is_refused(name, tmp_path):
    path = tmp_path / name
    path.write_text(MINE)
    with pytest.raises(HwquantError, match="cannot have the name"):
        load_board(path)
    with pytest.raises(HwquantError, match="cannot have the name"):
        Board(path.stem, "mine", None)


def test_what_is_no_file_is_not_read(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "huge.toml").write_bytes(b"#" * 16_385)
    for name, message in (
        ("pipe", "pipe.toml is no ordinary file"),
        ("huge", "has 16,385 bytes; 16,384 can be"),
    ):
        with pytest.raises(Damaged, match=message):
            load_board(tmp_path / f"{name}.toml")
    (tmp_path / "latin.toml").write_bytes('title = "ü"'.encode("latin-1"))
    for name in ("folder.toml", "latin.toml", "null\0.toml", "x" * 300 + ".toml"):
        with pytest.raises(HwquantError, match="cannot read the board file"):
            load_board(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (("lfe5u-25f", "lfe5u-99f"), "unsupported"),
        (("CABGA256", "CABGA257"), "unsupported"),
        (("title =", "title"), "damaged"),
        (("title", "baud = 1\ntitle"), "invalid"),
    ],
)
def test_errors_of_board_files_have_the_right_kind(change, kind):
    with pytest.raises(HwquantError) as error:
        parse_board("mine", MINE.replace(*change), "mine.toml")
    assert error.value.kind == kind


def test_without_amaranth_boards_its_name_is_said(monkeypatch):
    monkeypatch.setattr(platforms, "find_spec", lambda _: None)
    with pytest.raises(MissingPackage, match="'amaranth-boards'") as error:
        load_board("icebreaker")
    assert (error.value.package, error.value.extra) == ("amaranth-boards", "boards")


def test_every_platform_of_amaranth_boards_has_pins_or_is_refused():
    """Families that we know and others, clocks on two pins, attributes that are functions."""
    import amaranth_boards
    from amaranth.build import Platform

    found, refused = 0, []
    for module in pkgutil.iter_modules(amaranth_boards.__path__):
        for name, item in vars(import_module(f"amaranth_boards.{module.name}")).items():
            if not isinstance(item, type) or not issubclass(item, Platform) or isabstract(item):
                continue
            for family in (*FAMILIES.values(), None):
                try:
                    hertz, pins = platforms.from_amaranth(f"{module.name}:{name}", family, "x.toml")
                except HwquantError as error:
                    refused.append(str(error))
                    continue
                found += 1
                assert HERTZ.fits(hertz)
                assert set(pins) <= set(PINS)
    assert found > 50
    assert any("unknown attribute" in text for text in refused)
    assert all(text.isprintable() for text in refused)
