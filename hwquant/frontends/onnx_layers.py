"""ONNX's operators that compute: products, windows, reductions, bounds and arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from hwquant.errors import Unsupported
from hwquant.frontends import arithmetic, elementwise, operators, pooling, transposed
from hwquant.frontends.einsum import einsum
from hwquant.frontends.onnx_call import OnnxCall, Result
from hwquant.frontends.values import Value
from hwquant.frontends.windows import ceil_padding, same_padding, window
from hwquant.graph import Shape
from hwquant.window import Pair, Window

_LARGEST = float(np.finfo(np.float32).max)
"""From this number on a limit is none: the defaults of Clip's attributes are this number."""


def _window(call: OnnxCall, kernel: Sequence[int], shape: Shape, *, whole: bool = False) -> Window:
    """The window of Conv and the pools, ``auto_pad`` and ``ceil_mode`` resolved for an input (C, H, W).

    With ``whole`` it has only whole windows, as without ``ceil_mode``.
    """
    attributes = call.attributes
    auto, pads = attributes["auto_pad"], attributes.get("pads")
    if len(kernel) != len(call.value().shape) - 2:
        raise call.build.refuse(f"its kernel {list(kernel)} does not fit {call.value().shape}")
    for name, size in (("strides", 1), ("dilations", 1), ("pads", 2), ("kernel_shape", 1)):
        given = attributes.get(name)
        if given is not None and len(given) != size * len(kernel):
            raise call.build.refuse(f"its {name} {list(given)} do not fit its kernel {list(kernel)}")
    if auto != "NOTSET" and pads and (any(pads) or call.build.operator == "Conv"):
        raise call.build.refuse(f"it has pads {list(pads)} beside auto_pad {auto!r}; only one can be")
    try:
        found = window(kernel, attributes.get("strides"), pads, attributes.get("dilations"))
    except Unsupported as error:
        raise call.build.refuse(str(error)) from None
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        if found.dilation != (1, 1):
            raise call.build.refuse(f"auto_pad {auto!r} with dilations is not supported; give pads")
        return same_padding(found, shape[1:], upper=auto == "SAME_UPPER")
    return ceil_padding(found, shape[1:]) if attributes.get("ceil_mode", 0) and not whole else found


def _spatial(call: OnnxCall, value: Value) -> Shape:
    """(C, H, W) of a value (N, C, H, W) or (N, C, L)."""
    match value.shape:
        case (_, channels, length):
            return channels, 1, length
        case (_, channels, height, width):
            return channels, height, width
    raise call.build.refuse(
        f"a tensor of shape {value.shape} is not supported, only (N, C, H, W) and (N, C, L)"
    )


def conv(call: OnnxCall) -> Value:
    """The operator Conv."""
    value, weight = call.value(), call.weights(1)
    bias = call.weights(2) if call.given(2) else None
    if bias is not None and bias.shape != weight.shape[:1]:
        raise call.build.misfit(f"a bias of shape {bias.shape} does not fit weights {weight.shape}")
    kernel = call.attributes.get("kernel_shape", weight.shape[2:])
    if tuple(kernel) != weight.shape[2:]:
        raise call.build.misfit(f"its kernel_shape {list(kernel)} does not fit its weights {weight.shape}")
    found = _window(call, kernel, _spatial(call, value))
    return operators.conv(call.build, call.name, value, weight, bias, found, call.attributes["group"])


def conv_transpose(call: OnnxCall) -> Value:
    """The operator ConvTranspose."""
    value, weight, attributes = call.value(), call.weights(1), call.attributes
    bias = call.weights(2) if call.given(2) else None
    groups, axes = attributes["group"], weight.ndim - 2
    kernel = attributes.get("kernel_shape", weight.shape[2:])
    if tuple(kernel) != weight.shape[2:] or axes not in (1, 2):
        raise call.build.misfit(f"its kernel_shape {list(kernel)} does not fit its weights {weight.shape}")
    if bias is not None and bias.shape != (weight.shape[1] * groups,):
        raise call.build.misfit(f"a bias of shape {bias.shape} does not fit weights {weight.shape}")
    added = list(attributes.get("output_padding") or [0] * axes)
    auto, asked = attributes["auto_pad"], attributes.get("output_shape")
    explicit = None if auto == "VALID" else attributes.get("pads")
    try:
        found = window(kernel, attributes.get("strides"), explicit, attributes.get("dilations"))
    except Unsupported as error:
        raise call.build.refuse(str(error)) from None
    if (
        len(added) != axes
        or min(added) < 0
        or any(a >= max(s, d) for a, s, d in zip(added, found.stride[-axes:], found.dilation[-axes:]))
    ):
        raise call.build.refuse(f"its output_padding {added} is not smaller than its strides")
    over = (added[0], added[1]) if axes == 2 else (0, added[0])
    if asked or auto.startswith("SAME"):
        found = _transposed_padding(call, found, over, asked, upper=auto == "SAME_UPPER")
    return transposed.conv_transpose(call.build, call.name, value, weight, bias, found, over, groups)


def _transposed_padding(
    call: OnnxCall, found: Window, added: Pair, asked: Sequence[int] | None, *, upper: bool
) -> Window:
    """What is left out on each side for an output of the asked shape, or of the input's times the stride."""
    _, *size = _spatial(call, call.value())
    wanted = [length * stride for length, stride in zip(size, found.stride)]
    if asked:
        wanted = [*([1] if len(asked) == 1 else []), *asked[-2:]]
    sides = []
    for length, stride, extent, more, target in zip(size, found.stride, found.extent, added, wanted):
        total = (length - 1) * stride + more + extent - target
        if total < 0:
            raise call.build.refuse(
                f"an output of {wanted} is larger than its windows reach; give output_padding"
            )
        small, large = total // 2, total - total // 2
        sides.append((small, large) if upper else (large, small))
    (top, bottom), (left, right) = sides
    return replace(found, padding=(top, left, bottom, right))


def gemm(call: OnnxCall) -> Value:
    """The operator Gemm: ``alpha * A @ B + beta * C``, ``B`` and ``C`` constant."""
    value, weight = call.value(), call.weights(1)
    if len(value.shape) != 2 or weight.ndim != 2:
        raise call.build.refuse(
            f"a tensor of shape {value.shape} and weights of shape {weight.shape}; both must be 2-D"
        )
    weight = call.attributes["alpha"] * (weight if call.attributes["transB"] else weight.T)
    bias = None
    if call.given(2):
        bias = call.weights(2) * call.attributes["beta"]
        if (
            bias.ndim > 2
            or bias.shape[:-1] not in ((), (1,))
            or bias.shape[-1:] not in ((), (1,), weight.shape[:1])
        ):
            raise call.build.misfit(f"a bias of shape {bias.shape} does not fit {len(weight)} outputs")
    return operators.linear(call.build, call.name, value, weight, bias)


def matmul(call: OnnxCall) -> Result:
    """The operator MatMul, with a constant matrix on one side."""
    left = isinstance(call.any(1), Value) and not isinstance(call.any(0), Value)
    value, weight = call.value(int(left)), call.weights(int(not left))
    if 2 < weight.ndim <= len(value.shape) and weight.shape[:-2] == (1,) * (weight.ndim - 2):
        weight = weight.reshape(weight.shape[-2:])
    if left and weight.ndim == 2:
        return einsum(call.build, call.name, "ab,...bc->...ac", [weight, value])
    return operators.linear(call.build, call.name, value, weight.T, None)


def equation(call: OnnxCall) -> Result:
    """The operator Einsum."""
    parts = [call.operand(index) for index in range(len(call.inputs))]
    return einsum(call.build, call.name, call.attributes["equation"], parts)


def batch_normalization(call: OnnxCall) -> Value:
    """The operator BatchNormalization, with running statistics."""
    gamma, beta, mean, variance = (call.weights(index) for index in range(1, 5))
    epsilon = call.attributes["epsilon"]
    return elementwise.batch_norm(call.build, call.name, call.value(), gamma, beta, mean, variance, epsilon)


def clip(call: OnnxCall) -> Value:
    """The operator Clip, its limits from inputs or, in older operator sets, from attributes."""
    low = call.number(1) if call.given(1) else call.attributes.get("min", -np.inf)
    high = call.number(2) if call.given(2) else call.attributes.get("max", np.inf)
    if np.isnan(low) or np.isnan(high):
        raise call.build.invalid("it clips to a limit that is NaN; train or export the model again")
    low, high = (-np.inf if low <= -_LARGEST else low), (np.inf if high >= _LARGEST else high)
    return elementwise.clip(call.build, call.name, call.value(), low, high)


def relu(call: OnnxCall) -> Value:
    """The operator Relu."""
    return elementwise.clip(call.build, call.name, call.value(), 0.0, np.inf)


def negative(call: OnnxCall) -> Value:
    """The operator Neg."""
    return elementwise.affine(call.build, call.name, call.value(), -1.0, 0.0)


def leaky_relu(call: OnnxCall) -> Value:
    """The operator LeakyRelu, one slope for all."""
    return elementwise.leaky(call.build, call.name, call.value(), call.attributes["alpha"])


def prelu(call: OnnxCall) -> Value:
    """The operator PRelu, its slopes constant."""
    return elementwise.leaky(call.build, call.name, call.value(), call.weights(1))


def _pool_window(call: OnnxCall) -> Window:
    """The window of a pool, whose padding must be smaller than its kernel (dilation does not count)."""
    kernel, pads = call.attributes["kernel_shape"], call.attributes.get("pads") or ()
    shape = _spatial(call, call.value())
    found = _window(call, kernel, shape)
    if any(pad >= size for pad, size in zip(pads, [*kernel, *kernel])):
        raise call.build.refuse(f"padding {list(pads)} is not smaller than the window {list(kernel)}")
    if call.attributes["auto_pad"].startswith("SAME"):
        for size, extent, stride in zip(shape[1:], found.extent, found.stride):
            if -(-size // stride) * stride - stride + extent < size:
                raise call.build.refuse(
                    f"auto_pad with strides {list(found.stride)} beyond the window {list(found.extent)} would need "
                    "negative padding; give pads"
                )
    return found


def max_pool(call: OnnxCall) -> Value:
    """The operator MaxPool."""
    value, found = call.value(), _pool_window(call)
    return operators.max_pool(call.build, call.name, value, found)


def average_pool(call: OnnxCall) -> Value:
    """The operator AveragePool."""
    value, found = call.value(), _pool_window(call)
    include = bool(call.attributes["count_include_pad"])
    if include and call.attributes.get("ceil_mode", 0):
        asked = _window(call, call.attributes["kernel_shape"], _spatial(call, value), whole=True)
        return pooling.counting(call.build, call.name, value, asked, found)
    return pooling.average_pool(call.build, call.name, value, found, include)


def global_pool(kind: pooling.Reduction) -> Callable[[OnnxCall], Value]:
    """The operators GlobalAveragePool and GlobalMaxPool, ``kind`` "mean" and "max"."""

    def translate(call: OnnxCall) -> Value:
        rank = len(call.value().shape)
        if rank < 3:
            raise call.build.refuse(f"a tensor of shape {call.value().shape} has no height and width to pool")
        axes = range(2, rank)
        return pooling.reduce(call.build, call.name, call.value(), axes, True, kind)

    return translate


def reduce(kind: pooling.Reduction) -> Callable[[OnnxCall], Value]:
    """The operators ReduceMean, ReduceSum, ReduceMax and ReduceMin, ``kind`` "mean", "sum", "max" and "min"."""

    def translate(call: OnnxCall) -> Value:
        axes = call.integers(1, "axes")
        if not axes and call.attributes.get("noop_with_empty_axes", 0):
            return call.value()
        if not axes:
            raise call.build.refuse("it reduces over everything, the batch included; give its axes")
        return pooling.reduce(
            call.build, call.name, call.value(), axes, bool(call.attributes["keepdims"]), kind
        )

    return translate


def binary(kind: str) -> Callable[[OnnxCall], Result]:
    """The operators Add, Sub, Mul, Div and Pow, ``kind`` "add", "sub", "mul", "div" and "pow"."""
    return lambda call: arithmetic.binary(call.build, call.name, kind, call.operand(0), call.operand(1))


def _alike(call: OnnxCall) -> None:
    """Refuse inputs of several shapes before version 8: operators of many inputs did not broadcast."""
    shapes = {tuple(call.any(index).shape) for index in range(len(call.inputs))}
    if call.opset < 8 and len(shapes) > 1:
        raise call.build.refuse(
            f"its inputs have different shapes {sorted(shapes)}, which operator set 8 brought"
        )


def total(call: OnnxCall) -> Result:
    """The operator Sum, of any number of inputs."""
    _alike(call)
    result = call.operand(0)
    for index in range(1, len(call.inputs)):
        result = arithmetic.binary(call.build, call.name, "add", result, call.operand(index))
    return result


def mean(call: OnnxCall) -> Result:
    """The operator Mean, of any number of inputs."""
    total_ = total(call)
    return arithmetic.binary(call.build, call.name, "div", total_, np.asarray(float(len(call.inputs))))


def bounds(kind: Literal["max", "min"]) -> Callable[[OnnxCall], Value]:
    """The operators Max and Min, of activations and numbers."""

    def translate(call: OnnxCall) -> Value:
        _alike(call)
        inputs = [call.any(index) for index in range(len(call.inputs))]
        return arithmetic.bounds(call.build, call.name, kind, inputs)

    return translate
