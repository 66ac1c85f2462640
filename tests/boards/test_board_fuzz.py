"""Whatever a board file holds, it is a board or refused; what is written of a board that is one says it, and no more.

More cases, with seeds of one's own: HWQUANT_FUZZ_CASES and HWQUANT_FUZZ_SEED with ``-m nightly``.
"""

import copy
import json
import os
from functools import cache

import numpy as np
import pytest
from hwquant_testing.constraint_files import commands, expected
from hwquant_testing.limits import attempt

from hwquant.boards.board import Board, load_board
from hwquant.boards.clocking import pll_settings
from hwquant.boards.constraints import constraints
from hwquant.boards.pins import PINS
from hwquant.errors import HwquantError

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")

CASES = int(os.environ.get("HWQUANT_FUZZ_CASES", "2000"))
SEED = int(os.environ.get("HWQUANT_FUZZ_SEED", "0"))
EACH = 50
"""Cases a test."""


class Raw(str):
    """TOML as it is."""

    __slots__ = ()


def _pins(*locations, **attributes):
    pins = {name: {"location": place, "attributes": attributes} for name, place in zip(PINS, locations)}
    return {**pins, "clock": {**pins["clock"], "hertz": 50_000_000}, "led": {**pins["led"], "inverted": True}}


COMMON = {"title": "Mine", "programmer": "mine", "baud": 1_000_000, "target_mhz": 50}
BASES = [
    {
        **COMMON,
        "device": "lfe5u-25f",
        "package": "CABGA256",
        "speed": "7",
        "pins": _pins("A1", "B1", "C1", "D1", IO_TYPE="LVCMOS33"),
    },
    {**COMMON, "device": "ice40up5k", "package": "sg48", "pins": _pins("35", "6", "9", "11", PULLUP=1)},
    {
        **COMMON,
        "device": "gw1nr-9",
        "pins": _pins("52", "18", "17", "10", IO_TYPE="LVCMOS33", PULL_MODE="UP"),
    },
    {
        **COMMON,
        "device": "xc7a35t",
        "part": "xc7a35ticsg324-1L",
        "package": "csg324",
        "speed": "1L",
        "pins": _pins("E3", "A9", "D10", "H5", IOSTANDARD="LVCMOS33"),
    },
    {
        **COMMON,
        "device": "lfe5u-85f",
        "package": "CABGA381",
        "speed": "6",
        "amaranth": "ulx3s:ULX3S_85F_Platform",
    },
    {"title": "No device", "device": "generic", "pins": _pins("A1", "B1", "C1", "D1")},
]
IMPLAUSIBLE = [
    *("", " ", "-", "--help", "..", "/etc/passwd", "\n", "\0", "\x1b[2J", "\u202e", "ü", "😀", "a" * 100_000),
    *("[exec touch x]", "$env(HOME)", "t\nexec touch x\n#", 'G2"; LOCATE', "a;b", "{", "}", "\\", "#", "a b"),
    *(
        "os:system",
        "ulx3s:__name__",
        "__init__:x",
        "test.blinky:Blinky",
        "ulx3s:Resource",
        "arty_a7:ArtyA7_35Platform",
    ),
    *(
        "XC7A35T",
        "xc7a100ticsg324-1L",
        "sg48",
        "6",
        "A1",
        "B1",
        "7",
        "LVCMOS33",
        "UP",
        "true",
        "1_000",
        "1e6",
    ),
    *(
        0,
        -1,
        1,
        7,
        1_000_000,
        1_000_000_001,
        2**63,
        2**64,
        -(2**63),
        True,
        False,
        0.0,
        -0.0,
        1.5,
        1e-300,
        1e300,
    ),
    *(
        Raw("inf"),
        Raw("nan"),
        Raw("-inf"),
        Raw("1" + "0" * 400),
        Raw("9" * 5000),
        Raw("0x" + "f" * 9000),
        Raw("0o7"),
    ),
    *(Raw("1979-05-27T07:32:00Z"), Raw("07:32:00"), Raw("[" * 3000), Raw("{a." * 500 + "b=1" + "}" * 500)),
    *([], {}, [[]], [{}], [1, "a", 1.5], {"location": "A1"}, {"a": {"b": {}}}, {"": ""}, {"hertz": 1}),
    *(Raw("'''\n'''"), Raw('"\\ud800"'), Raw('"\\u202e"'), Raw("a"), Raw("")),
]
KEYS = [
    "",
    "a",
    "PACKAGE_PIN",
    "[exec touch x]",
    "-dict",
    "hertz",
    "inverted",
    "location",
    "pins",
    "IO_TYPE",
    "\u202e",
    "\n",
    "x" * 5000,
]


PLAUSIBLE = {
    "title": ["[exec touch x]", "$env(HOME) {", "a\\", '";', "#", "é 漢字 😀", "x" * 100],
    "programmer": ["", "ulx3s", "arty_a7_35t", "x" * 64],
    "baud": [1200, 115_200, 12_000_000],
    "target_mhz": [1, 1.5, 33.333333, 1000, 999.999],
    "hertz": [1_000_000, 1_000_001, 12_345_678, 99_999_999, 1_000_000_000],
    "location": ["A2", "T22", "AB12", "7", "131", "IOR6A"],
    "inverted": [True, False],
    "attributes": [{}, {"DRIVE": 8}, {"DRIVE": "4"}, {"PULLUP": "0"}],
    "package": ["CABGA381", "csg324", "uwg30", ""],
    "speed": ["6", "8", "1L", ""],
}


def toml(value):
    """TOML of a value; of one that is none in TOML, something near it."""
    match value:
        case Raw():
            return str(value)
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
    return repr(value)


def document(table):
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in table.items()).encode()


def places(table):
    """Every table in a table, itself first."""
    yield table
    for value in table.values():
        if isinstance(value, dict):
            yield from places(value)


def changed(rng):
    """A board file with one to three values replaced, left out, renamed or added."""
    table = copy.deepcopy(BASES[rng.integers(len(BASES))])
    for _ in range(rng.choice([1, 1, 2, 3])):
        found = [place for place in places(table) if place]
        place = found[rng.integers(len(found))]
        key = list(place)[rng.integers(len(place))]
        value = copy.deepcopy(IMPLAUSIBLE[rng.integers(len(IMPLAUSIBLE))])
        match rng.integers(12):
            case 0:
                del place[key]
            case 1:
                place[KEYS[rng.integers(len(KEYS))]] = place.pop(key)
            case 2:
                place[KEYS[rng.integers(len(KEYS))]] = value
            case 3:
                other = found[rng.integers(len(found))]
                place[key] = copy.deepcopy(list(other.values())[rng.integers(len(other))])
            case 4 | 5 | 6 | 7:
                place[key] = value
            case _ if key in PLAUSIBLE:
                place[key] = PLAUSIBLE[key][rng.integers(len(PLAUSIBLE[key]))]
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in table.items()).encode(
        errors="replace"
    )


def damaged(rng):
    """A board file with bytes flipped, left out, put in, doubled or cut off."""
    content = bytearray(document(BASES[rng.integers(len(BASES))]))
    for _ in range(rng.choice([1, 1, 2, 4])):
        begin, end = sorted(int(place) for place in rng.integers(0, len(content) + 1, 2))
        end = min(end, begin + 8)
        match rng.integers(5):
            case 0 if begin < len(content):
                content[begin] ^= 1 << rng.integers(8)
            case 1:
                del content[begin:end]
            case 2:
                content[begin:begin] = rng.bytes(1) if rng.random() < 0.2 else bytes([rng.integers(32, 127)])
            case 3:
                content[end:end] = content[begin:end] * int(rng.choice([1, 2, 1000]))
            case 4 if rng.random() < 0.2:
                del content[begin:]
    return bytes(content)


@cache
def _pll(family, input_hz, wanted_hz):
    return attempt(pll_settings, family, input_hz, wanted_hz)


def check(path, content):
    """Load a file; of a board that it is, whatever is written for the tools. True where it is one."""
    path.write_bytes(content)
    board = attempt(load_board, path)
    if isinstance(board, HwquantError):
        message = str(board)
        assert message.startswith(str(path)) or str(path) in message
        assert message.isprintable(), message
        assert len(message) < 500, message
        return False
    assert isinstance(board, Board)
    assert board.title.isprintable()
    family = board.device.family if board.device else None
    if family is not None:
        file, text = attempt(constraints, board, family)
        assert commands(file, text) == expected(board)
        assert len(commands(file, text)) <= 1 + sum(1 + len(pin.attributes) for pin in board.pins.values())
        _pll(family, board.clock_hz, board.target_mhz * 1e6)
    if board.vendor is not None:
        assert len(attempt(board.vendor.text, board.title, board.part, "top.xdc").splitlines()) == 12
    return True


def run(seed, tmp_path):
    """How many of EACH files are boards."""
    accepted = 0
    for case in range(EACH):
        rng = np.random.default_rng([seed, case])
        content = (changed if case % 2 else damaged)(rng)
        try:
            accepted += check(tmp_path / "mine.toml", content)
        except BaseException as error:
            error.add_note(f"np.random.default_rng([{seed}, {case}]) made: {content[:2000]!r}")
            raise
    return accepted


@pytest.mark.parametrize("base", BASES, ids=lambda base: base["device"])
def test_every_file_that_is_changed_was_a_board(base, tmp_path):
    assert check(tmp_path / "mine.toml", document(base))


def test_a_changed_file_is_a_board_or_refused(tmp_path):
    accepted = [run(seed, tmp_path) for seed in range(101, 111)]
    assert 50 < sum(accepted) < 400, "some of both"


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(SEED, SEED + -(-CASES // EACH)))
def test_any_changed_file_is_a_board_or_refused(seed, tmp_path):
    run(seed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("base", BASES, ids=lambda base: base["device"])
def test_every_field_of_every_implausible_value_is_refused_or_a_board(base, tmp_path):
    for index, place in enumerate(places(base)):
        for key in place:
            for value in IMPLAUSIBLE:
                table = copy.deepcopy(base)
                list(places(table))[index][key] = value
                content = document(table)
                try:
                    check(tmp_path / "mine.toml", content)
                except BaseException as error:
                    error.add_note(f"{key} = {toml(value)[:200]}")
                    raise
