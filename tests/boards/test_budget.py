"""Which products get DSP blocks: all that there are blocks for, but where block RAMs crowd them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.boards.budget import dsp_budget
from hwquant.boards.clock_estimate import FREE
from hwquant.boards.device import DEVICES
from hwquant.boards.resources import estimate_resources
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.dsp import DspBudget

CROWDED = sorted({device.name for device in DEVICES.values() if device.family.crowded})


def config(activation_depth, side=16):
    return ArrayConfig(side, side, activation_depth=activation_depth, weight_depth=512, accumulator_depth=64)


@pytest.mark.parametrize("name", CROWDED)
@given(words=st.integers(64, 100_000))
def test_the_fewer_block_rams_are_free_the_fewer_dsp_blocks_are_used(name, words):
    device = DEVICES[name]
    used = estimate_resources(config(words), device, link=False)
    beyond = max(0, used.ram / device.rams - FREE)
    assert used.dsp == int(device.multipliers * max(0, 1 - device.family.crowded * beyond))


def test_what_has_no_dsp_block_is_made_of_look_up_tables():
    device = DEVICES["lfe5u-85f"]
    few, many = (estimate_resources(config(words), device, link=False) for words in (256, 20_000))
    assert few.dsp - many.dsp >= 40
    assert many.lut - few.lut > 60 * (few.dsp - many.dsp)


@pytest.mark.parametrize(("name", "side"), [("lfe5u-85f", 12), ("lfe5u-25f", 5)])
def test_an_array_whose_products_all_have_a_block_keeps_them(name, side):
    device = DEVICES[name]
    used = estimate_resources(config(100_000, side), device, link=False)
    assert used.ram > device.rams
    assert used.dsp == side * side


@pytest.mark.parametrize("name", sorted({device.name for device in DEVICES.values()} - set(CROWDED)))
def test_elsewhere_all_blocks_are_used(name):
    device = DEVICES[name]
    for words in (64, 50_000):
        expected = DspBudget.share(config(words), device.family.dsp, device.multipliers)
        assert dsp_budget(config(words), device) == expected
