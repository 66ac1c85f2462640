"""TensorFlow Lite files that keep something from call to call, and files with sparse constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hwquant_testing.tflite_files import (
    Operation,
    Sparse,
    Tensor,
    assign,
    beginning,
    built,
    constant,
    handle,
    once,
    read,
    resource,
)

CHANNELS, LINES = 4, 3
"""Of the network that `streaming` makes."""
ONE = {"StrideW": 1, "StrideH": 1, "Padding": 1, "FusedActivationFunction": 1}


def streaming(seed: int, begin: int = -128, scale: float = 0.05) -> bytes:
    """A network of int8 that sees two lines (2, 1, 4) in a call and keeps three, and then one with two that it keeps.

    Its first variable begins with ``begin``, and is assigned numbers of another ``scale`` than it is read with.
    """
    rng = np.random.default_rng(seed)

    def int8(lines: int, channels: int, scale: float) -> Tensor:
        return Tensor((1, lines, 1, channels), np.int8, scales=(scale,), zeros=(-128,))

    def weights(shape: Sequence[int], axis: int, unit: float, most: int = 127) -> tuple[Tensor, Tensor]:
        count = shape[axis]
        scales = tuple(np.float32(rng.uniform(0.005, 0.015, count)).tolist())
        kernel = constant(
            rng.integers(-most, most + 1, shape), np.int8, scales=scales, zeros=(0,) * count, axis=axis
        )
        units = tuple(np.float32(np.float32(unit) * np.float32(item)) for item in scales)
        bias = constant(rng.integers(-999, 999, count), np.int32, scales=units, zeros=(0,) * count)
        return kernel, bias

    def last(lines: int) -> tuple[Tensor, ...]:
        return tuple(constant(item, np.int32) for item in ([0, lines, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]))

    tensors = [
        int8(2, CHANNELS, 0.05),  # 0: the input
        resource(),
        resource(),
        int8(LINES, CHANNELS, 0.05),  # 3
        int8(LINES + 2, CHANNELS, 0.05),
        *last(2),  # 5
        int8(LINES, CHANNELS, scale),
        *weights((6, LINES + 2, 1, CHANNELS), 0, 0.05),  # 9
        int8(1, 6, 0.04),
        int8(2, 6, 0.04),  # 12
        int8(3, 6, 0.04),
        *last(1),  # 14
        int8(2, 6, 0.04),
        *weights((1, 3, 1, 6), 3, 0.04),  # 18
        Tensor((1, 1, 1, 6), np.int8, scales=(0.05,), zeros=(3,)),
        *weights((1, 6), 0, 0.05, 40),  # 21
        Tensor((1, 1), np.int8, scales=(0.06,), zeros=(7,)),
        Tensor((1, 1), np.int8, scales=(1 / 256,), zeros=(-128,)),
        Tensor((1, 1), np.uint8, scales=(1 / 256,), zeros=(0,)),
    ]
    slices = {"BeginMask": 13, "EndMask": 15}
    depthwise = ONE | {"DepthMultiplier": 1, "FusedActivationFunction": 0}
    steps = [
        once(),
        handle(1, "first"),
        handle(2, "second"),
        read(1, 3),
        Operation("CONCATENATION", (3, 0), (4,), "ConcatenationOptions", {"Axis": 1}),
        Operation("STRIDED_SLICE", (4, 5, 6, 7), (8,), "StridedSliceOptions", slices),
        assign(1, 8),
        Operation("CONV_2D", (4, 9, 10), (11,), "Conv2DOptions", ONE),
        read(2, 12),
        Operation("CONCATENATION", (12, 11), (13,), "ConcatenationOptions", {"Axis": 1}),
        Operation("STRIDED_SLICE", (13, 14, 15, 16), (17,), "StridedSliceOptions", slices),
        assign(2, 17),
        Operation("DEPTHWISE_CONV_2D", (13, 18, 19), (20,), "DepthwiseConv2DOptions", depthwise),
        Operation("FULLY_CONNECTED", (20, 21, 22), (23,), "FullyConnectedOptions"),
        Operation("LOGISTIC", (23,), (24,)),
        Operation("QUANTIZE", (24,), (25,), "QuantizeOptions"),
    ]
    first = {
        "second": constant(np.full((1, 2, 1, 6), -128), np.int8, scales=(0.04,), zeros=(-128,)),
        "first": constant(np.full((1, LINES, 1, CHANNELS), begin), np.int8, scales=(0.05,), zeros=(-128,)),
    }
    return built(tensors, steps, [0], [25], [beginning(first)])


def sparse(
    array: np.ndarray, levels: Sequence[Any], order: Sequence[int], blocks: Sequence[int] = ()
) -> Tensor:
    """A tensor whose stored elements are those that levels lead to.

    Parameters
    ----------
    array : ndarray
        Its elements: all of them that are not zero have a place.
    levels : sequence
        For each in the order of ``order`` its size, or a type of integers where it has a list of its indices.
    order : sequence of int
        Dimensions, and behind them those of blocks.
    blocks : sequence of int
        The dimensions that blocks divide.
    """
    rank = array.ndim
    sizes = {axis: level for axis, level in zip(order, levels) if axis >= rank}
    shape: list[int] = []
    axes: list[int] = []
    for axis, size in enumerate(array.shape):
        inner = [rank + number for number, item in enumerate(blocks) if item == axis]
        shape += [size // sizes[item] for item in inner] or [size]
        shape += [sizes[item] for item in inner]
        axes += [axis, *inner]
    tree = array.reshape(shape).transpose([axes.index(axis) for axis in order])
    branches, made = [tree], []
    for level in levels:
        if isinstance(level, int):
            branches = [part for branch in branches for part in branch]
            made.append(level)
            continue
        found = [[index for index, part in enumerate(branch) if part.any()] for branch in branches]
        segments = np.cumsum([0, *map(len, found)]).astype(level)
        made.append((segments, np.array([index for part in found for index in part], level)))
        branches = [branch[index] for branch, part in zip(branches, found) for index in part]
    values = np.array(branches, array.dtype)
    return Tensor(array.shape, array.dtype, values, sparse=Sparse(order, blocks, made))


def pruned(seed: int, shape: Sequence[int], dtype: Any = np.float32, block: int = 1) -> np.ndarray:
    """Random numbers, most of them zero, in blocks of the first dimension."""
    rng = np.random.default_rng(seed)
    kept = rng.random((shape[0] // block, *shape[1:])) < 0.3
    return (rng.standard_normal(shape) * np.repeat(kept, block, axis=0)).astype(dtype)


def densified(weights: Tensor, half: bool = False) -> bytes:
    """A convolution whose sparse weights, perhaps of float16, are made dense."""
    count, _, _, channels = weights.shape
    tensors = [Tensor((1, 5, 5, channels)), weights, Tensor(weights.shape, weights.dtype)]
    tensors += [Tensor(weights.shape), constant(np.arange(count)), Tensor((1, 5, 5, count))]
    steps = [Operation("DENSIFY", (1,), (2,), "DensifyOptions")]
    if half:
        steps.append(Operation("DEQUANTIZE", (2,), (3,), "DequantizeOptions"))
    window = {"StrideW": 1, "StrideH": 1}
    steps.append(Operation("CONV_2D", (0, 3 if half else 2, 4), (5,), "Conv2DOptions", window))
    return built(tensors, steps, [0], [5])
