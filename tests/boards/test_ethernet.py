"""Boards on a network: pins, the core's Verilog, addresses, clocks."""

from dataclasses import replace
from importlib.util import find_spec
from ipaddress import IPv4Address

import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards.board import load_board
from hwquant.boards.constraints import constraints
from hwquant.boards.contents import Contents
from hwquant.boards.families.flow import nextpnr_report
from hwquant.boards.implement import implement
from hwquant.boards.needs import needs
from hwquant.boards.pins import LINK_PINS
from hwquant.boards.top import BoardTop
from hwquant.build import write_build
from hwquant.errors import MissingPackage
from hwquant.program.compiler import compile_network
from hwquant.rtl_templates import ethernet
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.ethernet import NET_HZ, core_verilog
from hwquant.rtl_templates.verilog import to_rtlil

pytest.importorskip("amaranth_boards", reason="pip install 'hwquant[boards]'")
liteeth = pytest.mark.skipif(find_spec("liteeth") is None, reason="liteeth is not installed")


@pytest.fixture(scope="module")
def qgraph():
    net = Net(x=(2, 3, 3))
    net.conv("x", 3, (2, 2))
    return net.build()


@pytest.fixture(scope="module")
def program(qgraph):
    return compile_network(qgraph, (2, 2))


@pytest.fixture
def board():
    return load_board("colorlight-i5").linked("ethernet")


def test_a_board_with_a_phy_has_its_pins_and_the_clock_of_what_it_hears(board):
    assert load_board("colorlight-i5").links == load_board("colorlight-i9").links == ("uart", "ethernet")
    assert load_board("colorlight-i5").link == "uart"
    _, text = constraints(board, board.device.family)
    assert 'LOCATE COMP "eth_rx_clk" SITE "H2";' in text
    assert 'FREQUENCY PORT "eth_rx_clk" 125 MHZ;' in text
    assert "FREQUENCY" not in constraints(board.linked("uart"), board.device.family)[1].replace(
        'FREQUENCY PORT "clock"', ""
    )


def test_frames_a_second_follow_from_bytes_datagrams_and_the_core(board, program):
    line = board.line(100e6)
    assert (line.bytes_per_second, line.datagram, line.latency) == (NET_HZ, 66, 2e-4)
    core = 1e-3
    assert board.link_time(program, 100e6).frames_per_second(core) == pytest.approx(1e3, rel=0.05)


def test_what_fits_counts_the_core(program):
    """As Yosys counted them: 7,288 and 2,236 LUTs, 4,183 and 1,540 flip-flops, 4 and 2 RAMs, for another network."""
    device, contents = load_board("colorlight-i5").device, Contents.of_program(program)
    used = {
        kind: {need.resource: need.needed for need in needs(program.config, device, contents, kind=kind)}
        for kind in ("uart", "ethernet")
    }
    more = {name: used["ethernet"][name] - used["uart"][name] for name in used["uart"]}
    assert more["lut"] == pytest.approx(5052, rel=0.01)
    assert more["ff"] == pytest.approx(2643, rel=0.01)
    assert (more["dsp"], more["ram"]) == (0, 2)


@pytest.mark.parametrize("address", ["192.168.1.50", "10.0.0.7"])
def test_the_top_has_the_wires_of_the_phy_and_the_board_s_address(board, program, address):
    board = replace(board, addresses=replace(board.addresses, ip=IPv4Address(address)))
    text = to_rtlil(BoardTop(board, accelerator(program), 60e6, tunable=True), "top")
    top = text[text.index("\nmodule \\top\n") :]
    for pin in LINK_PINS["ethernet"]:
        assert f"\\{pin}\n" in top
    assert f"32'{int(IPv4Address(address)):032b}" in text
    assert text.count("cell \\liteeth_core ") == 1


@liteeth
def test_the_core_is_the_same_text_every_time():
    first = core_verilog()
    core_verilog.cache_clear()
    assert core_verilog() == first
    assert first.count("\nmodule liteeth_core (") == 1
    assert "20" + "26-" not in first, "no date"


def test_without_liteeth_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(ethernet, "find_spec", lambda name: None)
    core_verilog.cache_clear()
    with pytest.raises(MissingPackage, match=r"an Ethernet link needs .*pip install 'hwquant\[ethernet\]'"):
        core_verilog()


def test_the_clock_of_the_phy_is_none_of_the_core_s():
    report = (
        '{"fmax": {"$glbnet$board.clk": {"achieved": 80.5, "constraint": 60.0}, '
        '"$glbnet$board.port.core.por_clk": {"achieved": 53.0, "constraint": 50.0}, '
        '"$glbnet$eth_rx_clk$TRELLIS_IO_IN": {"achieved": 140.0, "constraint": 125.0}}, "utilization": {}}'
    )
    assert nextpnr_report(report).megahertz == 80.5


@liteeth
@pytest.mark.nightly
def test_a_bitstream_with_ethernet_comes_out(qgraph, program, board, tmp_path):
    build = write_build(qgraph, program, tmp_path / "build")
    result = implement(build, board, clock_mhz=50, effort="quick")
    folder = build.folder / "boards" / "colorlight-i5"
    assert (folder / result.bitstream).stat().st_size > 10_000
    assert (result.link, result.baud, result.address) == ("ethernet", 0, "udp://192.168.1.50")
    assert result.fmax_mhz >= result.clock_mhz > 0
