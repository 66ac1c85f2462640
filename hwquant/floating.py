"""Evaluate a float :class:`~hwquant.graph.Graph` in numpy: what the network means before any rounding.

Tensors are carried as (C, N, H, W), channels first: a convolution is then one matrix product
``weight (O, K) @ columns (K, N * pixels)`` whose result needs no transposition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, assert_never

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hwquant.copies import carry_out
from hwquant.errors import HwquantError
from hwquant.graph import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Conv,
    Function,
    Graph,
    MaxPool,
    Multiply,
    Node,
    Rearrange,
)
from hwquant.host import after, before
from hwquant.interface import Output, as_array
from hwquant.states import computed
from hwquant.window import Padding, Window

Array = NDArray[Any]

_CHUNK_ELEMENTS = 1 << 21
"""Elements of the largest intermediate matrix: what a chunk of the batch is sized for (16 MiB in float64)."""


def run(
    graph: Graph,
    x: Array | Mapping[str, Array],
    keep: Collection[str] | None = None,
    dtype: DTypeLike = np.float64,
) -> dict[str, Array]:
    """Evaluate a network on the user's arrays.

    Parameters
    ----------
    graph : Graph
        The network.
    x : ndarray or mapping of ndarray, shape (N, *input.shape)
        Samples of any real dtype; a mapping by input name where the network has several.
    keep : collection of str, optional
        Names of the tensors to return; None returns the tensors of the outputs.
    dtype : dtype, default float64
        In which everything is computed, float64 or float32.

    Returns
    -------
    dict of ndarray of ``dtype``, shape (N, C, H, W)
        Tensors by name.

    Raises
    ------
    HwquantError
        A tensor's name is unknown, or the data does not fit the inputs.
    """
    names = [output.tensor for output in graph.outputs] if keep is None else list(keep)
    for name in names:
        if name not in graph.shapes:
            raise HwquantError(
                f"network {graph.name!r} has no tensor {name!r}; it has {', '.join(graph.shapes)}"
            )
    data = _inputs(graph, x)
    count = len(next(iter(data.values())))
    kept: dict[str, Array] = {name: np.empty((count, *graph.shapes[name]), dtype) for name in names}
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    step = max(1, _CHUNK_ELEMENTS // max(_peak(graph), 1))
    for start in range(0, count, step):
        stop = min(start + step, count)
        values: dict[str, Array] = {}
        for item in graph.inputs:
            prepared = item.prepare(data[item.name][start:stop]).astype(dtype, copy=False)
            values[item.name] = np.ascontiguousarray(prepared.swapaxes(0, 1))
            if item.name in kept:
                kept[item.name][start:stop] = prepared
        for index, node in enumerate(graph.nodes):
            values[node.name] = evaluate(node, *(values[name] for name in node.inputs))
            if node.name in kept:
                kept[node.name][start:stop] = values[node.name].swapaxes(0, 1)
            for name in {*node.inputs, node.name}:
                if last_use.get(name, -1) <= index:
                    del values[name]
    return kept


def predict(graph: Graph, x: Array | Mapping[str, Array], dtype: DTypeLike = np.float64) -> list[Array]:
    """Compute the whole network's outputs as its user knows them, what stays with the host included.

    Parameters
    ----------
    graph : Graph
        The network.
    x : ndarray or mapping of ndarray, shape (N, *input.shape)
        Samples of any real dtype; a mapping by input name where the network has several. Where it has states, and the
        data has none, the samples are calls one after the other.
    dtype : dtype, default float64
        In which everything is computed, float64 or float32.

    Returns
    -------
    list of ndarray, shape (N, ...)
        An array for each output.

    Raises
    ------
    HwquantError
        The data does not fit the inputs, or the host's part cannot be run.
    """
    inner = before(graph, x)
    return after(graph, inner, computed(graph, inner, lambda one: outputs(graph, one, dtype)))


def outputs(graph: Graph, x: Array | Mapping[str, Array], dtype: DTypeLike = np.float64) -> list[Array]:
    """Compute the outputs of the array's part alone, from arrays of all its inputs, states included."""
    tensors = run(graph, x, dtype=dtype)
    return [finish(output, tensors[output.tensor]) for output in graph.outputs]


def finish(output: Output, tensor: Array) -> Array:
    """Turn a tensor into what the user gets: reordered, reshaped, then through the output's host functions.

    Softmax and log-softmax keep the shape (N, *output.shape); argmax drops the first axis after the batch.

    Parameters
    ----------
    output : Output
        The network's output.
    tensor : ndarray of float, shape (N, C, H, W)
        The tensor that it delivers.

    Raises
    ------
    HwquantError
        The output asks for an unknown host function.
    """
    result = output.deliver(tensor)
    for function in output.host:
        if function not in _HOST:
            raise HwquantError(f"output {output.name!r} asks for the unknown host function {function!r}")
        result = _HOST[function](result)
    return result


def evaluate(node: Node, *inputs: Array) -> Array:
    """Compute one node, from input arrays (C, N, H, W) to its output array (C, N, H, W)."""
    match node:
        case Conv():
            return _conv(node, inputs[0])
        case Clip():
            return np.clip(inputs[0], node.low, node.high)
        case Function():
            return node.expression(inputs[0])
        case MaxPool():
            return _fold(np.maximum, windows(inputs[0], node.window, -np.inf))
        case AveragePool():
            return _average_pool(node, inputs[0])
        case Add():
            return sum(inputs[1:], start=inputs[0])
        case Multiply():
            return inputs[0] * inputs[1]
        case Concat():
            return np.concatenate(inputs, axis=0)
        case Rearrange():
            return carry_out(node.shape, [x.swapaxes(0, 1) for x in inputs], node.copies).swapaxes(0, 1)
        case _:
            assert_never(node)


def pad(x: Array, padding: Padding, value: float) -> Array:
    """Pad the last two axes with ``value``; an array with nothing to pad is returned itself."""
    top, left, bottom, right = padding
    if not any(padding):
        return x
    widths = [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)]
    return np.pad(x, widths, constant_values=value)


def softmax(x: Array) -> Array:
    """Compute the softmax over axis 1."""
    shifted = np.exp(x - x.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def log_softmax(x: Array) -> Array:
    """Compute the logarithm of the softmax over axis 1."""
    shifted = x - x.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


_HOST: Mapping[str, Callable[[Array], Array]] = {
    "softmax": softmax,
    "log_softmax": log_softmax,
    "argmax": lambda x: x.argmax(axis=1),
}


def _inputs(graph: Graph, x: Array | Mapping[str, Array]) -> dict[str, Array]:
    x = before(graph, x)
    if not isinstance(x, Mapping):
        if len(graph.inputs) != 1:
            names = ", ".join(repr(item.name) for item in graph.inputs)
            raise HwquantError(f"network {graph.name!r} has several inputs; give a mapping with {names}")
        x = {graph.inputs[0].name: x}
    data = {}
    for item in graph.inputs:
        if item.name not in x:
            raise HwquantError(f"no data for input {item.name!r}; there is data for {', '.join(x) or 'none'}")
        data[item.name] = as_array(item.name, x[item.name])
        if data[item.name].dtype.kind not in "fiub":
            raise HwquantError(f"input {item.name!r} wants real numbers, the data is {data[item.name].dtype}")
        if data[item.name].ndim == 0:
            raise HwquantError(f"input {item.name!r} wants a batch of arrays, the data is a single number")
        if data[item.name].dtype.kind == "f" and not np.isfinite(data[item.name]).all():
            raise HwquantError(f"input {item.name!r} holds NaN or infinity; remove those samples")
    lengths = {name: len(array) for name, array in data.items()}
    if len(set(lengths.values())) > 1:
        raise HwquantError(f"the inputs' batches differ in length: {lengths}")
    return data


def _peak(graph: Graph) -> int:
    """How many elements a sample needs in the largest intermediate of the network."""
    peak = max((int(np.prod(shape)) for shape in graph.shapes.values()), default=1)
    for node in graph.nodes:
        if isinstance(node, Conv):
            _, height, width = graph.shapes[node.name]
            peak = max(peak, node.groups * int(np.prod(node.weight.shape[1:])) * height * width)
    return peak


def windows(x: Array, window: Window, value: float = 0.0) -> Array:
    """View an array (C, N, H, W), padded with ``value``, at all positions of a window.

    Returns
    -------
    ndarray, shape (C, N, rows, columns, kernel height, kernel width)
        What the window covers at each of its rows and columns of positions.
    """
    (sh, sw), (dh, dw) = window.stride, window.dilation
    view = np.lib.stride_tricks.sliding_window_view(pad(x, window.padding, value), window.extent, axis=(2, 3))
    return view[:, :, ::sh, ::sw, ::dh, ::dw]


def _fold(operation: Callable[[Array, Array], Array], seen: Array) -> Array:
    """Reduce windows over their kernel positions, one strided slice at a time."""
    total = seen[..., 0, 0].copy()
    for row in range(seen.shape[4]):
        for column in range(seen.shape[5]):
            if row or column:
                total = operation(total, seen[..., row, column])
    return total


def _conv(node: Conv, x: Array) -> Array:
    weight, bias = node.weight.astype(x.dtype, copy=False), node.bias.astype(x.dtype, copy=False)
    out, per_group, kh, kw = weight.shape
    seen = windows(x, node.window)
    _, count, height, width = seen.shape[:4]
    # (C, kh, kw, N, pixels), which splits into (groups, K, N * pixels) for one product a group.
    columns = seen.transpose(0, 4, 5, 1, 2, 3).reshape(node.groups, per_group * kh * kw, -1)
    product = weight.reshape(node.groups, out // node.groups, -1) @ columns
    return product.reshape(out, count, height, width) + bias[:, None, None, None]


def _average_pool(node: AveragePool, x: Array) -> Array:
    total = _fold(np.add, windows(x, node.window))
    if node.count_include_pad or not node.window.padded:
        return total / math.prod(node.window.kernel)
    return total / _fold(np.add, windows(np.ones((1, 1, *x.shape[2:]), x.dtype), node.window))
