"""Affine maps, clips, sums and products, element by element.

Every function takes the builder, a name for the node, and values, as those of `operators` do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hwquant.frontends import activations
from hwquant.frontends.builder import Builder
from hwquant.frontends.fold import Affine, Unfolded
from hwquant.frontends.functions import function
from hwquant.frontends.values import Float, Value
from hwquant.graph import Add, Clip, Conv, Multiply


def affine(build: Builder, name: str, value: Value, scale: ArrayLike, shift: ArrayLike) -> Value:
    """Compute ``x * scale + shift`` with constants that broadcast to the value; folded later (see `fold`)."""
    if value.integer:
        raise build.refuse(f"input {value.tensor!r} is an integer here; cast it to float before arithmetic")
    given = build.of_rank(value, max(np.ndim(scale), np.ndim(shift)))
    value = build.with_batch(given)
    sample = build.sample_shape(value)
    build.spend(math.prod(sample))
    factors = []
    for constant in (scale, shift):
        constant = np.asarray(constant, np.float64)
        try:
            full = np.broadcast_to(constant, (1, *sample))
        except ValueError:
            raise build.refuse(
                f"a constant of shape {constant.shape} does not fit a sample of shape {sample}"
            ) from None
        if not np.isfinite(full).all():
            raise build.refuse("it multiplies or adds a constant that is not finite")
        factors.append(full)
    factor, offset = (build.spread(value, full, rest) for full, rest in zip(factors, (1.0, 0.0)))
    if factor is None or offset is None:  # the value sees an element twice, as different ones
        return build.as_given(affine(build, name, build.copy(value), scale, shift), given)
    if (factor == 1).all() and (offset == 0).all():
        return given
    if value.preprocess is not None:
        before, already = value.preprocess
        scaled = replace(value, preprocess=(before * factor, already * factor + offset))
        return build.as_given(scaled, given)
    if build.joined(value):
        if offset[-1]:  # what is zero does not stay so
            return build.as_given(affine(build, name, build.place(value), scale, shift), given)
        scaled = of_parts(
            build, name, value, lambda part, label, own: affine(build, label, part, factor[own], offset[own])
        )
        return build.as_given(scaled, given)
    shape = build.shapes[value.tensor]
    node = Affine(build.unique(name), (value.tensor,), factor.reshape(shape), offset.reshape(shape))
    return build.as_given(_like(build, value, node), given)


def of_parts(
    build: Builder, name: str, value: Value, function: Callable[[Value, str, slice], Value]
) -> Value:
    """Compute element by element on the tensors of a join, each in one row; what is zero stays so.

    Parameters
    ----------
    build : Builder
        The network under construction.
    name : str
        Name for the nodes.
    value : Value
        A view of a join.
    function : callable
        The function from a tensor, a name and the tensor's elements in the join to the result.
    """
    parts, start, results = build.parts(value.tensor), 0, []
    for number, part in enumerate(parts):
        size = math.prod(build.shapes[part])
        results.append(function(build.value(part, (size,)), f"{name}_{number}", slice(start, start + size)))
        start += size
    return replace(value, tensor=build.join(name, [result.tensor for result in results]))


def batch_norm(
    build: Builder,
    name: str,
    value: Value,
    gamma: Float,
    beta: Float,
    mean: Float,
    variance: Float,
    epsilon: float,
) -> Value:
    """Normalize axis 1 with fixed statistics, each float64 [C]: an affine map."""
    if len({array.shape for array in (gamma, beta, mean, variance)} | {value.shape[1:2]}) > 1:
        raise build.refuse(f"its statistics do not fit {value.shape[1:2]} channels")
    if (variance + epsilon <= 0).any():
        raise build.refuse(f"its variance plus {epsilon} is not positive")
    scale = gamma / np.sqrt(variance + epsilon)
    shift = beta - mean * scale
    shape = (1, -1, *[1] * (len(value.shape) - 2))
    return affine(build, name, value, scale.reshape(shape), shift.reshape(shape))


def clip(build: Builder, name: str, value: Value, low: float, high: float) -> Value:
    """Compute ``min(max(x, low), high)``."""
    if not low <= high or low == math.inf or high == -math.inf:
        raise build.refuse(f"it clips to the empty range from {low} to {high}")
    if low == -math.inf and high == math.inf:
        return value
    if build.joined(value) and low <= 0 <= high:
        return of_parts(build, name, value, lambda part, label, _: clip(build, label, part, low, high))
    source = build.place(build.with_batch(value))
    build.sample(source)
    clipped = _like(build, source, Clip(build.unique(name), (source.tensor,), float(low), float(high)))
    return build.as_given(clipped, value)


def leaky(build: Builder, name: str, value: Value, slope: ArrayLike) -> Value:
    """Compute ``x`` where it is positive, else ``slope * x``.

    There is one slope, which makes it a function, or one a channel (broadcast to the value). The latter is
    ``(1 - slope) * max(x, 0) + slope * x``: a clip, and one layer of two terms. Slope 0 is a clip alone, slope 1
    nothing.
    """
    constant = np.asarray(slope, np.float64)
    if not np.isfinite(constant).all():
        raise build.invalid("its slope is NaN or infinity; train or export the model again")
    given, source = value, build.place(build.with_batch(value))
    sample = build.sample_shape(source)
    try:
        full = np.broadcast_to(constant, (1, *sample))
    except ValueError:
        raise build.refuse(
            f"slopes of shape {constant.shape} do not fit a sample of shape {sample}"
        ) from None
    if (full == 1).all():
        return given
    if (full == 0).all():
        return clip(build, name, given, 0.0, math.inf)
    if np.abs(full).max() > 1e6:  # the sum would cancel what is left of a number
        raise build.refuse(f"its slope {np.abs(full).max():g} is too steep; train it again")
    if (full == full.flat[0]).all():
        return build.as_given(function(build, name, source, activations.leaky(float(full.flat[0]))), given)
    slopes = build.spread(source, full, 1.0)
    if slopes is None:
        return build.as_given(leaky(build, name, build.copy(source), slope), given)
    rows = slopes.reshape(build.shapes[source.tensor][0], -1)
    if (rows != rows[:, :1]).any():
        raise build.refuse(
            f"its slopes differ within a channel of tensor {source.tensor!r}; use one slope, or one a channel"
        )
    positive = clip(build, f"{name}_positive", source, 0.0, math.inf)
    above = affine(build, f"{name}_above", positive, 1.0 - full, 0.0)
    below = affine(build, f"{name}_slope", source, full, 0.0)
    return build.as_given(add(build, name, [above, below]), given)


def add(build: Builder, name: str, values: Sequence[Value]) -> Value:
    """Add values element by element; what is repeated or in another order is copied to what the others see."""
    placed = alike(build, values)
    first = placed[0]
    return _like(build, first, Add(build.unique(name), tuple(value.tensor for value in placed)))


def multiply(build: Builder, name: str, left: Value, right: Value) -> Value:
    """Multiply values element by element, broadcast to one shape.

    One of them may have a factor for each channel of the other one's tensor, or one that all channels share, which is
    first copied to all of them, by a convolution whose weights are 1. What fits in no other way is copied to what the
    other one sees.
    """
    seen = broadcast_together(build, (left, right))
    a, b = (build.place(build.with_batch(value)) for value in seen)
    if np.unique(build.sample(a)).size < np.unique(build.sample(b)).size:
        a, b = b, a
    factors = _factors(build, name, a, b)
    if factors is None:
        a = build.copy(a)
        factors = _factors(build, name, a, b) or build.copy(b).tensor
    product = _like(build, a, Multiply(build.unique(name), (a.tensor, factors)))
    return build.as_given(product, seen[0])


def _factors(build: Builder, name: str, a: Value, b: Value) -> str | None:
    """The tensor by which that of ``a`` is multiplied where ``b`` has the factors; None where none fits as it is."""
    base, other = build.shapes[a.tensor], build.shapes[b.tensor]
    pixels = base[1] * base[2]
    own, factor = build.sample(a), build.sample(b)
    if other == base and np.array_equal(own, factor):
        return b.tensor
    if other == (base[0], 1, 1) and np.array_equal(own // pixels, factor):
        return b.tensor
    if other == (1, 1, 1) or (other == (1, *base[1:]) and np.array_equal(own % pixels, factor)):
        return _for_each_channel(build, name, b.tensor, base[0])
    return None


def _for_each_channel(build: Builder, name: str, tensor: str, channels: int) -> str:
    """Copy a tensor of one channel to several."""
    weight = np.ones((channels, 1, 1, 1))
    return build.emit(Conv(build.unique(f"{name}_factors"), (tensor,), weight, np.zeros(channels)))


def alike(build: Builder, values: Sequence[Value]) -> list[Value]:
    """Place values so that all see their tensors alike: broadcast to one shape, and copied where they differ."""
    seen = broadcast_together(build, values)
    placed = [build.place(build.with_batch(value)) for value in seen]
    if not _all_alike(build, placed):
        placed = [build.copy(value) for value in placed]
    return [build.as_given(value, given) for value, given in zip(placed, seen)]


def broadcast_together(build: Builder, values: Sequence[Value]) -> list[Value]:
    """Broadcast values to the one shape that all fit."""
    try:
        shape = np.broadcast_shapes(*(value.shape for value in values))
    except ValueError:
        raise build.refuse(
            f"activations of shapes {', '.join(str(value.shape) for value in values)} do not fit each other"
        ) from None
    return [broadcast(build, value, shape) for value in values]


def broadcast(build: Builder, value: Value, shape: tuple[int, ...]) -> Value:
    """Repeat the elements of a value up to a shape that it broadcasts to."""
    if value.shape == shape:
        return value
    build.spend(math.prod(shape[1:]))
    return value.view(lambda array: np.broadcast_to(array, shape))


def _all_alike(build: Builder, values: Sequence[Value]) -> bool:
    first, sample = values[0], build.sample(values[0])
    return all(
        build.shapes[first.tensor] == build.shapes[other.tensor]
        and np.array_equal(sample, build.sample(other))
        for other in values[1:]
    )


def _like(build: Builder, value: Value, node: Unfolded) -> Value:
    """The result of an elementwise node, seen as its input was."""
    return replace(value, tensor=build.emit(node))
