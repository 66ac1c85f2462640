"""USB cables at the pins of boards: which boards have one, the clocks, the buffers, and what tools say of them."""

import json
from importlib.util import find_spec

import pytest
from hwquant_testing.small_networks import Net
from hypothesis import given
from hypothesis import strategies as st

from hwquant.boards.board import load_board, parse_board
from hwquant.boards.clocking import pll_settings
from hwquant.boards.constraints import constraints
from hwquant.boards.contents import Contents
from hwquant.boards.families.ecp5 import FAMILY
from hwquant.boards.families.ecp5_usb import dividers
from hwquant.boards.families.flow import nextpnr_report
from hwquant.boards.implement import implement
from hwquant.boards.needs import needs
from hwquant.boards.parameters import Netlist
from hwquant.boards.top import BoardTop
from hwquant.build import write_build
from hwquant.errors import HwquantError, Unsupported
from hwquant.program.compiler import compile_network
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_rtlil

pytest.importorskip("amaranth_boards", reason="pip install 'hwquant[boards]'")
luna = pytest.mark.skipif(find_spec("luna") is None, reason="luna-usb is not installed")

OWN = """
title = "Mine"
device = "lfe5u-25f"
package = "CABGA256"
speed = "7"
link = "usb"
pins.clock = {location = "A2", hertz = 25_000_000}
pins.usb_p = {location = "B1"}
pins.usb_n = {location = "C1"}
pins.usb_pull_up = {location = "D1"}
"""


@pytest.fixture(scope="module")
def qgraph():
    net = Net(x=(2, 3, 3))
    net.conv("x", 3, (2, 2))
    return net.build()


@pytest.fixture(scope="module")
def program(qgraph):
    return compile_network(qgraph, (2, 2))


def test_boards_say_which_links_they_have():
    ulx3s = load_board("ulx3s-85f")
    assert (ulx3s.links, ulx3s.link) == (("uart", "usb"), "uart")
    assert ulx3s.linked("auto") == ulx3s.linked("uart") == ulx3s
    assert ulx3s.linked("usb").ports == ("clock", "usb_p", "usb_n", "usb_pull_up", "led")
    assert load_board("orangecrab-25f").linked("auto").link == "usb"
    for name in ("icebreaker", "arty-a7-35", "generic", "tang-nano-9k"):
        with pytest.raises(Unsupported, match=f"the board {name} has no usb link; it has uart"):
            load_board(name).linked("usb")


def test_a_board_of_one_s_own_may_have_a_cable_alone():
    board = parse_board("mine", OWN, "mine.toml")
    assert (board.links, board.link) == (("usb",), "usb")
    with pytest.raises(Unsupported, match="the board mine has no uart link; it has usb"):
        board.linked("uart")
    with pytest.raises(HwquantError, match=r"mine.toml: the pin 'usb_n' is missing"):
        parse_board("mine", OWN.replace('pins.usb_n = {location = "C1"}', ""), "mine.toml")
    with pytest.raises(HwquantError, match=r"mine.toml: link must be one of ethernet, uart, usb, not 'USB'"):
        parse_board("mine", OWN.replace('"usb"', '"USB"'), "mine.toml")
    with pytest.raises(HwquantError, match=r"mine.toml: the pin 'rx' is missing"):
        parse_board("mine", OWN.replace('link = "usb"', ""), "mine.toml")


def test_the_constraints_have_the_pins_of_the_link():
    board = load_board("ulx3s-12f").linked("usb")
    _, text = constraints(board, FAMILY)
    assert 'LOCATE COMP "usb_p" SITE "D15";' in text
    assert 'LOCATE COMP "usb_pull_up" SITE "B12";' in text
    assert "rx" not in text
    _, serial = constraints(board.linked("uart"), FAMILY)
    assert "usb" not in serial


@given(st.integers(1_000, 400_000), st.sampled_from([1_000, 1]))
def test_every_setting_of_the_pll_is_within_its_limits_and_exact(thousands, unit):
    """Lattice FPGA-DS-02012, sysCLOCK PLL timing."""
    hertz = thousands * 1_000 // unit * unit
    for (divide, multiply, post), oscillator in [item for item, _ in zip(dividers(hertz), range(50))]:
        assert hertz / divide >= 3_125_000
        assert 400e6 <= oscillator <= 800e6
        assert 3.125e6 <= oscillator / post <= 400e6
        assert all(1 <= value <= 128 for value in (divide, multiply, post))
        assert hertz * multiply * post == oscillator * divide
        assert oscillator % 48_000_000 == oscillator % 12_000_000 == 0
        assert oscillator // 12_000_000 <= 128


@pytest.mark.parametrize("megahertz", [12, 16, 24, 25, 26, 27, 48, 50, 100, 125])
def test_usual_oscillators_give_the_clocks_of_usb(megahertz):
    assert next(dividers(megahertz * 1_000_000))


@luna
def test_the_top_has_a_buffer_a_wire_and_two_plls(program):
    board = load_board("ulx3s-12f").linked("usb")
    text = to_rtlil(BoardTop(board, accelerator(program), 60e6, tunable=True), "top")
    assert text.count("cell \\BB ") == text.count("cell \\EHXPLLL ") == 2
    assert text.count(" inout ") >= 2
    assert "divisor" not in text
    assert text == to_rtlil(BoardTop(board, accelerator(program), 60e6, tunable=True), "top")


def test_a_device_that_does_not_make_48_mhz_is_refused():
    pins = '\npins.rx = {location = "E1"}\npins.tx = {location = "F1"}\n'
    odd = (OWN + pins).replace("25_000_000", "25_010_000")
    assert parse_board("mine", odd.replace('link = "usb"', ""), "mine.toml").links == ("uart",)
    other = {'"lfe5u-25f"': '"ice40up5k"', '"CABGA256"': '"sg48"', 'speed = "7"': ""}
    for device, text, megahertz in (("lfe5u-25f", odd, "25.01"), ("ice40up5k", OWN, "25")):
        for one, another in other.items() if device == "ice40up5k" else ():
            text = text.replace(one, another)
        with pytest.raises(
            Unsupported, match=rf"mine.toml: {device} makes no clocks of usb of {megahertz} MHz; take"
        ):
            parse_board("mine", text, "mine.toml")


def report(**achieved):
    clocks = {
        "$glbnet$board.port.clk": (achieved.get("core", 105.0), 60.0),
        "$glbnet$board.port.arriving.consume_cdc.usb_clk": (achieved.get("usb", 83.0), 12.0),
        "$glbnet$board.port.device.usb.translator.usb_io_clk$12": (achieved.get("io", 175.0), 48.0),
    }
    fmax = {name: {"achieved": reached, "constraint": wanted} for name, (reached, wanted) in clocks.items()}
    return json.dumps({"fmax": fmax, "utilization": {"DCCA": {"used": 3}}})


def test_the_clock_that_is_reached_is_the_core_s_unless_the_cable_s_is_missed():
    assert nextpnr_report(report()).megahertz == 105.0
    assert nextpnr_report(report(usb=9.0)).megahertz == pytest.approx(60 * 9 / 12)
    assert nextpnr_report(report(io=47.0)).megahertz == pytest.approx(60 * 47 / 48)
    assert nextpnr_report(report(io=47.0, core=50.0)).megahertz == 50.0


def test_another_clock_leaves_the_cable_s_pll_alone(tmp_path):
    cells = {
        "clocks.pll": {"type": "EHXPLLL", "parameters": {"CLKI_DIV": "x"}, "connections": {}},
        "cable.pll": {"type": "EHXPLLL", "parameters": {"CLKI_DIV": "y"}, "connections": {}},
    }
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps({"modules": {"top": {"ports": {"led": {"bits": [2]}}, "cells": cells}}}))
    settings = pll_settings(FAMILY, 25_000_000, 70e6)
    from amaranth.hdl import Signal

    device = load_board("ulx3s-12f").device
    netlist = Netlist(path, device)
    netlist.write(tmp_path, None, FAMILY.pll.instance(settings, device, (Signal(), Signal(), Signal())))
    written = json.loads(path.read_text())["modules"]["top"]["cells"]
    assert int(written["clocks.pll"]["parameters"]["CLKI_DIV"], 2) == settings.divide
    assert written["cable.pll"]["parameters"] == {"CLKI_DIV": "y"}


def test_what_fits_counts_the_cable_s_device(program):
    """As Yosys counted them: 3,934 and 2,236 LUTs, 2,388 and 1,540 flip-flops, for another network of this size."""
    device, contents = load_board("ulx3s-12f").device, Contents.of_program(program)
    used = {
        kind: {need.resource: need.needed for need in needs(program.config, device, contents, kind=kind)}
        for kind in ("uart", "usb")
    }
    more = {name: used["usb"][name] - used["uart"][name] for name in used["usb"]}
    assert more["lut"] == pytest.approx(1698, rel=0.1)
    assert more["ff"] == pytest.approx(848, rel=0.02)
    assert more["dsp"] == more["ram"] == 0


@luna
@pytest.mark.nightly
@pytest.mark.parametrize("name", ["ulx3s-12f", "orangecrab-25f"])
def test_a_bitstream_with_a_cable_comes_out(qgraph, program, tmp_path, name):
    build = write_build(qgraph, program, tmp_path / "build")
    result = implement(build, load_board(name).linked("usb"), clock_mhz=60, effort="quick")
    assert (build.folder / "boards" / name / result.bitstream).stat().st_size > 10_000
    assert (result.link, result.baud) == ("usb", 0)
    assert result.fmax_mhz >= result.clock_mhz > 0
