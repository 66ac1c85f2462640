"""Weights go to large RAM where block RAM does not hold all memories, and only there."""

from dataclasses import replace

import pytest

from hwquant.boards.device import DEVICES
from hwquant.boards.large_ram import large_rams, weight_memory, weights_in_large_ram
from hwquant.boards.resources import estimate_resources
from hwquant.program.config import ArrayConfig

UP5K = DEVICES["ice40up5k"]
CONFIG = ArrayConfig(
    4,
    4,
    activation_depth=512,
    accumulator_depth=256,
    accumulator_bits=16,
    program_depth=64,
    parameter_depth=64,
)


def test_the_last_block_ram_decides():
    """4 for activations, 4 for accumulators, 2 for the link; program and parameters are logic."""
    fits = replace(CONFIG, weight_depth=(30 - 4 - 4 - 2) // 2 * 256)
    assert not weights_in_large_ram(fits, UP5K)
    assert estimate_resources(fits, UP5K, link=True).ram == 30
    more = replace(fits, weight_depth=fits.weight_depth + 1)
    assert weights_in_large_ram(more, UP5K)
    estimate = estimate_resources(more, UP5K, link=True)
    assert (estimate.ram, estimate.large_ram) == (10, 2)


@pytest.mark.parametrize("name", sorted({device.name for device in DEVICES.values()} - {UP5K.name}))
def test_devices_without_large_rams_keep_weights_in_block_rams(name):
    assert not weights_in_large_ram(replace(CONFIG, weight_depth=1 << 20), DEVICES[name])


@pytest.mark.parametrize(
    ("columns", "depth", "count"), [(2, 100, 1), (4, 16384, 2), (8, 16384, 4), (3, 16385, 4), (2, 65536, 4)]
)
def test_a_large_ram_has_16384_words_of_16_bits(columns, depth, count):
    config = ArrayConfig(4, columns, weight_depth=depth)
    assert large_rams(weight_memory(config), UP5K) == count
