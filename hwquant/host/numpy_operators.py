"""ONNX's simple operators in numpy: what ends most networks then needs no runtime.

Every function takes a :class:`Call` and returns the operator's output, or a tuple of several. They mean what ONNX says
of operator sets 7 and newer, in the dtypes of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError

Array = NDArray[Any]
Result = Array | tuple[Array, ...]


@dataclass(frozen=True)
class Call:
    """A node at work.

    Attributes
    ----------
    inputs : tuple of ndarray or None
        What it reads; None where an input is left out.
    attributes : mapping
        Its attributes, with the defaults of the operator set.
    opset : int
        Version of the operator set.
    outputs : int
        How many results are wanted.
    """

    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any]
    opset: int
    outputs: int

    @property
    def x(self) -> Array:
        """The first input."""
        return self.all[0]

    @property
    def all(self) -> tuple[Array, ...]:
        """The inputs that are given."""
        return tuple(item for item in self.inputs if item is not None)

    def optional(self, index: int) -> Array | None:
        """An input that may be left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def integers(self, index: int, attribute: str) -> list[int] | None:
        """Integers from an input, or from the attribute of older operator sets; None if neither is there."""
        given = self.optional(index)
        found = self.attributes.get(attribute) if given is None else given.ravel().tolist()
        return None if found is None else [int(item) for item in found]


def _unary(function: Callable[[Array], Array]) -> Callable[[Call], Array]:
    return lambda call: function(call.x)


def _binary(function: Callable[[Array, Array], Array]) -> Callable[[Call], Array]:
    return lambda call: function(*call.all[:2])


def _variadic(function: Callable[[Array, Array], Array]) -> Callable[[Call], Array]:
    def reduced(call: Call) -> Array:
        total = call.x
        for item in call.all[1:]:
            total = function(total, item)
        return total

    return reduced


def _divide(a: Array, b: Array) -> Array:
    """The quotient; of integers without what is behind the point."""
    return np.divide(a, b) if a.dtype.kind == "f" else np.trunc(np.divide(a, b)).astype(a.dtype)


def _softmax(call: Call) -> Array:
    """Before operator set 13 it runs over all axes from ``axis`` on, together."""
    return _flattened(call, lambda x, axis: _exponentials(x, axis) / _total(x, axis))


def _log_softmax(call: Call) -> Array:
    return _flattened(call, lambda x, axis: x - x.max(axis, keepdims=True) - np.log(_total(x, axis)))


def _exponentials(x: Array, axis: int) -> Array:
    return np.exp(x - x.max(axis, keepdims=True))


def _total(x: Array, axis: int) -> Array:
    return _exponentials(x, axis).sum(axis, keepdims=True)


def _flattened(call: Call, function: Callable[[Array, int], Array]) -> Array:
    x, axis = call.x, int(call.attributes["axis"])
    if call.opset >= 13:
        return function(x, axis)
    lead = math.prod(x.shape[: axis + x.ndim if axis < 0 else axis])
    return function(x.reshape(lead, -1), 1).reshape(x.shape)


def _clip(call: Call) -> Array:
    low, high = (
        call.attributes.get(name) if call.optional(index) is None else call.inputs[index]
        for index, name in ((1, "min"), (2, "max"))
    )
    x = call.x if low is None else np.maximum(call.x, np.asarray(low, call.x.dtype))
    return x if high is None else np.minimum(x, np.asarray(high, x.dtype))


def _hard_sigmoid(call: Call) -> Array:
    alpha, beta = (np.asarray(call.attributes[name], call.x.dtype) for name in ("alpha", "beta"))
    return np.clip(call.x * alpha + beta, 0, 1)


def _power(call: Call) -> Array:
    base, exponent = call.all[:2]
    return np.power(base, exponent).astype(base.dtype)


def _cast(call: Call) -> Array:
    from onnx.helper import tensor_dtype_to_np_dtype

    return call.x.astype(tensor_dtype_to_np_dtype(call.attributes["to"]))


def _reshape(call: Call) -> Array:
    keep = not call.attributes.get("allowzero", 0)
    target = call.integers(1, "shape") or []
    return call.x.reshape([call.x.shape[i] if keep and size == 0 else size for i, size in enumerate(target)])


def _flatten(call: Call) -> Array:
    axis, shape = int(call.attributes["axis"]), call.x.shape
    split = axis + len(shape) if axis < 0 else axis
    return call.x.reshape(math.prod(shape[:split]), math.prod(shape[split:]))


def _transpose(call: Call) -> Array:
    return call.x.transpose(call.attributes.get("perm"))


def _squeeze(call: Call) -> Array:
    axes = call.integers(1, "axes")
    return call.x.squeeze(None if axes is None else tuple(axes))


def _unsqueeze(call: Call) -> Array:
    return np.expand_dims(call.x, tuple(call.integers(1, "axes") or ()))


def _slice(call: Call) -> Array:
    starts, ends = call.integers(1, "starts") or [], call.integers(2, "ends") or []
    axes = call.integers(3, "axes") or list(range(len(starts)))
    steps = call.integers(4, "steps") or [1] * len(starts)
    parts = [slice(None)] * call.x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = call.x.shape[axis]
        # An end before the first element, which a negative step wants, is None in Python.
        parts[axis] = slice(start, None if step < 0 and end < -size else end, step)
    return call.x[tuple(parts)]


def _gather(call: Call) -> Array:
    data, indices = call.all[:2]
    return np.take(data, indices, axis=int(call.attributes["axis"]))


def _split(call: Call) -> tuple[Array, ...]:
    axis = int(call.attributes["axis"])
    sizes, count = call.integers(1, "split"), call.x.shape[axis]
    if sizes is None:
        step = -(-count // call.outputs)
        sizes = [min(step, count - step * index) for index in range(call.outputs)]
    return tuple(np.split(call.x, np.cumsum(sizes)[:-1], axis))


def _expand(call: Call) -> Array:
    target = call.integers(1, "shape") or []
    return np.broadcast_to(call.x, np.broadcast_shapes(call.x.shape, tuple(target)))


def _shape(call: Call) -> Array:
    return np.asarray(call.x.shape[call.attributes.get("start", 0) : call.attributes.get("end")], np.int64)


def _where(call: Call) -> Array:
    return np.where(*call.all[:3])


def _arg(function: Callable[..., Array]) -> Callable[[Call], Array]:
    def found(call: Call) -> Array:
        axis, keep = int(call.attributes["axis"]), bool(call.attributes["keepdims"])
        if not call.attributes.get("select_last_index", 0):
            return function(call.x, axis=axis, keepdims=keep).astype(np.int64)
        last = function(np.flip(call.x, axis), axis=axis, keepdims=keep)
        return (call.x.shape[axis] - 1 - last).astype(np.int64)

    return found


def _reduce(function: Callable[..., Array]) -> Callable[[Call], Array]:
    def reduced(call: Call) -> Array:
        axes = call.integers(1, "axes")
        if not axes and call.attributes.get("noop_with_empty_axes", 0):
            return call.x
        keep = bool(call.attributes["keepdims"])
        return np.asarray(function(call.x, axis=tuple(axes) if axes else None, keepdims=keep)).astype(
            call.x.dtype
        )

    return reduced


def _gemm(call: Call) -> Array:
    a, b, *c = call.all
    a, b = (m.T if call.attributes[name] else m for m, name in ((a, "transA"), (b, "transB")))
    product = (a @ b) * np.asarray(call.attributes["alpha"], a.dtype)
    return product + c[0] * np.asarray(call.attributes["beta"], a.dtype) if c else product


def _dropout(call: Call) -> tuple[Array, ...]:
    training = call.optional(2)
    if training is not None and training.any():
        raise HwquantError(
            "Dropout is in training mode, which is not run; export the model in evaluation mode"
        )
    return call.x, np.ones(call.x.shape, bool if call.opset >= 10 else call.x.dtype)


OPERATORS: Mapping[str, Callable[[Call], Result]] = {
    "Abs": _unary(np.abs),
    "Add": _binary(np.add),
    "And": _binary(np.logical_and),
    "ArgMax": _arg(np.argmax),
    "ArgMin": _arg(np.argmin),
    "Cast": _cast,
    "Ceil": _unary(np.ceil),
    "Clip": _clip,
    "Concat": lambda call: np.concatenate(call.all, int(call.attributes["axis"])),
    "Div": _binary(_divide),
    "Dropout": _dropout,
    "Equal": _binary(np.equal),
    "Exp": _unary(np.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _unary(np.floor),
    "Gather": _gather,
    "Gemm": _gemm,
    "Greater": _binary(np.greater),
    "GreaterOrEqual": _binary(np.greater_equal),
    "HardSigmoid": _hard_sigmoid,
    "Identity": lambda call: call.x,
    "Less": _binary(np.less),
    "LessOrEqual": _binary(np.less_equal),
    "Log": _unary(np.log),
    "LogSoftmax": _log_softmax,
    "MatMul": _binary(np.matmul),
    "Max": _variadic(np.maximum),
    "Min": _variadic(np.minimum),
    "Mul": _binary(np.multiply),
    "Neg": _unary(np.negative),
    "Not": _unary(np.logical_not),
    "Or": _binary(np.logical_or),
    "Pow": _power,
    "Reciprocal": _unary(np.reciprocal),
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "ReduceMin": _reduce(np.min),
    "ReduceSum": _reduce(np.sum),
    "Relu": _unary(lambda x: np.maximum(x, np.zeros((), x.dtype))),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _unary(lambda x: 1 / (1 + np.exp(-x))),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": _unary(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(np.subtract),
    "Sum": _variadic(np.add),
    "Tanh": _unary(np.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
"""What an operator computes, by its name."""
