"""ONNX's operators that take, repeat, join and surround elements: what is read of them is copied, or folded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from hwquant.frontends import rearrange, resize
from hwquant.frontends.onnx_call import OnnxCall
from hwquant.frontends.values import Array, Value


def _axis(call: OnnxCall, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise call.build.invalid(f"axis {axis} of a tensor of {rank} dimensions does not exist")
    return axis % rank


def _take(call: OnnxCall, value: Value, axis: int, places: resize.Places) -> Value:
    """Places of one axis; of the batch only all, in order."""
    everything = np.array_equal(places, np.arange(value.shape[axis]))
    chosen = [places if number == axis and not everything else None for number in range(len(value.shape))]
    return resize.nearest(call.build, value, chosen)


def slice_(call: OnnxCall) -> Value:
    """The operator Slice, its bounds constant."""
    value, rank = call.value(), len(call.value().shape)
    starts, ends = call.integers(1, "starts") or [], call.integers(2, "ends") or []
    axes, steps = call.integers(3, "axes"), call.integers(4)
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise call.build.refuse(f"its starts {starts}, ends {ends}, axes {axes} and steps {steps} do not fit")
    for start, end, given, step in zip(starts, ends, axes, steps):
        axis = _axis(call, given, rank)
        size = value.shape[axis]
        low, high = (0, size) if step > 0 else (-1, size - 1)
        first, last = (min(max(item + size if item < 0 else item, low), high) for item in (start, end))
        value = _take(call, value, axis, np.arange(max(first, 0), last, step))
    return value


def split(call: OnnxCall) -> tuple[Value, ...]:
    """The operator Split, into parts of given sizes or of equal ones."""
    value, sizes = call.value(), call.integers(1, "split")
    axis = _axis(call, call.attributes["axis"], len(value.shape))
    length, count = value.shape[axis], call.attributes.get("num_outputs", call.outputs)
    if sizes is None:
        size = -(-length // count)
        sizes = [min(size, length - start) for start in range(0, length, size)]
    if sum(sizes) != length or min(sizes) < 1 or len(sizes) != call.outputs:
        raise call.build.refuse(f"it splits {length} elements into {call.outputs} parts of {sizes}")
    edges = np.cumsum([0, *sizes]).tolist()
    return tuple(_take(call, value, axis, np.arange(*pair)) for pair in pairwise(edges))


def gather(call: OnnxCall) -> Value:
    """The operator Gather, with constant indices."""
    value, places = call.value(0), call.constant(1)
    axis = _axis(call, call.attributes["axis"], len(value.shape))
    if places.ndim == 1:
        size = value.shape[axis]
        if places.size and not -size <= places.min() <= places.max() < size:
            raise call.build.invalid(f"its indices {places.min()}..{places.max()} are not all among {size}")
        return _take(call, value, axis, np.where(places < 0, places + size, places).astype(np.int64))
    call.build.spend(math.prod(value.shape) // value.shape[axis] * places.size)
    return rearrange.view(call.build, value, lambda array: array.take(places, axis))


def compress(call: OnnxCall) -> Value:
    """The operator Compress, with a constant condition and an axis."""
    value, kept = call.value(0), call.constant(1).ravel()
    axis = call.attributes.get("axis")
    if axis is None:
        raise call.build.refuse("it takes elements of everything, the batch included; give its axis")
    return _take(call, value, _axis(call, axis, len(value.shape)), np.flatnonzero(kept))


def expand(call: OnnxCall) -> Value:
    """The operator Expand: elements repeated up to a shape."""
    value, shape = call.value(0), call.integers(1) or []
    try:
        target = np.broadcast_shapes(value.shape, tuple(shape))
    except ValueError:
        raise call.build.refuse(f"a tensor of shape {value.shape} cannot be expanded to {shape}") from None
    call.build.spend(math.prod(target if call.build.single else target[1:]))
    return rearrange.view(call.build, value, lambda array: np.broadcast_to(array, target))


def tile(call: OnnxCall) -> Value:
    """The operator Tile: a tensor repeated along its axes."""
    value, repeats = call.value(0), call.integers(1) or []
    batched = not call.build.single
    if len(repeats) != len(value.shape) or (batched and repeats[0] != 1) or min(repeats, default=1) < 1:
        raise call.build.refuse(f"repeating a tensor of shape {value.shape} {repeats} times is not supported")
    call.build.spend(math.prod(value.shape[1:]) * math.prod(repeats))
    return rearrange.view(call.build, value, lambda array: np.tile(array, repeats))


def depth_to_space(call: OnnxCall) -> Value:
    """The operator DepthToSpace."""
    columns_first = call.attributes.get("mode", "DCR") == "CRD"
    moved = resize.depth_to_space(call.attributes["blocksize"], columns_first)
    return rearrange.view(call.build, call.value(), moved)


def space_to_depth(call: OnnxCall) -> Value:
    """The operator SpaceToDepth."""
    columns_first = call.attributes.get("mode", "DCR") == "CRD"
    moved = resize.space_to_depth(call.attributes["blocksize"], columns_first)
    return rearrange.view(call.build, call.value(), moved)


COORDINATES: dict[str, Callable[[np.ndarray, float, int, int], np.ndarray]] = {
    "half_pixel": lambda x, scale, size, made: (x + 0.5) / scale - 0.5,
    "half_pixel_symmetric": lambda x, scale, size, made: (
        size / 2 * (1 - made / (scale * size)) + (x + 0.5) / scale - 0.5
    ),
    "pytorch_half_pixel": lambda x, scale, size, made: (x + 0.5) / scale - 0.5 if made > 1 else 0 * x,
    "align_corners": lambda x, scale, size, made: x * (size - 1) / (made - 1) if made > 1 else 0 * x,
    "asymmetric": lambda x, scale, size, made: x / scale,
}
"""The coordinate that a coordinate of the result had, by ``coordinate_transformation_mode``."""

ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}
"""The pixel of a coordinate, by ``nearest_mode``."""


def resize_(call: OnnxCall) -> Value:
    """The operator Resize, to the nearest pixel."""
    old = call.opset < 11  # inputs X and scales alone, and the rule of Upsample
    value, rank = call.value(0), len(call.value(0).shape)
    axes = call.attributes.get("axes") or list(range(rank))
    axes = [_axis(call, axis, rank) for axis in axes]
    factors = 1 if old else 2
    scales = call.weights(factors).ravel().tolist() if call.given(factors) else []
    sizes = call.integers(3) if call.given(3) else None
    if sizes:
        scales = _to_sizes(call, value, axes, sizes)
    elif len(scales) == len(axes):
        sizes = [math.floor(value.shape[axis] * scale) for axis, scale in zip(axes, scales)]
    if not sizes or len(sizes) != len(axes) or len(scales) != len(axes) or min(scales) <= 0:
        raise call.build.refuse(f"its scales {scales} or sizes {sizes} do not fit the axes {axes}")
    if call.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        sizes = [max(1, math.floor(value.shape[axis] * scale + 0.5)) for axis, scale in zip(axes, scales)]
    mode = "asymmetric" if old else call.attributes["coordinate_transformation_mode"]
    if mode not in COORDINATES:
        raise call.build.refuse(f"coordinate_transformation_mode={mode!r} is not computed")
    rounding = "floor" if old else call.attributes["nearest_mode"]
    return _nearest(call, value, axes, scales, sizes, mode, rounding)


def _to_sizes(call: OnnxCall, value: Value, axes: Sequence[int], sizes: Sequence[int]) -> list[float]:
    """The factors by which axes grow to the given sizes, all alike where the aspect ratio is kept."""
    if len(sizes) != len(axes) or min(sizes) < 1:
        raise call.build.refuse(f"its sizes {list(sizes)} do not fit the axes {list(axes)}")
    scales = [size / value.shape[axis] for size, axis in zip(sizes, axes)]
    policy = call.attributes.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return scales
    return [min(scales) if policy == "not_larger" else max(scales)] * len(axes)


def _nearest(
    call: OnnxCall,
    value: Value,
    axes: Sequence[int],
    scales: Sequence[float],
    sizes: Sequence[int],
    mode: str,
    rounding: str,
) -> Value:
    places: list[resize.Places | None] = [None] * len(value.shape)
    for axis, scale, size in zip(axes, scales, sizes):
        have = value.shape[axis]
        if size < 1:
            raise call.build.refuse(f"it resizes {have} elements of axis {axis} to {size}")
        call.build.spend(size)
        original = COORDINATES[mode](np.arange(size, dtype=np.float64), scale, have, size)
        chosen = np.clip(ROUNDINGS[rounding](original), 0, have - 1).astype(np.int64)
        if not np.array_equal(chosen, np.arange(have)):
            places[axis] = chosen
    return resize.nearest(call.build, value, places)


def upsample(call: OnnxCall) -> Value:
    """The operator Upsample, to the nearest pixel."""
    value = call.value(0)
    given = call.attributes.get("scales")
    scales = call.weights(1).ravel().tolist() if call.given(1) else list(given or [])
    if len(scales) != len(value.shape) or min(scales) < 1:
        raise call.build.refuse(f"its scales {scales} do not fit a tensor of shape {value.shape}")
    sizes = [math.floor(size * scale) for size, scale in zip(value.shape, scales)]
    return _nearest(call, value, range(len(scales)), scales, sizes, "asymmetric", "floor")


def center_crop_pad(call: OnnxCall) -> Value:
    """The operator CenterCropPad: zeros around what is too small, and the middle of what is too large."""
    value, sizes = call.value(0), call.integers(1) or []
    rank = len(value.shape)
    axes = [_axis(call, axis, rank) for axis in call.attributes.get("axes") or range(rank)]
    if len(sizes) != len(axes):
        raise call.build.refuse(f"its sizes {sizes} do not fit the axes {axes}")
    before, after = [0] * rank, [0] * rank
    for axis, size in zip(axes, sizes):
        missing = size - value.shape[axis]
        before[axis] = missing // 2 if missing >= 0 else -(-missing // 2)
        after[axis] = missing - before[axis]
    return rearrange.pad(call.build, call.name, value, before, after)


def concat(call: OnnxCall) -> Value:
    """The operator Concat."""
    values = [call.value(index) for index in range(len(call.inputs))]
    return rearrange.concat(call.build, call.name, values, call.attributes["axis"])


def pad(call: OnnxCall) -> Value:
    """The operator Pad, with a constant around the elements, or with elements."""
    value, mode = call.value(), call.attributes.get("mode", "constant")
    fill = call.number(2) if call.given(2) else call.attributes.get("value", 0.0)
    pads, rank = call.integers(1, "pads") or [], len(value.shape)
    axes = call.integers(3)
    axes = list(range(rank)) if axes is None else axes
    places = {axis % rank for axis in axes if -rank <= axis < rank}
    if len(pads) != 2 * len(axes) or len(places) != len(axes):
        raise call.build.refuse(f"{len(pads)} paddings do not fit the axes {axes} of {rank}")
    before, after = [0] * rank, [0] * rank
    for axis, first, last in zip(axes, pads, pads[len(axes) :]):
        before[axis], after[axis] = first, last
    if mode == "constant":
        return rearrange.pad(call.build, call.name, value, before, after, fill)
    return rearrange.border(call.build, value, before, after, mode)


def trilu(call: OnnxCall) -> Value:
    """The operator Trilu: zeros on one side of a diagonal."""
    value = call.value(0)
    if len(value.shape) < (2 if call.build.single else 3):
        raise call.build.refuse("it takes the batch for the rows of a matrix")
    diagonal = int(call.constant(1).item()) if call.given(1) else 0
    triangle = np.triu if call.attributes["upper"] else np.tril
    kept: Array = triangle(np.ones(value.shape[-2:], bool), diagonal)
    return rearrange.masked(call.build, call.name, value, kept)
