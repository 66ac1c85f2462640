"""Mid-rise grids: weights ``S (q + o)`` with a half-integer ``o``, so that 0 lies between two of them.

What multiplies is ``2 q + 2 o``, an odd integer, and the weight scale is half of ``S``: one bit holds {-1, 1}, two
hold {-3, -1, 1, 3}. Networks that were trained with such weights (BinaryConnect, XNOR-Net) come through exactly: where
the weights of a layer lie on such a grid, it is taken unless another one is asked for. No weight on it is 0, so that a
layer with pruned weights stays on a mid-tread grid.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwquant.errors import Unsupported
from hwquant.quantize.weight_scheme import Array, WeightScheme

_SAME = 1e-6
"""Relative difference of two weights that are the same number, but for the rounding of 32-bit floats."""
_SAMPLE = 16
"""Weights of a row that tell most grids that do not fit."""
ZEROS = (
    "some of its weights are exactly 0, as pruned ones are, and a mid-rise grid has no 0; give it mid_tread"
)


def settle_grid(weight: Array, scheme: WeightScheme) -> WeightScheme:
    """Decide on the grid of a weight tensor.

    Parameters
    ----------
    weight : ndarray of float64, shape (out, ...)
        The weights.
    scheme : WeightScheme
        What is asked for.

    Returns
    -------
    WeightScheme
        One whose grid is "mid_tread" or "mid_rise". Weights that lie on a mid-rise grid already, and need all of its
        bits, get that one, which is symmetric, with a scale for each channel where these have different ones.

    Raises
    ------
    Unsupported
        A mid-rise grid is asked for weights some of which are exactly 0.
    """
    if scheme.grid == "mid_tread":
        return scheme
    if not (weight != 0).all():
        if scheme.grid == "mid_rise" and (weight != 0).any():
            raise Unsupported(ZEROS)
        return replace(scheme, grid="mid_tread")
    for per_channel in dict.fromkeys((scheme.per_channel, True)):
        exact = replace(scheme, grid="mid_rise", symmetric=True, literal_range=False, per_channel=per_channel)
        rows = exact.rows(weight)
        unit = exact_unit(rows, scheme.bits)
        # Where fewer bits would do, other grids come as close, at scales that are less of a piece.
        full = np.abs(rows).max(axis=1) >= unit * scheme.half
        if (unit > 0).all() and full.any() and (rows != rows[:, :1]).any():
            return exact
    return replace(scheme, grid="mid_tread") if scheme.grid == "auto" else scheme


def lies_on_grid(weight: Array, bits: int) -> bool:
    """Whether the weights of each channel are such as a symmetric mid-rise grid of ``bits`` bits holds exactly."""
    rows = weight.reshape(len(weight), -1)
    return bool(weight.all() and (rows != rows[:, :1]).any() and (exact_unit(rows, bits) > 0).all())


def exact_unit(rows: Array, bits: int) -> Array:
    """Find the greatest number of which all weights of a row are odd multiples, within what ``bits`` bits hold.

    Rows whose weights are odd multiples of the least number of all rows have that one, so that they have one scale.

    Parameters
    ----------
    rows : ndarray of float64, shape (rows, weights)
        The weights.
    bits : int
        Bits of a code: the multiples are within ``-(2^bits - 1)..2^bits - 1``.

    Returns
    -------
    ndarray of float64, shape (rows,)
        That number; 0 where there is none.
    """
    peak = np.abs(rows).max(axis=1)
    found = np.zeros(len(rows))
    for largest in range(1, 1 << bits, 2):
        unit = peak / largest
        left = (found == 0) & (peak > 0)
        left[left] = _odd_multiples(rows[left, :_SAMPLE], unit[left], peak[left])
        left[left] = _odd_multiples(rows[left], unit[left], peak[left])
        found = np.where(left, unit, found)
    least = np.broadcast_to(found[found > 0].min(initial=np.inf), peak.shape)
    shared = (found > 0) & (peak < least * (1 << bits))
    shared[shared] = _odd_multiples(rows[shared], least[shared], peak[shared])
    return np.where(shared, least, found)


def _odd_multiples(rows: Array, unit: Array, peak: Array) -> np.ndarray:
    nearest = (2 * np.floor(rows / unit[:, None] / 2) + 1) * unit[:, None]
    return np.asarray((np.abs(rows - nearest) <= _SAME * peak[:, None]).all(axis=1))
