"""The operators that networks are made of, on values: what ONNX and torch mean, in the graph's nodes.

Every function takes the builder, a name for the node, and values; axes count the batch dimension as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hwquant.frontends.builder import Builder
from hwquant.frontends.fold import LEAST, Affine, Pad, Unfolded
from hwquant.frontends.values import Array, Float, Value, layout, of_each_class
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, MaxPool
from hwquant.window import Window


def conv(
    build: Builder,
    name: str,
    value: Value,
    weight: Float,
    bias: Float | None,
    window: Window,
    groups: int = 1,
) -> Value:
    """Convolution of (N, C, H, W) with ``weight`` [out, C / groups, kh, kw], or both without the height."""
    sequence = weight.ndim == 3
    if weight.ndim not in (3, 4) or len(value.shape) != weight.ndim:
        raise build.refuse(
            f"a convolution of {len(value.shape)} dimensions with weights of {weight.ndim} is not supported, "
            "only N x C x H x W and N x C x L"
        )
    if sequence:
        weight = weight[:, :, None, :]
    out, per_group = weight.shape[:2]
    if groups < 1 or out % groups or per_group * groups != value.shape[1]:
        raise build.refuse(f"{value.shape[1]} channels do not fit weights {weight.shape} in {groups} groups")
    source = build.image(value, whole=not window.pointwise)
    node = Conv(
        build.unique(name),
        (source.tensor,),
        weight,
        _bias(build, bias, out),
        window,
        groups,
    )
    tensor = build.emit(node)
    if window.pointwise:
        return build.value(tensor, (out, *value.shape[2:]))
    shape = build.shapes[tensor]
    return build.value(tensor, (shape[0], shape[2]) if sequence else shape)


def linear(build: Builder, name: str, value: Value, weight: Float, bias: Float | None) -> Value:
    """``x @ weight.T + bias`` over the last axis, ``weight`` [out, in].

    Of (N, in) it is a convolution whose kernel covers the base tensor, its columns permuted by the view.
    Of (N, ..., in) it is a 1x1 convolution, if the last axis is the tensor's channels.
    """
    if weight.ndim != 2:
        raise build.refuse(
            f"a matrix product with weights of shape {weight.shape} is not supported, only 2-D"
        )
    out, features = weight.shape
    if len(value.shape) < 2 or value.shape[-1] != features:
        raise build.refuse(f"a tensor of shape {value.shape} does not fit weights {weight.shape} (out, in)")
    lead = value.shape[1:-1]
    if math.prod(lead) == 1:
        source = build.place(value, (features, 1, 1))
        columns = np.empty((out, features))
        columns[:, build.sample(source).ravel()] = weight
        kernel = columns.reshape(out, *build.shapes[source.tensor])
        window = Window(kernel.shape[2:])
        node = Conv(build.unique(name), (source.tensor,), kernel, _bias(build, bias, out), window)
        return build.value(build.emit(node), (*lead, out))
    channels_first = value.view(lambda array: np.moveaxis(array, -1, 1))
    result = conv_1x1(build, name, channels_first, weight, bias)
    return result.view(lambda array: np.moveaxis(array, 1, -1))


def conv_1x1(build: Builder, name: str, value: Value, weight: Float, bias: Float | None) -> Value:
    """A linear map [out, C] of the channels of (N, C, ...)."""
    source = build.image(value, whole=False)
    out = len(weight)
    node = Conv(build.unique(name), (source.tensor,), weight[:, :, None, None], _bias(build, bias, out))
    return build.value(build.emit(node), (out, *value.shape[2:]))


def affine(build: Builder, name: str, value: Value, scale: ArrayLike, shift: ArrayLike) -> Value:
    """``x * scale + shift`` with constants that broadcast to the value; folded later (see `fold`)."""
    if value.integer:
        raise build.refuse(f"input {value.tensor!r} is an integer here; cast it to float before arithmetic")
    build.spend(math.prod(value.shape[1:]))
    sample = build.sample(value)
    factors = []
    for constant in (scale, shift):
        constant = np.asarray(constant, np.float64)
        try:
            full = np.broadcast_to(constant, (1, *value.shape[1:]))
        except ValueError:
            raise build.refuse(
                f"a constant of shape {constant.shape} does not fit a sample of shape {value.shape[1:]}"
            ) from None
        if not np.isfinite(full).all():
            raise build.refuse("it multiplies or adds a constant that is not finite")
        base = np.empty(sample.size)
        base[sample.ravel()] = full.ravel()
        factors.append(base)
    factor, offset = factors
    if (factor == 1).all() and (offset == 0).all():
        return value
    if value.preprocess is not None:
        before, already = value.preprocess
        return replace(value, preprocess=(before * factor, already * factor + offset))
    shape = build.shapes[value.tensor]
    node = Affine(build.unique(name), (value.tensor,), factor.reshape(shape), offset.reshape(shape))
    return _like(build, value, node)


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
    """Batch normalization over axis 1 with fixed statistics, each float64 [C]: an affine map."""
    if len({array.shape for array in (gamma, beta, mean, variance)} | {value.shape[1:2]}) > 1:
        raise build.refuse(f"its statistics do not fit {value.shape[1:2]} channels")
    if (variance + epsilon <= 0).any():
        raise build.refuse(f"its variance plus {epsilon} is not positive")
    scale = gamma / np.sqrt(variance + epsilon)
    shift = beta - mean * scale
    shape = (1, -1, *[1] * (len(value.shape) - 2))
    return affine(build, name, value, scale.reshape(shape), shift.reshape(shape))


def clip(build: Builder, name: str, value: Value, low: float, high: float) -> Value:
    """``min(max(x, low), high)``."""
    if not low <= high or low == math.inf or high == -math.inf:
        raise build.refuse(f"it clips to the empty range from {low} to {high}")
    if low == -math.inf and high == math.inf:
        return value
    source = build.place(value)
    build.sample(source)
    return _like(build, source, Clip(build.unique(name), (source.tensor,), float(low), float(high)))


def leaky(build: Builder, name: str, value: Value, slope: ArrayLike) -> Value:
    """``x`` where it is positive, else ``slope * x``; one slope, or one a channel (broadcast to the value).

    It is ``(1 - slope) * max(x, 0) + slope * x``: a clip, and one layer of two terms. Slope 0 is a clip
    alone, slope 1 nothing.
    """
    constant = np.asarray(slope, np.float64)
    source = build.place(value)
    sample = build.sample(source)
    try:
        full = np.broadcast_to(constant, (1, *source.shape[1:]))
    except ValueError:
        raise build.refuse(
            f"slopes of shape {constant.shape} do not fit a sample of shape {source.shape[1:]}"
        ) from None
    if (full == 1).all():
        return source
    if (full == 0).all():
        return clip(build, name, source, 0.0, math.inf)
    if np.abs(full).max() > 1e6:  # the sum would cancel what is left of a number
        raise build.refuse(f"its slope {np.abs(full).max():g} is too steep; train it again")
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
    return add(build, name, [above, below])


def max_pool(build: Builder, name: str, value: Value, window: Window) -> Value:
    """Maximum over windows of (N, C, H, W) or (N, C, L)."""
    source = _pooled(build, value, window)
    if window.pointwise:
        return value
    if not window.sees_a_pixel_everywhere(build.shapes[source.tensor][1:]):
        raise build.refuse("one of its windows covers only padding; give it less padding, or less dilation")
    return _windows(build, value, MaxPool(build.unique(name), (source.tensor,), window))


def average_pool(build: Builder, name: str, value: Value, window: Window, count_include_pad: bool) -> Value:
    """Mean over windows of (N, C, H, W) or (N, C, L)."""
    if window.dilation != (1, 1):
        raise build.refuse("average pooling with dilation is not supported")
    source = _pooled(build, value, window)
    if window.pointwise:
        return value
    pool = AveragePool(build.unique(name), (source.tensor,), window, count_include_pad and window.padded)
    return _windows(build, value, pool)


def reduce(build: Builder, name: str, value: Value, axes: Sequence[int], keepdims: bool, kind: str) -> Value:
    """Mean or maximum (``kind`` "mean" or "max") over all or some of the spatial axes."""
    rank = len(value.shape)
    reduced = sorted({axis % rank for axis in axes if -rank <= axis < rank})
    if len(reduced) != len(axes) or 0 in reduced:
        raise build.refuse(f"it reduces axes {list(axes)} of {rank}; only spatial axes can be reduced")
    if not reduced:
        return value
    kept = [axis for axis in range(1, rank) if axis not in reduced]
    shape = [
        1 if axis in reduced else value.shape[axis]
        for axis in range(1, rank)
        if keepdims or axis not in reduced
    ]
    if len(kept) == 1:
        moved = value.view(lambda array: array.transpose(0, *kept, *reduced))
        source = build.place(moved, layout(moved.shape[1:]))
        channels, height, width = build.shapes[source.tensor]
        rows = build.sample(source).reshape(moved.shape[1], -1) // (height * width)
        if len(rows) == channels and (rows == rows[:, :1]).all():
            window = Window((height, width), (height, width))
            return build.value(
                _reduction(build, name, source, window, kind), shape, rows[:, 0].reshape(shape)
            )
    elif rank == 4 and 1 not in reduced:
        source = build.image(value)
        _, height, width = build.shapes[source.tensor]
        kernel = (height if 2 in reduced else 1, width if 3 in reduced else 1)
        return build.value(_reduction(build, name, source, Window(kernel, kernel), kind), shape)
    raise build.refuse(
        f"it reduces axes {reduced} of a tensor of shape {value.shape}; only spatial axes can be reduced"
    )


def add(build: Builder, name: str, values: Sequence[Value]) -> Value:
    """Elementwise sum of values that see their tensors alike."""
    placed = [build.place(value) for value in values]
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
    return _like(build, first, Add(build.unique(name), tuple(value.tensor for value in placed)))


def concat(build: Builder, name: str, values: Sequence[Value], axis: int) -> Value:
    """Concatenation of views of tensors that agree in height and width.

    The result is a view, concatenated along any axis, of one tensor with their channels one after another.
    """
    placed = [build.place(value) for value in values]
    rank = len(placed[0].shape)
    shapes = [build.shapes[value.tensor] for value in placed]
    if not -rank <= axis < rank or axis % rank == 0 or any(len(value.shape) != rank for value in placed):
        raise build.refuse(f"it concatenates along axis {axis} of tensors of {rank} dimensions")
    if len({shape[1:] for shape in shapes}) > 1:
        raise build.refuse(f"it concatenates tensors {shapes} (C, H, W) that differ in height or width")
    starts = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
    parts = [build.sample(value) + start for value, start in zip(placed, starts)]
    try:
        index = np.concatenate(parts, axis=axis % rank - 1)
    except ValueError:
        raise build.refuse(f"it concatenates tensors of shapes {[value.shape for value in placed]}") from None
    if len(placed) == 1:
        return placed[0]
    tensor = build.emit(Concat(build.unique(name), tuple(value.tensor for value in placed)))
    return build.value(tensor, index.shape, index)


def pad(
    build: Builder, name: str, value: Value, before: Sequence[int], after: Sequence[int], fill: float = 0.0
) -> Value:
    """Zeros (or minus infinity) around the spatial axes of (N, C, H, W), (N, C, L) or (N, H, W, C)."""
    rank = len(value.shape)
    if len(before) != rank or len(after) != rank or min(*before, *after) < 0:
        raise build.refuse(
            f"padding {list(before)}, {list(after)} of a tensor of {rank} dimensions is not supported"
        )
    if not any(before) and not any(after):
        return value
    if fill != 0 and not fill <= LEAST:
        raise build.refuse(
            f"padding with {fill} is not supported, only zeros, or minus infinity before a max pool"
        )
    for channel in (1, rank - 1):
        if rank not in (3, 4) or before[0] or after[0] or before[channel] or after[channel]:
            continue
        moved = value.view(lambda array, axis=channel: np.moveaxis(array, axis, 1))  # type: ignore[misc]
        moved = build.place(moved, layout(moved.shape[1:]))
        if not build.is_image(moved):
            continue
        sides = [(before[axis], after[axis]) for axis in range(1, rank) if axis != channel]
        (top, bottom), (left, right) = sides if rank == 4 else [(0, 0), *sides]
        border = Window(padding=(top, left, bottom, right))
        tensor = build.emit(Pad(build.unique(name), (moved.tensor,), border, fill != 0))
        shape = build.shapes[tensor]
        result = build.value(tensor, shape if rank == 4 else (shape[0], shape[2]))
        return result.view(lambda array, axis=channel: np.moveaxis(array, 1, axis))  # type: ignore[misc]
    raise build.refuse(
        f"padding {list(before)}, {list(after)} of a tensor of shape {value.shape} is not supported; "
        "only height and width can be padded"
    )


def view(build: Builder, value: Value, function: Callable[[Array], Array]) -> Value:
    """A numpy function that moves elements or changes the shape.

    Behind a softmax only what leaves the classes alone: a reshape that keeps the first axis of a sample.
    Behind an argmax the function moves what belongs to each class alike.
    """
    if value.host[-1:] == ("argmax",):
        function = of_each_class(function)
    build.spend(math.prod(value.shape[1:]))
    try:
        result = value.view(function)
    except (ValueError, IndexError, OverflowError) as error:
        raise build.refuse(f"a tensor of shape {value.seen_shape} cannot be reordered: {error}") from None
    if not value.host:
        return result
    if result.shape[0] != value.shape[0]:
        raise build.refuse(
            f"a tensor of shape {result.seen_shape} has lost its batch dimension; keep it the first one"
        )
    same_order = np.array_equal(result.indices().ravel(), value.indices().ravel())
    if value.host[-1] != "argmax" and (not same_order or result.shape[:2] != value.shape[:2]):
        raise build.refuse(f"it reorders the result of {value.host[-1]}; reorder before it")
    return result


def host(build: Builder, value: Value, function: str, axis: int, keepdims: bool = False) -> Value:
    """Softmax, log-softmax or argmax over the first axis after the batch, at the network's end.

    With ``keepdims`` an argmax leaves an axis of length 1 in place of the classes.
    """
    rank = len(value.shape)
    if not -rank <= axis < rank or axis % rank != 1:
        raise build.refuse(
            f"{function} over axis {axis} of a tensor of shape {value.shape} is not supported, only axis 1"
        )
    if value.host and (function != "argmax" or value.host[-1] == "argmax"):
        raise build.refuse(f"{function} after {value.host[-1]} is not supported")
    build.sample(replace(value, host=()))
    if keepdims:
        value = value.view(lambda array: np.expand_dims(array, 2))
    return replace(value, host=(*value.host, function))


def _bias(build: Builder, bias: Float | None, out: int) -> Float:
    if bias is None:
        return np.zeros(out)
    if bias.size not in (1, out):
        raise build.refuse(f"a bias of shape {bias.shape} does not fit {out} output channels")
    return np.broadcast_to(bias.ravel(), (out,)).copy()


def _like(build: Builder, value: Value, node: Unfolded) -> Value:
    """The result of an elementwise node, seen as its input was."""
    return replace(value, tensor=build.emit(node))


def _pooled(build: Builder, value: Value, window: Window) -> Value:
    if len(value.shape) not in (3, 4):
        raise build.refuse(
            f"pooling of a tensor of shape {value.shape} is not supported, only (N, C, H, W), (N, C, L)"
        )
    if any(pad >= extent for pad, extent in zip(window.padding, window.extent * 2)):
        raise build.refuse(f"padding {window.padding} is not smaller than the window {window.kernel}")
    return build.image(value)


def _windows(build: Builder, value: Value, node: MaxPool | AveragePool) -> Value:
    channels, height, width = build.shapes[build.emit(node)]
    return build.value(node.name, (channels, height, width) if len(value.shape) == 4 else (channels, width))


def _reduction(build: Builder, name: str, source: Value, window: Window, kind: str) -> str:
    make = AveragePool if kind == "mean" else MaxPool
    return build.emit(make(build.unique(name), (source.tensor,), window))
