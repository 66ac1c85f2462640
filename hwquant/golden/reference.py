"""The authority on what an integer network computes: int64, one formula a function, written to be read.

Every array is (N, C, H, W) int64. :mod:`hwquant.qgraph` states the formulas; nothing here is fast, and the
fast path, the compiler and the RTL are all tested against it. :func:`hwquant.validate.validate` proves that
no sum leaves int64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np

from hwquant.copies import carry_out
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, Product, QGraph, QNode, Rearrange, Tensor, Term
from hwquant.window import Padding


def pad(x: IntArray, padding: Padding, value: int) -> IntArray:
    """Surround the pixels of (N, C, H, W) with ``value``."""
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def window(x: IntArray, row: int, column: int, stride: tuple[int, int], size: tuple[int, int]) -> IntArray:
    """The pixel that each of ``size`` output positions sees at one kernel position (in input pixels)."""
    (sh, sw), (height, width) = stride, size
    return x[:, :, row : row + (height - 1) * sh + 1 : sh, column : column + (width - 1) * sw + 1 : sw]


def convolve(term: Term, x: IntArray, zero_point: int) -> IntArray:
    """Compute ``sum (adjusted weight) * (x_q - z_x)`` over kernel and input channels; padding is ``z_x``."""
    _, height, width = term.output_shape(x.shape[1:])
    centred = pad(x, term.window.padding, zero_point) - zero_point
    groups = zip(
        np.split(term.weight, term.groups),  # each [out / groups, in / groups, kernel height, kernel width]
        np.split(centred, term.groups, axis=1),
    )
    return np.concatenate(
        [_correlate(weight, part, term, (height, width)) for weight, part in groups], axis=1
    )


def _correlate(weight: IntArray, x: IntArray, term: Term, size: tuple[int, int]) -> IntArray:
    """One group's cross-correlation, of pixels that are padded and centred already."""
    out, _, kernel_height, kernel_width = weight.shape
    acc = np.zeros((len(x), out, *size), np.int64)
    stride, (down, right) = term.window.stride, term.window.dilation
    for row in range(kernel_height):
        for column in range(kernel_width):
            pixels = window(x, row * down, column * right, stride, size)
            acc += np.einsum("oc,nchw->nohw", weight[:, :, row, column], pixels)
    return acc


def accumulate(layer: Layer, inputs: Mapping[str, IntArray], tensors: Mapping[str, Tensor]) -> IntArray:
    """Compute ``acc = b_q + sum over terms of 2^k * sum (adjusted weight) * (x_q - z_x)``."""
    acc = layer.bias.reshape(1, -1, 1, 1)
    for term in layer.terms:
        acc = acc + (convolve(term, inputs[term.input], tensors[term.input].zero_point) << term.shift)
    return acc


def requantize(acc: IntArray, layer: Layer, zero_point: int) -> IntArray:
    """Compute ``clamp(((acc * m + (1 << (s-1))) >> s) + z_y, low, high)``, and look it up in a table.

    A shift ``s = 0`` adds no rounding term. With a table ``z_y`` is the zero point of its addresses.
    """
    shift = layer.shift.reshape(1, -1, 1, 1)
    scaled = acc if layer.multiplier is None else acc * layer.multiplier.reshape(1, -1, 1, 1)
    rounding = (1 << shift) >> 1
    if layer.table is None:
        return np.clip(((scaled + rounding) >> shift) + zero_point, layer.low, layer.high)
    return layer.table(
        np.clip(((scaled + rounding) >> shift) + layer.table.zero_point, layer.low, layer.high)
    )


def multiply(product: Product, a: IntArray, b: IntArray, tensors: Mapping[str, Tensor]) -> IntArray:
    """Compute ``clamp(((acc * m + (1 << (s-1))) >> s) + z_y, low, high)`` of ``acc = (a_q - z_a) * (b_q - z_b)``."""
    first, second = (tensors[name].zero_point for name in product.inputs)
    scaled = (a - first) * (b - second) * (1 if product.multiplier is None else product.multiplier)
    rounding = (1 << product.shift) >> 1
    shifted = ((scaled + rounding) >> product.shift) + tensors[product.name].zero_point
    return np.clip(shifted, product.low, product.high)


def max_pool(pool: MaxPool, x: IntArray, lowest: int) -> IntArray:
    """Take the maximum over a window.

    Padding holds ``lowest``, the least integer of the tensor: it never wins.
    """
    _, height, width = pool.output_shape(x.shape[1:])
    padded = pad(x, pool.window.padding, lowest)
    stride, (down, right) = pool.window.stride, pool.window.dilation
    pixels = [
        window(padded, row * down, column * right, stride, (height, width))
        for row in range(pool.window.kernel[0])
        for column in range(pool.window.kernel[1])
    ]
    return np.max(pixels, axis=0)


def evaluate(node: QNode, inputs: Mapping[str, IntArray], tensors: Mapping[str, Tensor]) -> IntArray:
    """Compute one node from the integers of the tensors that it reads."""
    tensor = tensors[node.name]
    match node:
        case Layer():
            return requantize(accumulate(node, inputs, tensors), node, tensor.zero_point)
        case Product():
            a, b = node.inputs
            return multiply(node, inputs[a], inputs[b], tensors)
        case MaxPool():
            return max_pool(node, inputs[node.inputs[0]], tensor.limits[0])
        case Concat():
            return np.concatenate([inputs[name] for name in node.inputs], axis=1)
        case Rearrange():
            return carry_out(
                node.shape, [inputs[name] for name in node.inputs], node.copies, tensor.zero_point
            )
        case _:
            assert_never(node)


def run(qgraph: QGraph, inputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Compute every tensor of the network, by name, from the integers of its inputs."""
    values = dict(inputs)
    for node in qgraph.nodes:
        values[node.name] = evaluate(node, values, qgraph.tensors)
    return values
