"""Multipliers and biases such that outputs of few bits change where they do in the source.

A layer's output is a staircase of its integer sum: what matters of a multiplier and a bias is at which sums it rises. A
real bias that is rounded, and a real factor that is, move some of these by one. Near both there are other integers with
which fewer move, and mostly none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import IntArray
from hwquant.qgraph import Layer

NEAR = 16
"""How far from the rounded multiplier others are tried."""
MOST_STEPS = 64
"""Most steps of a staircase: outputs of more bits lose less by one that is moved."""


def with_own_thresholds(
    layer: Layer, bias: NDArray[np.float64], ratio: NDArray[np.float64], zero_point: int, largest: int
) -> Layer:
    """Choose the multiplier and the bias of every channel for the sums at which its output rises.

    Parameters
    ----------
    layer : Layer
        A layer of one term with a multiplier and no table.
    bias : ndarray of float64, shape (out,)
        The exact bias, in steps of its sum.
    ratio : ndarray of float64, shape (1,) or (out,)
        The exact factor from a step of its sum to one of its output.
    zero_point : int
        Zero point of its output.
    largest : int
        The greatest multiplier.

    Returns
    -------
    Layer
        The layer; itself where it has a table, or an output of many bits.
    """
    if layer.table is not None or layer.multiplier is None or layer.high - layer.low > MOST_STEPS:
        return layer
    out, left = len(layer.bias), layer.terms[0].shift
    rises = np.arange(layer.low + 1, layer.high + 1) - zero_point
    shift: IntArray = np.broadcast_to(layer.shift, (out,))
    multiplier: IntArray = np.broadcast_to(layer.multiplier, (out,))
    factor = np.broadcast_to(ratio, (out,))
    wanted = np.ceil(((rises - 0.5) / factor[:, None] - bias[:, None]) / (1 << left)).astype(np.int64)
    best: IntArray = np.full(out, len(rises) + 1)
    chosen, shifted = multiplier.copy(), layer.bias.copy()
    trials = [(a, b) for a in range(-NEAR, NEAR + 1) for b in (-1, 0, 1)]
    for more, other in sorted(trials, key=lambda trial: (abs(trial[0]) + abs(trial[1]), trial)):
        now: IntArray = np.clip(multiplier + more, 1, largest)
        offset: IntArray = layer.bias + other
        moved = (_rises_at(rises, now, shift, offset, left) != wanted).sum(axis=1)
        better = moved < best
        best = np.where(better, moved, best)
        chosen, shifted = np.where(better, now, chosen), np.where(better, offset, shifted)
    return replace(layer, multiplier=chosen, bias=shifted)


def _rises_at(rises: IntArray, multiplier: IntArray, shift: IntArray, bias: IntArray, left: int) -> IntArray:
    """The least sum, in steps of ``2^left``, with which an output is so far above its zero point, by channel."""
    half = (np.int64(1) << shift) >> 1
    product = (rises[None] << shift[:, None]) - half[:, None]
    total = -(-product // multiplier[:, None]) - bias[:, None]
    found: IntArray = -(-total // (1 << left))
    return found
