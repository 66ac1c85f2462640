"""PLL settings: within the limits of each family, never above what is asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.boards.clocking import pll_settings
from hwquant.boards.families import FAMILIES
from hwquant.errors import HwquantError

RANGES = {"ecp5": (12, 300), "ice40": (17, 200), "gowin": (10, 200), "xilinx7": (10, 400)}
"""MHz that can be made of every source below; of 12 MHz, ECP5 makes 8 and 12 and nothing between."""


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None)
@given(st.sampled_from([12_000_000, 25_000_000, 27_000_000, 48_000_000, 100_000_000]), st.data())
def test_pll_settings_are_within_the_limits_and_near_the_clock(family, source, data):
    wanted = data.draw(st.floats(*RANGES[family])) * 1e6
    pll = FAMILIES[family].pll
    found = pll_settings(FAMILIES[family], source, wanted)
    (low, high), (least, greatest), (slowest, fastest) = pll.oscillator, pll.detector, pll.output
    internal = family in ("ice40", "xilinx7")
    assert found.hertz == source * found.multiply / found.divide / (found.post if internal else 1)
    assert low <= found.hertz * found.post / 1e6 <= high
    assert least <= source / found.divide / 1e6 <= greatest
    assert slowest <= found.hertz / 1e6 <= fastest
    assert 0.7 * wanted <= found.hertz <= wanted * (1 + 1e-9)


@pytest.mark.parametrize(
    ("family", "source", "wanted"),
    [("ecp5", 25e6, 100e6), ("ice40", 12e6, 24e6), ("gowin", 27e6, 54e6), ("xilinx7", 100e6, 125e6)],
)
def test_a_clock_that_a_pll_can_make_is_made_exactly(family, source, wanted):
    assert pll_settings(FAMILIES[family], int(source), wanted).hertz == wanted


def test_a_clock_out_of_reach_is_refused():
    with pytest.raises(HwquantError, match=r"no PLL setting of ecp5 makes 11.5 MHz of 12 MHz"):
        pll_settings(FAMILIES["ecp5"], 12_000_000, 11.5e6)
    with pytest.raises(HwquantError, match=r"no PLL setting of ice40 makes 1 MHz of 12 MHz"):
        pll_settings(FAMILIES["ice40"], 12_000_000, 1e6)


@pytest.mark.parametrize(
    ("family", "source", "wanted"),
    [("ice40", 12, 14), ("ice40", 12, 500), ("ecp5", 25, 750), ("gowin", 27, 1000), ("xilinx7", 100, 1200)],
)
def test_an_output_that_the_data_sheet_forbids_is_refused(family, source, wanted):
    with pytest.raises(HwquantError, match=f"no PLL setting of {family} makes {wanted} MHz"):
        pll_settings(FAMILIES[family], source * 10**6, wanted * 1e6)
