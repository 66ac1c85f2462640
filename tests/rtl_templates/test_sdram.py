"""The controller of an SDRAM: LiteDRAM's text, how the chip is initialized, and the times of data sheets."""

from importlib.util import find_spec

import pytest

from hwquant.errors import MissingPackage, ToolStopped, Unsupported
from hwquant.rtl_templates import sdram
from hwquant.rtl_templates.sdram import (
    MODE,
    PRECHARGE,
    REFRESH,
    core_verilog,
    initialization,
    sdram_timings,
)
from hwquant.rtl_templates.sdram_chips import REFRESHES, SDRAMS

MICRON = SDRAMS["MT48LC16M16A2-75"]
litedram = pytest.mark.skipif(find_spec("litedram") is None, reason="litedram is not installed")


@litedram
def test_the_core_is_the_same_text_whoever_makes_it():
    text = core_verilog(MICRON, 75e6, 75e6)
    core_verilog.cache_clear()
    assert core_verilog(MICRON, 75e6, 75e6) == text
    assert text.count("\nmodule litedram_core (") == 1
    assert "Date" not in text
    assert core_verilog(MICRON, 100e6, 100e6) != text, "its times are in cycles"
    assert core_verilog(MICRON, 75e6, 40e6) != text, "refreshes are counted for the slowest clock"


def test_without_litedram_the_error_names_the_extra(monkeypatch):
    core_verilog.cache_clear()
    monkeypatch.setattr(sdram, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"hwquant\[sdram\]"):
        core_verilog(MICRON, 50e6, 50e6)


@litedram
def test_where_litedram_stops_the_error_says_why(monkeypatch):
    core_verilog.cache_clear()
    monkeypatch.setattr(sdram, "chip_argument", lambda chip: '{"cas": []}')
    with pytest.raises(ToolStopped, match="LiteDRAM stopped: TypeError"):
        core_verilog(MICRON, 51e6, 51e6)
    core_verilog.cache_clear()


@pytest.mark.parametrize(("hertz", "cas"), [(25e6, 2), (100e6, 2), (100.1e6, 3), (133e6, 3)])
def test_the_clock_chooses_the_cas_latency(hertz, cas):
    assert MICRON.cas_latency(hertz) == cas
    *before, (command, address, _) = initialization(MICRON, hertz)
    assert (command, address) == (MODE, cas << 4), "bursts of one word, in order"
    assert [code for code, _, _ in before].count(REFRESH) == REFRESHES
    assert before[1][:2] == (PRECHARGE, 1 << 10)
    assert before[0][2] >= 200e-6 * hertz


def test_a_clock_that_the_chip_does_not_bear_is_refused():
    with pytest.raises(Unsupported, match="133 MHz, not 150 MHz"):
        initialization(MICRON, 150e6)


@pytest.mark.parametrize(
    ("name", "size", "width"), [("MT48LC16M16A2-75", 1 << 25, 16), ("M12L64322A-5T", 1 << 23, 32)]
)
def test_chips_have_the_size_that_their_names_say(name, size, width):
    assert (SDRAMS[name].size, SDRAMS[name].data_bits) == (size, width)


@pytest.mark.parametrize("chip", SDRAMS.values(), ids=SDRAMS)
@pytest.mark.parametrize("hertz", [25e6, 60e6, 100e6, 133e6])
def test_a_chip_is_a_memory_that_programs_can_be_timed_with(chip, hertz):
    best, worst = sdram_timings(chip, hertz)
    assert best.latency < worst.latency
    assert chip.cycles(chip.t_rp, hertz) >= chip.t_rp * hertz / 1e9 - 1e-3
    assert worst.refresh_interval <= chip.t_refi * hertz / 1e9
