"""Chooses the hardware that a network needs, or checks it against hardware that is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.config import LIMITS, OFFSET_MODES, ArrayConfig, bits_for, index_bits
from hwquant.program.depthwise import features
from hwquant.program.lowering import Step
from hwquant.program.tiling import column_blocks
from hwquant.qgraph import QGraph

DEFAULT_ACCUMULATOR_DEPTH = 512
MAX_WEIGHT_BITS = 8
MAX_OPERAND_BITS = 18
DSP_OPERAND_BITS = 9
"""What the narrowest multiplier of all known devices takes, for an array that is compiled for none of them: a wider
adjusted weight is kept out of the array."""
SIZED = (
    "activation_depth",
    "weight_depth",
    "parameter_depth",
    "program_depth",
    "accumulator_bits",
    "coordinate_bits",
    "block_steps",
)
REMEDY = {
    "activation_depth": "a larger activation memory, a smaller input, or fewer channels",
    "weight_depth": "a larger weight memory, fewer or pruned weights, or a wider array",
    "parameter_depth": "a larger parameter memory or fewer output channels",
    "program_depth": "a larger program memory, deeper accumulators, or a larger array",
    "accumulator_bits": "wider accumulators, or fewer activation or weight bits",
    "coordinate_bits": "a smaller input, or hardware with wider coordinates",
    "block_steps": "shallower accumulators or smaller pooling windows",
}


@dataclass(frozen=True)
class Requirements:
    """What the user asks of the hardware; see :func:`hwquant.program.compiler.compile_network`."""

    array: tuple[int, int]
    offset: str
    limits: Mapping[str, int]
    config: ArrayConfig | None
    operand_bits: int = DSP_OPERAND_BITS

    def __post_init__(self) -> None:
        if not 1 <= self.operand_bits <= MAX_OPERAND_BITS:
            raise HwquantError(f"operand_bits must be 1..{MAX_OPERAND_BITS}, not {self.operand_bits}")
        if self.offset not in (*OFFSET_MODES, "auto"):
            raise HwquantError(f"offset must be auto, {', '.join(OFFSET_MODES)}, not {self.offset!r}")
        known = {*SIZED, "accumulator_depth"}
        for name, value in self.limits.items():
            if name not in known:
                raise HwquantError(f"unknown limit {name!r}; known are {', '.join(sorted(known))}")
            if value < 1:
                raise HwquantError(f"the limit {name} must be positive, not {value}")
        if self.config and (self.config.rows, self.config.columns) != self.array:
            raise HwquantError(
                f"the hardware is {self.config.rows}x{self.config.columns}, not {self.array[0]}x{self.array[1]}"
            )

    def shape(self, steps: Sequence[Step], qgraph: QGraph) -> ArrayConfig:
        """Everything but the memory depths: they are measured on the result."""
        needed = self._needed(steps, qgraph)
        if self.config:
            _check(needed, self.config)
            return self.config
        return needed

    def _needed(self, steps: Sequence[Step], qgraph: QGraph) -> ArrayConfig:
        terms = [term for step in steps for term in step.terms]
        offsets = np.concatenate([term.offset for term in terms])
        per_channel = any(term.offset.size > 1 for term in terms) or bool(
            self.config and self.config.channel_offsets
        )
        rows, columns = self.array
        weight_bits = max(_stored_bits(term.weight, term.offset) for term in terms)
        probe = ArrayConfig(rows, columns)
        # Idle columns need weight zero; where no stored weight expresses it, they get an offset of their own.
        for step in steps:
            channels = qgraph.tensors[step.name].shape[0]
            idle = any(len(block.channels) < columns for block in column_blocks(channels, probe, True))
            for term in step.terms if idle else ():
                zero = bits_for(int(-term.offset.max()), int(-term.offset.min()))
                per_channel |= zero > MAX_WEIGHT_BITS
                weight_bits = max(weight_bits, zero if zero <= MAX_WEIGHT_BITS else 1)
        if per_channel:
            weight_bits = max(weight_bits, bits_for(int(offsets.min()), int(offsets.max())))
        if weight_bits > MAX_WEIGHT_BITS:
            raise DoesNotFit(
                f"the weights and channel offsets of {qgraph.name!r} need {weight_bits} stored bits, the array "
                f"has {MAX_WEIGHT_BITS}; quantize with the default range",
                resource="weight_bits",
                needed=weight_bits,
                available=MAX_WEIGHT_BITS,
                remedy="the default range of weights",
            )
        least, greatest = -(1 << (weight_bits - 1)), (1 << (weight_bits - 1)) - 1
        adjusted = bits_for(least + min(0, int(offsets.min())), greatest + max(0, int(offsets.max())))
        offset = self.config.offset if self.config and self.offset == "auto" else self.offset
        if not offsets.any():
            offset = "none"
        elif offset == "auto":
            offset = "edge" if adjusted <= self.operand_bits else "sum"
        elif offset == "none":
            raise Unsupported(
                f"network {qgraph.name!r} has integer offsets: choose offset edge or sum, or quantize it symmetric",
                where=qgraph.name,
            )
        multipliers = [step.multiplier for step in steps if step.multiplier is not None]
        largest = max((int(values.max()) for values in multipliers), default=0)
        shift = max(int(step.shift.max()) for step in steps)
        pixels = max(step.pixels[0] * step.pixels[1] * step.window[0] * step.window[1] for step in steps)
        depth = self.limits.get("accumulator_depth", DEFAULT_ACCUMULATOR_DEPTH)
        widths: dict[str, Any] = {
            "weight_bits": weight_bits,
            "adjusted_bits": adjusted,
            "offset_bits": bits_for(int(offsets.min()), int(offsets.max())),
            "multiplier_bits": bits_for(0, 2 * largest) if multipliers else 0,
            "shift_bits": index_bits(shift + 1),
        }
        _within_limits(widths, qgraph.name)
        config = ArrayConfig(
            rows=rows,
            columns=columns,
            activation_bits=max(tensor.bits for tensor in qgraph.tensors.values()),
            offset=offset,
            channel_offsets=per_channel and offset != "none",
            accumulator_depth=min(pixels, depth),
            **widths,
        )
        return features(steps, qgraph.tensors, config)


def _check(needed: ArrayConfig, config: ArrayConfig) -> None:
    """Whether given hardware can express what a network needs, apart from its size."""
    for name in ("activation_bits", "weight_bits", "multiplier_bits", "shift_bits"):
        _compare(name, needed, config)
    if needed.offset == "none":
        return
    if config.offset != needed.offset:
        raise Unsupported(f"the network needs offset {needed.offset!r}, the hardware has {config.offset!r}")
    if needed.channel_offsets and not config.channel_offsets:
        raise Unsupported("the network has an offset for each channel, the hardware one for each layer")
    width = "adjusted_bits" if config.offset == "edge" else "offset_bits"
    _compare(width, needed, config)


def _compare(name: str, needed: ArrayConfig, config: ArrayConfig) -> None:
    need, there_are = getattr(needed, name), getattr(config, name)
    if need > there_are:
        raise DoesNotFit(
            f"the network needs {name} {need}, the hardware has {there_are}",
            resource=name,
            needed=need,
            available=there_are,
            remedy="hardware made for this network",
        )


def _within_limits(values: Mapping[str, int], name: str) -> None:
    """What no array can have is the network's fault, not that of a parameter which nobody gave."""
    for field, (_, most) in LIMITS.items():
        need = values.get(field, 0)
        if need > most:
            remedy = REMEDY.get(field, "the default range of weights, or scales that are closer together")
            raise DoesNotFit(
                f"network {name!r} needs {field} {need}, no array has more than {most}; it would fit with {remedy}",
                resource=field,
                needed=need,
                available=most,
                remedy=remedy,
            )


def size(
    shape: ArrayConfig, needed: Mapping[str, int], requirements: Requirements, widest: str, network: str
) -> ArrayConfig:
    """The final configuration: each memory as large as needed, or an error that says what is missing."""
    for name in SIZED:
        available = (
            getattr(requirements.config, name) if requirements.config else requirements.limits.get(name)
        )
        if available is not None and needed[name] > available:
            culprit = f" (layer {widest!r} in the worst case)" if name == "accumulator_bits" else ""
            raise DoesNotFit(
                f"the network does not fit: {name} {needed[name]} is needed{culprit}, {available} is available, "
                f"{needed[name] - available} too few; it would fit with {REMEDY[name]}",
                resource=name,
                needed=needed[name],
                available=available,
                remedy=REMEDY[name],
            )
    if requirements.config:
        return requirements.config
    minimum = {name: max(2, needed[name]) for name in SIZED}
    minimum["accumulator_bits"] = max(8, needed["accumulator_bits"])
    _within_limits(minimum, network)
    return ArrayConfig(**(dataclasses.asdict(shape) | minimum))


def _stored_bits(weight: np.ndarray, offset: np.ndarray) -> int:
    stored = weight - offset.reshape(-1, 1, 1, 1)
    # Zeros that a grouped weight's structure adds are stored like any other weight.
    return bits_for(int(stored.min()), int(stored.max()))
