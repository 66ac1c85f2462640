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
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import Coding, IntArray, integer_limits
from hwquant.errors import HwquantError
from hwquant.given import GivenWeights
from hwquant.qgraph import Term
from hwquant.quantize.assemble import kept_weights
from hwquant.quantize.formats import Formats, TensorFormat
from hwquant.quantize.layer_scales import LayerScales
from hwquant.quantize.plans import LayerPlan, TermPlan
from hwquant.quantize.shifts import Alignment, fixed_point
from hwquant.quantize.weights import CHANNEL_OFFSETS

Number = TypeVar("Number", np.float64, np.int64)

MULTIPLIER_BITS = 16
"""Bits of a multiplier: as many as the array takes, whose own have a sign and the rounding's bit besides."""
LARGEST_MULTIPLIER = (1 << MULTIPLIER_BITS) - 1
FACTOR_BITS = 8
"""Bits of what a tensor is multiplied by in a sum, with the sign."""
FINEST = 8
"""Bits that a tensor with small steps is brought below the others by: finer ones are less than any rounding."""
BIAS_FINEST = 13
"""Bits behind the point of an output step that a sum with a real bias is to have: with half as many one output of 4
bits in some hundreds would be another one."""
BIAS_IS_EXACT = 1e-6
"""Share of a bias, and of a step, that it may be off the integers by where it is one: it was rounded to float32."""


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
    if not any(term.has_weights for term in layer.terms):
        return _without_weights(layer, sources, target)
    grids = [weights.get(term.node) for term in layer.terms]
    if len(grids) == 1 and grids[0] is None:
        grids = [grid_of_map(layer.terms[0])]
    known = [grid for grid in grids if grid is not None]
    if len(known) < len(grids):
        return None
    terms = [
        _weighted(term, grid, target / source) for term, grid, source in zip(layer.terms, known, sources)
    ]
    unit = sources[0] * (terms[0].scale if len(terms) == 1 else known[0].scale)
    if formats[layer.target].rounding == "sign":  # the sum is handed on as it is
        return _scaled(terms, unit, np.zeros(1, np.int64), None), terms
    left = _finer(layer, terms, unit, target)
    terms, unit = [replace(term, shift=left) for term in terms], unit * 2.0**-left
    multiplier, shift = _multiplier(layer, unit / target)
    return _scaled(terms, unit, shift, multiplier), terms


def _without_weights(
    layer: LayerPlan, sources: Sequence[float], target: float
) -> tuple[LayerScales, list[Term]]:
    """A layer that sums tensors, or means of their pixels, whose real scales are ``sources``."""
    reals = [float(term.weight.flat[0]) for term in layer.terms]
    factors, lefts, single = common_unit([a * b for a, b in zip(sources, reals)])
    terms = [
        _constant(term, factor, single * 2.0**left / source, left)
        for term, factor, left, source in zip(layer.terms, factors, lefts, sources)
    ]
    unit = np.array([single])
    multiplier, shift = _multiplier(layer, unit / target)
    return _scaled(terms, unit, shift, multiplier), terms


def _multiplier(layer: LayerPlan, ratio: NDArray[np.float64]) -> tuple[IntArray, IntArray]:
    """The multiplier and the shift of a layer whose sums count in so many output steps."""
    try:
        return fixed_point(ratio, MULTIPLIER_BITS)
    except HwquantError:
        raise HwquantError(
            f"layer {layer.name!r}: by the source's scales a step of its sums is {float(ratio.max()):.3g} steps of "
            f"its output, which no multiplier of {MULTIPLIER_BITS} bits expresses; look for a wrong scale in the "
            "source, or quantize with --scales shift"
        ) from None


def _scaled(
    terms: Sequence[Term], unit: NDArray[np.float64], shift: IntArray, multiplier: IntArray | None
) -> LayerScales:
    """The scales of a layer whose terms are as they are to be."""
    alignment = Alignment(np.zeros(1, np.int64), tuple(term.shift for term in terms), (None,) * len(terms))
    return LayerScales(alignment, tuple(term.scale for term in terms), unit, shift, multiplier)


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


def grid_of_map(plan: TermPlan) -> GivenWeights | None:
    """The grid of a map of single channels, +1 or -1 times a scale for each; None where a term is none such."""
    if plan.groups != len(plan.weight) or plan.weight.shape[1:] != (1, 1, 1):
        return None
    factors = np.abs(plan.weight.ravel())
    scale = np.where(factors > 0, factors, 1.0)
    return GivenWeights(scale, np.full(len(factors), -2), bits=2)


def bias_is_integer(exact: NDArray[np.float64]) -> bool:
    """Whether biases in steps of their sums are integers, but for the rounding of float32."""
    return bool((np.abs(exact - np.floor(exact + 0.5)) <= BIAS_IS_EXACT * (1 + np.abs(exact))).all())


def _finer(plan: LayerPlan, terms: Sequence[Term], unit: NDArray[np.float64], target: float) -> int:
    """By how many bits the accumulator is made finer so that rounding a real bias matters less.

    No more than the weights can be shifted to the left by within 8 bits, in which the hardware stores them then: what
    exceeds these would be passes.

    Parameters
    ----------
    plan : LayerPlan
        The float layer.
    terms : sequence of Term
        Its integer weights.
    unit : ndarray of float64, shape (1,) or (out,)
        The real value of a product of integers.
    target : float
        The real value of an output step.
    """
    if bias_is_integer(plan.bias / unit):
        return 0
    wanted = int(np.ceil(np.log2((unit / target).max()))) + BIAS_FINEST
    low = min(int(term.weight.min()) for term in terms)
    high = max(int(term.weight.max()) for term in terms)
    least, greatest = integer_limits(8)
    room = sum(least <= low << more and high << more <= greatest for more in range(1, 8))
    return max(0, min(wanted, room))


def threshold(layer: LayerPlan, unit: NDArray[np.float64], target: TensorFormat) -> NDArray[np.float64]:
    """What is added to a bias so that sums get the integers that they have in the source.

    Where these are rounded down, it is half an output step. Where a step is the layer's function, rounding the bias
    must move no sum across it: a sum of integers is at least ``-bias`` where it is at least the next integer above.

    Parameters
    ----------
    layer : LayerPlan
        The float layer.
    unit : ndarray of float64, shape (1,) or (out,)
        The real value of a step of its sum.
    target : TensorFormat
        What the sum is rounded to.

    Returns
    -------
    ndarray of float64, shape () or (1,) or (out,)
        Real values.
    """
    if target.rounding != "sign" or layer.function is None:
        return np.asarray(-target.scale.value / 2 if target.rounding == "down" else 0.0)
    below, middle, above = layer.function.expression(np.array([-1.0, 0.0, 1.0]))
    up = float(middle == below) - float(middle == above)
    return unit * up * (0.5 - BIAS_IS_EXACT)


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
