"""Whether the host sends inputs as they are, for the hardware to lay them out; with the mapping that this allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayLayer
from hwquant.program.mapping import MappedLayer, map_layers, packings
from hwquant.program.placement import place
from hwquant.program.raw_inputs import RawInput, beat_values, is_packable, single_pixels
from hwquant.qgraph import QGraph

PackInput = Literal["auto", "none"]
"""Whether the hardware makes words of the inputs: where that saves something, or never."""

PACK_INPUT: tuple[PackInput, ...] = get_args(PackInput)

LEAST_SAVED = 128
"""Bytes of a frame that a packer saves at least: fewer change nothing beside the link's round trips."""

RAM_WORDS = 256
"""Words of a block RAM where it is widest, of every family, or a part of them: so many more cost no other one."""


def map_with_inputs(
    layers: Sequence[ArrayLayer], qgraph: QGraph, shape: ArrayShape, *, packs: bool
) -> tuple[tuple[MappedLayer, ...], tuple[RawInput, ...]]:
    """Map layers, and decide whether the host sends the inputs as they are.

    It does where frames become shorter by a quarter, and by LEAST_SAVED bytes. Then words cost no time on the way to
    the hardware, and hold as much of a kernel as saves tiles, as long as the activation memory needs no more block RAM.

    Parameters
    ----------
    layers : sequence of ArrayLayer
        The network's layers, from :func:`hwquant.program.lowering.lower`.
    qgraph : QGraph
        The network.
    shape : ArrayShape
        The array with the modes that it could have.
    packs : bool
        Whether the hardware may have a packer.

    Returns
    -------
    mapped : tuple of MappedLayer
        How each layer uses the array.
    raw_inputs : tuple of RawInput
        The inputs in the order of the frame, where the host sends them as they are; else empty.
    """
    plain = map_layers(layers, qgraph, shape)
    if not packs:
        return plain, ()
    packed = map_layers(layers, qgraph, shape, raw=True)
    if packings(packed) != packings(plain):
        raw = _raw_inputs(packed, qgraph, shape)
        depths = (-(-place(mapped, qgraph, shape).peak // RAM_WORDS) for mapped in (packed, plain))
        if raw and next(depths) <= next(depths):
            return packed, raw
    return plain, _raw_inputs(plain, qgraph, shape)


def _raw_inputs(mapped: Sequence[MappedLayer], qgraph: QGraph, shape: ArrayShape) -> tuple[RawInput, ...]:
    """The inputs as a packer lays them out; empty where that saves too little, or is too much for one."""
    packed = packings(mapped)
    inputs = tuple(
        RawInput(packed.get(name) or single_pixels(tensor.shape), tensor.zero_point)
        for name, tensor in ((item.name, qgraph.tensors[item.name]) for item in qgraph.inputs)
    )
    bits, values = shape.activation_bits, beat_values(inputs, shape.lanes)
    raw = sum(item.beats(values) for item in inputs) * _bytes(values * bits)
    words = sum(
        item.planes(shape.lanes) * math.prod(item.packing.packed_shape[1:]) for item in inputs
    ) * _bytes(shape.lanes * bits)
    saved = words - raw
    worth = saved >= LEAST_SAVED and 4 * saved >= words
    return inputs if worth and all(is_packable(item, bits) for item in inputs) else ()


def _bytes(bits: int) -> int:
    return -(-bits // 8)
