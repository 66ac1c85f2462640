"""The hardware that a network needs: chosen, or checked against hardware that exists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.array_shape import OFFSET_MODES, ArrayShape, OffsetMode
from hwquant.program.available import check_biases, check_hardware, check_limits, too_few
from hwquant.program.config import BIASES, LEAST_HALF, OPTIONAL, SIZES, ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.layers import ArrayLayer
from hwquant.program.mapping import MappedLayer, all_modes, used_modes
from hwquant.program.raw_choice import PACK_INPUT, PackInput
from hwquant.program.raw_inputs import RawInput
from hwquant.program.sides import Array, array_name, whole_array
from hwquant.program.tables import needed_tables
from hwquant.program.weight_widths import (
    MAX_WEIGHT_BITS,
    adjusted_bits,
    odd_weights,
    offset_limits,
    product_bits,
    raw_bits,
    stored_weights,
    ternary,
)
from hwquant.program.widths import bits_for, index_bits
from hwquant.qgraph import QGraph

OffsetChoice = Literal["auto", OffsetMode]
"""Offset mode that may be asked for; "auto" is the one that the weights and the multipliers suggest."""

DEFAULT_ACCUMULATOR_DEPTH = 512
MAX_OPERAND_BITS = 18
PROGRAM = 4096
"""Words of a program memory that nobody limits, beside external memory: a longer program lies there."""

PROGRAM_BUFFER = 1024
"""Words of the memory that it then comes through."""

DSP_OPERAND_BITS = 9
"""Width of a weight that the narrowest multiplier of all known devices takes, for an array that is compiled for none of
them: a wider adjusted weight is kept out of the array."""
OF_WEIGHTS = (
    "weight_bits",
    "adjusted_bits",
    "offset",
    "offset_bits",
    "channel_offsets",
    "odd_weights",
    "ternary",
)
"""Names of the fields of an array that weights decide."""

NO_WEIGHTS: Mapping[str, Any] = {"weight_bits": 1, "adjusted_bits": 1, "offset": "none", "offset_bits": 1}
"""The array of a network without weights, in the fields of :data:`OF_WEIGHTS`."""


@dataclass(frozen=True)
class Requirements:
    """What the user asks of the hardware.

    Attributes
    ----------
    array : tuple of int
        Rows and columns of the systolic array, behind the number of several.
    offset : {"auto", "none", "edge", "sum"}
        Where integer offsets are added; "auto" lets the weights and the multipliers decide.
    limits : mapping of int, default empty
        Greatest allowed values, by name of a field of :class:`~hwquant.program.config.ArrayConfig`.
    config : ArrayConfig, optional
        Existing hardware to compile for; None where the hardware is to be chosen.
    operand_bits : int, default 9
        Width of the widest weight that a multiplier takes, 1..18.
    pack_input : {"auto", "none"}
        Whether the hardware may make words of the inputs, which the host then sends as they are.
    external : ExternalMemory, optional
        The memory outside that weights and parameters come from; None where all of them are inside.

    Raises
    ------
    HwquantError
        A value is out of range or unknown, or the hardware has other sides than ``array``.
    """

    array: Array
    offset: OffsetChoice = "auto"
    limits: Mapping[str, int] = field(default_factory=dict)
    config: ArrayConfig | None = None
    operand_bits: int = DSP_OPERAND_BITS
    pack_input: PackInput = "auto"
    external: ExternalMemory | None = None

    def __post_init__(self) -> None:
        if self.pack_input not in PACK_INPUT:
            raise HwquantError(f"pack_input must be {' or '.join(PACK_INPUT)}, not {self.pack_input!r}")
        if not 1 <= self.operand_bits <= MAX_OPERAND_BITS:
            raise HwquantError(f"operand_bits must be 1..{MAX_OPERAND_BITS}, not {self.operand_bits}")
        if self.offset not in (*OFFSET_MODES, "auto"):
            raise HwquantError(f"offset must be auto, {', '.join(OFFSET_MODES)}, not {self.offset!r}")
        known = {*SIZES, "accumulator_depth"}
        for name, value in self.limits.items():
            if name not in known:
                raise HwquantError(f"unknown limit {name!r}; known are {', '.join(sorted(known))}")
            if value < 1:
                raise HwquantError(f"the limit {name} must be positive, not {value}")
        if self.config and whole_array(self.config.array) != whole_array(self.array):
            raise HwquantError(
                f"the hardware is {array_name(self.config.array)}, not {array_name(self.array)}"
            )
        if self.external and whole_array(self.array)[0] > 1:
            raise Unsupported("several arrays cannot have external memory: choose one array, or none outside")
        bits = self.external.data_bits if self.external else 0
        if self.config and self.config.external_bits != bits:
            raise HwquantError(
                f"the hardware's port to external memory has {self.config.external_bits} bits, not {bits}"
            )

    def offered(self, layers: Sequence[ArrayLayer], qgraph: QGraph) -> ArrayShape:
        """Choose the array that layers are mapped to: as wide as they need, with every mode that it could have.

        Where there is hardware already, it is that.

        Parameters
        ----------
        layers : sequence of ArrayLayer
            The network's layers, at least one.
        qgraph : QGraph
            The network, for the shapes and widths of tensors.

        Raises
        ------
        DoesNotFit
            Weights, offsets, multipliers or shifts are wider than an array can have.
        Unsupported
            The network has offsets that are not to be added.
        """
        return self.config or all_modes(self._needed(layers, qgraph))

    @property
    def packs_input(self) -> bool:
        """Whether the hardware may make words of the inputs; where it exists, whether it does."""
        if self.external:
            return False
        return bool(self.config.raw_inputs) if self.config else self.pack_input != "none"

    @property
    def given(self) -> Mapping[str, int]:
        """Words of memories, by name of field, where they are given."""
        return {name: getattr(self.config, name) for name in SIZES} if self.config else self.limits

    @property
    def most_words(self) -> int | None:
        """Words that the activation memory may have; None where that is open."""
        return self.config.activation_depth if self.config else self.limits.get("activation_depth")

    def program_half(self, words: int) -> int:
        """Words of a half of the program memory, where a program of so many words lies in external memory; else 0."""
        if self.config:
            return self.config.program_half
        most = self.limits.get("program_depth")
        if not self.external or words <= (most or PROGRAM):
            return 0
        depth = 1 << (most.bit_length() - 1) if most else PROGRAM_BUFFER
        return depth // 2 if depth >= 2 * LEAST_HALF else 0

    def needed(
        self,
        mapped: Sequence[MappedLayer],
        offered: ArrayShape,
        qgraph: QGraph,
        raw_inputs: tuple[RawInput, ...],
    ) -> ArrayShape:
        """Leave of the array that was offered what the mapped layers use; check it where it is hardware already.

        Parameters
        ----------
        mapped : sequence of MappedLayer
            How each layer uses the array.
        offered : ArrayShape
            The array that they were mapped to.
        qgraph : QGraph
            The network, for the shapes and widths of tensors.
        raw_inputs : tuple of RawInput
            The network's inputs, where the host sends them as they are; else empty.

        Raises
        ------
        DoesNotFit
            Weights, offsets, multipliers or shifts are wider than an array can have, or than the hardware has; the
            hardware lays out other inputs.
        Unsupported
            The network has offsets that the hardware cannot add, or weights that it cannot have.
        """
        exact = replace(self._needed([item.layer for item in mapped], qgraph), raw_inputs=raw_inputs)
        if self.config:
            check_hardware(exact, self.config)
            return self.config
        weights = {name: getattr(exact, name) for name in OF_WEIGHTS}
        return replace(
            used_modes(offered, mapped),
            **weights,
            raw_inputs=raw_inputs,
            strided_writes=exact.strided_writes,
        )

    def _needed(self, layers: Sequence[ArrayLayer], qgraph: QGraph) -> ArrayShape:
        multipliers = [layer.multiplier for layer in layers if layer.multiplier is not None]
        largest = max((int(values.max()) for values in multipliers), default=0)
        least, most = self._shifts(layers)
        pixels = max(math.prod(layer.pixels) * math.prod(layer.window) for layer in layers)
        depth = self.limits.get("accumulator_depth", DEFAULT_ACCUMULATOR_DEPTH)
        widths: dict[str, Any] = {
            **self._weights(layers, qgraph),
            **needed_tables(layers, qgraph, self.config.table_bits if self.config else 0),
            "multiplier_bits": bits_for(0, 2 * largest) if multipliers else 0,
            "product_bits": product_bits(layers, qgraph),
            "least_shift": least,
            "shift_bits": index_bits(most - least + 1),
        }
        check_limits(widths, qgraph.name)
        arrays, rows, columns = whole_array(self.array)
        return ArrayShape(
            rows=rows,
            columns=columns,
            activation_bits=max(tensor.bits for tensor in qgraph.tensors.values()),
            accumulator_depth=min(pixels, depth),
            strided_writes=any(layer.into for layer in layers),
            overlap=True,
            arrays=arrays,
            external_bits=self.external.data_bits if self.external else 0,
            **widths,
        )

    def _shifts(self, layers: Sequence[ArrayLayer]) -> tuple[int, int]:
        """The least and the greatest shift that hardware has, which existing hardware may have smaller."""
        multiplied = any(layer.multiplier is not None for layer in layers)
        shifts = np.concatenate([layer.shift for layer in layers])
        least = max(0, int(shifts.min()) - multiplied)
        return min(least, self.config.least_shift) if self.config else least, int(shifts.max())

    def _weights(self, layers: Sequence[ArrayLayer], qgraph: QGraph) -> dict[str, Any]:
        """The fields of :data:`OF_WEIGHTS`."""
        terms = [term for layer in layers for term in layer.terms]
        if not terms:  # but products; any weights would do
            given = self.config or ArrayShape(*whole_array(self.array)[1:], **NO_WEIGHTS)
            return {name: getattr(given, name) for name in OF_WEIGHTS}
        always = bool(self.config and self.config.channel_offsets)
        weight_bits, per_channel = stored_weights(layers, qgraph, self.array, per_channel=always)
        if weight_bits > MAX_WEIGHT_BITS:
            raise DoesNotFit(
                f"the weights and channel offsets of {qgraph.name!r} need {weight_bits} stored bits, the array "
                f"has {MAX_WEIGHT_BITS}; quantize with the default range",
                resource="weight_bits",
                needed=weight_bits,
                available=MAX_WEIGHT_BITS,
                remedy="the default range of weights",
            )
        odd = self.config.odd_weights if self.config else odd_weights(terms)
        width = adjusted_bits(terms, weight_bits)
        lowest, highest = offset_limits(terms)
        offset: OffsetMode = self._offset_mode(width, qgraph.name) if lowest or highest else "none"
        per_channel &= offset != "none"
        rows = offset == "sum" and per_channel
        small = not rows and ternary(terms, weight_bits, adjusted=offset == "edge")
        if offset != "edge" and odd != "none":
            width = raw_bits(terms, weight_bits, offset_rows=rows)
        added = [term.offset * (1 if offset == "edge" and odd == "all" else term.step) for term in terms]
        return {
            "weight_bits": weight_bits,
            "adjusted_bits": min(width, 2) if small and (offset == "edge" or odd != "none") else width,
            "offset": offset,
            "offset_bits": max(bits_for(int(values.min()), int(values.max())) for values in added),
            "channel_offsets": per_channel,
            "odd_weights": odd_weights(terms),
            "ternary": small,
        }

    def _offset_mode(self, adjusted_bits: int, network: str) -> OffsetMode:
        """Where offsets, of which some are not zero, are added to weights that then have ``adjusted_bits``."""
        asked = self.config.offset if self.config and self.offset == "auto" else self.offset
        if asked == "auto":
            return "edge" if adjusted_bits <= self.operand_bits else "sum"
        if asked == "none":
            raise Unsupported(
                f"network {network!r} has integer offsets: choose offset edge or sum, or quantize it symmetric",
                where=network,
            )
        return asked


def size(
    shape: ArrayShape, needed: Mapping[str, int], requirements: Requirements, widest: str, network: str
) -> ArrayConfig:
    """Make each memory as large as needed, or find it large enough in the hardware that exists.

    Parameters
    ----------
    shape : ArrayShape
        The array without its memories.
    needed : mapping of int
        What :func:`measure` says.
    requirements : Requirements
        What the user asks of the hardware.
    widest : str
        Name of the layer that needs the widest accumulators, for the message.
    network : str
        Name of the network, for the message.

    Raises
    ------
    DoesNotFit
        A memory or a width is larger than is allowed; the message says by how much.
    """
    for name in (*SIZES, *(name for name in OPTIONAL if name in needed)):
        available = (
            getattr(requirements.config, name) if requirements.config else requirements.limits.get(name)
        )
        if available is not None and needed[name] > available:
            culprit = f" (layer {widest!r} in the worst case)" if name == "accumulator_bits" else ""
            outside = requirements.external is not None
            raise too_few(name, needed[name], available, culprit=culprit, outside=outside)
    if requirements.config:
        check_biases(needed, requirements.config)
        return requirements.config
    minimum = {name: max(2, needed[name]) for name in SIZES}
    minimum |= {name: needed[name] for name in OPTIONAL if name in needed}
    if needed["bias_zeros"]:  # biases that share no zeros are stored whole
        minimum |= {name: needed[name] for name in BIASES}
    minimum["accumulator_bits"] = max(8, needed["accumulator_bits"])
    check_limits(minimum, network)
    return ArrayConfig.of(shape, minimum)
