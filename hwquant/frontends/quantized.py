"""Quantized tensors and weights of a model on their way into the network: formats of values, integers of constants.

A pair of QuantizeLinear and DequantizeLinear around an activation is the identity but for rounding and saturation. It
becomes a Clip between the two numbers that the integers end at, with the integers' format beside it; what rounds is the
quantizer. A pair on a network input leaves only the format.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from hwquant.coding import IntArray, Step, integer_limits
from hwquant.frontends import elementwise
from hwquant.frontends.builder import Builder
from hwquant.frontends.fold import Unfolded
from hwquant.frontends.values import Float, Value
from hwquant.given import GivenFormat, GivenWeights
from hwquant.graph import Clip, Conv

MOST_BITS = 8
"""Most bits of the integers that the array has, of weights and of activations."""

_COARSEST = 2.0
"""Steps of a format, of which half is at most one step: so far integers are off where it is left out before."""


@dataclass(frozen=True, eq=False)
class Steps:
    """A constant that is integers times real steps, element by element.

    Attributes
    ----------
    integers : ndarray of int64
        The integers less their zero points.
    step : ndarray of float64, of the same shape
        The real value of 1.
    least : ndarray of int64, of the same shape
        The least integer that an element can be.
    bits : int
        Width of an integer.
    gap : {1, 2}
        How far neighbouring integers are apart; 2 for +1 and -1.
    """

    integers: IntArray
    step: Float
    least: IntArray
    bits: int
    gap: Step = 1

    @property
    def real(self) -> Float:
        """The constant, exactly."""
        return self.integers * self.step

    def grid(self, channels: int) -> GivenWeights | None:
        """The grid of weights with so many output channels; None where one channel has several, or needs more bits."""
        pairs = np.stack([self.step, self.least.astype(np.float64)])
        for axis in range(self.step.ndim):
            first = pairs.take([0], axis=axis + 1)
            if np.array_equal(np.broadcast_to(first, pairs.shape), pairs):
                pairs = first
        steps, least = pairs.reshape(2, -1)
        if channels % len(steps):
            return None
        steps, least = (
            np.tile(part, channels // len(steps)) for part in (steps, least)
        )  # in each group the same
        if self.bits > MOST_BITS:
            low, high = integer_limits(MOST_BITS)
            fits = low <= self.integers.min(initial=0) and self.integers.max(initial=0) <= high
            return GivenWeights(steps, np.full(channels, low), MOST_BITS) if fits else None
        return GivenWeights(steps, least.astype(np.int64), self.bits, self.gap)


def note_weights(
    build: Builder, made: Iterable[Unfolded], constants: Iterable[Steps], factor: float, unkept: bool
) -> None:
    """Keep the grid of the weights that convolutions were made of: of the first constant of several dimensions.

    The convolutions' weights are the constant times a factor. Where there is no such constant, they may be made of
    integers that are not kept.
    """
    weights = next((item for item in constants if item.step.ndim > 1), None)
    if weights is not None and factor > 0:
        weights = replace(weights, step=factor * weights.step)
    for node in made:
        if isinstance(node, Conv) and (weights is not None or unkept):
            grid = None if weights is None else weights.grid(len(node.weight))
            if grid is not None and grid.integers(node.weight) is not None:
                build.grids[node.name] = grid, node.weight
            else:
                build.off_grid.append(node.name)


def quantized(build: Builder, name: str, value: Value, form: GivenFormat) -> Value:
    """Give a value a format, and let it saturate where the format ends.

    An input of the network whose layout is still open takes the format itself; so does nothing that has it already.
    """
    if value.preprocess is not None:
        known = build.input_formats.get(value.tensor)
        if known is None or (not build.is_placed(value.tensor) and _passes(known, value, form)):
            known = build.input_formats[value.tensor] = (replace(form, reach=None), value.preprocess)
        if form.holds(known[0]) and all(map(np.array_equal, known[1], value.preprocess)):
            return value
    if build.formats.get(value.tensor) == form:
        return value
    count = len(build.nodes)
    result = elementwise.clip(build, name, value, *form.range)
    for node in build.nodes[count:]:
        if isinstance(node, Clip):
            build.formats[node.name] = form
    return result


def _passes(known: tuple[GivenFormat, tuple[Float, Float]], value: Value, form: GivenFormat) -> bool:
    """Whether an input of integers gets another format behind constants, in front of which the first hardly matters.

    It does not saturate, and leaving it out moves the other's integers by a step at most.
    """
    if value.codes is None or value.preprocess is None:
        return False
    (first, (scale, shift)), (low, high) = known, (known[0].range)
    ends = np.multiply.outer(value.codes, scale) + shift
    factor = np.abs(value.preprocess[0]).max() / np.abs(scale).max()
    within = low - first.scale <= ends.min() and ends.max() <= high + first.scale
    return bool(within and first.scale * factor <= _COARSEST * form.scale)


def dequantized(build: Builder, name: str, value: Value, form: GivenFormat, middle: int) -> Value:
    """The real numbers that the integers of a value stand for.

    Parameters
    ----------
    build : Builder
        The network under construction.
    name : str
        Name for the node.
    value : Value
        What a QuantizeLinear gives, or an input of integers.
    form : GivenFormat
        What the integers are taken for.
    middle : int
        What signed integers lack to the model's own: 128 for uint8.
    """
    if value.integer and value.preprocess is not None:
        zero_point = form.zero_point + middle
        low, high = integer_limits(form.bits)
        own = replace(value, integer=False, codes=(low + middle, high + middle))
        real = elementwise.affine(build, name, own, form.scale, -form.scale * zero_point)
        return quantized(build, name, real, form)
    if value.quantized is None:
        raise build.refuse("it reads integers that no QuantizeLinear gives; quantize them in the model")
    if value.quantized != form:
        raise build.refuse(
            f"it takes integers for multiples of {form.scale:.6g} from {form.zero_point + middle} that were written as "
            f"multiples of {value.quantized.scale:.6g} from {value.quantized.zero_point + middle}; give both one scale "
            "and zero point"
        )
    return replace(value, quantized=None)
