"""Activations to integers: ``x = S * (q - z)`` with a scale and a zero point that suit a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hwquant.coding import integer_limits
from hwquant.quantize.calibration import TensorStatistics

_ZERO_POINTS = 9
"""Zero points tried where the scale is too small for the range."""
_CLIP_OCTAVES = 3
"""How far below the scale of the whole range the least mean squared error is looked for."""


def value_range(
    statistics: Sequence[TensorStatistics], percentile: float | None = None
) -> tuple[float, float]:
    """The range to represent, 0 included: of all values, or of a percentile of them at either end.

    The lower end of an output of ReLU is 0 by itself.

    Parameters
    ----------
    statistics : sequence of TensorStatistics
        The tensors that share the range.
    percentile : float or None, optional
        The upper end, in percent; the lower end is its mirror image. All values are represented if None.

    Returns
    -------
    tuple of float
        The lower end, at most 0, and the upper one, at least 0.
    """
    if percentile is None:
        lows, highs = [item.low for item in statistics], [item.high for item in statistics]
    else:
        lows = [item.quantile(1 - percentile / 100) for item in statistics]
        highs = [item.quantile(percentile / 100) for item in statistics]
    return min(0.0, *lows), max(0.0, *highs)


def zero_points(low: float, high: float, scale: float, bits: int) -> list[int]:
    """Zero points worth trying for a scale, in ascending order.

    It is one where the range ends at 0, or where some represent all of it: then the one in their middle. Otherwise
    they lead from the one that represents the upper end to the one that represents the lower end.
    """
    least, greatest = integer_limits(bits)
    from_low, from_high = least - low / scale, greatest - high / scale
    if low == 0:
        trial = [from_low]
    elif high == 0:
        trial = [from_high]
    elif from_low <= from_high:
        trial = [(from_low + from_high) / 2]
    else:
        trial = np.linspace(from_high, from_low, _ZERO_POINTS).tolist()
    return sorted({int(np.clip(math.floor(z + 0.5), least, greatest)) for z in trial})


def quantization_noise(statistics: TensorStatistics, scale: float, zero_point: int, bits: int) -> float:
    """Mean squared error of a quantized tensor about its mean error, which a bias can take back.

    Where the values are known one by one the error is what it is; for a histogram, rounding adds
    ``scale^2 / 12`` and clipping what is cut off. Zeros are exact.
    """
    least, greatest = integer_limits(bits)
    values, shares = statistics.values, statistics.shares
    if statistics.exact:
        q = np.clip(np.floor(values / scale + 0.5), least - zero_point, greatest - zero_point)
        error = q * scale - values
        return float(shares @ error**2 - (shares @ error) ** 2)
    low, high = (least - zero_point - 0.5) * scale, (greatest - zero_point + 0.5) * scale
    cut = np.clip(values, low, high) - values
    rounding = (1 - statistics.zeros) * scale**2 / 12
    return rounding + float(shares @ cut**2 - (shares @ cut) ** 2)


def smallest_exponent(low: float, high: float, mantissa: float, bits: int) -> int:
    """The least ``e`` for which ``mantissa * 2^e`` represents the range (its ends to within half a step)."""
    least, greatest = integer_limits(bits)
    needed = (high - low) / (greatest - least + 0.5)
    return math.ceil(math.log2(needed / mantissa) - 1e-9)


def best_scale(
    statistics: Sequence[TensorStatistics],
    bounds: tuple[float, float],
    mantissa: float,
    bits: int,
    may_clip: bool,
) -> tuple[float, int, int]:
    """Choose the best scale ``mantissa * 2^e`` for tensors that share it.

    Parameters
    ----------
    statistics : sequence of TensorStatistics
        The tensors.
    bounds : tuple of float
        The ends of the range to represent.
    mantissa : float
        The factor that the scale has besides a power of two, in [1, 2).
    bits : int
        Bits of the signed integers.
    may_clip : bool
        Try scales that are too small for ``bounds``, too. Otherwise the scale is the smallest that holds them.

    Returns
    -------
    noise : float
        Sum over the tensors of noise over signal.
    exponent : int
        The ``e`` with the least noise.
    zero_point : int
        The zero point that goes with it.
    """
    low, high = bounds
    covering = smallest_exponent(low, high, mantissa, bits)
    trials = []
    for exponent in range(covering - (_CLIP_OCTAVES if may_clip else 0), covering + 1):
        scale = math.ldexp(mantissa, exponent)
        for zero_point in zero_points(low, high, scale, bits):
            noise = sum(
                quantization_noise(item, scale, zero_point, bits) / item.power
                for item in statistics
                if item.power > 0
            )
            trials.append((noise, -exponent, zero_point))
    noise, exponent, zero_point = min(trials)
    return noise, -exponent, zero_point
