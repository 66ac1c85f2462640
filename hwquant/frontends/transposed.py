"""Transposed convolutions as ordinary ones, one for each phase of the outputs: no inserted zero is multiplied."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwquant.frontends.builder import Builder
from hwquant.frontends.limits import MOST_PHASES
from hwquant.frontends.operators import conv
from hwquant.frontends.rearrange import view
from hwquant.frontends.values import Float, Value, layout
from hwquant.window import Padding, Pair, Window


@dataclass(frozen=True)
class _Phase:
    """The outputs of an axis that are ``stride`` apart: a convolution with some of the kernel's positions.

    Attributes
    ----------
    positions : range
        Positions of the kernel, in the order in which they meet the input.
    before, after : int
        Elements of padding; negative where elements are left out.
    count : int
        Number of outputs.
    """

    positions: range
    before: int
    after: int
    count: int

    @classmethod
    def of(cls, number: int, kernel: int, stride: int, padding: int, size: int, outputs: int) -> _Phase:
        """The phase that begins with output ``number``: output ``y`` sums ``w[k] x[i]`` with ``y = i s - p + k``."""
        first, newest = (number + padding) % stride, (number + padding) // stride
        positions = range(first, kernel, stride)[::-1]
        count = len(range(number, outputs, stride))
        before = len(positions) - 1 - newest if positions else 0
        return cls(positions, before, count - 1 + max(len(positions), 1) - before - size, count)


def conv_transpose(
    build: Builder,
    name: str,
    value: Value,
    weight: Float,
    bias: Float | None,
    window: Window,
    added: Pair = (0, 0),
    groups: int = 1,
) -> Value:
    """Convolve (N, C, H, W) or (N, C, L) in a transposed way.

    Parameters
    ----------
    build : Builder
        The network under construction.
    name : str
        Name for the nodes.
    value : Value
        The input.
    weight : ndarray of float64, shape (C, out / groups, kernel height, kernel width), or without the height
        Weights.
    bias : ndarray of float64, shape (out,), or None
        What is added to each channel.
    window : Window
        Stride, dilation, and what is left out of the output on each side (the padding).
    added : tuple of int
        Rows below and columns at the right that the output has besides.
    groups : int
        Parts that the channels are divided into.
    """
    sequence = weight.ndim == 3
    if weight.ndim not in (3, 4) or len(value.shape) != weight.ndim:
        raise build.refuse(
            f"a transposed convolution of {len(value.shape)} dimensions with weights of {weight.ndim} is not "
            "supported, only N x C x H x W and N x C x L"
        )
    if groups < 1 or len(weight) % groups or len(weight) != value.shape[1]:
        raise build.refuse(f"{value.shape[1]} channels do not fit weights {weight.shape} in {groups} groups")
    weight = _dilated(weight[:, :, None, :] if sequence else weight, window.dilation)
    size = layout(value.shape[1:])[1:]
    outputs = _output_size(size, window, added)
    if min(outputs) < 1:
        raise build.refuse(f"its output would be empty, {outputs}")
    build.spend(weight.shape[1] * groups * math.prod(outputs))
    kernel = _ordinary(weight, groups)
    phases = [
        [
            _Phase.of(number, weight.shape[2 + axis], stride, window.padding[axis], size[axis], outputs[axis])
            for number in range(min(stride, outputs[axis]))
        ]
        for axis, stride in enumerate(window.stride)
    ]
    if math.prod(map(len, phases)) > MOST_PHASES:
        raise build.refuse(f"a stride of {window.stride} is too large; resize to the nearest, and convolve")
    tensors = []
    index = np.zeros((len(kernel), *outputs), np.int64)
    start = 0
    for row, down in enumerate(phases[0]):
        for column, across in enumerate(phases[1]):
            part = _phase(build, f"{name}_{row}{column}", value, kernel, bias, down, across, groups, sequence)
            shape = build.shapes[part]
            elements = np.arange(math.prod(shape)).reshape(shape)
            index[:, row :: window.stride[0], column :: window.stride[1]] = start + elements
            tensors.append(part)
            start += elements.size
    seen = index[:, 0] if sequence else index
    if len(tensors) == 1:
        return build.value(tensors[0], seen.shape)
    return build.value(build.join(name, tensors), seen.shape, seen)


def _phase(
    build: Builder,
    name: str,
    value: Value,
    kernel: Float,
    bias: Float | None,
    down: _Phase,
    across: _Phase,
    groups: int,
    sequence: bool,
) -> str:
    """The convolution of one phase, as a tensor's name; where no weight meets an output it is the bias."""
    pads: Padding = (down.before, across.before, down.after, across.after)
    top, left, bottom, right = (max(0, -pad) for pad in pads)
    _, height, width = layout(value.shape[1:])
    rows, columns = slice(top, height - bottom), slice(left, width - right)
    place = (slice(None), slice(None), columns) if sequence else (slice(None), slice(None), rows, columns)
    if any((top, left, bottom, right)):
        value = view(build, value, lambda array: array[place])
    weight = _chosen(_chosen(kernel, 2, down.positions), 3, across.positions)
    padding = (max(0, pads[0]), max(0, pads[1]), max(0, pads[2]), max(0, pads[3]))
    window = Window((weight.shape[2], weight.shape[3]), padding=padding)
    return conv(build, name, value, weight[:, :, 0] if sequence else weight, bias, window, groups).tensor


def _chosen(kernel: Float, axis: int, positions: range) -> Float:
    """The kernel at some positions of an axis; one of zeros where there are none."""
    chosen = kernel.take(list(positions) or [0], axis)
    return chosen if positions else np.zeros_like(chosen)


def _output_size(size: Pair, window: Window, added: Pair) -> Pair:
    (height, width), (top, left, bottom, right) = size, window.padding
    return (
        (height - 1) * window.stride[0] + window.extent[0] - top - bottom + added[0],
        (width - 1) * window.stride[1] + window.extent[1] - left - right + added[1],
    )


def _dilated(weight: Float, dilation: Pair) -> Float:
    """The kernel with zeros between its elements."""
    *channels, height, width = weight.shape
    dy, dx = dilation
    spread = np.zeros((*channels, (height - 1) * dy + 1, (width - 1) * dx + 1))
    spread[..., ::dy, ::dx] = weight
    return spread


def _ordinary(weight: Float, groups: int) -> Float:
    """Weights (C, out / groups, ...) as those of an ordinary convolution, (out, C / groups, ...)."""
    inputs, outputs, *kernel = weight.shape
    grouped = weight.reshape(groups, inputs // groups, outputs, *kernel).swapaxes(1, 2)
    return grouped.reshape(groups * outputs, inputs // groups, *kernel)
