"""ONNX's operators that move elements, and those that end a network: nothing of them is left in the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwquant.frontends import elementwise, operators, rearrange
from hwquant.frontends.onnx_call import OnnxCall
from hwquant.frontends.onnx_types import INTEGERS, REAL, TRUTH, holds, type_name
from hwquant.frontends.values import Array, Value


def flatten(call: OnnxCall) -> Value:
    """The operator Flatten: two axes, of those before ``axis`` and of the rest."""
    axis = call.attributes["axis"]

    def flattened(array: Array) -> Array:
        rank = array.ndim
        if not -rank <= axis <= rank:
            raise IndexError(f"axis {axis} of {rank}")
        split = axis + rank if axis < 0 else axis
        return array.reshape(int(np.prod(array.shape[:split])), int(np.prod(array.shape[split:])))

    return rearrange.view(call.build, call.value(), flattened)


def reshape(call: OnnxCall) -> Value:
    """The operator Reshape; a size of 0 keeps the axis unless ``allowzero`` says otherwise."""
    target, keep = call.integers(1) or [], not call.attributes.get("allowzero", 0)

    def reshaped(array: Array) -> Array:
        if min(target, default=0) < -1:
            raise ValueError(f"shape {target}")
        return array.reshape(
            [array.shape[i] if keep and size == 0 else size for i, size in enumerate(target)]
        )

    return rearrange.view(call.build, call.value(), reshaped)


def transpose(call: OnnxCall) -> Value:
    """The operator Transpose; without ``perm`` it reverses the axes."""
    order = call.attributes.get("perm")
    return rearrange.view(call.build, call.value(), lambda array: array.transpose(order))


def squeeze(call: OnnxCall) -> Value:
    """The operator Squeeze: the given axes left out, or all of length 1."""
    axes = tuple(call.integers(1, "axes") or ()) or None  # no axes are all of length 1
    return rearrange.view(call.build, call.value(), lambda array: array.squeeze(axes))


def unsqueeze(call: OnnxCall) -> Value:
    """The operator Unsqueeze: new axes of length 1."""
    axes = tuple(call.integers(1, "axes") or ())
    return rearrange.view(call.build, call.value(), lambda array: np.expand_dims(array, axes))


def identity(call: OnnxCall) -> Value:
    """The operator Identity."""
    return call.value()


def dropout(call: OnnxCall) -> Value:
    """The operator Dropout, which does nothing in evaluation mode."""
    if call.given(2) and call.constant(2).any():
        raise call.build.invalid("training_mode is not supported; export the model in evaluation mode")
    ratio = call.number(1) if call.given(1) else call.attributes.get("ratio", 0.5)
    if not 0 <= ratio < 1:
        raise call.build.invalid(f"its ratio {ratio:g} is not between 0 and 1")
    return call.value()


def shape(call: OnnxCall) -> Array:
    """The operator Shape, a constant: the sizes of the axes from ``start`` to ``end``."""
    start, end = call.attributes.get("start", 0), call.attributes.get("end")
    return np.asarray(call.value().seen_shape[start:end], np.int64)


def size(call: OnnxCall) -> Array:
    """The operator Size, a constant: the number of elements, those of all samples."""
    return np.asarray(np.prod(call.value().seen_shape), np.int64)


def cast(call: OnnxCall) -> Value:
    """The operator Cast: nothing for real numbers; integers may only become what keeps every one of them."""
    return _cast(call, type_name(call.attributes["to"]) or "undefined")


def cast_like(call: OnnxCall) -> Value | Array:
    """The operator CastLike: a Cast to the type of the second input."""
    target = str(call.types[1])
    if isinstance(call.any(0), Value):
        return _cast(call, target)
    numbers = {"float": "float32", "double": "float64"}.get(target, target)
    if target not in REAL | INTEGERS or target == "bfloat16":
        raise call.build.refuse(f"a cast of a constant to {target} is not supported")
    return call.constant(0).astype(numbers)


def _cast(call: OnnxCall, target: str) -> Value:
    value, source = call.value(), str(call.types[0])
    if value.quantized is not None:
        raise call.build.refuse("it casts the integers of a QuantizeLinear; dequantize them before")
    if source in REAL | TRUTH and (target in REAL or target == source):
        return value  # a truth value is 1 or 0 here
    if source in REAL and target in INTEGERS:
        raise call.build.refuse(
            "a cast of activations to integers is not supported; quantization is what hwquant adds"
        )
    if value.host[-1:] == ("argmax",) and target in INTEGERS:
        fits = value.shape[1] - 1 <= np.iinfo(target).max
    else:
        fits = source in INTEGERS and holds(target, source)
    if value.host[-1:] == ("argmax",) and target in REAL:
        fits = value.shape[1] <= 256  # exact in each of them
        fits = fits or target in ("float", "double")
    if not fits:
        raise call.build.refuse(
            f"a cast from {source} to {target} is not supported, which does not hold all of its numbers; "
            "cast to float"
        )
    return replace(value, integer=target in INTEGERS and not value.host)


def softmax(function: str) -> Callable[[OnnxCall], Value]:
    """The operators Softmax and LogSoftmax, which the host computes."""

    def translate(call: OnnxCall) -> Value:
        value = call.value()
        axis, rank = call.attributes["axis"], len(value.shape)
        # Before version 13 it runs over all the axes from `axis` on.
        if call.opset < 13 and -rank <= axis < rank and np.prod(value.shape[axis % rank + 1 :]) != 1:
            raise call.build.refuse(f"{function} over the axes from {axis} of {value.shape} is not supported")
        return operators.host(call.build, value, function, axis)

    return translate


def argmax(*, negative: bool) -> Callable[[OnnxCall], Value]:
    """The operators ArgMax and, with ``negative``, ArgMin, which the host computes."""

    def translate(call: OnnxCall) -> Value:
        axis, keepdims, value = call.attributes["axis"], bool(call.attributes["keepdims"]), call.value()
        if negative:
            value = elementwise.affine(call.build, f"{call.name}_negative", value, -1.0, 0.0)
        return operators.host(call.build, value, "argmax", axis, keepdims)

    return translate
