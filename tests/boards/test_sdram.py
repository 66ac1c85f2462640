"""The SDRAM of boards: pins as amaranth-boards has them, and what a file must not say."""

import gc
import re
from dataclasses import replace
from importlib import resources
from importlib.util import find_spec

import pytest
from hwquant_testing.banded_networks import CORNERS

from hwquant.boards.board import load_board, parse_board
from hwquant.boards.constraints import constraints
from hwquant.boards.contents import Contents
from hwquant.boards.implement import implement
from hwquant.boards.needs import needs
from hwquant.boards.sdram import CLOCKS
from hwquant.boards.top import BoardTop
from hwquant.build import write_build
from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_rtlil

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
GOWIN_SIGNALS = SIGNALS | {
    "cke": "clock_enable",
    "cs_n": "cs_n",
    "ras_n": "ras_n",
    "cas_n": "cas_n",
    "wen_n": "we_n",
    "addr": "address",
}
TEXT = (resources.files("hwquant.boards") / "ulx3s-85f.toml").read_text(encoding="utf-8")

LIMITS = {"activation_depth": 512, "weight_depth": 64, "parameter_depth": 32}
litedram = pytest.mark.skipif(find_spec("litedram") is None, reason="litedram is not installed")


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


@pytest.mark.parametrize("name", ["colorlight-i5", "colorlight-i9"])
def test_what_colorlight_wires_needs_no_pins(name):
    board = load_board(name)
    signals = {function.removeprefix("sdram_").rpartition("_")[0] for function in board.memory.pins}
    assert not signals & {"clock_enable", "cs", "mask"}
    external = board.memory.external(80e6)
    assert (external.size, external.data_bits) == (8 << 20, 32)
    places = [pin.location for pin in (*board.pins.values(), *board.memory.pins.values())]
    assert len(set(places)) == len(places)


def test_the_pins_of_tang_nano_20k_are_those_of_the_chip_in_its_package():
    chipdb = pytest.importorskip("apycula.chipdb")
    database = chipdb.load_chipdb(resources.files("apycula") / "GW2A-18C.msgpack.xz")
    theirs = {}
    for name, row, column, half, standard in database.sip_cst["GW2AR-18C"]["QFN88"]:
        signal, _, bit = name.partition("sdram_")[2].rstrip("]").partition("[")
        suffix = f"_{bit}" if bit else ""
        side = {0: "L", database.cols - 1: "R"}[column]
        theirs[f"sdram_{GOWIN_SIGNALS[signal]}{suffix}"] = (f"IO{side}{row + 1}{half}", standard)
    board = load_board("tang-nano-20k")
    pins = board.memory.pins
    assert {name: (pin.location, pin.attributes["IO_TYPE"]) for name, pin in pins.items()} == theirs
    external = board.memory.external(66e6)
    assert (external.size, external.data_bits) == (8 << 20, 32)
    _, lines = constraints(board, board.device.family, board.memory)
    assert lines.count('IO_LOC "sdram_') == len(pins) == 55


@litedram
@pytest.mark.parametrize("name", ["colorlight-i5", "colorlight-i9"])
def test_the_top_of_colorlight_has_a_port_for_every_pin(name, qgraph):
    board = load_board(name)
    program = compile_network(qgraph, (2, 2), external=board.memory.external(60e6), limits=LIMITS)
    text = to_rtlil(top_of(board, program))
    for function in board.memory.pins:
        assert f"\\{function}\n" in text


def test_a_board_without_the_table_has_no_memory():
    assert parse_board("mine", TEXT[: TEXT.index("[memory]")], "mine.toml").memory is None


def test_signals_that_are_wired_need_no_pins():
    board = changed('clock_enable = "F20"\n', "")
    assert "sdram_clock_enable" not in board.memory.pins


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'chip = "MT48LC16M16A2-75"',
            'chip = "MT48"',
            "memory: chip 'MT48' is none of GW2AR-18, IS42S16160G-7, M12L",
        ),
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


@pytest.fixture(scope="module")
def qgraph():
    return CORNERS["dilated"]()


@pytest.fixture(scope="module")
def board():
    return load_board("ulx3s-85f")


@pytest.fixture(scope="module")
def program(qgraph, board):
    return compile_network(qgraph, (2, 2), external=board.memory.external(60e6), limits=LIMITS)


def top_of(board, program, hertz=60e6):
    return BoardTop(board, accelerator(program, hosted=True), hertz, tunable=True)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_the_top_has_the_pins_of_the_memory_and_a_controller_for_lower_clocks_too(board, program):
    top = top_of(board, program)
    text = to_rtlil(top, "top")
    outer = text[text.index("\nmodule \\top\n") :]
    for function in board.memory.pins:
        assert f"\\{function}\n" in outer, function
    kinds = ("IDDRX1F", "ODDRX1F", "OFS1P3BX", "OFS1P3DX", "BB", "OB")
    assert [text.count(f"  cell \\{kind} ") for kind in kinds] == [16, 1, 1 + 4 + 2, 2 + 13, 16, 23]
    assert top.bears(top.hertz)
    assert top.bears(top.hertz / CLOCKS)
    assert not top.bears(top.hertz * 1.01)
    assert not top.bears(top.hertz / CLOCKS * 0.99)
    _, lines = constraints(board, board.device.family, board.memory)
    assert lines.count('LOCATE COMP "sdram_') == len(board.memory.pins) == 39
    assert "sdram_" not in constraints(board, board.device.family)[1]


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_program_without_external_memory_needs_none(qgraph, board):
    inside = compile_network(qgraph, (2, 2))
    text = to_rtlil(top_of(board, inside), "top")
    assert text == to_rtlil(top_of(replace(board, memory=None), inside), "top")
    assert "sdram" not in text


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_board_with_ddr_memory_says_that_nothing_trains_it(program):
    with pytest.raises(
        Unsupported, match="the DDR3L of the board orangecrab-25f must be trained, and hwquant"
    ):
        top_of(load_board("orangecrab-25f").linked("uart"), program)
    gc.collect()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (Unsupported, "ulx3s-85f has no memory that hwquant knows: compile without", {"memory": None}),
        (Unsupported, "external memory of 32 bits, that of ulx3s-85f has 16", {"bits": 32}),
        (Unsupported, "can be read at 80 MHz at most, not 100; .* --clock", {"hertz": 100e6}),
        (DoesNotFit, "needs 1024 bytes of external memory, ulx3s-85f has 512", {"size": 512}),
    ],
)
def test_what_does_not_go_together_is_refused(qgraph, board, program, error, message, change):
    if "bits" in change:
        program = compile_network(qgraph, (2, 2), external=ExternalMemory(change["bits"]), limits=LIMITS)
    if "memory" in change:
        board = replace(board, memory=None)
    if "size" in change:
        small = replace(board.memory.chip, row_bits=4, column_bits=2)
        board = replace(board, memory=replace(board.memory, chip=small))
    with pytest.raises(error, match=message):
        top_of(board, program, change.get("hertz", 60e6))
    gc.collect()  # while warnings of what is not used are ignored


@litedram
@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "most", "cells"),
    [
        ("ulx3s-85f", 80, {"IDDRX1F": 16, "ODDRX1F": 1}),
        # Nothing reads the upper bits of a word: their pins have no register for it.
        ("tang-nano-20k", 66.7, {"IDDR": 22, "ODDR": 1, "IOBUF": 32}),
    ],
)
def test_a_bitstream_with_external_memory_comes_out(qgraph, tmp_path, name, most, cells):
    board = load_board(name)
    program = compile_network(qgraph, (2, 2), external=board.memory.external(60e6), limits=LIMITS)
    build = write_build(qgraph, program, tmp_path / "build")
    result = implement(build, board, effort="quick")
    folder = build.folder / "boards" / board.name
    assert (folder / result.bitstream).stat().st_size > 10_000
    assert result.clock_mhz <= most, "which the pins bear, less than the board's target"
    assert {kind: result.cells[kind] for kind in cells} == cells
    assert "litedram" in result.versions
    assert any("loads the external memory once" in note for note in result.notes)
    need = {
        item.resource: item.needed
        for item in needs(program.config, board.device, Contents.of_program(program), kind=board.link)
    }
    assert need["ram"] == result.used["ram"]
    if name == "tang-nano-20k":
        # Registers of outputs are in the pins, where the bitstream has them.
        log = (folder / "routing.log").read_text()
        assert re.search(r"IOLOGICO: +23/", log), "the clock's, and those of 22 outputs"
