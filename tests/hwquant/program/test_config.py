"""What an accelerator is described by: limits, identity, and the size of its memories."""

import dataclasses

import pytest

from hwquant.errors import HwquantError
from hwquant.program.config import ArrayConfig
from hwquant.program.memories import memory_bits


def test_memory_bits_are_those_of_the_memories():
    config = ArrayConfig(4, 6, multiplier_bits=10, activation_depth=100, weight_depth=50, parameter_depth=20)
    bits = memory_bits(config)
    assert bits["activation"] == 100 * 4 * 8
    assert bits["weight"] == 50 * 6 * 8
    assert bits["accumulator"] == 512 * 6 * 32
    assert bits["parameter"] == 20 * (32 + 5 + 10)


def test_each_array_has_memories_of_its_own_but_for_weights_parameters_and_the_program():
    one = ArrayConfig(6, 4, tap_lines=2, tables=3, table_bits=8)
    several = memory_bits(dataclasses.replace(one, arrays=3, strip_bits=4))
    for name, bits in memory_bits(one).items():
        if name != "program":  # whose words say more
            assert several[name] == (1 if name in ("weight", "parameter") else 3) * bits


def test_several_arrays_and_bits_for_strips_come_together():
    for fields in ({"arrays": 2}, {"strip_bits": 3}):
        with pytest.raises(HwquantError, match="several arrays need strip_bits, and one has none"):
            ArrayConfig(4, 4, **fields)
    with pytest.raises(HwquantError, match=r"arrays must be 1\.\.8, not 9"):
        ArrayConfig(4, 4, arrays=9, strip_bits=3)


LIMITS = {
    "rows": (2, 32),
    "columns": (2, 32),
    "activation_bits": (2, 24),
    "weight_bits": (1, 8),
    "weight_slot_bits": (0, 32),
    "adjusted_bits": (1, 18),
    "offset_bits": (1, 18),
    "accumulator_bits": (8, 48),
    "accumulator_depth": (1, 1 << 16),
    "multiplier_bits": (0, 18),
    "shift_bits": (1, 6),
    "coordinate_bits": (2, 16),
    "activation_depth": (2, 1 << 24),
    "weight_depth": (2, 1 << 24),
    "parameter_depth": (2, 1 << 24),
    "program_depth": (2, 1 << 24),
}


@pytest.mark.parametrize("name", LIMITS)
def test_every_parameter_has_limits_that_it_may_reach(name):
    low, high = LIMITS[name]
    for value in (low, high):
        assert getattr(dataclasses.replace(ArrayConfig(8, 8), **{name: value}), name) == value
    for value in (low - 1, high + 1):
        with pytest.raises(HwquantError, match=rf"{name} must be {low}\.\.{high}, not {value}$"):
            dataclasses.replace(ArrayConfig(8, 8), **{name: value})


def test_equal_configurations_have_equal_keys_and_json_comes_back():
    config = ArrayConfig(5, 9, channel_offsets=True)
    assert ArrayConfig(**config.to_json()) == config
    assert ArrayConfig(**config.to_json()).key == config.key
    assert config.key != dataclasses.replace(config, shift_bits=6).key
