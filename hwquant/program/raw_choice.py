"""Whether the host sends inputs as they are, for the hardware to lay them out; with the mapping that this allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayLayer
from hwquant.program.mapping import MappedLayer, map_layers, packings
from hwquant.program.placement import Placed, place
from hwquant.program.raw_inputs import RawInput, beat_values, is_packable, whole
from hwquant.qgraph import QGraph

PackInput = Literal["auto", "none"]
"""Whether the hardware makes words of the inputs: where that saves something, or never."""

PACK_INPUT: tuple[PackInput, ...] = get_args(PackInput)

LEAST_SAVED = 128
"""Bytes of a frame that a packer saves at least: fewer change nothing beside the link's round trips."""

RAM_WORDS = 256
"""Words of a block RAM where it is widest, of every family, or a part of them: so many more cost no other one."""


def map_with_inputs(
    layers: Sequence[ArrayLayer],
    qgraph: QGraph,
    shape: ArrayShape,
    *,
    packs: bool,
    most_words: int | None = None,
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
        The array with the modes that it could have, or that it has.
    packs : bool
        Whether the hardware may have a packer.
    most_words : int or None
        Words that the activation memory may have; None where that is open.

    Returns
    -------
    mapped : tuple of MappedLayer
        How each layer uses the array.
    raw_inputs : tuple of RawInput
        The inputs in the order of the frame, where the host sends them as they are; else empty. Of several arrays, how
        high strips are is yet to be chosen.
    """
    plain = map_layers(layers, qgraph, shape)
    if not packs:
        return plain, ()
    placed = place(plain, qgraph, shape, {})
    packed = map_layers(layers, qgraph, shape, raw=True)
    if shape.raw_inputs:
        layouts = _layouts(place(packed, qgraph, shape, {}), qgraph)
        return (packed, layouts) if layouts == whole(shape.raw_inputs) else (plain, _layouts(placed, qgraph))
    if packings(packed) != packings(plain):
        others = place(packed, qgraph, shape, {})
        raw = _raw_inputs(others, qgraph, shape)
        fits = others.peak <= placed.peak or most_words is None or others.peak <= most_words
        words = RAM_WORDS * shape.arrays  # of all banks, which strips fill about alike
        if raw and fits and -(-others.peak // words) <= -(-placed.peak // words):
            return packed, raw
    return plain, _raw_inputs(placed, qgraph, shape)


def _raw_inputs(placed: Placed, qgraph: QGraph, shape: ArrayShape) -> tuple[RawInput, ...]:
    """The inputs as a packer lays them out; empty where that saves too little, or is too much for one."""
    places = [placed.tensors[item.name] for item in qgraph.inputs]
    inputs = _layouts(placed, qgraph)
    bits, values = shape.activation_bits, beat_values(inputs, shape.lanes)
    raw = sum(item.beats(values) for item in inputs) * _bytes(values * bits)
    words = sum(item.words for item in places) * _bytes(shape.lanes * bits)
    return inputs if is_worth(words, raw) and all(is_packable(item, bits) for item in inputs) else ()


def _layouts(placed: Placed, qgraph: QGraph) -> tuple[RawInput, ...]:
    return tuple(RawInput.of(placed.tensors[item.name]) for item in qgraph.inputs)


def is_worth(words: int, raw: int) -> bool:
    """Whether frames of ``raw`` bytes in place of ``words`` bytes are worth a packer."""
    saved = words - raw
    return saved >= LEAST_SAVED and 4 * saved >= words


def _bytes(bits: int) -> int:
    return -(-bits // 8)
