"""Odd weights, of mid-rise grids: stored as such where every lane that they multiply is one of the network's.

There is no zero among odd weights, so lanes without a channel cannot be left out by a weight. Where such a lane always
holds the zero point, as in the network's inputs, it does no harm. What multiplies any other is stored as it is, with
zero among its values: in tiles that channels do not fill, of grouped and of depthwise convolutions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from hwquant.errors import Unsupported
from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.lowering import MAX_COPIES

LARGEST = 127
"""The greatest weight that is stored without an offset, and so is the negative of the least."""


def without_odd(layer: ArrayLayer) -> ArrayLayer:
    """Store all weights of a layer as they are.

    Raises
    ------
    Unsupported
        Weights are too large.
    """
    if all(term.step == 1 for term in layer.terms):
        return layer
    return replace(layer, terms=tuple(part for term in layer.terms for part in _plain(term, layer)))


def fill_lanes(layer: ArrayLayer, shape: ArrayShape, zero_filled: Collection[str]) -> ArrayLayer:
    """Store as they are the odd weights of a layer with dense tiles that the array or their lanes do not allow.

    Parameters
    ----------
    layer : ArrayLayer
        The layer.
    shape : ArrayShape
        The array.
    zero_filled : collection of str
        Names of the tensors whose lanes without a channel always hold the zero point.

    Raises
    ------
    Unsupported
        Weights are too large to be stored as they are.
    """
    if all(term.step == 1 for term in layer.terms):
        return layer
    if shape.odd_weights == "none":
        return without_odd(layer)
    parts = [part for term in layer.terms for part in _filled(term, layer, shape.rows, zero_filled)]
    return replace(layer, terms=tuple(parts))


def _filled(
    term: ArrayTerm, layer: ArrayLayer, rows: int, zero_filled: Collection[str]
) -> Iterator[ArrayTerm]:
    """The term; or what of it fills all rows of its tiles, and the rest."""
    full = term.channels - term.channels % rows
    if term.step == 1 or (not term.partial and (full == term.channels or term.tensor in zero_filled)):
        yield term
    elif term.partial or not full:
        yield from _plain(term, layer)
    else:
        yield replace(term, weight=term.weight[:, :full], reads=term.reads[:, :full])
        yield from _plain(replace(term, weight=term.weight[:, full:], reads=term.reads[:, full:]), layer)


def _plain(term: ArrayTerm, layer: ArrayLayer) -> Iterator[ArrayTerm]:
    """The term with weights that are stored as they are: several terms that sum up to it where they are too large."""
    if term.step == 1:
        yield term
        return
    parts = -(-int(np.abs(term.weight).max()) // LARGEST)
    if parts > MAX_COPIES:
        raise Unsupported(
            f"layer {layer.name!r}: weights that read {term.tensor!r} are as large as {np.abs(term.weight).max()}, too "
            "large beside lanes without a channel; quantize it without the literal range",
            where=layer.name,
        )
    for part in range(parts):
        weight = (term.weight + part) // parts  # these round down to a sum without error
        yield replace(term, weight=weight, offset=np.zeros(1, np.int64), step=1)
