"""DSP blocks: Yosys uses as many as were counted beforehand, and never more than the device has."""

from dataclasses import replace

import pytest

from hwquant.boards import tools
from hwquant.boards.budget import dsp_budget
from hwquant.boards.device import DEVICES, NO_DEVICE, find_device
from hwquant.boards.families import FAMILIES
from hwquant.errors import Unsupported
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.array import SystolicArray
from hwquant.rtl_templates.dsp import blocks_of
from hwquant.rtl_templates.requantize import Requantizer
from hwquant.rtl_templates.verilog import to_rtlil

pytest.importorskip("pyosys", reason="the tools for boards are not here: pip install 'hwquant[boards]'")

CELL = {
    "lfe5u-25f": "MULT18X18D",
    "ice40up5k": "SB_MAC16",
    "gw1nr-9": "MULT9X9",
    "xc7a35t": "DSP48E1",
}


def cells_of(component, device, config, folder):
    source = folder / "top.il"
    source.write_text(to_rtlil(component, "top", dsp_budget(config, device)))
    return tools.synthesize(source, device)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", CELL)
def test_as_many_elements_as_there_are_blocks_get_one(name, tmp_path):
    config = ArrayConfig(2, 2)
    device = DEVICES[name]
    assert cells_of(SystolicArray(config), device, config, tmp_path)[CELL[name]] == 4
    scarce = replace(device, multipliers=1)
    expected = 2 if device.family.dsp.half else 1
    assert scarce.products(8, 9) == expected
    cells = cells_of(SystolicArray(config), scarce, config, tmp_path)
    assert cells[CELL[name]] == expected
    assert device.family.count(cells)["dsp"] == 1


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["ice40up5k", "gw1nr-9"])
@pytest.mark.parametrize("channels", [False, True])
def test_the_offset_of_a_sum_column_is_counted(name, channels, tmp_path):
    config = ArrayConfig(2, 2, offset="sum", channel_offsets=channels)
    for available in (2, 4):
        device = replace(DEVICES[name], multipliers=available)
        used = device.family.count(cells_of(SystolicArray(config), device, config, tmp_path))
        offset = blocks_of(device.family.dsp, config.input_sum_bits, config.offset_bits - channels)
        needed = 4 * blocks_of(device.family.dsp, 8, 8) + (2 if channels else 1) * offset
        assert used["dsp"] == min(available, int(needed + 0.5))


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", CELL)
def test_requantization_is_counted(name, tmp_path):
    config = ArrayConfig(2, 2, accumulator_bits=24, multiplier_bits=17)
    device = DEVICES[name]
    used = device.family.count(cells_of(Requantizer(config), device, config, tmp_path))
    assert used["dsp"] == int(blocks_of(device.family.dsp, 24, 17) + 0.5)


def test_products_of_a_device():
    assert DEVICES["gw1nr-9"].products(8, 9) == 2 * DEVICES["gw1nr-9"].products(8, 10) == 40
    assert DEVICES["ice40up5k"].products(8, 9) == 8
    assert DEVICES["lfe5u-25f"].products(8, 1) is None


def test_the_name_for_no_device_is_not_that_of_a_device():
    with pytest.raises(Unsupported, match="there is no device 'generic'; there are ecp5-12k, "):
        find_device(NO_DEVICE)
    assert NO_DEVICE not in {*DEVICES, *FAMILIES}
