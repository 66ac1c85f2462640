"""``hwquant estimate --target osu018``: the cells of an ASIC process."""

import pytest

from hwquant.boards import asic
from hwquant.boards.asic import LIBRARIES, Asic, TimingPath
from hwquant.boards.macros import Macro
from hwquant.build import load_build
from hwquant.rtl_templates.verilog import to_rtlil

FOUND = Asic(
    library="osu018",
    area_um2=2_500_000.0,
    flip_flop_area_um2=960.0,
    gates=104_167,
    cells={"DFFPOSX1": 10, "NAND2X1": 104_127},
    flip_flops=10,
    memories=(Macro("weights.memory", words=100, width=32, reads=1, writes=0, address_bits=7),),
    slowest=TimingPath("array.x[0]", "array.y", 4.0),
    memory_answer=TimingPath("weights.memory", "array.x[1]", 1.5),
    megahertz=250.0,
    notes=("nothing is placed",),
    versions={"OpenSTA": "2.0"},
)


@pytest.fixture(scope="module")
def build(hwquant, network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("build") / "build"
    assert hwquant("compile", network, "--array", "2x2", "-o", folder).status == 0
    return folder


def test_area_clock_and_memories_are_told(hwquant, build, monkeypatch):
    asked = []

    def implement(component, library, cache):
        to_rtlil(component, "hwquant")
        asked.append((component.config, library))
        return FOUND

    monkeypatch.setattr(asic, "implement_asic", implement)
    loaded = load_build(build)
    result = hwquant("estimate", build, "--target", "osu018", "--synthesize", "--json").json["target"]
    assert asked == [(loaded.program.config, LIBRARIES["osu018"])]
    assert (result["area_um2"], result["area_mm2"], result["gates"]) == (2_500_000.0, 2.5, 104_167)
    assert (result["memory_bits"], result["memory_ns"]) == (3200, 2.5)
    assert result["frames_per_second"] == round(250e6 / loaded.report.frame_cycles, 1)
    text = hwquant("estimate", build, "--target", "osu018", "--synthesize").stdout
    for part in (
        "osu018 (180 nm, 1.8 V): 2,500,000 um2 (2.5 mm2)",
        "104,127 NAND2X1, 10 DFFPOSX1",
        "250.0 MHz: the slowest path takes 4.00 ns, from array.x[0] to array.y",
        "memories may answer 2.50 ns after",
        "weights.memory",
        "3,200",
        "note: nothing is placed",
    ):
        assert part in text


def test_without_synthesis_there_is_no_area(hwquant, build):
    hwquant("estimate", build, "--target", "osu035").fails("osu035 takes is not estimated but synthesized")
