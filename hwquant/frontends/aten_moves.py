"""The ATen operators that take, repeat, join and surround elements, of activations or of constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from hwquant.frontends import rearrange, resize
from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.aten_views import LARGEST_CONSTANT, axis_of
from hwquant.frontends.values import Array, Value

Taken = Value | Array
Places = resize.Places


def _take(call: AtenCall, source: Any, axis: int, places: Places) -> Taken:
    """Places of one axis; of the batch of an activation only all, in order."""
    if not isinstance(source, Value):
        return np.asarray(source).take(places, axis)
    everything = np.array_equal(places, np.arange(source.shape[axis]))
    chosen = [places if number == axis and not everything else None for number in range(len(source.shape))]
    return resize.nearest(call.build, source, chosen)


def _axis(call: AtenCall, name: str = "dim") -> int:
    return axis_of(call.get(name, 0), len(call.get("self").shape))


def _places(call: AtenCall, indices: Array, size: int) -> Places:
    """Indices that count from the front."""
    if np.asarray(indices).dtype.kind not in "iu":
        raise call.build.refuse("its indices are no integers")
    if indices.size and not -size <= indices.min() <= indices.max() < size:
        raise call.build.refuse(f"its indices {indices.min()}..{indices.max()} are not all among {size}")
    return np.where(indices < 0, indices + size, indices).astype(np.int64)


def slice_(call: AtenCall) -> Taken:
    """The operator ``slice``."""
    source, axis = call.get("self"), _axis(call)
    places = range(source.shape[axis])[slice(call.get("start"), call.get("end"), call.get("step", 1))]
    return _take(call, source, axis, np.array(places, np.int64))


def select(call: AtenCall) -> Taken:
    """The operator ``select``: one place of an axis, which is left out."""
    source, axis = call.get("self"), _axis(call)
    place = range(source.shape[axis])[call.get("index", 0)]
    taken = _take(call, source, axis, np.array([place]))
    return _moved(call, taken, lambda array: array.squeeze(axis))


def narrow(call: AtenCall) -> Taken:
    """The operator ``narrow``: ``length`` places from ``start`` on."""
    source, axis = call.get("self"), _axis(call)
    size = source.shape[axis]
    start, length = call.get("start", 0), call.get("length", 0)
    start += size if start < 0 else 0
    if not 0 <= start <= start + length <= size:
        raise call.build.refuse(f"it takes {length} of {size} elements from {start} on")
    return _take(call, source, axis, np.arange(start, start + length))


def _parts(call: AtenCall, edges: list[int]) -> list[Taken]:
    source, axis = call.get("self"), _axis(call)
    return [_take(call, source, axis, np.arange(*pair)) for pair in pairwise(edges)]


def split(name: str) -> Callable[[AtenCall], list[Taken]]:
    """The variants of ``split``: parts of one size, or of the given ones."""

    def translate(call: AtenCall) -> list[Taken]:
        length, given = call.get("self").shape[_axis(call)], call.get(name)
        if isinstance(given, list):
            sizes = call.integers(name)
            if sum(sizes) != length or min(sizes, default=0) < 0:
                raise call.build.refuse(f"it splits {length} elements into parts of {sizes}")
            return _parts(call, np.cumsum([0, *sizes]).tolist())
        if given < 1:
            raise call.build.refuse(f"it splits into parts of {given} elements")
        return _parts(call, [*range(0, length, given), length])

    return translate


def chunk(call: AtenCall) -> list[Taken]:
    """The operator ``chunk``: as many equal parts, the last one shorter."""
    length, count = call.get("self").shape[_axis(call)], call.get("chunks", 0)
    if count < 1:
        raise call.build.refuse(f"it splits into {count} parts")
    return _parts(call, [*range(0, length, -(-length // count)), length])


def unbind(call: AtenCall) -> list[Taken]:
    """The operator ``unbind``: each place of an axis."""
    source, axis = call.get("self"), _axis(call)
    parts = (_take(call, source, axis, np.array([place])) for place in range(source.shape[axis]))
    return [_moved(call, part, lambda array: array.squeeze(axis)) for part in parts]


def index_select(call: AtenCall) -> Taken:
    """The operator ``index_select``, with constant indices."""
    source, axis = call.get("self"), _axis(call)
    return _take(call, source, axis, _places(call, call.constant("index").reshape(-1), source.shape[axis]))


def index(call: AtenCall) -> Taken:
    """The operator ``index`` with constant indices: of single axes, one after the other."""
    source, given = call.get("self"), call.get("indices")
    if len(given) > len(source.shape) or any(isinstance(item, Value) for item in given):
        raise call.build.refuse("it takes places that are computed; they must be constants")
    arrays = [(axis, np.asarray(item)) for axis, item in enumerate(given) if item is not None]
    separate = [array.reshape(-1) for _, array in arrays]
    if len(arrays) > 1:  # each varies along a dimension of its own, as torch.meshgrid or unsqueeze make them
        rank = max(array.ndim for _, array in arrays)
        own = [np.flatnonzero(np.array((1,) * (rank - array.ndim) + array.shape) > 1) for _, array in arrays]
        consecutive = [axis for axis, _ in arrays] == list(range(arrays[0][0], arrays[0][0] + len(arrays)))
        if (
            rank != len(arrays)
            or not consecutive
            or any(set(axes) - {number} for number, axes in enumerate(own))
        ):
            raise call.build.refuse("it takes single elements by several indices, not whole lines")
    elif arrays and arrays[0][1].ndim != 1:
        raise call.build.refuse(f"its indices have the shape {arrays[0][1].shape}, not one dimension")
    for (axis, _), places in zip(arrays, separate):
        source = _take(call, source, axis, _places(call, places, source.shape[axis]))
    return source


def roll(call: AtenCall) -> Taken:
    """The operator ``roll``: what leaves an axis at its end comes in at its beginning."""
    source, shifts, axes = call.get("self"), call.integers("shifts"), call.integers("dims")
    if len(axes) != len(shifts):
        raise call.build.refuse("it rolls everything as one row, the batch included; give its dimensions")
    for shift, axis in zip(shifts, axes):
        number = axis_of(axis, len(source.shape))
        source = _take(call, source, number, np.roll(np.arange(source.shape[number]), shift))
    return source


def flip(call: AtenCall) -> Taken:
    """The operator ``flip``: axes backward."""
    source = call.get("self")
    for axis in call.integers("dims"):
        number = axis_of(axis, len(source.shape))
        source = _take(call, source, number, np.arange(source.shape[number])[::-1])
    return source


def repeat(name: str) -> Callable[[AtenCall], Taken]:
    """The operators ``repeat`` and ``tile``: a tensor repeated along its axes."""

    def translate(call: AtenCall) -> Taken:
        source, times = call.get("self"), call.integers(name)
        times = [1] * (len(source.shape) - len(times)) + times
        lead = len(times) - len(source.shape)
        batched = isinstance(source, Value) and not call.build.single
        if min(times, default=1) < 1 or (batched and (lead or times[0] != 1)):
            raise call.build.refuse(
                f"repeating a tensor of shape {tuple(source.shape)} {times} times is not supported"
            )
        _spend(call, source, math.prod(source.shape) * math.prod(times))
        return _moved(call, source, lambda array: np.tile(array, times))

    return translate


def repeat_interleave(call: AtenCall) -> Taken:
    """The operator ``repeat_interleave``: each place of an axis, several times."""
    source, times = call.get("self"), call.get("repeats", 0)
    if call.get("dim") is None or times < 1:
        raise call.build.refuse("it repeats elements of everything, the batch included; give its dimension")
    axis, size = _axis(call), call.get("output_size")
    if size not in (None, source.shape[axis] * times):
        raise call.build.refuse(f"it gives {source.shape[axis] * times} elements, not output_size={size}")
    _spend(call, source, math.prod(source.shape) * times)
    return _take(call, source, axis, np.arange(source.shape[axis]).repeat(times))


def stack(call: AtenCall) -> Taken:
    """The operator ``stack``: tensors joined along a new axis."""
    values = call.get("tensors")
    axis = axis_of(call.get("dim", 0), len(values[0].shape) + 1)
    if not any(isinstance(value, Value) for value in values):
        return np.stack(values, axis)
    if not all(isinstance(value, Value) for value in values):
        raise call.build.refuse("it stacks a constant; only activations can be")
    parts = [value.view(lambda array: np.expand_dims(array, axis)) for value in values]
    return rearrange.concat(call.build, call.name, parts, axis)


def movedim(call: AtenCall) -> Taken:
    """The operator ``movedim``."""
    source, target = call.integers("source"), call.integers("destination")
    return _moved(call, call.get("self"), lambda array: np.moveaxis(array, source, target))


def pixel_shuffle(call: AtenCall) -> Taken:
    """The operator ``pixel_shuffle``."""
    return _moved(call, call.get("self"), resize.depth_to_space(call.get("upscale_factor"), True))


def pixel_unshuffle(call: AtenCall) -> Taken:
    """The operator ``pixel_unshuffle``."""
    return _moved(call, call.get("self"), resize.space_to_depth(call.get("downscale_factor"), True))


def channel_shuffle(call: AtenCall) -> Taken:
    """The operator ``channel_shuffle``: groups of channels dealt out in turn."""
    groups = call.get("groups")

    def shuffled(array: Array) -> Array:
        count, channels, *rest = array.shape
        return array.reshape(count, groups, channels // groups, *rest).swapaxes(1, 2).reshape(array.shape)

    return _moved(call, call.get("self"), shuffled)


def upsample(exact: bool) -> Callable[[AtenCall], Taken]:
    """The operators ``upsample_nearest1d`` and ``2d``; with ``exact`` by the middles of pixels, not their edges."""

    def translate(call: AtenCall) -> Taken:
        value = call.value("input" if call.get("input") is not None else "self")
        spatial = value.shape[2:]
        sizes, factors = call.get("output_size"), _factors(call)
        if sizes is None:
            sizes = [math.floor(size * factor) for size, factor in zip(spatial, factors)]
        if len(sizes) != len(spatial) or min(sizes, default=0) < 1:
            raise call.build.refuse(f"a tensor of shape {value.shape} cannot be resized to {sizes}")
        call.build.spend(value.shape[1] * math.prod(sizes))
        places: list[Places | None] = [None, None]
        for number, (have, want) in enumerate(zip(spatial, sizes)):
            factor = factors[number] if number < len(factors) else 0.0
            places.append(_nearest(have, want, factor, exact, whole=len(spatial) == 2 and not exact))
        return resize.nearest(call.build, value, places)

    return translate


def _nearest(have: int, want: int, factor: float, exact: bool, whole: bool) -> Places:
    """The places that torch takes for ``want`` ones, which it computes in float32.

    With ``whole``, as of images, it counts them without the factor where the size stays or is doubled.
    """
    if whole and want in (have, 2 * have):
        return np.arange(want) // (want // have)
    ratio = np.float32(1 / factor) if factor > 0 else np.float32(have) / np.float32(want)
    start = np.arange(want, dtype=np.float32) + np.float32(0.5 if exact else 0.0)
    return np.minimum(np.floor(start * ratio), have - 1).astype(np.int64)


def _factors(call: AtenCall) -> list[float]:
    """The factors by which height and width grow, where a call names them."""
    for names in (("scale_factors",), ("scales",), ("scales_h", "scales_w")):
        given = [call.get(name) for name in names]
        if any(item is not None for item in given):
            found = given[0] if isinstance(given[0], list) else given
            return [0.0 if item is None else float(item) for item in found]
    return []


def border(mode: Literal["reflect", "edge", "wrap"]) -> Callable[[AtenCall], Taken]:
    """The operators ``reflection_pad`` and ``replication_pad``, of one axis or two."""
    return lambda call: pad_with(call, "padding", mode)


def pad_with(call: AtenCall, name: str, mode: Literal["reflect", "edge", "wrap"]) -> Taken:
    """Elements around a tensor: a begin and an end of each axis, the last axis first."""
    value, pads = call.value(), call.integers(name)
    before, after = _sides(call, pads, len(value.shape))
    return rearrange.border(call.build, value, before, after, mode)


def _sides(call: AtenCall, pads: list[int], rank: int) -> tuple[list[int], list[int]]:
    """Paddings before and after each axis, from torch's list: the last axis' begin and end, then those before it."""
    if len(pads) % 2 or len(pads) > 2 * rank:
        raise call.build.refuse(f"padding {pads} does not fit a tensor of {rank} dimensions")
    before, after = [0] * rank, [0] * rank
    for axis, (first, last) in enumerate(zip(pads[::2], pads[1::2]), start=1):
        before[-axis], after[-axis] = first, last
    return before, after


def pad(call: AtenCall) -> Taken:
    """The operators ``pad`` and ``constant_pad_nd``."""
    modes: dict[str, Literal["reflect", "edge", "wrap"]] = {
        "reflect": "reflect",
        "replicate": "edge",
        "circular": "wrap",
    }
    mode = call.get("mode", "constant")
    if mode in modes:
        return pad_with(call, "pad", modes[mode])
    if mode != "constant":
        raise call.build.refuse(f"there is no padding {mode!r}")
    value, fill = call.value(), float(call.get("value") or 0.0)
    before, after = _sides(call, call.integers("pad"), len(value.shape))
    return rearrange.pad(call.build, call.name, value, before, after, fill)


def triangle(function: Callable[[Array, int], Array]) -> Callable[[AtenCall], Taken]:
    """The operators ``triu`` and ``tril``: zeros on one side of a diagonal of the last two axes."""

    def translate(call: AtenCall) -> Taken:
        source, diagonal = call.get("self"), call.get("diagonal", 0)
        if not isinstance(source, Value):
            return function(np.asarray(source), diagonal)
        if len(source.shape) < (2 if call.build.single else 3):
            raise call.build.refuse("it takes the batch for the rows of a matrix")
        kept = function(np.ones(source.shape[-2:], bool), diagonal)
        return rearrange.masked(call.build, call.name, source, kept)

    return translate


def arange(call: AtenCall) -> Array:
    """The variants of ``arange``: numbers at equal distances."""
    start, step = call.get("start", 0), call.get("step", 1)
    numbers = np.arange(start, call.get("end"), step) if step else np.empty(0)
    if not 0 < numbers.size <= LARGEST_CONSTANT:
        raise call.build.refuse("a constant that is too large, or has no size")
    return numbers


def _spend(call: AtenCall, source: Taken, elements: int) -> None:
    """Account for what grows."""
    if isinstance(source, Value):
        call.build.spend(elements // source.shape[0])
    elif elements > LARGEST_CONSTANT:
        raise call.build.refuse(f"a constant of {elements} elements is too large")


def _moved(call: AtenCall, source: Any, function: Callable[[Array], Array]) -> Taken:
    if isinstance(source, Value):
        return rearrange.view(call.build, source, function)
    return function(np.asarray(source))
