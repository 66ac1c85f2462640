"""Quantized tensors and weights of a model on their way into the network: formats of values, integers of constants.

A pair that quantizes and dequantizes an activation (QuantizeLinear and DequantizeLinear, or PyTorch's
``quantize_per_tensor`` and ``dequantize_per_tensor``) is the identity but for rounding and saturation. It becomes a
Clip between the two numbers that the integers end at, with the integers' format beside it; what rounds is the
quantizer. A pair on a network input leaves only the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwquant.coding import IntArray, Step, integer_limits
from hwquant.frontends import elementwise
from hwquant.frontends.builder import Builder
from hwquant.frontends.fold import Unfolded
from hwquant.frontends.values import Array, Float, Value
from hwquant.given import GivenFormat, GivenWeights
from hwquant.graph import Clip, Conv

MOST_BITS = 8
"""Most bits of the integers that the array has, of weights and of activations."""
FEWEST_BITS = 2
"""Bits of the narrowest tensor; what has one bit takes two of its four integers."""
WIDTHS: Mapping[str, tuple[int, bool]] = {
    f"{'' if signed else 'u'}int{bits}": (bits, signed)
    for bits in (2, 4, 8, 16, 32)
    for signed in (True, False)
}
"""Bits of the integer types that something is quantized to, and whether they are signed."""

Limits = tuple[int, int]
"""The least and the greatest integer that there can be."""

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


def moved(steps: Steps, move: Callable[[Array], Array]) -> Steps:
    """The same constant, its elements moved."""
    integers, step, least = (
        move(np.ascontiguousarray(part)) for part in (steps.integers, steps.step, steps.least)
    )
    return Steps(integers, step, least, steps.bits, steps.gap)


def steps_of(
    build: Builder,
    kind: str,
    data: Array,
    scale: Array,
    zero: Array | None,
    axis: int,
    limits: Limits | None = None,
) -> Steps | None:
    """A constant of integers that is dequantized, as integers and steps; None where a scale is no positive number.

    Parameters
    ----------
    build : Builder
        The network under construction, for errors.
    kind : str
        The element type of the constant.
    data, scale, zero : ndarray
        The constant, its scale, and its zero point where there is one.
    axis : int
        Along which scales lie, where there are several.
    limits : (int, int), optional
        Those of the integers, where they are narrower than the type.

    Raises
    ------
    Invalid
        There is no scale for each place along the axis.
    """
    check_count(build, scale, axis, data)
    bits, signed = _width(kind, limits)
    data, scale = data.astype(np.int64), scale.astype(np.float64)
    zero = np.zeros((), np.int64) if zero is None else zero.astype(np.int64)
    if scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(-1)[:1].reshape(())
    elif data.ndim:
        scale = along(scale, axis, data.ndim)
        zero = along(zero, axis, data.ndim) if zero.size > 1 else zero.reshape([1] * data.ndim)
    if not (scale > 0).all() or not np.isfinite(scale).all():
        return None
    least = (-(1 << (bits - 1)) if signed else 0) - zero
    step, start = (np.broadcast_to(part, data.shape) for part in (scale, least))
    return Steps(data - zero, step.astype(np.float64), start.astype(np.int64), bits)


def along(array: Array, axis: int, rank: int) -> Array:
    """Numbers in a row along an axis of ``rank``, as they broadcast to it."""
    shape = [1] * rank
    shape[axis] = -1
    return array.reshape(shape)


def _width(kind: str, limits: Limits | None) -> tuple[int, bool]:
    """The bits that integers of a type take between limits, and whether they are signed."""
    bits, signed = WIDTHS[kind]
    if limits is None:
        return bits, signed
    low, high = limits
    return max(FEWEST_BITS, max(high, ~low).bit_length() + 1 if signed else high.bit_length()), signed


def check_parameters(build: Builder, scale: Array, zero: Array | None, axis: int, rank: int) -> None:
    """Raise unless a scale and a zero point are one number each, or as many in a row along an axis that there is.

    Parameters
    ----------
    build : Builder
        The network under construction, for the error.
    scale, zero : ndarray
        The scale, and the zero point where there is one.
    axis : int
        Along which they lie, where they are several.
    rank : int
        Dimensions of what is quantized.

    Raises
    ------
    Invalid
        They are not.
    """
    if scale.ndim > 1:
        raise build.invalid(f"its scale has shape {scale.shape}, not one number or one along an axis")
    if scale.size > 1 and not -rank <= axis < rank:
        raise build.invalid(f"its scales are along axis {axis} of {rank}")
    if zero is not None and zero.shape != scale.shape and (max(zero.size, scale.size) > 1 or zero.ndim > 1):
        raise build.invalid(f"its zero point has shape {zero.shape}, its scale {scale.shape}")


def check_count(build: Builder, scale: Array, axis: int, data: Array) -> None:
    """Raise unless there is one scale for a constant, or one for each place along an axis of it."""
    if scale.size > 1 and scale.size != data.shape[axis]:
        raise build.invalid(
            f"it has {scale.size} scales along axis {axis} of a constant of shape {data.shape}"
        )


def activation_format(
    build: Builder, kind: str, scale: Array, zero: Array, limits: Limits | None = None
) -> tuple[GivenFormat, int]:
    """The format of an activation that is quantized.

    Parameters
    ----------
    build : Builder
        The network under construction, for errors.
    kind : str
        The element type of the integers.
    scale, zero : ndarray
        Scale and zero point.
    limits : (int, int), optional
        Those of the integers, where they are narrower than the type.

    Returns
    -------
    form : GivenFormat
        The format.
    middle : int
        What its signed integers lack to the model's own: 128 for uint8.

    Raises
    ------
    Unsupported
        The array has no such integers.
    """
    bits, signed = _width(kind, limits)
    if bits > MOST_BITS:
        raise build.refuse(
            f"its activations are {kind}, of {bits} bits; those of the array have at most {MOST_BITS}: quantize them "
            f"with {MOST_BITS}"
        )
    if scale.size != 1 or zero.size != 1:
        raise build.refuse(
            f"its activations have {max(scale.size, zero.size)} scales along an axis; give each tensor one scale"
        )
    step, number = float(scale.item()), int(zero.item())
    if not step > 0:
        raise build.invalid(f"its scale is {step:g}, which must be positive")
    middle = 0 if signed else 1 << (bits - 1)
    form = GivenFormat(step, number - middle, bits)
    if limits is None:
        return form, middle
    low, high = limits
    if not low <= number <= high:
        raise build.refuse(
            f"its integers from {low} to {high} have none that stands for 0; use a zero point of them"
        )
    reach = low - middle, high - middle
    return form if reach == form.limits else replace(form, reach=reach), middle


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


def rounded(build: Builder, name: str, value: Value, form: GivenFormat) -> Value:
    """The integers of a format that a value becomes.

    Parameters
    ----------
    build : Builder
        The network under construction.
    name : str
        Name for the node.
    value : Value
        What is quantized.
    form : GivenFormat
        The format.

    Raises
    ------
    Unsupported
        It is integers already, or the host would have to saturate.
    """
    if value.quantized is not None:
        raise build.refuse("it quantizes integers; dequantize them before")
    # What the host computes at the very end is not rounded; the runtime has to, where it saturates.
    if value.host:
        low, high = form.range
        if value.host[-1] != "softmax" or low > 0 or high < 1 - 2 * form.scale:
            raise build.refuse(f"it saturates what the host's {value.host[-1]} gives")
        return replace(value, quantized=form)
    return replace(quantized(build, name, value, form), quantized=form)


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
        What `rounded` gives, or an input of integers.
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
        raise build.refuse("it reads integers that nothing before it quantizes; quantize them in the model")
    if value.quantized != form:
        raise build.refuse(
            f"it takes integers for multiples of {form.scale:.6g} from {form.zero_point + middle} that were written as "
            f"multiples of {value.quantized.scale:.6g} from {value.quantized.zero_point + middle}; give both one scale "
            "and zero point"
        )
    return replace(value, quantized=None)
