"""The ATen operators that move elements or change shapes, as numpy functions; and constants made of a size."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hwquant.frontends import rearrange
from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.values import Array, Value

LARGEST_CONSTANT = 1 << 24
"""Elements of a constant that a program makes of nothing, or of fewer."""


def view(function: Callable[[AtenCall], Callable[[Array], Array]]) -> Callable[[AtenCall], Value | Array]:
    """A numpy function, made from the arguments, that moves elements or changes the shape."""

    def translate(call: AtenCall) -> Value | Array:
        source = call.get("self")
        if isinstance(source, Value):
            return rearrange.view(call.build, source, function(call))
        return np.asarray(function(call)(np.asarray(source)))

    return translate


def axis_of(axis: int, rank: int) -> int:
    """An axis counted from the front; raise IndexError where there is none."""
    if not -max(rank, 1) <= axis < max(rank, 1):
        raise IndexError(f"axis {axis} of {rank}")
    return axis % max(rank, 1)


def flatten(call: AtenCall) -> Callable[[Array], Array]:
    """The axes ``start_dim`` to ``end_dim`` as one."""

    def apply(array: Array) -> Array:
        rank = array.ndim
        start, end = axis_of(call.get("start_dim"), rank), axis_of(call.get("end_dim"), rank)
        if start > end:
            raise ValueError(f"it flattens from axis {start} to {end}")
        return array.reshape(*array.shape[:start], -1, *array.shape[end + 1 :])

    return apply


def unflatten(call: AtenCall) -> Callable[[Array], Array]:
    """The axis ``dim`` as several of the given ``sizes``."""

    def apply(array: Array) -> Array:
        axis = axis_of(call.get("dim"), array.ndim)
        return array.reshape(*array.shape[:axis], *call.integers("sizes"), *array.shape[axis + 1 :])

    return apply


def squeeze(call: AtenCall) -> Callable[[Array], Array]:
    """All axes of length 1 left out, or those among ``dim``."""
    asked = call.get("dim")

    def apply(array: Array) -> Array:
        given = range(array.ndim) if asked is None else call.integers("dim")
        axes = [axis_of(axis, array.ndim) for axis in given]
        if len(set(axes)) < len(axes):
            raise ValueError(f"axis {axes} is named twice")
        return array.squeeze(tuple(axis for axis in axes if array.shape[axis] == 1))

    return apply


def swapped(first: str, second: str) -> Callable[[AtenCall], Callable[[Array], Array]]:
    """Two axes exchanged, the arguments of these names."""
    return lambda call: lambda array: array.swapaxes(int(call.get(first)), int(call.get(second)))


def matrix(array: Array) -> Array:
    """The operator ``t``: a matrix transposed; a vector stays as it is."""
    if array.ndim > 2:
        raise ValueError(f"t() of {array.ndim} dimensions")
    return array.T


def shape(name: str) -> Callable[[AtenCall], Callable[[Array], Array]]:
    """The elements in another shape: the argument ``name``, a list of sizes or a tensor that has it."""

    def translate(call: AtenCall) -> Callable[[Array], Array]:
        target = call.get(name)
        shape = target.shape if isinstance(target, Value | np.ndarray) else call.integers(name)
        if any(size < -1 for size in shape):
            raise call.build.refuse(f"a shape with the negative size {min(shape)} does not exist")
        return lambda array: array.reshape(shape)

    return translate


def expand(name: str) -> Callable[[AtenCall], Value | Array]:
    """A tensor broadcast to a size."""

    def translate(call: AtenCall) -> Value | Array:
        source, target = call.get("self"), call.get(name)
        size = list(target) if isinstance(target, list) else list(np.shape(target))
        size = list(target.shape) if isinstance(target, Value) else size
        shape = source.shape if isinstance(source, Value) else np.shape(source)
        lead = len(size) - len(shape)
        if lead < 0 or any(item < 0 for item in size[:lead]):
            raise call.build.refuse(f"a tensor of shape {tuple(shape)} cannot be expanded to {size}")
        size = [*size[:lead], *(have if item == -1 else item for item, have in zip(size[lead:], shape))]
        if not isinstance(source, Value):
            return spread(call, np.asarray(source), size)
        if tuple(size) == tuple(shape):
            return source
        if not call.build.single and (lead or size[:1] != list(shape[:1])):
            raise call.build.refuse(
                f"it repeats samples of shape {tuple(shape)} to {tuple(size)}; keep the batch, the first dimension"
            )
        call.build.spend(math.prod(size) if call.build.single else math.prod(size[1:]))
        return rearrange.view(call.build, source, lambda array: np.broadcast_to(array, size))

    return translate


def spread(call: AtenCall, array: Array, size: list[int]) -> Array:
    """A constant that is broadcast to a size."""
    if any(item < 0 for item in size) or math.prod(size) > LARGEST_CONSTANT:
        raise call.build.refuse(f"a constant of shape {size} is too large, or has no size")
    return np.broadcast_to(array, size)
