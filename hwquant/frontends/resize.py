"""Pixels repeated or left out: resizing to the nearest pixel, and blocks of pixels that change places with channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hwquant.frontends.builder import Builder
from hwquant.frontends.rearrange import view
from hwquant.frontends.values import Array, Value

Places = NDArray[np.int64]


def nearest(build: Builder, value: Value, places: Sequence[Places | None]) -> Value:
    """Take the given places of each axis; None takes all of them as they are."""
    sizes = [size if place is None else len(place) for size, place in zip(value.shape, places)]
    if len(places) != len(value.shape) or (places[0] is not None and not build.single):
        raise build.refuse("it resizes the batch; only the other axes can be resized")
    build.spend(math.prod(sizes if build.single else sizes[1:]))

    def taken(array: Array) -> Array:
        for axis, place in enumerate(places):
            if place is not None:
                array = array.take(place, axis)
        return array

    return view(build, value, taken)


def depth_to_space(block: int, columns_first: bool) -> Callable[[Array], Array]:
    """Channels as pixels of blocks: (N, C b b, H, W) becomes (N, C, H b, W b).

    Blocks are the outer part of the channels (ONNX's "DCR"), or with ``columns_first`` the inner one ("CRD", and
    torch's ``pixel_shuffle``).
    """

    def moved(array: Array) -> Array:
        count, channels, height, width = array.shape
        if block < 1 or channels % (block * block):
            raise ValueError(f"{channels} channels are no multiple of {block} x {block}")
        depth = channels // (block * block)
        if columns_first:
            parts = array.reshape(count, depth, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
        else:
            parts = array.reshape(count, block, block, depth, height, width).transpose(0, 3, 4, 1, 5, 2)
        return parts.reshape(count, depth, height * block, width * block)

    return moved


def space_to_depth(block: int, columns_first: bool) -> Callable[[Array], Array]:
    """Pixels of blocks as channels: what `depth_to_space` undoes."""

    def moved(array: Array) -> Array:
        count, channels, height, width = array.shape
        if block < 1 or height % block or width % block:
            raise ValueError(f"{height} x {width} pixels are no blocks of {block} x {block}")
        parts = array.reshape(count, channels, height // block, block, width // block, block)
        order = (0, 1, 3, 5, 2, 4) if columns_first else (0, 3, 5, 1, 2, 4)
        shape = (count, channels * block * block, height // block, width // block)
        return parts.transpose(order).reshape(shape)

    return moved
