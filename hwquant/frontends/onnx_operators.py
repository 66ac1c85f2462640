"""The ONNX operators, each translated to a function on values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.frontends import arithmetic, operators
from hwquant.frontends.builder import Builder
from hwquant.frontends.values import Array, Value
from hwquant.frontends.windows import Window, window
from hwquant.graph import Shape

Result = Value | Array

_FLOAT_TYPES = (1, 10, 11, 16)
"""TensorProto.FLOAT, FLOAT16, DOUBLE, BFLOAT16"""


@dataclass(frozen=True)
class Call:
    """One node of an ONNX model, its inputs resolved.

    Attributes
    ----------
    build : where its nodes go
    name : name for them
    opset : version of the default operator set
    inputs : values and constants, None where one is left out
    names : the inputs' names in the model
    attributes : as the model gives them
    """

    build: Builder
    name: str
    opset: int
    inputs: Sequence[Result | None]
    names: Sequence[str]
    attributes: Mapping[str, Any]

    def given(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def any(self, index: int) -> Result:
        """Input ``index``, of either kind."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.build.refuse(f"its input {index} is missing")
        return found

    def value(self, index: int = 0) -> Value:
        """An activation."""
        found = self.any(index)
        if not isinstance(found, Value):
            raise self.build.refuse(
                f"its input {self.names[index]!r} is a constant where an activation is expected"
            )
        return found

    def constant(self, index: int) -> Array:
        """A constant as it is in the model."""
        found = self.any(index)
        if isinstance(found, Value):
            raise self.build.refuse(
                f"its input {self.names[index]!r} is computed from the network's input; it must be a constant"
            )
        return found

    def weights(self, index: int) -> NDArray[np.float64]:
        """A constant in float64, all of it finite."""
        return self.build.weights(self.constant(index), self.names[index])

    def operand(self, index: int) -> Result:
        """An activation as it is, a constant in float64."""
        return self.any(index) if isinstance(self.any(index), Value) else self.weights(index)

    def integers(self, index: int, attribute: str | None = None) -> list[int] | None:
        """Integers from an input, or from the attribute of older versions; None if neither is there."""
        if self.given(index):
            return [int(number) for number in self.constant(index).ravel()]
        found = self.attributes.get(attribute) if attribute else None
        return None if found is None else [int(number) for number in found]


def _window(call: Call, kernel: Sequence[int], shape: Shape) -> Window:
    """The window of Conv and the pools, ``auto_pad`` and ``ceil_mode`` resolved for an input (C, H, W)."""
    attributes = call.attributes
    auto = attributes.get("auto_pad", "NOTSET")
    pads = attributes.get("pads") if auto == "NOTSET" else None
    found = window(kernel, attributes.get("strides"), pads, attributes.get("dilations"))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return found.same(shape, upper=auto == "SAME_UPPER")
    if auto not in ("NOTSET", "VALID"):
        raise call.build.refuse(f"auto_pad {auto!r} is unknown")
    return found.ceil(shape) if attributes.get("ceil_mode", 0) else found


def _spatial(call: Call, value: Value) -> Shape:
    """(C, H, W) of a value (N, C, H, W) or (N, C, L)."""
    match value.shape:
        case (_, channels, length):
            return channels, 1, length
        case (_, channels, height, width):
            return channels, height, width
    raise call.build.refuse(
        f"a tensor of shape {value.shape} is not supported, only (N, C, H, W) and (N, C, L)"
    )


def _conv(call: Call) -> Value:
    value, weight = call.value(), call.weights(1)
    bias = call.weights(2) if call.given(2) else None
    kernel = call.attributes.get("kernel_shape") or weight.shape[2:]
    if tuple(kernel) != weight.shape[2:]:
        raise call.build.refuse(f"its kernel_shape {list(kernel)} does not fit its weights {weight.shape}")
    found = _window(call, kernel, _spatial(call, value))
    return operators.conv(call.build, call.name, value, weight, bias, found, call.attributes.get("group", 1))


def _gemm(call: Call) -> Value:
    if call.attributes.get("transA", 0):
        raise call.build.refuse("transA=1 is not supported; transpose the activation before it")
    weight = call.weights(1) if call.attributes.get("transB", 0) else call.weights(1).T
    bias = call.weights(2) * call.attributes.get("beta", 1.0) if call.given(2) else None
    weight = weight * call.attributes.get("alpha", 1.0)
    return operators.linear(call.build, call.name, call.value(), weight, bias)


def _matmul(call: Call) -> Value:
    value, weight = call.value(0), call.weights(1)
    if weight.ndim > 2 and weight.shape[:-2] == (1,) * (weight.ndim - 2):
        weight = weight.reshape(weight.shape[-2:])
    return operators.linear(call.build, call.name, value, weight.T, None)


def _batch_normalization(call: Call) -> Value:
    if call.attributes.get("training_mode", 0):
        raise call.build.refuse("training_mode=1 is not supported; export the model in evaluation mode")
    gamma, beta, mean, variance = (call.weights(index) for index in range(1, 5))
    epsilon = call.attributes.get("epsilon", 1e-5)
    return operators.batch_norm(call.build, call.name, call.value(), gamma, beta, mean, variance, epsilon)


def _clip(call: Call) -> Value:
    low = _scalar(call, 1) if call.given(1) else call.attributes.get("min", -np.inf)
    high = _scalar(call, 2) if call.given(2) else call.attributes.get("max", np.inf)
    return operators.clip(call.build, call.name, call.value(), low, high)


def _scalar(call: Call, index: int) -> float:
    constant = call.constant(index)
    if constant.size != 1:
        raise call.build.refuse(f"its input {call.names[index]!r} has shape {constant.shape}, not one number")
    return float(constant.item())


def _leaky_relu(call: Call) -> Value:
    return operators.leaky(call.build, call.name, call.value(), call.attributes.get("alpha", 0.01))


def _prelu(call: Call) -> Value:
    return operators.leaky(call.build, call.name, call.value(), call.weights(1))


def _max_pool(call: Call) -> Value:
    value = call.value()
    found = _window(call, call.attributes["kernel_shape"], _spatial(call, value))
    return operators.max_pool(call.build, call.name, value, found)


def _average_pool(call: Call) -> Value:
    value = call.value()
    shape = _spatial(call, value)
    found = _window(call, call.attributes["kernel_shape"], shape)
    include = bool(call.attributes.get("count_include_pad", 0))
    asked = window(call.attributes["kernel_shape"], padding=call.attributes.get("pads"))
    if include and call.attributes.get("ceil_mode", 0) and found.padding != asked.padding:
        raise call.build.refuse(
            "count_include_pad with ceil_mode and windows beyond the padding is not supported"
        )
    return operators.average_pool(call.build, call.name, value, found, include)


def _global_pool(kind: str) -> Callable[[Call], Value]:
    def translate(call: Call) -> Value:
        axes = range(2, len(call.value().shape))
        return operators.reduce(call.build, call.name, call.value(), axes, True, kind)

    return translate


def _reduce(kind: str) -> Callable[[Call], Value]:
    def translate(call: Call) -> Value:
        axes = call.integers(1, "axes")
        if axes is None or (not axes and not call.attributes.get("noop_with_empty_axes", 0)):
            raise call.build.refuse("it reduces over everything, the batch included; give its axes")
        return operators.reduce(
            call.build, call.name, call.value(), axes, bool(call.attributes.get("keepdims", 1)), kind
        )

    return translate


def _binary(kind: str) -> Callable[[Call], Result]:
    return lambda call: arithmetic.binary(call.build, call.name, kind, call.operand(0), call.operand(1))


def _sum(call: Call) -> Result:
    total = call.operand(0)
    for index in range(1, len(call.inputs)):
        total = arithmetic.binary(call.build, call.name, "add", total, call.operand(index))
    return total


def _bounds(kind: str) -> Callable[[Call], Value]:
    return lambda call: arithmetic.bounds(
        call.build, call.name, kind, [call.any(index) for index in range(len(call.inputs))]
    )


def _concat(call: Call) -> Value:
    values = [call.value(index) for index in range(len(call.inputs))]
    return operators.concat(call.build, call.name, values, call.attributes["axis"])


def _pad(call: Call) -> Value:
    value, mode = call.value(), call.attributes.get("mode", "constant")
    if mode != "constant":
        raise call.build.refuse(f"padding in mode {mode!r} is not supported, only zeros")
    fill = _scalar(call, 2) if call.given(2) else call.attributes.get("value", 0.0)
    if fill != 0:
        raise call.build.refuse(f"padding with {fill} is not supported, only zeros")
    pads, rank = call.integers(1, "pads") or [], len(value.shape)
    axes = call.integers(3) or list(range(rank))
    if len(pads) != 2 * len(axes) or any(not -rank <= axis < rank for axis in axes):
        raise call.build.refuse(f"{len(pads)} paddings do not fit {len(axes)} axes")
    before, after = [0] * rank, [0] * rank
    for axis, first, last in zip(axes, pads, pads[len(axes) :]):
        before[axis], after[axis] = first, last
    return operators.pad(call.build, call.name, value, before, after)


def _flatten(call: Call) -> Value:
    value = call.value()
    rank = len(value.shape)
    axis = call.attributes.get("axis", 1)
    split = axis % rank if axis != rank else rank
    size = int(np.prod(value.shape[:split]))
    return operators.view(call.build, value, lambda array: array.reshape(size, -1))


def _reshape(call: Call) -> Value:
    value, target = call.value(), call.integers(1, "shape") or []
    if not call.attributes.get("allowzero", 0):
        target = [
            value.shape[axis] if size == 0 and axis < len(value.shape) else size
            for axis, size in enumerate(target)
        ]
    return operators.view(call.build, value, lambda array: array.reshape(target))


def _transpose(call: Call) -> Value:
    order = call.attributes.get("perm")
    return operators.view(call.build, call.value(), lambda array: array.transpose(order))


def _squeeze(call: Call) -> Value:
    axes = call.integers(1, "axes")
    return operators.view(
        call.build, call.value(), lambda array: array.squeeze(None if axes is None else tuple(axes))
    )


def _unsqueeze(call: Call) -> Value:
    axes = tuple(call.integers(1, "axes") or ())
    return operators.view(call.build, call.value(), lambda array: np.expand_dims(array, axes))


def _identity(call: Call) -> Value:
    if call.given(2) and call.constant(2).any():  # Dropout's training_mode
        raise call.build.refuse("training_mode is not supported; export the model in evaluation mode")
    return call.value()


def _cast(call: Call) -> Value:
    value, target = call.value(), call.attributes["to"]
    if target in _FLOAT_TYPES:
        return replace(value, integer=False)
    if value.host[-1:] == ("argmax",) or value.integer:
        return value
    raise call.build.refuse(
        "a cast of activations to integers is not supported; quantization is what hwquant adds"
    )


def _softmax(function: str) -> Callable[[Call], Value]:
    def translate(call: Call) -> Value:
        value = call.value()
        axis, rank = call.attributes.get("axis", 1 if call.opset < 13 else -1), len(value.shape)
        # Before version 13 it runs over all the axes from `axis` on.
        if call.opset < 13 and axis % rank != rank - 1 and np.prod(value.shape[axis % rank + 1 :]) != 1:
            raise call.build.refuse(f"{function} over the axes from {axis} of {value.shape} is not supported")
        return operators.host(call.build, value, function, axis)

    return translate


def _argmax(call: Call) -> Value:
    if call.attributes.get("select_last_index", 0):
        raise call.build.refuse("select_last_index=1 is not supported")
    return operators.host(call.build, call.value(), "argmax", call.attributes.get("axis", 0))


OPERATORS: Mapping[str, Callable[[Call], Result]] = {
    "Add": _binary("add"),
    "ArgMax": _argmax,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _binary("div"),
    "Dropout": _identity,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool("mean"),
    "GlobalMaxPool": _global_pool("max"),
    "Identity": _identity,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax("log_softmax"),
    "MatMul": _matmul,
    "Max": _bounds("max"),
    "MaxPool": _max_pool,
    "Min": _bounds("min"),
    "Mul": _binary("mul"),
    "Neg": lambda call: operators.affine(call.build, call.name, call.value(), -1.0, 0.0),
    "PRelu": _prelu,
    "Pad": _pad,
    "ReduceMax": _reduce("max"),
    "ReduceMean": _reduce("mean"),
    "Relu": lambda call: operators.clip(call.build, call.name, call.value(), 0.0, np.inf),
    "Reshape": _reshape,
    "Shape": lambda call: np.asarray(call.value().shape, np.int64),
    "Softmax": _softmax("softmax"),
    "Squeeze": _squeeze,
    "Sub": _binary("sub"),
    "Sum": _sum,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
