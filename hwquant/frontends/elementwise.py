"""Affine maps, clips, sums and products, element by element.

Every function takes the builder, a name for the node, and values, as those of `operators` do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    build.spend(math.prod(build.sample_shape(value)))
    sample = build.sample(value)
    factors = []
    for constant in (scale, shift):
        constant = np.asarray(constant, np.float64)
        try:
            full = np.broadcast_to(constant, (1, *sample.shape))
        except ValueError:
            raise build.refuse(
                f"a constant of shape {constant.shape} does not fit a sample of shape {sample.shape}"
            ) from None
        if not np.isfinite(full).all():
            raise build.refuse("it multiplies or adds a constant that is not finite")
        base = np.empty(sample.size)
        base[sample.ravel()] = full.ravel()
        factors.append(base)
    factor, offset = factors
    if (factor == 1).all() and (offset == 0).all():
        return given
    if value.preprocess is not None:
        before, already = value.preprocess
        scaled = replace(value, preprocess=(before * factor, already * factor + offset))
        return build.as_given(scaled, given)
    shape = build.shapes[value.tensor]
    node = Affine(build.unique(name), (value.tensor,), factor.reshape(shape), offset.reshape(shape))
    return build.as_given(_like(build, value, node), given)


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
    given, source = value, build.place(build.with_batch(value))
    sample = build.sample(source)
    try:
        full = np.broadcast_to(constant, (1, *sample.shape))
    except ValueError:
        raise build.refuse(
            f"slopes of shape {constant.shape} do not fit a sample of shape {sample.shape}"
        ) from None
    if (full == 1).all():
        return given
    if (full == 0).all():
        return clip(build, name, given, 0.0, math.inf)
    if np.abs(full).max() > 1e6:  # the sum would cancel what is left of a number
        raise build.refuse(f"its slope {np.abs(full).max():g} is too steep; train it again")
    if (full == full.flat[0]).all():
        return function(build, name, source, activations.leaky(float(full.flat[0])))
    slopes = np.empty(sample.size)
    slopes[sample.ravel()] = full.ravel()
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
    """Add values that see their tensors alike, element by element."""
    rank = max(len(value.shape) for value in values)
    seen = [build.of_rank(value, rank) for value in values]
    placed = [build.place(build.with_batch(value)) for value in seen]
    first = placed[0]
    for other in placed[1:]:
        if other.shape != first.shape:
            raise build.refuse(
                f"it adds activations of shapes {first.shape} and {other.shape}; they must be equal"
            )
        same = np.array_equal(build.sample(first), build.sample(other))
        if not same or build.shapes[first.tensor] != build.shapes[other.tensor]:
            raise build.refuse(
                f"it adds {first.tensor!r} and {other.tensor!r}, whose elements are in different orders; "
                "transpose or reshape both alike"
            )
    node = Add(build.unique(name), tuple(value.tensor for value in placed))
    return build.as_given(_like(build, first, node), seen[0])


def multiply(build: Builder, name: str, left: Value, right: Value) -> Value:
    """Multiply values element by element: of one shape, or one of them with a factor a channel, a pixel or a sample.

    A factor that all channels share is first copied to all of them, by a convolution whose weights are 1.
    """
    try:
        shape = np.broadcast_shapes(left.shape, right.shape)
    except ValueError:
        shape = ()
    placed = [build.place(value) for value in (left, right)]
    if not len(left.shape) == len(right.shape) == len(shape) or shape not in (left.shape, right.shape):
        raise build.refuse(
            f"it multiplies activations of shapes {left.shape} and {right.shape}; they must be equal, or one must have "
            "a factor for each channel or each pixel of the other"
        )
    if math.prod(build.shapes[placed[0].tensor]) < math.prod(build.shapes[placed[1].tensor]):
        placed.reverse()
    a, b = placed
    if a.shape != shape or a.expanded:
        raise build.refuse(
            f"it multiplies {a.tensor!r} and {b.tensor!r}, of which both repeat elements; only one may"
        )
    base, other = build.shapes[a.tensor], build.shapes[b.tensor]
    pixels = base[1] * base[2]
    own, factor = (np.broadcast_to(build.sample(value, expanded=True), shape[1:]) for value in placed)
    alike = other == base and np.array_equal(own, factor)
    by_channel = other == (base[0], 1, 1) and np.array_equal(own // pixels, factor)
    shared = other == (1, 1, 1) or (other == (1, *base[1:]) and np.array_equal(own % pixels, factor))
    if alike or by_channel:
        factors = b.tensor
    elif shared:
        factors = _for_each_channel(build, name, b.tensor, base[0])
    else:
        raise build.refuse(
            f"it multiplies {a.tensor!r} of shape {base}, seen as {a.shape[1:]}, with {b.tensor!r} of shape {other}, "
            f"seen as {b.shape[1:]}; factors must be for each element in the same order, for each channel or for each "
            "pixel"
        )
    return _like(build, a, Multiply(build.unique(name), (a.tensor, factors)))


def _for_each_channel(build: Builder, name: str, tensor: str, channels: int) -> str:
    """Copy a tensor of one channel to several."""
    weight = np.ones((channels, 1, 1, 1))
    return build.emit(Conv(build.unique(f"{name}_factors"), (tensor,), weight, np.zeros(channels)))


def _like(build: Builder, value: Value, node: Unfolded) -> Value:
    """The result of an elementwise node, seen as its input was."""
    return replace(value, tensor=build.emit(node))
