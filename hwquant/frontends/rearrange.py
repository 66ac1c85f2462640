"""Elements moved, repeated, joined, and surrounded with padding.

Every function takes the builder, and values, as those of `operators` do. What is moved is only seen in another order:
whatever reads it folds the order into its weights, or has the elements copied (see `Builder.image`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from hwquant.frontends import elementwise
from hwquant.frontends.builder import Builder
from hwquant.frontends.fold import LEAST, Pad
from hwquant.frontends.values import Array, Value, layout, of_each_class
from hwquant.graph import Concat
from hwquant.window import Window

Border = Literal["reflect", "edge", "wrap"]


def concat(build: Builder, name: str, values: Sequence[Value], axis: int) -> Value:
    """Concatenate views of tensors, along any axis but the batch.

    The result is a view of one tensor with their channels one after another, where they agree in height and width;
    else of a join of the tensors.
    """
    rank = len(values[0].shape)
    if not -rank <= axis < rank:
        raise build.invalid(f"it concatenates along axis {axis} of tensors of {rank} dimensions")
    if len(values) == 1:
        return values[0]
    if build.single and (axis % rank == 0 or values[0].shape[0] != 1):
        inner = [value.view(lambda array: array[None]) for value in values]
        return concat(build, name, inner, axis % rank + 1).view(lambda array: array[0])
    placed = [value if build.joined(value) else build.place(value) for value in values]
    if axis % rank == 0 or any(len(value.shape) != rank for value in placed):
        raise build.refuse(f"it concatenates along axis {axis} of tensors of {rank} dimensions")
    joins = any(build.joined(value) for value in placed)
    sizes = {build.shapes[value.tensor][1:] for value in placed}
    flat = [math.prod(build.shapes[value.tensor]) - build.joined(value) for value in placed]
    starts = np.cumsum([0, *flat])
    parts = []
    for value, start, size in zip(placed, starts, flat):
        sample = build.sample(value)
        zero = build.joined(value) & (sample == size)
        parts.append(np.where(zero, starts[-1], sample + start))
    try:
        index = np.concatenate(parts, axis=axis % rank - 1)
    except ValueError:
        raise build.refuse(f"it concatenates tensors of shapes {[value.shape for value in placed]}") from None
    tensors = [value.tensor for value in placed]
    if joins or len(sizes) > 1:
        tensor = build.join(name, [part for item in tensors for part in build.parts(item)])
    else:
        tensor = build.emit(Concat(build.unique(name), tuple(tensors)))
    return build.value(tensor, index.shape, index)


def pad(
    build: Builder, name: str, value: Value, before: Sequence[int], after: Sequence[int], fill: float = 0.0
) -> Value:
    """Put a number around a value, along any axes but the batch; where a padding is negative, leave elements out.

    Zeros, and minus infinity, around an image become the padding of windows where that is possible.
    """
    rank = len(value.shape)
    if _lacks_batch(build, value, before, after):
        inner = pad(build, name, value.view(lambda array: array[None]), [0, *before], [0, *after], fill)
        return inner.view(lambda array: array[0])
    if len(before) != rank or len(after) != rank or before[0] or after[0]:
        raise build.refuse(
            f"padding {list(before)}, {list(after)} of a tensor of {rank} dimensions is not supported"
        )
    if min(*before, *after) < 0:
        place = tuple(
            slice(max(0, -first), size - max(0, -last))
            for first, last, size in zip(before, after, value.shape)
        )
        value = view(build, value, lambda array: array[place])
        before, after = ([max(0, number) for number in side] for side in (before, after))
    if not any(before) and not any(after):
        return value
    around = _around_image(build, name, value, before, after, fill)
    if around is not None:
        return around
    if fill <= LEAST or not math.isfinite(fill):
        raise build.refuse(
            f"padding with {fill:g} is only supported before a max pool, around height and width"
        )
    if fill:
        shifted = elementwise.affine(build, f"{name}_below", value, 1.0, -fill)
        zeros = pad(build, name, shifted, before, after)
        return elementwise.affine(build, f"{name}_above", zeros, 1.0, fill)
    widths = list(zip(before, after))[1:]
    build.spend(math.prod(size + sum(width) for size, width in zip(value.shape[1:], widths)))
    return _with_zeros(build, name, value, lambda sample, zero: np.pad(sample, widths, constant_values=zero))


def _lacks_batch(build: Builder, value: Value, before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether the first axis of what is padded belongs to the one sample."""
    return build.single and bool(value.shape) and (value.shape[0] != 1 or any((*before[:1], *after[:1])))


def masked(build: Builder, name: str, value: Value, kept: Array) -> Value:
    """Replace elements of a value, where a mask that broadcasts to a sample is false, by zeros."""
    if build.single:  # the mask may be over the first axis too
        inner = value.view(lambda array: array[None])
        return _masked(build, name, inner, kept).view(lambda array: array[0])
    return _masked(build, name, value, kept)


def _masked(build: Builder, name: str, value: Value, kept: Array) -> Value:
    return _with_zeros(build, name, value, lambda sample, zero: np.where(kept, sample, zero))


def _with_zeros(build: Builder, name: str, value: Value, function: Callable[[Array, int], Array]) -> Value:
    """A view of elements and of zeros: what a function makes of a sample's elements and the number of the zero."""
    placed = value if build.joined(value) else build.place(value)
    tensor, before = build.join(name, build.parts(placed.tensor)), math.prod(build.shapes[placed.tensor])
    zero = math.prod(build.shapes[tensor]) - 1
    sample = build.sample(placed)
    if build.joined(placed):
        sample = np.where(sample == before - 1, zero, sample)
    index = function(sample, zero)
    return build.value(tensor, index.shape, index)


def _around_image(
    build: Builder, name: str, value: Value, before: Sequence[int], after: Sequence[int], fill: float
) -> Value | None:
    """Zeros or minus infinity around the spatial axes of (N, C, H, W), (N, C, L) or (N, H, W, C); None for others."""
    rank = len(value.shape)
    if fill != 0 and not fill <= LEAST:
        return None
    for channel in (1, rank - 1):
        if rank not in (3, 4) or before[channel] or after[channel]:
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
    return None


def border(build: Builder, value: Value, before: Sequence[int], after: Sequence[int], mode: Border) -> Value:
    """Put elements of a value around it: mirrored at its edge, the edge repeated, or those of the other end."""
    rank = len(value.shape)
    if _lacks_batch(build, value, before, after):
        inner = border(build, value.view(lambda array: array[None]), [0, *before], [0, *after], mode)
        return inner.view(lambda array: array[0])
    if len(before) != rank or len(after) != rank or before[0] or after[0]:
        raise build.refuse(
            f"padding {list(before)}, {list(after)} of a tensor of {rank} dimensions is not supported"
        )
    value = pad(build, "", value, [min(0, item) for item in before], [min(0, item) for item in after])
    widths = [(max(0, first), max(0, last)) for first, last in zip(before, after)]
    for size, width in zip(value.shape, widths):
        if max(width) >= size + (mode == "wrap") and mode != "edge":
            raise build.refuse(f"{mode} padding of {width} is more than the {size} elements that there are")
    build.spend(math.prod(size + sum(width) for size, width in zip(value.shape[1:], widths[1:])))
    return view(build, value, lambda array: np.pad(array, widths, mode=mode))


def view(build: Builder, value: Value, function: Callable[[Array], Array]) -> Value:
    """Apply a numpy function that moves or repeats elements, leaves some out, or changes the shape.

    Behind a softmax only what leaves the classes alone is possible: a reshape that keeps the first axis of a sample.
    Behind an argmax the function moves what belongs to each class alike.
    """
    if value.host[-1:] == ("argmax",):
        function = of_each_class(function)
    build.spend(math.prod(build.sample_shape(value)))
    try:
        result = value.view(function)
    except (ValueError, IndexError, OverflowError) as error:
        raise build.misfit(f"a tensor of shape {value.seen_shape} cannot be reordered: {error}") from None
    if math.prod(result.shape) > math.prod(value.shape):
        build.spend(math.prod(build.sample_shape(result)))
    if math.prod(result.shape) < 1:
        raise build.refuse(f"nothing is left of a tensor of shape {value.seen_shape}")
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
