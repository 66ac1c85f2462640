"""How many bits each memory of an accelerator has."""

from __future__ import annotations

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import program_bits


def memory_bits(config: ArrayConfig) -> dict[str, int]:
    """Count bits by memory: activation, weight, accumulator, line (of the depthwise mode), parameter and program.

    Those of all arrays are counted together. That of tables is only there where the array has some.
    """
    table = {"table": config.table_depth * config.activation_bits * config.arrays * -(-config.columns // 2)}
    return {
        "activation": config.arrays * config.activation_depth * config.word_bits,
        "weight": config.weight_depth * config.columns * config.slot_bits,
        "accumulator": config.arrays * config.accumulator_depth * config.columns * config.accumulator_bits,
        "line": config.arrays
        * max(0, config.tap_lines - 1)
        * config.tap_depth
        * config.columns
        * config.activation_bits,
        "parameter": config.parameter_depth * config.parameter_bits,
        "program": config.program_depth * program_bits(config),
        **(table if config.tables else {}),
    }
