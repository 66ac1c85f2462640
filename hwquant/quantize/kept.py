"""Integers that a network had before it came here, kept: formats of tensors, weights and their scales.

The scales of such a network are what they are: a layer's sum, in steps of ``S_x S_w``, is multiplied by
``S_x S_w / S_y`` with 16 bits, which differs by a rounding at most from what a runtime with real numbers gives. A
sum of tensors with scales of their own multiplies each with an integer, such that all count in one unit; a mean counts
its inputs with 1. What is not given is calibrated and rounded as in any other network.

The integers of weights are uniform affine ones (Jacob et al., "Quantization and training of neural networks for
efficient integer-arithmetic-only inference", 2018), whose zero points are integer offsets here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import Coding
from hwquant.given import GivenWeights
from hwquant.qgraph import Term
from hwquant.quantize.assemble import kept_weights
from hwquant.quantize.formats import Formats
from hwquant.quantize.layer_scales import LayerScales
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.quantize.shifts import Alignment, fixed_point
from hwquant.quantize.weights import CHANNEL_OFFSETS

Number = TypeVar("Number", np.float64, np.int64)

MULTIPLIER_BITS = 16
"""Bits of a multiplier: as many as the array takes, whose own have a sign and the rounding's bit besides."""
FACTOR_BITS = 8
"""Bits of what a tensor is multiplied by in a sum, with the sign."""
FINEST = 8
"""Bits that a tensor with small steps is brought below the others by: finer ones are less than any rounding."""


def keep_layer(
    layer: LayerPlan, weights: Mapping[str, GivenWeights], formats: Formats
) -> tuple[LayerScales, list[Term]] | None:
    """Take over a layer whose integers are given, or follow from its tensors' formats.

    Parameters
    ----------
    layer : LayerPlan
        The float layer.
    weights : mapping of GivenWeights
        The grids of the network's weights, by the float node.
    formats : Formats
        The formats of all tensors.

    Returns
    -------
    (LayerScales, list of Term) or None
        Scales and integer weights; None where the layer has weights of its own that are not given.

    Raises
    ------
    HwquantError
        The scales differ so much that the multiplier would be out of bounds.
    """
    target = formats[layer.target].scale.value
    sources = [formats[term.input].scale.value for term in layer.terms]
    if any(term.has_weights for term in layer.terms):
        if not all(term.node in weights for term in layer.terms):
            return None
        terms = [
            _weighted(term, weights[term.node], target / source) for term, source in zip(layer.terms, sources)
        ]
        one = terms[0].scale if len(terms) == 1 else weights[layer.terms[0].node].scale
        unit = sources[0] * one
        lefts: tuple[int, ...] = (0,) * len(terms)
    else:
        reals = [float(term.weight.flat[0]) for term in layer.terms]
        factors, lefts, single = common_unit([a * b for a, b in zip(sources, reals)])
        scales = tuple(single * 2.0**left / source for source, left in zip(sources, lefts))
        terms = [
            _constant(term, factor, scale, left)
            for term, factor, scale, left in zip(layer.terms, factors, scales, lefts)
        ]
        unit = np.array([single])
    multiplier, shift = fixed_point(unit / target, MULTIPLIER_BITS)
    alignment = Alignment(np.zeros(1, np.int64), lefts, (None,) * len(terms))
    return LayerScales(alignment, tuple(term.scale for term in terms), unit, shift, multiplier), terms


def _weighted(plan: TermPlan, grid: GivenWeights, free: float) -> Term:
    """A term with the weights that are given; where all of a channel are 0, its scale is ``free``."""
    integers = grid.integers(plan.weight)
    assert integers is not None
    idle = ~integers.reshape(len(integers), -1).any(axis=1)
    scale = np.where(idle, free, grid.scale)
    coding = _coding(grid)
    low, high = (limit.reshape(-1, *[1] * (integers.ndim - 1)) for limit in coding.limits)
    integers = np.clip(integers, low, high)
    return Term(
        input=plan.input,
        codes=coding.codes(integers),
        offset=coding.offset,
        scale=_one(scale),
        bits=grid.bits,
        step=grid.step,
        window=plan.window,
        groups=plan.groups,
        mask=kept_weights(plan) if grid.step == 1 else None,
    )


def _coding(grid: GivenWeights) -> Coding:
    """How the integers of a grid are stored; those of channels with offsets of their own have offsets of 8 bits."""
    offset = _one(grid.least + grid.step * (1 << (grid.bits - 1)))
    if len(offset) > 1:
        offset = np.clip(offset, *CHANNEL_OFFSETS)
    return Coding(grid.bits, "min", offset, grid.step)


def beyond(grid: GivenWeights, weight: NDArray[np.float64]) -> int:
    """Count the weights that offsets of 8 bits do not reach: 255, where a channel among others has 0 to 255."""
    integers = grid.integers(weight)
    assert integers is not None
    low, high = (limit.reshape(-1, *[1] * (integers.ndim - 1)) for limit in _coding(grid).limits)
    return int(np.count_nonzero((integers < low) | (integers > high)))


def _one(values: NDArray[Number]) -> NDArray[Number]:
    """A number for each channel, or the one that all of them have."""
    return values[:1].copy() if (values == values[0]).all() else values


def _constant(plan: TermPlan, factor: int, scale: float, left: int) -> Term:
    """A term whose weights are one integer: a tensor as it is, or the pixels of a mean."""
    coding = Coding(FACTOR_BITS, "min", np.zeros(1, np.int64))
    return Term(
        input=plan.input,
        codes=coding.codes(np.full(plan.weight.shape, factor)),
        offset=coding.offset,
        scale=np.array([scale]),
        bits=FACTOR_BITS,
        window=plan.window,
        groups=plan.groups,
        shift=left,
    )


def common_unit(steps: Sequence[float]) -> tuple[list[int], tuple[int, ...], float]:
    """Find a unit that real steps are integers in, nearly.

    Parameters
    ----------
    steps : sequence of float
        The positive steps.

    Returns
    -------
    factors : list of int
        An integer for each step, 1 for a single one.
    lefts : tuple of int
        Bits that each is shifted to the left by: ``step ~ factor * 2^left * unit``.
    unit : float
        The unit.
    """
    if len(steps) == 1:
        return [1], (0,), steps[0]
    largest, most = max(steps), (1 << (FACTOR_BITS - 1)) - 1

    def trial(first: int) -> tuple[float, list[int], list[int], float]:
        exact = [step / largest * first for step in steps]
        rights = [min(FINEST, int(np.floor(np.log2(most / value)))) for value in exact]
        factors = [max(1, int(np.floor(value * 2.0**right + 0.5))) for value, right in zip(exact, rights)]
        errors = [factor * 2.0**-right - value for factor, value, right in zip(factors, exact, rights)]
        return sum((error / first) ** 2 for error in errors), factors, rights, largest / first

    _, factors, rights, unit = min(trial(first) for first in range(1 << (FACTOR_BITS - 2), most + 1))
    down = max(rights)
    return factors, tuple(down - right for right in rights), unit * 2.0**-down
