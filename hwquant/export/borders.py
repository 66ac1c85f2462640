"""What the user gives and gets: real numbers to the integers of the inputs, and back.

Both ends compute in float64, as the golden model does, so that every integer is the same; the user's arrays
are float32, as those of the float network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np

from hwquant.coding import IntArray
from hwquant.errors import Unsupported
from hwquant.export.builder import Builder
from hwquant.export.layers import carried, carrier, middle
from hwquant.graph import Shape
from hwquant.interface import Input, Output
from hwquant.qgraph import Tensor

BATCH = "batch"
AXES = tuple(permutations(range(3)))
"""Orders of the axes of an image."""


def add_prepared(builder: Builder, item: Input, doc: str) -> str:
    """Add the user's float32 array, preprocessed and reordered in float64: the real values of the tensor."""
    name = item.name
    value = builder.input(name, np.float32, [BATCH, *item.shape], doc)
    value = builder.cast(value, np.float64, f"{name}/double")
    if (item.scale != 1).any():
        factor = builder.constant(f"{name}/preprocessing_scale", item.scale, np.float64)
        value = builder.node("Mul", [value, factor], f"{name}/scaled")
    if item.shift.any():
        addend = builder.constant(f"{name}/preprocessing_shift", item.shift, np.float64)
        value = builder.node("Add", [value, addend], f"{name}/preprocessed")
    if item.order is not None:
        for axes in AXES:
            sides = [item.tensor_shape[axes.index(axis)] for axis in range(3)]
            if _turns(item.order, sides, axes):
                value = builder.reshape(value, sides, f"{name}/sides")
                return _transposed(builder, value, axes, f"{name}/image")
        value = builder.reshape(value, [math.prod(item.shape)], f"{name}/flat")
        value = _gathered(builder, value, item.order, name)
    if item.order is not None or item.shape != item.tensor_shape:
        value = builder.reshape(value, item.tensor_shape, f"{name}/image")
    return value


def _turns(order: IntArray, sides: Sequence[int], axes: Sequence[int]) -> bool:
    """Whether a tensor with these sides has its elements in this order once its axes are in that."""
    elements = np.arange(math.prod(sides)).reshape(sides)
    return np.array_equal(
        elements.transpose(axes).ravel(), order
    )  # a part of the elements is not in any order


def _transposed(builder: Builder, value: str, axes: Sequence[int], name: str) -> str:
    """Put the axes of each sample in another order."""
    return builder.node("Transpose", [value], name, perm=[0, *(1 + axis for axis in axes)])


def _gathered(builder: Builder, value: str, order: IntArray, name: str) -> str:
    """Put the elements of each sample in any order."""
    indices = builder.constant(f"{name}/order", order, np.int64)
    return builder.node("Gather", [value, indices], f"{name}/ordered", axis=1)


def add_input(builder: Builder, item: Input, tensor: Tensor) -> None:
    """Add an input as integers: prepared, rounded half up, saturated."""
    name, centre = item.name, middle(tensor)
    doc = f"real values; they become q = floor(x / {tensor.scale!r} + 0.5) + {tensor.zero_point}, saturated"
    value = add_prepared(builder, item, doc)
    scale = builder.constant(f"{name}/scale", tensor.scale, np.float64)
    half = builder.constant(f"{name}/half", 0.5, np.float64)
    zero = builder.constant(f"{name}/zero_point", tensor.zero_point + centre, np.float64)
    low, high = (limit + centre for limit in tensor.limits)
    value = builder.node("Div", [value, scale], f"{name}/divided")
    value = builder.node("Add", [value, half], f"{name}/half_up")
    value = builder.node("Floor", [value], f"{name}/rounded")
    value = builder.node("Add", [value, zero], f"{name}/offset", f"z + {centre}")
    limits = [
        builder.constant(f"{name}/low", low, np.float64),
        builder.constant(f"{name}/high", high, np.float64),
    ]
    value = builder.node("Clip", [value, *limits], f"{name}/clamped")
    builder.cast(value, carrier(tensor), carried(tensor), f"q + {centre}")


def add_output(builder: Builder, output: Output, tensor: Tensor) -> None:
    """Add an output: dequantized, and delivered in the user's layout."""
    name = output.name
    value = builder.cast(carried(tensor), np.float64, f"{name}/double")
    zero = builder.constant(f"{name}/zero_point_double", tensor.zero_point + middle(tensor), np.float64)
    value = builder.node("Sub", [value, zero], f"{name}/difference", "q - z")
    scale = builder.constant(f"{name}/scale_double", tensor.scale, np.float64)
    value = builder.node("Mul", [value, scale], f"{name}/real", "S * (q - z)")
    add_delivered(builder, output, value, tensor.shape)


def add_delivered(builder: Builder, output: Output, value: str, tensor_shape: Shape) -> None:
    """Add an output from its real values: reordered, reshaped, host functions applied.

    It is float32, or int64 where the last host function is an argmax.
    """
    name, shape = output.name, output.shape
    if output.order is not None:
        axes = next((axes for axes in AXES if _turns(output.order, tensor_shape, axes)), None)
        if axes is not None:
            value = _transposed(builder, value, axes, f"{name}/ordered")
        else:
            value = builder.reshape(value, [math.prod(tensor_shape)], f"{name}/flat")
            value = _gathered(builder, value, output.order, name)
    if output.order is not None or shape != tensor_shape:
        value = builder.reshape(value, shape, f"{name}/shaped")
    for index, function in enumerate(output.host):
        if function == "argmax":
            if index + 1 < len(output.host):
                raise Unsupported(
                    f"output {name!r} asks for {output.host[index + 1]!r} after an argmax; leave it to the host",
                    where=name,
                    operator=output.host[index + 1],
                )
            builder.node("ArgMax", [value], name, "the first of equals", axis=1, keepdims=0)
            builder.output(name, np.int64, [BATCH, *shape[1:]], "index of the largest value")
            return
        operator = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[function]
        value = builder.node(operator, [value], f"{name}/{function}_{index}", axis=1)
    builder.cast(value, np.float32, name)
    builder.output(name, np.float32, [BATCH, *shape], f"of tensor {output.tensor}")
