"""Convolutions, matrix products and pools on values, and what stays on the host: in the graph's nodes.

Every function takes the builder, a name for the node, and values; axes count the batch dimension as 0.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np

from hwquant.frontends.batch import NO_BATCH
from hwquant.frontends.builder import Builder
from hwquant.frontends.limits import LARGEST_MATRIX
from hwquant.frontends.values import Float, Value, layout
from hwquant.graph import Add, AveragePool, Conv, MaxPool, Shape
from hwquant.window import Window


def conv(
    build: Builder,
    name: str,
    value: Value,
    weight: Float,
    bias: Float | None,
    window: Window,
    groups: int = 1,
) -> Value:
    """Convolve (N, C, H, W) with ``weight`` [out, C / groups, kh, kw], or both without the height."""
    if build.bare and len(value.shape) == weight.ndim - 1:  # torch's, of one sample
        whole = conv(build, name, value.view(lambda array: array[None]), weight, bias, window, groups)
        return whole.view(lambda array: array[0])
    sequence = weight.ndim == 3
    one_sample(build, value)
    if weight.ndim not in (3, 4) or len(value.shape) != weight.ndim:
        hint = NO_BATCH if len(value.shape) == weight.ndim - 1 else ""
        raise build.refuse(
            f"a convolution of {len(value.shape)} dimensions with weights of {weight.ndim} is not supported, "
            f"only N x C x H x W and N x C x L{hint}"
        )
    if sequence:
        weight = weight[:, :, None, :]
    out, per_group = weight.shape[:2]
    if groups < 1 or out % groups or per_group * groups != value.shape[1]:
        raise build.misfit(f"{value.shape[1]} channels do not fit weights {weight.shape} in {groups} groups")
    if _of_channels(build, value):
        matrix, shape = _as_matrix(weight, layout(value.shape[1:]), window, groups)
        every = bias_of(build, bias, out).repeat(math.prod(shape[1:]))
        flat = value.view(lambda array: array.reshape(len(array), -1))
        result = _of_all(build, name, flat, matrix, every)
        final = (shape[0], shape[2]) if sequence else shape
        return result.view(lambda array: array.reshape(-1, *final))
    source = build.image(value, whole=not window.pointwise)
    node = Conv(
        build.unique(name),
        (source.tensor,),
        weight,
        bias_of(build, bias, out),
        window,
        groups,
    )
    tensor = build.emit(node)
    if window.pointwise:
        return build.value(tensor, (out, *value.shape[2:]))
    shape = build.shapes[tensor]
    return build.value(tensor, (shape[0], shape[2]) if sequence else shape)


def _of_channels(build: Builder, value: Value) -> bool:
    """Whether the pixels of a value are the channels of a tensor with one pixel: a window then moves over channels.

    Efficient channel attention (Wang et al., 2020) filters the means of all channels so.
    """
    if build.joined(value) or value.preprocess is not None or build.shapes[value.tensor][1:] != (1, 1):
        return False
    channels, height, width = layout(value.shape[1:])
    return channels == 1 < height * width and (height * width) ** 2 <= LARGEST_MATRIX


def _as_matrix(weight: Float, shape: Shape, window: Window, groups: int) -> tuple[Float, Shape]:
    """A convolution of all elements of a sample as a matrix [out, in], and the shape of its outputs."""
    node = Conv("", ("",), weight, np.zeros(len(weight)), window, groups)
    final = node.output_shape(shape)
    elements = np.arange(1, math.prod(shape) + 1).reshape(shape)
    top, left, bottom, right = window.padding
    seen = np.pad(elements, ((0, 0), (top, bottom), (left, right)))
    matrix = np.zeros((*final, math.prod(shape) + 1))
    outputs = np.indices(final[1:])
    per_group, share = weight.shape[1], len(weight) // groups
    for out, (channel, *tap) in product(range(len(weight)), np.ndindex(*weight.shape[1:])):
        rows, columns = (
            outputs[axis] * window.stride[axis] + tap[axis] * window.dilation[axis] for axis in (0, 1)
        )
        read = seen[out // share * per_group + channel, rows, columns]
        matrix[out, outputs[0], outputs[1], read] += weight[out, channel, tap[0], tap[1]]
    return matrix.reshape(-1, matrix.shape[-1])[:, 1:], final


def linear(build: Builder, name: str, value: Value, weight: Float, bias: Float | None) -> Value:
    """Compute ``x @ weight.T + bias`` over the last axis, ``weight`` [out, in].

    For (N, in) it is a convolution whose kernel covers the base tensor, its columns permuted by the view.
    For (N, ..., in) it is a 1x1 convolution, if the last axis is the tensor's channels.
    """
    if weight.ndim != 2:
        raise build.refuse(
            f"a matrix product with weights of shape {weight.shape} is not supported, only 2-D"
        )
    features = weight.shape[1]
    if len(value.shape) < (1 if build.single else 2) or value.shape[-1] != features:
        hint = NO_BATCH if len(value.shape) < 2 else ""
        raise build.misfit(
            f"a tensor of shape {value.shape} does not fit weights {weight.shape} (out, in){hint}"
        )
    given, value = value, build.with_batch(value)
    lead = value.shape[1:-1]
    if math.prod(lead) == 1:
        return build.as_given(_of_all(build, name, value, weight, bias), given)
    channels_first = value.view(lambda array: np.moveaxis(array, -1, 1))
    result = conv_1x1(build, name, channels_first, weight, bias)
    return build.as_given(result.view(lambda array: np.moveaxis(array, 1, -1)), given)


def _of_all(build: Builder, name: str, value: Value, weight: Float, bias: Float | None) -> Value:
    """A matrix product with all elements of a sample; of a join it is the sum of those with its tensors."""
    out, features = weight.shape
    source = value if build.joined(value) else build.place(value, (features, 1, 1))
    sample = build.sample(source).ravel()
    tensors = build.parts(source.tensor) if build.joined(source) else (source.tensor,)
    sizes = [math.prod(build.shapes[tensor]) for tensor in tensors]
    columns, read = np.zeros((out, sum(sizes) + 1)), np.zeros(sum(sizes) + 1, bool)
    np.add.at(columns.T, sample, weight.T)
    read[sample] = True
    nodes: list[str] = []
    for tensor, stop, size in zip(tensors, np.cumsum(sizes).tolist(), sizes):
        own_elements = slice(stop - size, stop)
        kernel = columns[:, own_elements].reshape(out, *build.shapes[tensor])
        if read[own_elements].any() or len(tensors) == 1:
            own = bias_of(build, None if nodes else bias, out)
            nodes.append(
                build.emit(Conv(build.unique(name), (tensor,), kernel, own, Window(kernel.shape[2:])))
            )
    total = nodes[0] if len(nodes) == 1 else build.emit(Add(build.unique(name), tuple(nodes)))
    return build.value(total, (*value.shape[1:-1], out))


def conv_1x1(build: Builder, name: str, value: Value, weight: Float, bias: Float | None) -> Value:
    """Map the channels of (N, C, ...) linearly, ``weight`` [out, C]."""
    source = build.image(value, whole=False)
    out = len(weight)
    node = Conv(build.unique(name), (source.tensor,), weight[:, :, None, None], bias_of(build, bias, out))
    return build.value(build.emit(node), (out, *value.shape[2:]))


def max_pool(build: Builder, name: str, value: Value, window: Window) -> Value:
    """Take the maximum over windows of (N, C, H, W) or (N, C, L)."""
    source = pooled(build, value, window)
    if window.pointwise:
        return value
    if not window.sees_a_pixel_everywhere(build.shapes[source.tensor][1:]):
        raise build.refuse("one of its windows covers only padding; give it less padding, or less dilation")
    return windowed(build, value, MaxPool(build.unique(name), (source.tensor,), window))


def host(build: Builder, value: Value, function: str, axis: int, keepdims: bool = False) -> Value:
    """Leave a softmax or log-softmax over the first axis after the batch, or an argmax over any, to the host.

    It has to be at the network's end. With ``keepdims`` an argmax leaves an axis of length 1 in place of the classes.
    """
    rank = len(value.shape)
    if build.single and not value.host and (build.bare or value.shape[0] != 1) and -rank <= axis < rank:
        if function != "argmax" and axis % rank != 0:
            raise build.refuse(
                f"{function} over axis {axis} of one sample {value.shape} is not supported, only 0"
            )
        value, axis, rank = value.view(lambda array: array[None]), axis % rank + 1, rank + 1
    if not -rank <= axis < rank:
        raise build.invalid(
            f"{function} over axis {axis} of a tensor of shape {value.shape}, which it has not"
        )
    among = axis % rank
    if function == "argmax" and among > 1 and not value.host:
        value, axis = value.view(lambda array: np.moveaxis(array, among, 1)), 1
    if axis % rank != 1:
        raise build.refuse(
            f"{function} over axis {axis} of a tensor of shape {value.shape} is not supported, only axis 1"
        )
    if value.host and (function != "argmax" or value.host[-1] == "argmax"):
        raise build.refuse(f"{function} after {value.host[-1]} is not supported")
    build.sample(replace(value, host=()))
    if keepdims:
        value = value.view(lambda array: np.expand_dims(array, among + 1))
    return replace(value, host=(*value.host, function))


def one_sample(build: Builder, value: Value) -> None:
    """Refuse windows over what has no batch dimension, whose first axis they would take for samples."""
    if build.with_batch(value) is not value:
        what = (
            "the network is for one"
            if build.single
            else "an axis of the network's own is joined with its batch"
        )
        raise build.refuse(
            f"windows over a tensor of shape {value.shape} are over {value.shape[0]} samples, and {what}; make it "
            "(batch, channels, ...) before"
        )


def bias_of(build: Builder, bias: Float | None, out: int) -> Float:
    """A bias [out], zeros where there is none."""
    if bias is None:
        return np.zeros(out)
    if bias.size not in (1, out):
        raise build.misfit(f"a bias of shape {bias.shape} does not fit {out} output channels")
    return np.broadcast_to(bias.ravel(), (out,)).copy()


def pooled(build: Builder, value: Value, window: Window) -> Value:
    """The tensor (N, C, H, W) or (N, C, L) that a pool reads, its padding within the window."""
    one_sample(build, value)
    if len(value.shape) not in (3, 4):
        raise build.refuse(
            f"pooling of a tensor of shape {value.shape} is not supported, only (N, C, H, W), (N, C, L)"
        )
    if any(pad >= extent for pad, extent in zip(window.padding, window.extent * 2)):
        raise build.refuse(f"padding {window.padding} is not smaller than the window {window.kernel}")
    return build.image(value)


def windowed(build: Builder, value: Value, node: MaxPool | AveragePool) -> Value:
    """The result of a pool, of as many dimensions as the value that it reads."""
    channels, height, width = build.shapes[build.emit(node)]
    return build.value(node.name, (channels, height, width) if len(value.shape) == 4 else (channels, width))
