"""The one description of the generated hardware that the compiler, the cycle model and the RTL share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hwquant.program.array_shape import ArrayShape
from hwquant.program.widths import index_bits


@dataclass(frozen=True)
class ArrayConfig(ArrayShape):
    """Parameters of one accelerator. Every width that the RTL uses is a field or a property of this object.

    Attributes
    ----------
    accumulator_bits : int
        Width of an accumulator.
    coordinate_bits : int
        Width of a signed pixel coordinate.
    block_steps : int
        Most pixels that a tile streams for one block.
    activation_depth : int
        Words of the activation memory.
    weight_depth : int
        Words of the weight memory.
    parameter_depth : int
        Words of the parameter memory.
    program_depth : int
        Words of the program memory.
    """

    accumulator_bits: int = 32
    coordinate_bits: int = 10
    block_steps: int = 4096
    activation_depth: int = 2048
    weight_depth: int = 2048
    parameter_depth: int = 512
    program_depth: int = 512

    @classmethod
    def of(cls, shape: ArrayShape, sizes: Mapping[str, int]) -> ArrayConfig:
        """The array of that shape with a value for every field that it lacks."""
        values: dict[str, Any] = {name: getattr(shape, name) for name in SHAPE_FIELDS}
        return cls(**values | {name: sizes[name] for name in SIZES})

    @property
    def count_bits(self) -> int:
        """Width of the number of pixels that a tile streams for a block."""
        return index_bits(self.block_steps + 1)

    @property
    def activation_address_bits(self) -> int:
        return index_bits(self.activation_depth)

    @property
    def parameter_bits(self) -> int:
        """Bias, shift, multiplier: one word for one output channel."""
        return self.accumulator_bits + self.shift_bits + self.multiplier_bits

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as a ``.hwp`` file holds them."""
        return dataclasses.asdict(self)

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Hashable identity, for caches of built simulators and for the checksum of a program."""
        return tuple(getattr(self, name) for name in KEY)


SHAPE_FIELDS = tuple(field.name for field in dataclasses.fields(ArrayShape))
"""Of :class:`ArrayShape`."""

SIZES = tuple(field.name for field in dataclasses.fields(ArrayConfig) if field.name not in SHAPE_FIELDS)
"""What :class:`ArrayConfig` adds: measured on the compiled network."""

KEY = (
    *("rows", "columns", "activation_bits", "weight_bits", "weight_slot_bits", "weight_packing", "load_rows"),
    *("adjusted_bits", "offset", "offset_bits", "channel_offsets", "accumulator_bits", "accumulator_depth"),
    *(
        "multiplier_bits",
        "shift_bits",
        "coordinate_bits",
        "block_steps",
        "window_sums",
        "tap_lines",
        "tap_depth",
    ),
    *("activation_depth", "weight_depth", "parameter_depth", "program_depth"),
)
"""The fields in the order that the checksum of a program has always had."""
