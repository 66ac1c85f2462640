"""What the resource model counts in a part of the hardware."""

from dataclasses import replace

import pytest

from hwquant.boards.contents import Contents
from hwquant.boards.device import DEVICES
from hwquant.boards.large_ram import weights_in_large_ram
from hwquant.boards.resources import estimate_resources
from hwquant.program.config import ArrayConfig

FAMILIES = {"ecp5": "ecp5-25k", "ice40": "ice40-up5k", "gowin": "gw2a-18", "xilinx7": "xc7a35t"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bit_of_a_table_costs_about_a_sixteenth_of_a_lut_and_its_choice_in_whichever_memory_it_is(family):
    """Weights of few words were once 0.44 LUTs a bit on ECP5: what the array costs was taken for theirs."""
    device, counts = DEVICES[FAMILIES[family]], []
    config = ArrayConfig(4, 4, weight_depth=64, parameter_depth=64, program_depth=64)
    known = (
        ("program", "parameters")
        if weights_in_large_ram(config, device)
        else ("program", "parameters", "weights")
    )
    for name in known:
        contents = Contents.of(config)
        few, many = (
            estimate_resources(
                config, device, link=False, contents=replace(contents, **{name: 30, f"{name}_table": bits})
            )
            for bits in (480, 1440)
        )
        counts.append((many.lut - few.lut) / (1440 - 480))
    assert counts == pytest.approx([counts[0]] * len(known), abs=0.005)
    assert 1 / 64 < counts[0] < 3 / 16
