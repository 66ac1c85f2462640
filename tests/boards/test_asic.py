"""Area and timing in the cells of an ASIC process."""

import collections
import re
import shutil

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.boards import asic, tools
from hwquant.boards.asic import LIBRARIES, TimingPath, implement_asic, parse_paths
from hwquant.boards.macros import Macro
from hwquant.errors import HwquantError
from hwquant.rtl_templates.verilog import to_rtlil

pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")
needs_sta = pytest.mark.skipif(shutil.which("sta") is None, reason="Debian: apt install opensta")


class Small(Component):
    """A memory, an adder and a multiplier, with 8 + 16 + 16 bits of registers."""

    def __init__(self, domain="sync"):
        self.domain = domain
        super().__init__({"a": In(8), "b": In(8), "write": In(1), "y": Out(16)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.table = table = Memory(shape=8, depth=32, init=[])
        write, read = table.write_port(), table.read_port(domain=self.domain)
        left, product = Signal(8, name="left"), Signal(16, name="product")
        m.d.comb += [
            write.addr.eq(self.a),
            write.data.eq(self.b),
            write.en.eq(self.write),
            read.addr.eq(self.b),
        ]
        m.d.sync += [left.eq(self.a + read.data), product.eq(left * self.b), self.y.eq(product)]
        return m


class Shift(Component):
    """Three flip-flops and nothing else."""

    def __init__(self):
        super().__init__({"a": In(1), "y": Out(1)})

    def elaborate(self, platform):
        m = Module()
        bits = [Signal(name=f"bit{n}", reset_less=True) for n in range(3)]
        m.d.sync += [bit.eq(before) for bit, before in zip(bits, [self.a, *bits])]
        m.d.comb += self.y.eq(bits[-1])
        return m


@pytest.fixture(params=sorted(LIBRARIES))
def library(request):
    item = LIBRARIES[request.param]
    if not (asic.FOLDER / item.name).is_dir():
        pytest.skip(f"Debian: apt install {item.package}")
    return item


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@needs_sta
def test_the_area_is_that_of_the_cells_in_the_netlist(library, tmp_path):
    result = asic._implement(to_rtlil(Small(), "hwquant"), library, tmp_path, {})
    netlist = (tmp_path / "netlist.v").read_text()
    cells = collections.Counter(re.findall(r"^  (?!memory_)([A-Z]\w+) ", netlist, re.MULTILINE))
    assert result.cells == dict(cells)
    sizes, name = {}, ""
    for words in map(str.split, library.lef.read_text().splitlines()):
        if words[:1] == ["MACRO"]:
            name = words[1]
        elif words[:1] == ["SIZE"]:
            sizes[name] = float(words[1]) * float(words[3])
    assert result.area_um2 == sum(sizes[cell] * count for cell, count in cells.items())
    assert result.flip_flops == cells["DFFPOSX1"] == 8 + 16 + 16
    assert result.flip_flop_area_um2 == 40 * sizes["DFFPOSX1"]
    assert result.gates == round(result.area_um2 / sizes["NAND2X1"])
    # The liberty file says the same of cells whose area was not changed to lead mapping.
    liberty = library.liberty.read_text()
    for cell in set(cells) - {"NAND3X1", "OAI21X1"}:
        area = re.search(rf"cell \({cell}\) \{{.*?area : ([\d.]+);", liberty, re.DOTALL)[1]
        assert float(area) == sizes[cell], cell


@needs_sta
def test_three_flip_flops_are_three_cells(library, tmp_path):
    result = implement_asic(Shift(), library, tmp_path)
    assert result.cells == {"DFFPOSX1": 3}
    assert result.area_um2 == result.flip_flop_area_um2 == {"osu018": 3 * 96, "osu035": 3 * 384}[library.name]
    assert (result.memories, result.memory_answer, result.memory_ns) == ((), None, None)
    # From a flip-flop to a flip-flop, or from the last one to the port, which loads more and needs no set-up time.
    assert (result.slowest.start, result.slowest.end) in {("bit0", "bit1"), ("bit1", "bit2")}


@needs_sta
def test_paths_begin_and_end_at_registers_and_memories(library, cache):
    result = implement_asic(Small(), library, cache)
    assert result.memories == (Macro("table", words=32, width=8, reads=1, writes=1, address_bits=5),)
    assert result.memory_bits == 256
    # The multiplier is behind one register and before the other; the memory's words go through the adder.
    assert re.fullmatch(r"left\[\d\]", result.slowest.start)
    assert re.fullmatch(r"product\[\d+\]", result.slowest.end)
    assert result.memory_answer.start == "table"
    assert re.fullmatch(r"left\[\d\]", result.memory_answer.end)
    assert 0 < result.memory_answer.ns < result.slowest.ns < 20
    assert result.megahertz == round(1000 / result.slowest.ns, 2)
    assert result.memory_ns == result.slowest.ns - result.memory_answer.ns


@needs_sta
def test_a_second_call_takes_the_result_from_the_cache(library, cache, monkeypatch):
    first = implement_asic(Small(), library, cache)

    def refuse(*arguments):
        raise AssertionError("it runs again")

    monkeypatch.setattr(tools, "run", refuse)
    assert implement_asic(Small(), library, cache) == first


@needs_sta
def test_a_memory_that_answers_at_once_is_refused(library, tmp_path):
    """A macro has a register at its output; nobody would get such a memory of thousands of flip-flops."""
    with pytest.raises(HwquantError, match="Assertion failed: selection is not empty: t:\\$mem_v2"):
        implement_asic(Small(domain="comb"), library, tmp_path)


def test_what_is_missing_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(asic, "FOLDER", tmp_path)
    monkeypatch.setattr(asic.shutil, "which", lambda name: None)
    with pytest.raises(HwquantError, match=r"needs sta .* apt install opensta"):
        implement_asic(Small(), LIBRARIES["osu018"], tmp_path)
    with pytest.raises(HwquantError, match=r"osu035 are not installed .* apt install qflow-tech-osu035"):
        LIBRARIES["osu035"].liberty.read_text()


REPORT = """
Startpoint: array.x[1]\\\\DFFPOSX1
            (rising edge-triggered flip-flop clocked by clk)
Endpoint: results (output port clocked by clk)
Path Group: clk
    Delay      Time   Description
             1.2500   data arrival time
            98.7500   slack (MET)

Startpoint: weights.memory (rising edge-triggered flip-flop clocked by clk)
Endpoint: array.y\\\\DFFPOSX1 (rising edge-triggered flip-flop clocked by clk)
            -2.5000   slack (VIOLATED)
"""


def test_reported_paths_are_read():
    assert parse_paths(REPORT) == [
        TimingPath("array.x[1]", "results", 1.25),
        TimingPath("weights.memory", "array.y", 102.5),
    ]
    with pytest.raises(HwquantError, match=r"OpenSTA stopped: Error: netlist\.v, line 3 syntax error"):
        parse_paths(f"Error: netlist.v, line 3 syntax error\n{REPORT}")
    with pytest.raises(HwquantError, match="no paths"):
        parse_paths("No paths found.")
    with pytest.raises(HwquantError, match="in the middle of a path"):
        parse_paths(REPORT.partition("Path Group")[0])
