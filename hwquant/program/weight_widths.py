"""How wide a network's weights are: stored, adjusted, and where they multiply; and activations where they do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwquant.coding import Step, integer_limits
from hwquant.program.array_shape import ArrayShape, OddWeights
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.sides import Array, whole_array
from hwquant.program.tiling import column_blocks
from hwquant.program.widths import bits_for
from hwquant.qgraph import QGraph

MAX_WEIGHT_BITS = 8


def stored_weights(
    layers: Sequence[ArrayLayer], qgraph: QGraph, array: Array, *, per_channel: bool
) -> tuple[int, bool]:
    """Find the bits of the widest stored weight, and whether output channels need offsets of their own.

    Parameters
    ----------
    layers : sequence of ArrayLayer
        The network's layers.
    qgraph : QGraph
        The network, for the shapes of tensors.
    array : tuple of int
        Rows and columns of the array, behind the number of several.
    per_channel : bool
        Whether the hardware stores offsets of output channels in any case.

    Returns
    -------
    weight_bits : int
        Bits of the widest stored weight, or offset of a channel.
    per_channel : bool
        Whether output channels have offsets of their own.
    """
    terms = [term for layer in layers for term in layer.terms]
    per_channel |= any(term.offset.size > 1 for term in terms)
    weight_bits = max(bits_for(*term.weight_limits) for term in terms)
    probe = ArrayShape(*whole_array(array)[1:])
    # Idle columns need weight zero; where no stored weight expresses it, they get an offset of their own. Odd weights
    # have no zero: what reads their lanes that hold no channel has.
    for layer in layers:
        channels = qgraph.tensors[layer.tensor].shape[0]
        idle = any(len(block.channels) < probe.columns for block in column_blocks(channels, probe, True))
        for term in layer.terms if idle else ():
            if term.step == 1:
                zero = bits_for(*term.zero_limits)
                per_channel |= zero > MAX_WEIGHT_BITS
                weight_bits = max(weight_bits, zero if zero <= MAX_WEIGHT_BITS else 1)
    if per_channel:
        weight_bits = max(weight_bits, bits_for(*offset_limits(terms)))
    return weight_bits, per_channel


def product_bits(layers: Sequence[ArrayLayer], qgraph: QGraph) -> int:
    """Find the bits of the widest tensor that is multiplied with another one; 0 where none is."""
    return max(
        (qgraph.tensors[name].bits for layer in layers if layer.product for name in layer.reads), default=0
    )


def offset_limits(terms: Sequence[ArrayTerm]) -> tuple[int, int]:
    """Find the least and the greatest offset."""
    return min(int(term.offset.min()) for term in terms), max(int(term.offset.max()) for term in terms)


def odd_weights(terms: Sequence[ArrayTerm]) -> OddWeights:
    """Say which terms have odd weights."""
    steps = {term.step for term in terms}
    return "none" if steps == {1} else "all" if steps == {2} else "some"


def adjusted_bits(terms: Sequence[ArrayTerm], weight_bits: int) -> int:
    """Find the width of the widest adjusted weight, for stored ones of ``weight_bits``."""
    by_step = _by_step(terms)
    widths = []
    for step, own in by_step.items():
        bits = weight_bits if len(by_step) == 1 else _stored_bits(own, weight_bits)
        least, greatest = integer_limits(bits)
        lowest, highest = offset_limits(own)
        widths.append(bits_for(least + min(0, lowest), greatest + max(0, highest)) + step - 1)
    return max(widths)


def raw_bits(terms: Sequence[ArrayTerm], weight_bits: int, *, offset_rows: bool) -> int:
    """Find the width of the widest weight without its offset; ``offset_rows`` says that offsets are weights, too."""
    widths = []
    for step, own in _by_step(terms).items():
        offsets = bits_for(*offset_limits(own)) if offset_rows else 1
        widths.append(max(_stored_bits(own, weight_bits), offsets) + step - 1)
    return max(widths)


def ternary(terms: Sequence[ArrayTerm], weight_bits: int, *, adjusted: bool) -> bool:
    """Whether no weight that multiplies is beyond -1, 0 and 1.

    Parameters
    ----------
    terms : sequence of ArrayTerm
        The terms of all layers.
    weight_bits : int
        Width of a stored weight.
    adjusted : bool
        Whether weights multiply with their offset, instead of without.
    """
    for term in terms:
        offset = term.offset.reshape(-1, 1, 1, 1)
        stored = term.stored(term.weight, offset)
        idle = np.clip(term.stored(np.zeros_like(offset), offset), *integer_limits(weight_bits))
        for values in (stored, idle):
            if np.abs(term.adjusted(values, offset if adjusted else np.zeros_like(offset))).max() > 1:
                return False
    return True


def _by_step(terms: Sequence[ArrayTerm]) -> dict[Step, list[ArrayTerm]]:
    found: dict[Step, list[ArrayTerm]] = {}
    for term in terms:
        found.setdefault(term.step, []).append(term)
    return found


def _stored_bits(terms: Sequence[ArrayTerm], weight_bits: int) -> int:
    """Bits of the widest stored weight; what stands for zero is left out where ``weight_bits`` do not hold it."""
    return min(weight_bits, max(bits_for(*term.stored_limits) for term in terms))
