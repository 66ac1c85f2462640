"""What is written for the tools is data: they read exactly the board, and nothing of it is executed."""

import dataclasses
import random

import pytest
from hwquant_testing.constraint_files import commands, expected, run_tcl

from hwquant.boards import tools
from hwquant.boards.board import board_names, load_board
from hwquant.boards.constraints import constraints
from hwquant.boards.families.constraints import Pin
from hwquant.boards.families.flow import RoutingJob
from hwquant.boards.families.languages import lpf, megahertz, tcl, tcl_comment, tcl_word, word
from hwquant.boards.families.xilinx7 import vivado_script
from hwquant.errors import HwquantError

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")

LONG = "x" * 10_000
HOSTILE = [
    *(
        "t\nexec touch x\n#",
        "[exec touch x]",
        "$env(HOME)",
        "${env(HOME)}",
        "a; exec touch x",
        "{*}[exec touch x]",
    ),
    *(
        "{",
        "}",
        "{}",
        "}{",
        '"',
        '""',
        '"; exec touch x; "',
        "\\",
        "\\\\",
        "a\\",
        "\\\n",
        "\\[",
        "\\x41",
        "\\u0041",
    ),
    *("", " ", "  a  ", "\t", "\r", "\r\n", "\0", "a\0b", "\x1a", "\x1b[31m", "\x7f", "#", "# a", "a#b"),
    *("-dict", "--", "%s", "~", "*", "?", "'", "`touch x`", "$(touch x)", "&&", "|", "<", ">", "a b", "a\tb"),
    *(
        "\u202e",
        "\u2028",
        "ü",
        "\u0301",
        "漢字",
        "\ufeff",
        "\uffff",
        LONG,
        "[" * 1000,
        '"' * 999,
        "\\" * 999,
    ),
]
VIVADO_STEPS = [
    *(("opt_design",), ("place_design",), ("route_design",)),
    *(("report_timing_summary", "-file", "timing.rpt"), ("report_utilization", "-file", "utilization.rpt")),
    ("write_bitstream", "-force", "top.bit"),
]
REAL = [name for name in board_names() if load_board(name).device]
VENDOR = [name for name in REAL if load_board(name).vendor]


def hostile_words(seed, number):
    """Words of pieces that mean something to Tcl."""
    generator = random.Random(seed)
    pieces = [
        *'[]{}"\\$;# \n\t\r',
        "exec touch x",
        "env(HOME)",
        "u0041",
        "x",
        "{*}",
        "\0",
        "ä",
        "\\\n",
        "\u202e",
    ]
    return ["".join(generator.choices(pieces, k=generator.randint(1, 12))) for _ in range(number)]


def test_tcl_gets_every_word_as_it_is(tmp_path):
    words = [*HOSTILE, *hostile_words(1, 500)]
    # Arguments one by one, all in one command, and inside of the brackets of another command.
    script = [tcl("opt_design", item) for item in words]
    script += [tcl("opt_design", *words), *(f"place_design [get_ports {tcl_word(item)}]" for item in words)]
    noted = run_tcl("\n".join([*script, ""]), tmp_path)
    once = [("opt_design", item) for item in words]
    nested = [step for item in words for step in (("get_ports", item), ("place_design", item))]
    assert noted == [*once, ("opt_design", *words), *nested]
    assert {item.name for item in tmp_path.iterdir()} == {"harness.tcl", "script.tcl", "noted"}


def test_the_tcl_harness_notes_what_a_script_must_not_do(tmp_path):
    """Without quotes it is as bad as it looks."""
    script = "opt_design [exec touch x]\nopt_design $env(HOME)\nmkdir y\n"
    noted = run_tcl(script, tmp_path)
    assert [step[0] for step in noted] == ["forbidden", "opt_design", "variable", "opt_design", "unknown"]
    assert not (tmp_path / "x").exists()


def test_a_tcl_comment_stays_a_comment(tmp_path):
    words = [*HOSTILE, *hostile_words(2, 500), "\ud800", "😀"]
    script = "\n".join([line for item in words for line in (tcl_comment(item), "opt_design")] + [""])
    assert run_tcl(script, tmp_path) == [("opt_design",)] * len(words)
    assert all("\n" not in tcl_comment(item) and tcl_comment(item).isascii() for item in words)


@pytest.mark.parametrize("character", ["\ud800", "😀", "\U0010ffff"])
def test_what_tcl_cannot_hold_is_refused(character):
    with pytest.raises(HwquantError, match=r"a Tcl script cannot hold the character U\+"):
        tcl_word(f"a{character}")


@pytest.mark.parametrize("text", [item for item in HOSTILE if item != LONG], ids=lambda text: repr(text[:20]))
def test_languages_without_escapes_refuse_what_they_cannot_write(text):
    with pytest.raises(HwquantError, match=r"cannot be written in PCF; use letters"):
        word(text, "PCF")


def test_words_are_written_as_they_are():
    assert (word("C8/I7", "CST"), word("arty_a7_35t", "CST"), lpf("G2")) == ("C8/I7", "arty_a7_35t", '"G2"')
    assert tcl("create_project", "-part", "xc7a35ticsg324-1L") == "create_project -part xc7a35ticsg324-1L"


@pytest.mark.parametrize(
    ("hertz", "text"),
    [
        (12_000_000, "12"),
        (100_000_000, "100"),
        (33_333_333, "33.333333"),
        (1_000_010, "1.00001"),
        (999_999_999, "999.999999"),
    ],
)
def test_frequencies_are_exact(hertz, text):
    assert megahertz(hertz) == text


@pytest.mark.parametrize("name", REAL)
def test_constraints_say_the_board_and_nothing_else(name):
    for link in load_board(name).links:
        board = load_board(name).linked(link)
        file, text = constraints(board, board.device.family)
        assert commands(file, text) == expected(board)


def project(board):
    return [
        ("create_project", "-in_memory", "-part", board.part),
        ("read_verilog", "top.v"),
        ("read_xdc", "top.xdc"),
        ("synth_design", "-top", "top", "-part", board.part),
        *VIVADO_STEPS,
    ]


def placed(board):
    """What Tcl does with the constraints."""
    found = []
    for command in expected(board)[:-1]:
        found += [("get_ports", command[-1]), command]
    period = f"{1e9 / board.clock_hz:.3f}"
    clock = ("create_clock", "-name", "clock", "-period", period, "clock")
    return [*found, ("get_ports", "clock"), clock]


@pytest.mark.parametrize("name", VENDOR)
def test_vivado_is_told_the_board(name, tmp_path):
    board = load_board(name)
    assert run_tcl(vivado_script(board.title, board.part, "top.xdc"), tmp_path) == project(board)
    assert run_tcl(constraints(board, board.device.family)[1], tmp_path) == placed(board)


@pytest.mark.parametrize(
    "title", ["[exec touch x]", "$env(HOME) {", 'a" \\', "}; exec touch x", "# ü 漢字 \\"]
)
def test_a_title_that_is_accepted_is_no_tcl_command(title, tmp_path):
    content = 'device = "xc7a35t"\npart = "xc7a35ticsg324-1L"\namaranth = "arty_a7:ArtyA7_35Platform"\n'
    path = tmp_path / "mine.toml"
    path.write_text(f"title = '{title}'\n{content}", encoding="utf-8")
    board = load_board(path)
    assert board.title == title
    assert run_tcl(vivado_script(board.title, board.part, "top.xdc"), tmp_path) == project(board)


def test_a_board_that_nobody_has_checked_is_quoted_all_the_same(tmp_path):
    """The checks of board files are one defence, quotes are the other."""
    for text in HOSTILE:
        pins = {port: Pin(text, {text or "A": text}) for port in ("clock", "rx", "tx", "led")}
        board = dataclasses.replace(load_board("arty-a7-35"), title=text, part=text, pins=pins)
        assert run_tcl(vivado_script(board.title, board.part, "top.xdc"), tmp_path) == project(board)
        assert run_tcl(constraints(board, board.device.family)[1], tmp_path) == placed(board)


@pytest.mark.parametrize("name", ["ulx3s-25f", "icebreaker", "tang-nano-9k"])
@pytest.mark.parametrize("text", ['G2"; exec', "G2;\nLOCATE", "-x", "", "G2 G3", "\u202eG2"])
def test_languages_without_escapes_refuse_a_board_that_nobody_has_checked(name, text):
    board = load_board(name)
    with pytest.raises(HwquantError, match="cannot be written in"):
        constraints(dataclasses.replace(board, pins={"clock": Pin(text)}), board.device.family)
    if board.device.family.name != "ice40":  # whose constraints have no attributes but one
        for attributes in ({text: "UP"}, {"PULLMODE": text}):
            changed = dataclasses.replace(board, pins={"clock": Pin("G2", attributes)})
            with pytest.raises(HwquantError, match="cannot be written in"):
                constraints(changed, board.device.family)


COUNTER = """module top(input clock, input rx, output reg tx, output led);
reg [3:0] count = 0;
assign led = rx;
always @(posedge clock) {tx, count} <= count + 1;
endmodule
"""


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["ulx3s-25f", "icebreaker", "tang-nano-9k"])
@pytest.mark.parametrize("bare", [False, True], ids=["attributes", "no attributes"])
def test_nextpnr_reads_the_constraints(name, bare, tmp_path):
    """Every pin of a small design is where the board says; nextpnr stops for what it does not understand."""
    pytest.importorskip("pyosys", reason="the tools for boards are not here: pip install 'hwquant[boards]'")
    board = load_board(name)
    if bare:
        board = dataclasses.replace(board, pins={key: Pin(pin.location) for key, pin in board.pins.items()})
    tools.check_tools(board.device.family)
    (tmp_path / "top.v").write_text(COUNTER)
    device, flow = board.device, board.device.family.flow
    tools.yosys(["read_verilog top.v", device.family.synthesis(device, "top")], tmp_path, "synthesis")
    file, text = constraints(board, board.device.family)
    (tmp_path / file).write_text(text)
    job = RoutingJob(device, board.package, board.speed, file, board.clock_hz, seed=1)
    assert tools.place_and_route(flow, job, tmp_path).megahertz > board.clock_hz / 1e6
    if board.device.family.name != "gowin":  # whose pins are placed without a word
        assert "Placed 4 cells based on constraints" in (tmp_path / "routing.log").read_text()
