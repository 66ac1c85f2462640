"""Weights to integers with an integer offset (CN112085154A / US 12,008,467), per layer or per output channel.

From the extreme weights and the number of bits ``n``::

    S = (w_max - w_min) / (2^n - 1)
    anchored at the minimum:  q = round((w - w_min) / S),  o = to_int(w_min / S),  w ~ S * (q + o)     (claim 4)
    anchored at the maximum:  q = round((w_max - w) / S),  o = to_int(w_max / S),  w ~ S * (o - q)     (claim 3)

``q`` is stored as a signed ``n``-bit integer: it is shifted by ``2^(n-1)``, which ``o`` absorbs. By default
the range is first stretched to contain 0 and its anchor moved to the nearest multiple of ``S``, which turns
``q`` into ``round(w / S) - o`` (or ``o - round(w / S)``): 0.0 is then exactly representable, and the adjusted
weight fits in ``n + 1`` signed bits. A larger ``S`` than the ideal one leaves codes unused; a smaller one
clips weights. A literal range is not stretched, but a weight of exactly 0 is pruned, and its adjusted weight
is 0 here too.

On a mid-rise grid ``o`` is a half-integer (:mod:`~hwquant.quantize.mid_rise`): ``2 q + 2 o`` multiplies, and the scale
that goes with it is half of ``S``. The range is stretched as far as to the two numbers beside 0. One symmetric bit is
+1 or -1 times a scale, and the scale with the least squared error is the mean of the weights' sizes (Rastegari et al.,
XNOR-Net, 2016, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import Anchor, Coding, IntArray, Step
from hwquant.errors import HwquantError, Unsupported
from hwquant.quantize.mid_rise import exact_unit, settle_grid
from hwquant.quantize.single_bit import SIGNS_ARE_LOST, loses_signs
from hwquant.quantize.weight_scheme import Array, WeightScheme

_OFFSET_LIMITS: Mapping[Anchor, tuple[int, int]] = {"min": (-128, 127), "max": (-129, 126)}
"""Bounds of the offsets of single channels.

They are stored in a row of 8-bit weights, ``o`` as it is, or ``o + 1`` for ``~q + (o + 1)``.
"""
CHANNEL_OFFSETS = _OFFSET_LIMITS["min"]
"""Bounds of the offset of a channel whose codes count up."""
_CLIPPED_OFFSETS = 9
"""Offsets tried where the scale is too small for the range."""


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """Integers for a weight tensor; times ``scale`` they are the real weights.

    Attributes
    ----------
    codes : ndarray of int8, shape (out, ...)
        The codes as they are stored.
    scale : ndarray of float64, shape (1,) or (out,)
        The weight scale ``S``.
    coding : Coding
        What the codes stand for; its offset has one element or one an output channel, too.
    """

    codes: NDArray[np.int8]
    scale: Array
    coding: Coding

    @property
    def adjusted(self) -> IntArray:
        """The adjusted weights ``q + o`` or ``o - q``, int64 in the shape of ``codes``."""
        return self.coding.adjusted(self.codes)

    def dequantize(self) -> Array:
        """The real weights that the integers stand for."""
        return self.adjusted * self.scale.reshape(-1, *[1] * (self.codes.ndim - 1))


def round_half_up(x: Array) -> Array:
    """Round as everywhere in hwquant: ``floor(x + 1/2)``."""
    return np.floor(x + 0.5)


def nearest(x: Array, step: Step) -> Array:
    """Round to the nearest integer, or, with a step of 2, to the nearest odd one; up from the middle between two."""
    return round_half_up(x) if step == 1 else 2 * np.floor(x / 2) + 1


def ideal_scale(weight: Array, scheme: WeightScheme) -> Array:
    """The smallest scale that clips nothing, float64 [1] or [out]; 0 where all weights are 0.

    Of one symmetric bit on a mid-rise grid, which never clips, the scale with the least squared error.
    """
    scheme = settle_grid(weight, scheme)
    rows = scheme.rows(weight)
    if scheme.grid == "mid_rise":
        return _ideal_mid_rise(rows, scheme)
    if scheme.symmetric:
        return np.abs(rows).max(axis=1) / (scheme.half - 1)
    low, high, literal = _ranges(rows, scheme)
    scale = (high - low) / scheme.levels
    # An offset kept below its limit costs the range its uppermost step.
    above = scheme.levels if scheme.anchor == "min" else 0
    _, greatest = _offset_limits(scheme)
    limited = ~literal & (
        _to_int(scheme.ends(low, high)[0] / np.where(scale > 0, scale, 1.0), scheme) > greatest
    )
    return np.where(limited, np.maximum(scale, high / (above + greatest)), scale)


def _ideal_mid_rise(rows: Array, scheme: WeightScheme) -> Array:
    """The ideal scale on a mid-rise grid: half of the step."""
    low, high = rows.min(axis=1), rows.max(axis=1)
    if not scheme.symmetric:
        reach = scheme.levels + 0.5  # of a grid that begins beside 0, where all weights have one sign
        return np.max([(high - low) / scheme.levels, high / reach, -low / reach], axis=0) / 2
    sizes = np.abs(rows)
    ideal = sizes.mean(axis=1) if scheme.bits == 1 else sizes.max(axis=1) / scheme.levels
    exact = exact_unit(rows, scheme.bits)
    return np.where(exact > 0, exact, ideal)


def quantize_weight(
    weight: Array, scheme: WeightScheme, scale: Array | None = None, importance: Array | None = None
) -> QuantizedWeight:
    """Quantize a weight tensor.

    Parameters
    ----------
    weight : ndarray of float64, shape (out, ...)
        Finite weights.
    scheme : WeightScheme
        Bits, anchor and so on.
    scale : ndarray of float64, shape (1,) or (out,), optional
        The weight scale, the real value of 1 of the adjusted weights; the ideal one if None.
    importance : ndarray of float64, optional
        The weights' shares in the error, broadcastable to ``weight``; all alike if None. Where ``scale`` is so small
        that weights are clipped, the offset is the one with the least error.

    Returns
    -------
    QuantizedWeight
        Codes, scale and coding.

    Raises
    ------
    HwquantError
        Weights that are not finite.
    Unsupported
        A single bit for weights of one size and both signs, on a mid-tread grid: see
        :mod:`hwquant.quantize.single_bit`. A mid-rise grid for weights some of which are 0.
    """
    if not np.isfinite(weight).all():
        raise HwquantError("weights must be finite numbers: there is a NaN or an infinity among them")
    scheme = settle_grid(weight, scheme)
    if loses_signs(weight, scheme):
        raise Unsupported(SIGNS_ARE_LOST)
    rows = scheme.rows(weight)
    ideal = ideal_scale(weight, scheme)
    scale = np.where(ideal > 0, ideal, 1.0) if scale is None else np.asarray(scale, np.float64)
    distance = scheme.step * scale
    if scheme.symmetric and scheme.grid != "mid_rise":
        limit = scheme.half - 1
        codes = scheme.sign * np.clip(round_half_up(rows / scale[:, None]), -limit, limit)
        offset = np.zeros(len(rows))
    else:
        offset = _anchored_offset(rows, distance, scheme)
        clipping = scale < ideal
        if clipping.any() and not (scheme.symmetric or scheme.literal_range):
            share = np.broadcast_to(1.0 if importance is None else importance, weight.shape)
            best = _best_offset(rows, distance, offset, scheme.rows(share), scheme)
            offset = np.where(clipping, best, offset)
        codes = _unsigned(rows, distance, offset, scheme) - scheme.half
        offset = offset + scheme.sign * scheme.half
    if scheme.symmetric and scheme.grid == "mid_rise":
        offset = offset[:1]  # one for all channels: hardware stores none
    whole = scheme.step * (offset + scheme.middle)
    coding = Coding(scheme.bits, scheme.anchor, whole.astype(np.int64), scheme.step)
    return QuantizedWeight(codes.astype(np.int8).reshape(weight.shape), scale, coding)


def stretched_rows(weight: Array, scheme: WeightScheme, scale: Array) -> NDArray[np.bool_]:
    """Where a literal range was asked for, but the one that is stretched to contain 0 is taken.

    It is where the literal offset does not fit the 8 bits that a single channel's has.

    Parameters
    ----------
    weight : ndarray of float64, shape (out, ...)
        The weights.
    scheme : WeightScheme
        How they became integers.
    scale : ndarray of float64, shape (1,) or (out,)
        The scale that they got.

    Returns
    -------
    ndarray of bool, shape (1,) or (out,)
        False also for equal weights, which have no range.
    """
    rows = scheme.rows(weight)
    _, _, literal = _ranges(rows, scheme, scale)
    return (rows.max(axis=1) > rows.min(axis=1)) & ~literal & scheme.literal_range


def _to_int(x: Array, scheme: WeightScheme) -> Array:
    return np.trunc(x) if scheme.rounding == "truncate" else round_half_up(x)


def _ranges(
    rows: Array, scheme: WeightScheme, scale: Array | None = None
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Least and greatest weight of each row, and whether they are taken literally, without stretching.

    On a mid-rise grid the range is left as it is. Never literal, at this scale (the ideal one if None), are a row of
    equal weights, which has no range, a channel whose offset would not fit its 8 bits, and a row with pruned weights
    whose 0 would have no code.
    """
    low, high = rows.min(axis=1), rows.max(axis=1)
    if scheme.grid == "mid_rise":
        return low, high, np.zeros(len(rows), np.bool_)
    literal = (high > low) & scheme.literal_range
    if scheme.literal_range:
        if scale is None:
            scale = np.where(literal, high - low, 1.0) / scheme.levels
        offset = _to_int(scheme.ends(low, high)[0] / scale, scheme)
        if scheme.per_channel:
            least, greatest = _OFFSET_LIMITS[scheme.anchor]
            stored = offset + scheme.sign * scheme.half
            literal &= (stored >= least) & (stored <= greatest)
        zero = -scheme.sign * offset
        literal &= ((zero >= 0) & (zero <= scheme.levels)) | rows.all(axis=1)
    return np.where(literal, low, np.minimum(low, 0)), np.where(literal, high, np.maximum(high, 0)), literal


def _offset_limits(scheme: WeightScheme) -> tuple[int, int]:
    """Bounds of the offset of a stretched range, before it absorbs the storage shift.

    Within them 0, or a number beside it, has a code, and the offset of a single channel fits 8 bits.
    """
    greatest = _OFFSET_LIMITS[scheme.anchor][1] if scheme.per_channel else scheme.levels
    below = scheme.step - 1  # on a mid-rise grid a number on one side of 0 is enough
    if scheme.anchor == "max":
        return -below, min(scheme.levels, greatest + scheme.half)
    return -scheme.levels - below, min(0, greatest - scheme.half)


def _anchored_offset(rows: Array, scale: Array, scheme: WeightScheme) -> Array:
    """The offset of each row as the anchor gives it: ``to_int(w_min / S)`` or ``to_int(w_max / S)``.

    A symmetric mid-rise grid has its own.
    """
    if scheme.symmetric:
        return np.full(len(rows), -scheme.half if scheme.anchor == "min" else scheme.half - 1.0)
    low, high, literal = _ranges(rows, scheme, scale)
    offset = _to_int(scheme.ends(low, high)[0] / scale - scheme.middle, scheme)
    return np.where(literal, offset, np.clip(offset, *_offset_limits(scheme)))


def _best_offset(rows: Array, scale: Array, anchored: Array, share: Array, scheme: WeightScheme) -> Array:
    """The offset with the least error where a scale clips weights.

    Tried are offsets from the one that keeps one end of the range to the one that keeps the other.
    """
    low, high, _ = _ranges(rows, scheme)
    opposite = scheme.ends(low, high)[1] / scale - scheme.middle - scheme.sign * scheme.levels
    best, least = anchored, np.full(len(rows), np.inf)
    for part in np.linspace(0, 1, _CLIPPED_OFFSETS):
        trial = np.clip(round_half_up((1 - part) * anchored + part * opposite), *_offset_limits(scheme))
        codes = _unsigned(rows, scale, trial, scheme)
        adjusted = trial[:, None] + scheme.middle + scheme.sign * codes
        error = np.sum(share * (adjusted * scale[:, None] - rows) ** 2, axis=1)
        best, least = np.where(error < least, trial, best), np.minimum(error, least)
    return best


def _unsigned(rows: Array, scale: Array, offset: Array, scheme: WeightScheme) -> Array:
    """The codes 0..2^n-1, counted from the anchor.

    The anchor is a multiple of the scale unless the range is literal. Then the code of 0 is not always the
    nearest one.
    """
    low, high, literal = _ranges(rows, scheme, scale)
    start = np.where(literal, scheme.ends(low, high)[0], (offset + scheme.middle) * scale)
    codes = round_half_up(scheme.sign * (rows - start[:, None]) / scale[:, None])
    codes = np.where(literal[:, None] & (rows == 0), -scheme.sign * offset[:, None], codes)
    return np.clip(codes, 0, scheme.levels)
