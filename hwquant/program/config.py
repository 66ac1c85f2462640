"""The one description of the generated hardware that the compiler, the cycle model and the RTL share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hwquant.errors import HwquantError
from hwquant.program.array_shape import ArrayShape
from hwquant.program.raw_inputs import RawInput
from hwquant.program.widths import index_bits

HALF_STEP = 2048
"""What the first half of an activation memory has a multiple of at most: words that one block RAM holds."""


LEAST_HALF = 8
"""Least words of a half of the program memory: what fetches the next half leaves room for the program itself."""

LEAST_ADDRESS_BITS = 7
"""Least width of an address of external memory: beyond a burst."""


@dataclass(frozen=True)
class ArrayConfig(ArrayShape):
    """Parameters of one accelerator: every width that the RTL uses is a field or a property of this object.

    Attributes
    ----------
    accumulator_bits : int, default 32
        Width of an accumulator, 8..48.
    coordinate_bits : int, default 10
        Width of a signed pixel coordinate, 2..16.
    block_steps : int, default 4096
        Most pixels that a tile streams for one block.
    activation_depth : int, default 2048
        Words of the activation memory.
    weight_depth : int, default 2048
        Words of the weight memory.
    parameter_depth : int, default 512
        Words of the parameter memory.
    program_depth : int, default 512
        Words of the program memory.
    bias_bits : int, default 0
        Width of a bias in the parameter memory, 0..48; 0 means ``accumulator_bits``.
    bias_zeros : int, default 0
        Low bits of a bias that are zero in every word, 0..47, and not stored.
    strip_bits : int, default 0
        Width of the signed number of a strip, counted from that of the array which reads it, 0..16; 0 where there is
        one array.
    external_address_bits : int, default 0
        Width of an address of external memory, in beats of ``external_bits``, 7..32; 0 where there is none.
    half_depth : int, default 0
        Words of the first half of the activation memory, where words move between it and external memory: each half
        has a read and a write port of its own. 0 where no such words move, and the memory is one.
    program_half : int, default 0
        Words of each half of the program memory, a power of two of at least 8, where the program lies in external
        memory and comes in one half while it is executed in the other; 0 where all of it is inside.

    Raises
    ------
    HwquantError
        A value is out of range, or contradicts another one.
    """

    accumulator_bits: int = 32
    coordinate_bits: int = 10
    block_steps: int = 4096
    activation_depth: int = 2048
    weight_depth: int = 2048
    parameter_depth: int = 512
    program_depth: int = 512
    bias_bits: int = 0
    bias_zeros: int = 0
    strip_bits: int = 0
    external_address_bits: int = 0
    half_depth: int = 0
    program_half: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.arrays > 1) != (self.strip_bits > 0):
            raise HwquantError(
                f"several arrays need strip_bits, and one has none, not {self.strip_bits} for {self.arrays}"
            )
        if self.external_bits and self.external_address_bits < LEAST_ADDRESS_BITS:
            raise HwquantError(
                f"a port to external memory needs external_address_bits of at least {LEAST_ADDRESS_BITS}, not "
                f"{self.external_address_bits}"
            )
        if self.external_address_bits and not self.external_bits:
            raise HwquantError(
                f"external_address_bits must be 0 without a port to external memory, not {self.external_address_bits}"
            )
        if self.half_depth and not (self.external_bits and self.half_depth < self.activation_depth):
            raise HwquantError(
                f"half_depth must be below activation_depth {self.activation_depth}, and 0 without a port to external "
                f"memory, not {self.half_depth}"
            )
        if self.half_depth % self.half_step:
            raise HwquantError(
                f"half_depth must be a multiple of {self.half_step}, as activation_depth is {self.activation_depth}, "
                f"not {self.half_depth}"
            )
        if self.external_bits and self.parameter_depth & (self.parameter_depth - 1):
            raise HwquantError(
                "parameters from external memory go through a ring: parameter_depth must be a power of two, not "
                f"{self.parameter_depth}"
            )
        half = self.program_half
        if half and not (
            self.external_bits and self.program_depth == 2 * half >= 2 * LEAST_HALF and not half & (half - 1)
        ):
            raise HwquantError(
                f"program_half must be a power of two of at least {LEAST_HALF}, and half of program_depth "
                f"{self.program_depth}; and 0 without a port to external memory, not {half}"
            )
        if self.bias_bits + self.bias_zeros > self.accumulator_bits or (
            self.bias_zeros and not self.bias_bits
        ):
            raise HwquantError(
                f"bias_bits {self.bias_bits} and bias_zeros {self.bias_zeros} must be at most {self.accumulator_bits} "
                "together, as accumulators have so many bits, and there are no bias_zeros without bias_bits"
            )

    @classmethod
    def of(cls, shape: ArrayShape, sizes: Mapping[str, int]) -> ArrayConfig:
        """The array of a shape, with values by name for the fields that the shape lacks."""
        values: dict[str, Any] = {name: getattr(shape, name) for name in SHAPE_FIELDS}
        optional = {name: sizes[name] for name in (*BIASES, *OPTIONAL) if name in sizes}
        return cls(**values | {name: sizes[name] for name in SIZES} | optional)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ArrayConfig:
        """Make the object that :meth:`to_json` made plain."""
        raw = tuple(RawInput.from_json(item) for item in values.get("raw_inputs", ()))
        return cls(**{**LATER, **values, "raw_inputs": raw})

    @property
    def load_bits(self) -> int:
        """Bits of a word that a host loads: a beat of external memory where there is such, else a word of weights."""
        return self.external_bits or self.columns * self.slot_bits

    @property
    def external_bytes(self) -> int:
        """Bytes of external memory that addresses reach: the image, and behind it what the accelerator stores."""
        return self.external_bits // 8 << self.external_address_bits if self.external_bits else 0

    @property
    def count_bits(self) -> int:
        """Width of the number of pixels that a tile streams for a block."""
        return index_bits(self.block_steps + 1)

    @property
    def activation_address_bits(self) -> int:
        """Width of an address of the activation memory."""
        return index_bits(self.activation_depth)

    @property
    def half_step(self) -> int:
        """What ``half_depth`` is a multiple of: the words that an address within a RAM of the second half can have."""
        return min(HALF_STEP, 1 << index_bits(self.activation_depth - self.half_depth))

    @property
    def table_depth(self) -> int:
        """Words of a table memory."""
        return self.tables << self.table_bits if self.tables else 0

    @property
    def stored_bias_bits(self) -> int:
        """Width of a bias as the parameter memory holds it."""
        return self.bias_bits or self.accumulator_bits

    @property
    def parameter_bits(self) -> int:
        """Width of a word of the parameter memory: bias, shift and multiplier of one output channel."""
        return self.stored_bias_bits + self.shift_bits + self.multiplier_bits

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as a ``.hwp`` file holds them: those that came later only where they say something."""
        values = {**dataclasses.asdict(self), "raw_inputs": [item.to_json() for item in self.raw_inputs]}
        plain = {**LATER, "raw_inputs": []}
        return {name: value for name, value in values.items() if name not in plain or value != plain[name]}

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """The fields' values, hashable: for caches of built simulators, and for the checksum of a program."""
        later = [name for name, value in LATER.items() if getattr(self, name) != value]
        values = {name: getattr(self, name) for name in (*KEY, *later)}
        if self.raw_inputs:
            values["raw_inputs"] = tuple(item.key for item in self.raw_inputs)
        return tuple(values.values()) + tuple(later)


SHAPE_FIELDS = tuple(field.name for field in dataclasses.fields(ArrayShape))
"""Names of the fields of :class:`~hwquant.program.array_shape.ArrayShape`."""

BIASES = ("bias_bits", "bias_zeros")
"""Names of the fields that say how narrow biases are stored."""

OPTIONAL = ("strip_bits", "external_address_bits", "half_depth", "program_half")
"""Names of the sizes of what not every array has: several arrays, external memory."""

SIZES = tuple(
    field.name
    for field in dataclasses.fields(ArrayConfig)
    if field.name not in (*SHAPE_FIELDS, *BIASES, *OPTIONAL)
)
"""Names of the fields that :class:`ArrayConfig` adds for every array: they are measured on the compiled network."""

LATER: Mapping[str, object] = {
    "odd_weights": "none",
    "ternary": False,
    "strided_writes": False,
    "raw_inputs": (),
    "overlap": False,
    **dict.fromkeys((*BIASES, "product_bits", "table_bits", "tables", "least_shift"), 0),
    "arrays": 1,
    "strip_bits": 0,
    "product_stages": 1,
    **dict.fromkeys(("external_bits", "external_address_bits", "half_depth", "program_half"), 0),
}
"""Fields that the first version of ``.hwp`` files lacks, with what they are there."""

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
"""The fields in the order that the checksum of a program has always had, without those that came later."""
