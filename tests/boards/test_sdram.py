"""The SDRAM of boards: pins as amaranth-boards has them, and what a file must not say."""

from importlib import resources

import pytest

from hwquant.boards.board import load_board, parse_board
from hwquant.errors import HwquantError, Unsupported

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")

SIGNALS = {
    "clk": "clock",
    "clk_en": "clock_enable",
    "cs": "cs_n",
    "we": "we_n",
    "ras": "ras_n",
    "cas": "cas_n",
    "ba": "bank",
    "a": "address",
    "dqm": "mask",
    "dq": "data",
}
TEXT = (resources.files("hwquant.boards") / "ulx3s-85f.toml").read_text(encoding="utf-8")


def changed(old, new):
    assert old in TEXT
    return parse_board("mine", TEXT.replace(old, new, 1), "mine.toml")


@pytest.mark.parametrize("size", ["12", "25", "45", "85"])
def test_the_pins_of_ulx3s_are_those_that_others_have(size):
    from amaranth_boards import ulx3s

    board = load_board(f"ulx3s-{size}f")
    (resource,) = (
        item for item in getattr(ulx3s, f"ULX3S_{size}F_Platform").resources if item.name == "sdram"
    )
    theirs = {}
    for part in resource.ios:
        names = part.ios[0].names
        for bit, place in enumerate(names):
            suffix = f"_{bit}" if len(names) > 1 else ""
            theirs[f"sdram_{SIGNALS[part.name]}{suffix}"] = place
    assert {name: pin.location for name, pin in board.memory.pins.items()} == theirs
    assert {pin.attributes["IO_TYPE"] for pin in board.memory.pins.values()} == {"LVCMOS33"}
    external = board.memory.external(80e6)
    assert (external.size, external.data_bits) == (32 << 20, 16)
    assert not {pin.location for pin in board.pins.values()} & set(theirs.values())


def test_a_board_without_the_table_has_no_memory():
    assert parse_board("mine", TEXT[: TEXT.index("[memory]")], "mine.toml").memory is None


def test_signals_that_are_wired_need_no_pins():
    board = changed('clock_enable = "F20"\n', "")
    assert "sdram_clock_enable" not in board.memory.pins


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('chip = "MT48LC16M16A2-75"', 'chip = "MT48"', "memory: chip 'MT48' is none of IS42S16160G-7, M12L"),
        ('chip = "MT48LC16M16A2-75"', "", "memory: chip must be a text, and is missing"),
        ('bank = "P19 N20"', 'bank = "P19"', "memory: pins: bank must be 2 locations of pins"),
        ('bank = "P19 N20"', 'bank = "P19 N20 N18"', "memory: pins: bank must be 2 locations of pins"),
        ('bank = "P19 N20"', 'bank = "P19 N20; x"', "memory: pins: bank must be 2 locations of pins"),
        ('ras_n = "R20"', "", "memory: pins: ras_n must be 1 .*, and is missing"),
        ('ras_n = "R20"', 'ras = "R20"', "memory: pins: unknown signal 'ras'"),
        ('DRIVE = "4"', 'DRIVES = "4"', "memory: pin sdram_clock: unknown attribute 'DRIVES'"),
        ('bank = "P19 N20"', 'bank = "P19 R20"', "are both at R20"),
        ('clock = "F19"', 'clock = "G2"', "the pins clock and sdram_clock are both at G2"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(old, new, message):
    with pytest.raises(HwquantError, match=message):
        changed(old, new)


def test_a_clock_that_the_chip_does_not_bear_is_refused():
    with pytest.raises(Unsupported, match="133 MHz, not 140 MHz"):
        load_board("ulx3s-85f").memory.external(140e6)
