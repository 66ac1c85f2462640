"""Weight scales that make a layer's rescaling a pure shift.

With ``R`` the real value of one step of the tensor that a layer is rescaled to (its output, in shift-only
networks), a term whose weights have the scale ``S_w`` needs the net shift ``t`` with ``S_x * S_w * 2^t = R``.
So ``S_w`` can be any ``R / S_x * 2^-t``: within a factor of 2 of what is wanted, whatever ``S_x`` and ``R``
are.

The terms of a layer share one accumulator, ``A = R * 2^-s``; term ``i`` is shifted left by ``k_i``, and
``t_i = s - k_i``. An identity term has no free scale: ``t`` is given, and what its channels' shifts differ by
is put into its integer weight, a power of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import IntArray
from hwquant.errors import HwquantError
from hwquant.quantize.formats import Scale
from hwquant.quantize.mid_rise import settle_grid
from hwquant.quantize.weight_scheme import Array, WeightScheme
from hwquant.quantize.weights import ideal_scale, quantize_weight

FINEST_SHIFT = 20
"""Beyond this a term's full range is a fraction of one output step: finer weights would only widen the
accumulator."""
LARGEST_SHIFT = 30
MOST_REPEATED = 6
"""log2 of how often an array repeats a term at most, for what of its left shift exceeds a weight."""
LARGEST_LEFT_OF_IDENTITY = MOST_REPEATED + 6
"""64 is the greatest power of two that a weight of 8 bits can be."""
_SHIFT_OF_ZEROS = 8
"""Net shift of a term whose weights are all zero; any would do."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """The shifts of a layer.

    Attributes
    ----------
    shift : ndarray of int64, shape (1,) or (out,)
        Right shift of the sum.
    left : tuple of int
        Left shift of each term.
    unit_powers : tuple of ndarray of int64, shape (1,) or (out,), or None
        For each term log2 of its integer weights if it is like an identity, else None.
    """

    shift: IntArray
    left: tuple[int, ...]
    unit_powers: tuple[IntArray | None, ...]


def weight_exponents(
    weight: Array, scheme: WeightScheme, ratio: float, importance: Array
) -> tuple[float, IntArray, NDArray[np.bool_]]:
    """Find the best scales ``ratio * 2^e`` for a weight tensor, an ``e`` for each of its rows.

    Tried are the smallest scale that clips no weight and smaller ones for as long as the error falls; a
    literal range is not clipped. One symmetric bit on a mid-rise grid begins where no weight is larger.

    Parameters
    ----------
    weight : ndarray of float64, shape (out, ...)
        The weights.
    scheme : WeightScheme
        How they become integers.
    ratio : float
        The mantissa of what the term leads to, divided by that of its input.
    importance : ndarray of float64
        The weights' shares in the error, broadcastable to ``weight``.

    Returns
    -------
    error : float
        Sum of squared errors, weighted with ``importance``.
    exponents : ndarray of int64, shape (1,) or (out,)
        The best ``e`` of each row.
    free : ndarray of bool, shape (1,) or (out,)
        Where all weights of a row are zero, so that its exponent says nothing.
    """
    scheme = settle_grid(weight, scheme)
    ideal = ideal_scale(weight, scheme)
    if scheme.grid == "mid_rise" and scheme.bits == 1:
        ideal = np.maximum(ideal, np.abs(scheme.rows(weight)).max(axis=1))
    free = ideal <= 0
    exponents = np.ceil(np.log2(np.where(free, ratio, ideal) / ratio) - 1e-9).astype(np.int64)
    shape = (len(exponents), -1)
    share = np.broadcast_to(importance, weight.shape)

    def errors(trial: IntArray) -> Array:
        quantized = quantize_weight(weight, scheme, np.ldexp(ratio, trial), importance)
        return (share * (quantized.dequantize() - weight) ** 2).reshape(shape).sum(axis=1)

    least = errors(exponents)
    improving = ~free & (not scheme.literal_range)
    trial = exponents
    while improving.any():
        trial = trial - improving
        now = errors(trial)
        improving &= now < least
        exponents, least = np.where(improving, trial, exponents), np.where(improving, now, least)
    return float(least.sum()), exponents, free


def net_shifts(
    exponents: IntArray, free: NDArray[np.bool_], reference: Scale, source: Scale, finest: int = FINEST_SHIFT
) -> IntArray:
    """The net shifts ``t`` for the scales that :func:`weight_exponents` found, with ``ratio = m_R / m_x``."""
    shifts = reference.exponent - source.exponent - exponents
    known = shifts[~free]
    shifts = np.where(free, known.max() if known.size else _SHIFT_OF_ZEROS, shifts)
    return np.minimum(shifts, finest)


def term_scale(shift: IntArray, left: int, reference: Scale, source: Scale) -> Array:
    """The weight scale ``S_w`` of a term, float64: ``S_x * S_w == R * 2^(k - s)``."""
    ratio = reference.mantissa / source.mantissa
    return np.ldexp(ratio, reference.exponent - source.exponent - (shift - left))


def largest_left(scheme: WeightScheme) -> int:
    """The greatest left shift with which an array can do a term whose weights are quantized so.

    Weights of less than 8 bits bear some of it, and the term is repeated for the rest. Those with offsets, and those on
    a mid-rise grid, have one bit more, with which channels lie on either side of zero.
    """
    wider = not scheme.symmetric or scheme.grid == "mid_rise"
    return MOST_REPEATED + max(0, 8 - scheme.bits - wider)


def align(
    name: str,
    terms: Sequence[IntArray | int],
    largest_power: int,
    largest_shift: int = LARGEST_SHIFT,
    lefts: Sequence[int] | None = None,
) -> Alignment:
    """Find one accumulator for all terms of a layer.

    Parameters
    ----------
    name : str
        The layer, for the error message.
    terms : sequence of ndarray of int64, shape (1,) or (out,), or int
        For each term its net shift: the greatest ones that are wanted (smaller ones mean coarser weights), or the
        given one, an int, of an identity-like term.
    largest_power : int
        Greatest log2 of an identity-like term's integer weight.
    largest_shift : int
        Bits of the largest shift.
    lefts : sequence of int, optional
        For each term the greatest left shift that an array can do, of the largest weight where it is identity-like:
        weights get coarser for it where that helps.

    Returns
    -------
    Alignment
        The shifts of the layer.

    Raises
    ------
    HwquantError
        A shift would be larger than ``largest_shift``, or one to the left than ``LARGEST_SHIFT``.
    """
    # Terms are brought to one level by their middle channels; a channel's shift suits its most demanding
    # term.
    typical = [int(np.median(shift)) for shift in terms]
    top = max(0, *typical)
    left = [top - shift for shift in typical]
    shift = np.array([largest_shift])
    for term, extra in zip(terms, left):
        shift = np.minimum(shift, np.asarray(term) + extra)
    floor = max([0, *(term for term in terms if isinstance(term, int))])
    lift = max(0, floor - int(shift.min()))
    shift = shift + lift
    units = [isinstance(term, int) for term in terms]
    if any(units):
        shift = np.minimum(shift, shift.min() + largest_power)
    least = int(shift.min())
    left = [least - term if isinstance(term, int) else extra + lift for term, extra in zip(terms, left)]
    if lefts is not None:
        spread = int(shift.max()) - least  # what weights of identity-like terms are shifted by besides
        excess = [more + spread * unit - most for more, unit, most in zip(left, units, lefts)]
        coarser = min(least - floor, max(0, *excess))
        shift, least = shift - coarser, least - coarser
        left = [max(0, more - coarser) for more in left]
    for largest, most in ((int(shift.max()), largest_shift), (max(left), LARGEST_SHIFT)):
        if largest <= most:
            continue
        raise HwquantError(
            f"layer {name!r} would need a shift of {largest} bits, more than {most}: the ranges of "
            "its inputs and of its output differ too much; look for unusual values in the calibration data"
        )
    powers = tuple(shift - least if unit else None for unit in units)
    return Alignment(shift.astype(np.int64), tuple(left), powers)


def fixed_point(
    ratio: Array, bits: int = 15, largest_shift: int = LARGEST_SHIFT
) -> tuple[IntArray, IntArray]:
    """Split real factors into fixed-point multipliers and right shifts.

    Parameters
    ----------
    ratio : ndarray of float64, shape (1,) or (out,)
        The positive factors.
    bits : int, default 15
        Bits of the unsigned multiplier.
    largest_shift : int
        Bits of the largest shift.

    Returns
    -------
    multiplier : ndarray of int64
        The multipliers, in the shape of ``ratio``.
    shift : ndarray of int64
        The shifts, such that ``multiplier * 2^-shift`` is about ``ratio``.

    Raises
    ------
    HwquantError
        A factor is so large that no multiplier of ``bits`` bits expresses it, or so small that none is left.
    """
    shift = np.clip(bits - 1 - np.floor(np.log2(ratio)), 0, largest_shift)
    multiplier = np.floor(np.ldexp(ratio, shift.astype(int)) + 0.5)
    full = multiplier >= 1 << bits
    if np.any(multiplier < 1) or np.any(shift < full):
        raise HwquantError(
            f"the rescaling factor {float(ratio.max()):.3g} does not fit a multiplier of {bits} bits; look "
            "for unusual values in the calibration data"
        )
    shift, multiplier = shift - full, np.where(full, np.floor(multiplier / 2), multiplier)
    return multiplier.astype(np.int64), shift.astype(np.int64)
