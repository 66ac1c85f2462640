"""What a single bit with an integer offset cannot hold: weights of one size and both signs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwquant.quantize.weight_scheme import Array, WeightScheme

_SAME_SIZE = 1e-6
"""Relative difference of two weights that are the same number, but for the rounding of 32-bit floats."""
SIGNS_ARE_LOST = (
    "its weights are +a and -a, and a single bit on a mid-tread grid holds only a and 0, or -a and 0; choose the grid "
    "mid_rise, or, where some weights are 0, 2 bits and symmetric weights"
)


def loses_signs(weight: Array, scheme: WeightScheme) -> bool:
    """Whether a single bit would throw away all that the weights say.

    It would where they are ``a`` and ``-a`` (and perhaps 0, where they are pruned), of which one bit with an integer
    offset holds one and 0. ``a`` may be that of each output channel, as in networks that were trained with binary
    weights.
    """
    if scheme.bits > 1 or scheme.grid == "mid_rise":
        return False

    def one_size(rows: Array) -> NDArray[np.bool_]:
        sizes = np.abs(rows)
        largest = sizes.max(axis=1, keepdims=True)
        return ((sizes == 0) | (sizes >= largest * (1 - _SAME_SIZE))).all(axis=1)

    def both_signs(rows: Array) -> NDArray[np.bool_]:
        return (rows.min(axis=1) < 0) & (rows.max(axis=1) > 0)

    rows, channels = scheme.rows(weight), weight.reshape(len(weight), -1)
    whole = (one_size(rows) & both_signs(rows)).any()
    return bool(whole or (one_size(channels).all() and both_signs(channels).any()))
