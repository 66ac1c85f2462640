"""Elements moved, joined and surrounded with padding.

Every function takes the builder, and values, as those of `operators` do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hwquant.frontends.builder import Builder
from hwquant.frontends.fold import LEAST, Pad
from hwquant.frontends.values import Array, Value, layout, of_each_class
from hwquant.graph import Concat
from hwquant.window import Window


def concat(build: Builder, name: str, values: Sequence[Value], axis: int) -> Value:
    """Concatenate views of tensors that agree in height and width.

    The result is a view, concatenated along any axis, of one tensor with their channels one after another.
    """
    rank = len(values[0].shape)
    if build.single and -rank <= axis < rank and (axis % rank == 0 or values[0].shape[0] != 1):
        inner = [value.view(lambda array: array[None]) for value in values]
        return concat(build, name, inner, axis % rank + 1).view(lambda array: array[0])
    placed = [build.place(value) for value in values]
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


def expand(build: Builder, value: Value, size: Sequence[int]) -> Value:
    """Repeat the elements of a value along axes of length 1, for a product with another value to read."""
    if tuple(size) == value.shape:
        return value
    if len(size) != len(value.shape) or size[0] != value.shape[0]:
        raise build.refuse(
            f"it expands an activation of shape {value.shape} to {tuple(size)}; only axes of length 1 behind the batch "
            "can be, for a product"
        )
    build.spend(math.prod(size[1:]))
    placed = build.place(value)
    try:
        index = np.broadcast_to(placed.indices(), tuple(size))
    except ValueError:
        raise build.refuse(f"a tensor of shape {value.shape} cannot be expanded to {tuple(size)}") from None
    return replace(placed, shape=index.shape, index=index, expanded=True)


def pad(
    build: Builder, name: str, value: Value, before: Sequence[int], after: Sequence[int], fill: float = 0.0
) -> Value:
    """Put zeros (or minus infinity) around the spatial axes of (N, C, H, W), (N, C, L) or (N, H, W, C)."""
    rank = len(value.shape)
    if len(before) != rank or len(after) != rank or min(*before, *after) < 0:
        raise build.refuse(
            f"padding {list(before)}, {list(after)} of a tensor of {rank} dimensions is not supported"
        )
    if not any(before) and not any(after):
        return value
    if build.single and value.shape[0] != 1:
        inner = pad(build, name, value.view(lambda array: array[None]), [0, *before], [0, *after], fill)
        return inner.view(lambda array: array[0])
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
    """Apply a numpy function that moves elements or changes the shape.

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
