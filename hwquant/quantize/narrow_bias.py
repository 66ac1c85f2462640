"""Biases of few bits: multiples of a power of two that all channels of a layer share (CN116720550A).

The publication scales biases to fixed precision, as it does weights. What has the bits is the bias as hardware stores
it, :meth:`hwquant.qgraph.Layer.constant`, with zero points and rounding in it: only then does the memory hold no more.
The layer's own bias is whatever makes up the rest, so that its arithmetic is that of any other layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hwquant.coding import IntArray, integer_limits
from hwquant.qgraph import Layer
from hwquant.quantize.weight_scheme import Array

WIDEST = 63
"""Bits that every bias has room in: it stays as it is."""


def narrow_bias(layer: Layer, bits: int, zero_points: Mapping[str, int]) -> Layer:
    """Round a layer's biases so that its constants are ``c * 2^k``, with integers ``c`` of ``bits`` bits.

    Parameters
    ----------
    layer : Layer
        The layer, its bias as exact as the accumulator allows.
    bits : int
        Bits of ``c``, 2..63.
    zero_points : mapping of int
        Zero points of the tensors that the layer reads and of its own, by name.

    Returns
    -------
    Layer
        The layer with other biases: of all ``k``, with the one whose squared errors, in steps of the output, have the
        least sum. Where the constants have room in ``bits`` bits, it is ``layer``.
    """
    exact = layer.constant(zero_points)
    low, high = integer_limits(bits)
    if low <= int(exact.min()) and int(exact.max()) <= high:
        return layer
    factor = np.ones(1, np.int64) if layer.multiplier is None else layer.multiplier
    step: Array = factor * 2.0**-layer.shift
    choices = [_rounded(exact, power, bits) for power in range(WIDEST)]
    best = min(choices, key=lambda made: _error(made - exact, step))
    return replace(layer, bias=layer.bias + best - exact)


def _rounded(values: IntArray, power: int, bits: int) -> IntArray:
    """The nearest of the multiples of ``2^power`` that have ``bits`` bits besides."""
    low, high = integer_limits(bits)
    half = (1 << power) >> 1
    # A quotient of few bits times its divisor has no more bits than the value that it was made of.
    multiples = np.clip((values >> power) + ((values & ((1 << power) - 1)) >= max(half, 1)), low, high)
    return multiples << power


def _error(difference: IntArray, step: Array) -> float:
    return float(np.square(difference * step).sum())
