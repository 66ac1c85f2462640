"""Which products get DSP blocks: all that there are blocks for, but where block RAMs crowd them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.boards.budget import dsp_budget
from hwquant.boards.device import DEVICES
from hwquant.boards.resources import estimate_resources
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.dsp import DspBudget

CROWDED = sorted({device.name for device in DEVICES.values() if device.family.crowded})


def config(activation_depth, side=16):
    return ArrayConfig(side, side, activation_depth=activation_depth, weight_depth=512, accumulator_depth=64)


@pytest.mark.parametrize("name", CROWDED)
@given(words=st.integers(64, 100_000))
def test_shares_of_block_rams_and_of_dsp_blocks_add_up_to_what_is_routed(name, words):
    device = DEVICES[name]
    used = estimate_resources(config(words), device, link=False)
    full = used.ram > (device.family.crowded - 1) * device.rams
    if full:
        assert used.dsp / device.multipliers <= max(0, device.family.crowded - used.ram / device.rams)
    else:
        assert used.dsp == device.multipliers


def test_what_has_no_dsp_block_is_made_of_look_up_tables():
    device = DEVICES["lfe5u-85f"]
    few, many = (estimate_resources(config(words), device, link=False) for words in (256, 20_000))
    assert few.dsp - many.dsp >= 40
    assert many.lut - few.lut > 60 * (few.dsp - many.dsp)


@pytest.mark.parametrize(("name", "side"), [("lfe5u-85f", 12), ("lfe5u-25f", 5)])
def test_an_array_whose_products_all_have_a_block_keeps_them(name, side):
    device = DEVICES[name]
    used = estimate_resources(config(20_000 * device.rams // 208, side), device, link=False)
    assert used.ram + used.dsp * device.rams / device.multipliers > device.family.crowded * device.rams
    assert used.dsp == side * side


@pytest.mark.parametrize("name", sorted({device.name for device in DEVICES.values()} - set(CROWDED)))
def test_elsewhere_all_blocks_are_used(name):
    device = DEVICES[name]
    for words in (64, 50_000):
        expected = DspBudget.share(config(words), device.family.dsp, device.multipliers)
        assert dsp_budget(config(words), device) == expected
