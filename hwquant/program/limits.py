"""What the numbers of an array may be."""

from __future__ import annotations

from hwquant.program.sides import MAX_ARRAYS
from hwquant.qgraph import MOST_TABLE_BITS

MIN_TAP_DELAY = 3
"""Least delay of a line memory: write, read, register."""

PRODUCT_STAGES = 2
"""Stages of a product in a processing element. Programs of the first version have one, and keep their cycles."""

EXTERNAL_BITS = (16, 32, 64, 128)
"""Widths that the port to external memory may have."""

LIMITS = {
    "activation_bits": (2, 24),
    "weight_bits": (1, 8),
    "weight_slot_bits": (0, 32),
    "adjusted_bits": (1, 18),
    "offset_bits": (1, 18),
    "accumulator_bits": (8, 48),
    "bias_bits": (0, 48),
    "bias_zeros": (0, 47),
    "accumulator_depth": (1, 1 << 16),
    "multiplier_bits": (0, 18),
    "product_bits": (0, 8),
    "product_stages": (1, PRODUCT_STAGES),
    "shift_bits": (1, 6),
    "least_shift": (0, 62),
    "coordinate_bits": (2, 16),
    "block_steps": (1, 1 << 24),
    "tap_depth": (MIN_TAP_DELAY, 1 << 16),
    "table_bits": (0, MOST_TABLE_BITS),
    "tables": (0, 1 << 8),
    "arrays": (1, MAX_ARRAYS),
    "strip_bits": (0, 16),
    "external_address_bits": (0, 32),
    "half_depth": (0, 1 << 24),
    "program_half": (0, 1 << 23),
    "activation_depth": (2, 1 << 24),
    "weight_depth": (2, 1 << 24),
    "parameter_depth": (2, 1 << 24),
    "program_depth": (2, 1 << 24),
}
"""Least and greatest value of what :class:`~hwquant.program.config.ArrayConfig` holds beside the sides; no array has
more."""
