"""Halves rounded to even: a table behind the exact sum, where the integers of a network say so and it is narrow enough.

The array rounds half up. Where sums are whole shares ``2^-s`` of an output step, as with scales that are powers of
two, one in ``2^s`` lies in the middle between two integers, and in half of these cases rounding to even gives another
one. So a sum is not rounded but clamped to what the output tells apart, and looked up: the bits of a table's address
(:data:`~hwquant.qgraph.MOST_TABLE_BITS`) hold ``s`` bits behind the point of an output of few bits. Wider ones are
rounded half up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwquant.advice import Advice
from hwquant.coding import IntArray, integer_limits
from hwquant.qgraph import MOST_TABLE_BITS, Layer, Table
from hwquant.quantize.formats import Formats, TensorFormat
from hwquant.quantize.plans import LayerPlan

_EXACT = 1e-6
"""Share by which ratios of scales may be off a power of two: each was rounded to float32 perhaps."""
FEWEST_BITS = 2
RARE = 10
"""Bits behind the point beyond which nobody is told of halves."""


def with_even_halves(layer: Layer, ratio: NDArray[np.float64], target: TensorFormat) -> Layer | None:
    """Write a layer that rounds half up as one that rounds half to even.

    Parameters
    ----------
    layer : Layer
        The layer.
    ratio : ndarray of float64, shape (1,) or (out,)
        The real value of a step of its sum, in steps of what it rounds to.
    target : TensorFormat
        What it rounds to: its output's format, or that of its table's addresses.

    Returns
    -------
    Layer or None
        The layer, itself where no sum lies in the middle; None where its sums are too fine for a table.
    """
    powers = np.round(np.log2(ratio)).astype(np.int64)
    if (np.abs(ratio / 2.0**powers - 1) > _EXACT).any():
        return layer  # there are no halves, but by chance
    unit = int((powers + _trailing_zeros(layer, len(powers))).min())
    if unit >= 0:
        return layer
    count = ((layer.high - layer.low) << -unit) + 1
    bits = max(FEWEST_BITS, (count - 1).bit_length())
    if bits > MOST_TABLE_BITS:
        return None
    least, _ = integer_limits(bits)
    zero = least - ((layer.low - target.zero_point) << -unit)
    low, high = least, least + count - 1
    if not low <= zero <= high:
        return None
    exact = np.arange(-(1 << bits - 1), 1 << bits - 1) - zero
    rounded = np.round(np.clip(exact, low - zero, high - zero) * 2.0**unit + target.zero_point).astype(
        np.int64
    )
    values = np.clip(rounded, layer.low, layer.high)
    return replace(
        layer,
        shift=np.maximum(unit - powers, 0),
        multiplier=None if len(set(powers.tolist())) == 1 else np.int64(1) << np.maximum(powers - unit, 0),
        low=low,
        high=high,
        table=Table(
            layer.table(values) if layer.table else values, target.scale.value * 2.0**unit, int(zero)
        ),
    )


def halves(plans: Iterable[LayerPlan], layers: Mapping[str, Layer], formats: Formats) -> Iterator[Advice]:
    """Say which layers round halves up where the source rounds them to even.

    Parameters
    ----------
    plans : iterable of LayerPlan
        The float layers.
    layers : mapping of Layer
        The integer layers, by name.
    formats : Formats
        What they round to.
    """
    for plan in plans:
        layer = layers[plan.name]
        multiplier = np.ones(1, np.int64) if layer.multiplier is None else layer.multiplier
        powers = np.log2(multiplier)
        if formats[plan.target].rounding != "half_even" or (powers % 1 != 0).any():
            continue
        behind = int((layer.shift - powers - _trailing_zeros(layer, len(powers))).max())
        if 0 < behind <= RARE:
            yield Advice(
                "halves_up",
                plan.name,
                f"the source rounds halves to even, and {plan.name!r} rounds them up: its sums have {behind} bits "
                f"behind the point, more than a table has room for, so that about one integer in {2 << behind} is "
                "greater by 1; outputs of fewer bits, or coarser weights, would have the source's integers",
                value=0.5 / (1 << behind),
            )


def _trailing_zeros(layer: Layer, count: int) -> IntArray:
    """By what power of two all sums of a channel can be divided; of all channels together where ``count`` is 1."""
    out = len(layer.bias)
    rows = [np.broadcast_to(layer.bias, (out,)).reshape(out, 1)]
    rows += [term.weight.reshape(out, -1) << term.shift for term in layer.terms]
    every = np.bitwise_or.reduce(np.abs(np.concatenate(rows, axis=1)), axis=1)
    every = np.array([np.bitwise_or.reduce(every)]) if count == 1 else every
    lowest = np.where(every > 0, every & -every, 1 << 40)
    return np.log2(lowest).astype(np.int64)
