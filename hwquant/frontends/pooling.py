"""Means, sums and maxima, over windows and over whole axes.

Every function takes the builder, a name for the node, and values, as those of `operators` do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from hwquant.frontends import elementwise, rearrange
from hwquant.frontends.builder import Builder
from hwquant.frontends.found_copies import MOST
from hwquant.frontends.limits import LARGEST_MATRIX
from hwquant.frontends.operators import conv_1x1, linear, max_pool, pooled, windowed
from hwquant.frontends.values import Value, each_once, layout
from hwquant.graph import Add, AveragePool, Concat, Conv, MaxPool
from hwquant.window import Window

Reduction = Literal["mean", "sum", "max", "min"]


class _Run(NamedTuple):
    """Positions of a window along an axis that see equally many pixels, and are at equal distances.

    Attributes
    ----------
    start, stop : int
        The pixels from the first that the first position sees to the last that the last one sees.
    kernel : int
        Pixels that each position sees.
    stride : int
        Pixels from a position to the next; 0 where all see the same.
    positions : int
        How many they are.
    """

    start: int
    stop: int
    kernel: int
    stride: int
    positions: int


def average_pool(build: Builder, name: str, value: Value, window: Window, count_include_pad: bool) -> Value:
    """Take the mean over windows of (N, C, H, W) or (N, C, L).

    Where padding is not counted, positions that see equally many pixels are pools of their own, without padding.
    """
    if window.dilation != (1, 1):
        raise build.refuse("average pooling with dilation is not supported")
    source = pooled(build, value, window)
    if window.pointwise:
        return value
    if window.padded and not count_include_pad:
        return _without_padding(build, name, source, window)
    pool = AveragePool(build.unique(name), (source.tensor,), window, count_include_pad and window.padded)
    return windowed(build, value, pool)


def counting(build: Builder, name: str, value: Value, asked: Window, found: Window) -> Value:
    """Take the mean over windows in which the padding asked for counts, and what they find beyond it does not."""
    extra = (found.padding[2] - asked.padding[2], found.padding[3] - asked.padding[3])
    top, left, bottom, right = asked.padding
    spatial = 1 if len(value.shape) == 3 else 2
    before, after = [0, 0, *(top, left)[2 - spatial :]], [0, 0, *(bottom, right)[2 - spatial :]]
    padded = rearrange.pad(build, f"{name}_padded", value, before, after)
    return average_pool(
        build, name, padded, replace(found, padding=(0, 0, max(0, extra[0]), max(0, extra[1]))), False
    )


def _without_padding(build: Builder, name: str, value: Value, window: Window) -> Value:
    size = layout(value.shape[1:])[1:]
    rows, columns = (
        _runs(length, window.kernel[axis], window.stride[axis], window.padding[axis], count)
        for axis, (length, count) in enumerate(zip(size, window.output_size(size)))
    )
    if min(run.kernel for run in (*rows, *columns)) < 1:
        raise build.refuse("one of its windows covers only padding; give it less padding")
    return _in_runs(
        build,
        name,
        value,
        (rows, columns),
        lambda part, own: average_pool(build, name, part, own, False),
    )


def adaptive_pool(
    build: Builder, name: str, value: Value, wanted: Sequence[int], kind: Literal["mean", "max"]
) -> Value:
    """Take the mean or maximum over windows of (N, C, H, W) or (N, C, L) that the wanted output size gives.

    Of ``n`` positions over ``l`` pixels, position ``i`` sees those from ``floor(i l / n)`` to ``ceil((i + 1) l / n)``.
    """

    def pool(part: Value, window: Window) -> Value:
        if kind == "mean":
            return average_pool(build, name, part, window, False)
        return max_pool(build, name, part, window)

    sizes = layout(value.shape[1:])[1:]
    rows, columns = (_adaptive_runs(*axis) for axis in zip(sizes, (1, *wanted)[-2:]))
    if len(rows) * len(columns) > MOST:
        raise build.refuse(
            f"adaptive pooling of {list(value.shape[2:])} to {list(wanted)} has {len(rows) * len(columns)} kinds of "
            f"windows, more than {MOST}; choose output sizes that divide the input's"
        )
    return _in_runs(build, name, value, (rows, columns), pool)


def _in_runs(
    build: Builder,
    name: str,
    value: Value,
    runs: tuple[Sequence[_Run], Sequence[_Run]],
    pool: Callable[[Value, Window], Value],
) -> Value:
    """Pool (N, C, H, W) or (N, C, L) by runs of rows and columns: each pair is a pool of its own, without padding."""
    image = len(value.shape) == 4
    lines = []
    for row in runs[0]:
        line = []
        for column in runs[1]:
            across = slice(column.start, column.stop)
            place = (slice(None), slice(None), *([slice(row.start, row.stop)] if image else []), across)
            part = rearrange.view(build, value, lambda array, place=place: array[place])  # type: ignore[misc]
            own = Window((row.kernel, column.kernel), (row.stride or 1, column.stride or 1))
            line.append(_repeated(build, pool(part, own), row, column))
        lines.append(rearrange.concat(build, name, line, -1))
    return rearrange.concat(build, name, lines, 2 if image else -1)


def _repeated(build: Builder, value: Value, row: _Run, column: _Run) -> Value:
    """Repeat the one row, or column, of positions that all see the same pixels."""
    for axis, run in ((-2, row), (-1, column)):
        if run.stride == 0:
            value = rearrange.view(
                build,
                value,
                lambda array, axis=axis, run=run: array.repeat(run.positions, axis),  # type: ignore[misc]
            )
    return value


def _adaptive_runs(length: int, count: int) -> list[_Run]:
    """Divide the positions of an adaptive pool along an axis of ``length`` pixels."""
    runs: list[_Run] = []
    for position in range(count):
        start, stop = position * length // count, -(-(position + 1) * length // count)
        last = runs[-1] if runs else None
        if last and last.kernel == stop - start and (last.positions == 1 or last.stride == stop - last.stop):
            runs[-1] = last._replace(stop=stop, stride=stop - last.stop, positions=last.positions + 1)
        else:
            runs.append(_Run(start, stop, stop - start, stop - start, 1))
    return runs


def _runs(length: int, kernel: int, stride: int, before: int, count: int) -> list[_Run]:
    """Divide the positions along an axis of ``length`` pixels by how many pixels they see."""
    runs: list[_Run] = []
    for position in range(count):
        start = max(0, position * stride - before)
        stop = min(length, position * stride - before + kernel)
        last = runs[-1] if runs else None
        if last and stop - start == last.kernel and stop == last.stop + stride:
            runs[-1] = last._replace(stop=stop, positions=last.positions + 1)
        else:
            runs.append(_Run(start, stop, stop - start, stride, 1))
    return runs


def reduce(
    build: Builder, name: str, value: Value, axes: Sequence[int], keepdims: bool, kind: Reduction
) -> Value:
    """Take the mean, sum, maximum or minimum over some of the axes after the batch."""
    rank = len(value.shape)
    reduced = sorted({axis % rank for axis in axes if -rank <= axis < rank})
    if build.single and len(reduced) == len(axes) and (0 in reduced or value.shape[0] != 1):
        whole = value.view(lambda array: array[None])
        inner = reduce(build, name, whole, [axis + 1 for axis in reduced], keepdims, kind)
        return inner.view(lambda array: array[0, ...])
    if len(reduced) != len(axes) or 0 in reduced:
        raise build.refuse(f"it reduces axes {list(axes)} of {rank}; the batch, axis 0, cannot be reduced")
    if not reduced:
        return value
    if kind == "min":
        negative = elementwise.affine(build, f"{name}_negative", value, -1.0, 0.0)
        least = reduce(build, name, negative, axes, keepdims, "max")
        return elementwise.affine(build, f"{name}_positive", least, -1.0, 0.0)
    shape = [
        1 if axis in reduced else value.shape[axis]
        for axis in range(1, rank)
        if keepdims or axis not in reduced
    ]
    found = _over_pixels(build, name, value, reduced, shape, kind)
    if found is None and kind != "max":
        found = _over_channels(build, name, value, reduced, shape, kind)
    return _over_axes(build, name, value, reduced, shape, kind) if found is None else found


def _over_pixels(
    build: Builder, name: str, value: Value, reduced: Sequence[int], shape: Sequence[int], kind: Reduction
) -> Value | None:
    """Reduce over the height, the width or both of a tensor; None where the axes are others."""
    rank = len(value.shape)
    kept = [axis for axis in range(1, rank) if axis not in reduced]
    if len(kept) == 1:
        moved = value.view(lambda array: array.transpose(0, *kept, *reduced))
        source = build.place(moved, layout(moved.shape[1:]))
        channels, height, width = build.shapes[source.tensor]
        sample = build.sample(source).reshape(moved.shape[1], -1)
        rows = sample // (height * width)
        if (
            each_once(sample, channels * height * width)
            and len(rows) == channels
            and (rows == rows[:, :1]).all()
        ):
            tensor = _reduction(build, name, source, Window((height, width), (height, width)), kind)
            return build.value(tensor, shape, rows[:, 0].reshape(shape))
    elif rank == 4 and 1 not in reduced:
        source = build.image(value)
        _, height, width = build.shapes[source.tensor]
        kernel = (height if 2 in reduced else 1, width if 3 in reduced else 1)
        return build.value(_reduction(build, name, source, Window(kernel, kernel), kind), shape)
    return None


def _reduction(build: Builder, name: str, source: Value, window: Window, kind: Reduction) -> str:
    name, tensor = build.unique(name), source.tensor
    if kind == "sum":
        channels = build.shapes[tensor][0]
        ones = np.ones((channels, 1, *window.kernel))
        return build.emit(Conv(name, (tensor,), ones, np.zeros(channels), window, groups=channels))
    return build.emit((AveragePool if kind == "mean" else MaxPool)(name, (tensor,), window))


def _over_channels(
    build: Builder, name: str, value: Value, reduced: Sequence[int], shape: Sequence[int], kind: Reduction
) -> Value | None:
    """Sum channels of a tensor, or take their mean, pixel by pixel; None where something else is summed.

    Of tensors that were only concatenated, as a stack of them is, it is their sum.
    """
    kept = [axis for axis in range(1, len(value.shape)) if axis not in reduced]
    count = math.prod(value.shape[axis] for axis in reduced)
    source = build.place(value.view(lambda array: array.transpose(0, *kept, *reduced)))
    channels, height, width = build.shapes[source.tensor]
    summed, pixels = np.divmod(build.sample(source).reshape(-1, count), height * width)
    if (pixels != pixels[:, :1]).any():
        return None
    sets, which = np.unique(summed, axis=0, return_inverse=True)
    index = which.ravel() * height * width + pixels[:, 0]
    if not each_once(index, len(sets) * height * width) or len(sets) * channels > LARGEST_MATRIX:
        return None
    weight = np.zeros((len(sets), channels))
    np.add.at(weight, (np.arange(len(sets))[:, None], sets), 1.0 if kind == "sum" else 1 / count)
    made, part = build.producer(source.tensor), channels // count
    if (
        isinstance(made, Concat)
        and {build.shapes[item] for item in made.inputs} == {(part, height, width)}
        and np.array_equal(weight != 0, np.tile(np.eye(part, dtype=bool), len(made.inputs)))
    ):
        total = build.value(build.emit(Add(build.unique(name), made.inputs)), shape, index.reshape(shape))
        factor = 1.0 if kind == "sum" else 1 / count
        return elementwise.affine(build, f"{name}_mean", total, factor, 0.0)
    conv = Conv(build.unique(name), (source.tensor,), weight[:, :, None, None], np.zeros(len(sets)))
    return build.value(build.emit(conv), shape, index.reshape(shape))


def _over_axes(
    build: Builder, name: str, value: Value, reduced: Sequence[int], shape: Sequence[int], kind: Reduction
) -> Value:
    """Reduce over any axes: they become the channels of a matrix product, or the width of a maximum."""
    kept = [axis for axis in range(1, len(value.shape)) if axis not in reduced]
    count = math.prod(value.shape[axis] for axis in reduced)
    sizes = [value.shape[axis] for axis in kept]
    batch = value.shape[0]
    if kind == "max":
        flat = value.view(
            lambda array: array.transpose(0, *kept, *reduced).reshape(batch, math.prod(sizes), 1, count)
        )
        result = max_pool(build, name, flat, Window((1, count), (1, count)))
    else:
        weight = np.full((1, count), 1.0 if kind == "sum" else 1 / count)
        if not kept:
            flat = value.view(lambda array: array.reshape(batch, count))
            result = linear(build, name, flat, weight, None)
        else:
            flat = value.view(lambda array: array.transpose(0, *reduced, *kept).reshape(batch, count, *sizes))
            result = conv_1x1(build, name, flat, weight, None)
    return result.view(lambda array: array.reshape(batch, *shape))


def extreme(build: Builder, name: str, values: Sequence[Value], kind: Literal["max", "min"]) -> Value:
    """Take the elementwise maximum or minimum of values: of pixels side by side."""
    if len(values) == 1:
        return values[0]
    if kind == "min":
        values = [elementwise.affine(build, f"{name}_negative", value, -1.0, 0.0) for value in values]
    seen = elementwise.broadcast_together(build, values)
    parts = [build.with_batch(value) for value in seen]
    shape = parts[0].shape
    columns = [part.view(lambda array: array.reshape(*layout_of(array), 1)) for part in parts]
    together = rearrange.concat(build, name, columns, -1)
    flat = together.view(lambda array: array.reshape(*array.shape[:3], -1))
    largest = max_pool(build, name, flat, Window((1, len(values)), (1, len(values))))
    result = build.as_given(largest.view(lambda array: array.reshape(shape)), seen[0])
    return elementwise.affine(build, f"{name}_positive", result, -1.0, 0.0) if kind == "min" else result


def layout_of(array: np.ndarray) -> tuple[int, ...]:
    """The shape (N, C, H, W) of an array whose first axis is the batch."""
    return (array.shape[0], *layout(array.shape[1:]))
