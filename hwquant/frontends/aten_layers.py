"""The ATen operators that are layers: convolution, linear, normalization, clipping, pooling, padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from hwquant.frontends import elementwise, operators, pooling, rearrange, transposed
from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.einsum import einsum
from hwquant.frontends.values import Array, Float, Value
from hwquant.frontends.windows import ceil_padding, same_padding, window
from hwquant.window import Pair, Window


def _pairs(call: AtenCall, axes: int, name: str) -> list[int]:
    """A list of one number an axis, where torch allows one for all."""
    found = call.integers(name)
    return found * axes if len(found) == 1 else found


def _spatial(value: Value) -> Pair:
    """(H, W) of a value (N, C, H, W) or (N, C, L)."""
    return value.shape[2] if len(value.shape) == 4 else 1, value.shape[-1]


def conv(call: AtenCall) -> Value:
    """The operators ``conv1d``, ``conv2d``, and ``convolution``, which may be transposed."""
    if call.get("transposed"):
        return conv_transpose(call)
    value, weight = call.value("input"), call.weights("weight")
    axes, padding = weight.ndim - 2, call.get("padding")
    if isinstance(padding, str) and padding not in ("same", "valid"):
        raise call.build.refuse(f"there is no padding {padding!r}, only 'same' and 'valid'")
    found = window(
        weight.shape[2:],
        _pairs(call, axes, "stride"),
        None if isinstance(padding, str) else _pairs(call, axes, "padding"),
        _pairs(call, axes, "dilation"),
    )
    if padding == "same" and found.stride != (1, 1):
        raise call.build.refuse("padding 'same' with a stride is not defined")
    if padding == "same" and len(value.shape) in (3, 4):
        found = same_padding(found, _spatial(value))
    bias = call.optional("bias")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise call.build.refuse(f"a bias of shape {bias.shape} does not fit {len(weight)} output channels")
    return operators.conv(call.build, call.name, value, weight, bias, found, call.get("groups"))


def conv_transpose(call: AtenCall) -> Value:
    """The operators ``conv_transpose1d`` and ``conv_transpose2d``."""
    value, weight, groups = call.value("input"), call.weights("weight"), call.get("groups")
    axes = weight.ndim - 2
    found = window(
        weight.shape[2:],
        *(_pairs(call, axes, name) for name in ("stride", "padding", "dilation")),
    )
    bias = call.optional("bias")
    if bias is not None and bias.shape != (weight.shape[1] * groups,):
        raise call.build.refuse(f"a bias of shape {bias.shape} does not fit weights {weight.shape}")
    added = _pairs(call, axes, "output_padding") or [0] * axes
    steps = zip(added, found.stride[-axes:], found.dilation[-axes:])
    if len(added) != axes or any(not 0 <= item < max(stride, dilation) for item, stride, dilation in steps):
        raise call.build.refuse(f"its output_padding {added} is not smaller than its stride")
    over = (added[0], added[1]) if axes == 2 else (0, added[0])
    return transposed.conv_transpose(call.build, call.name, value, weight, bias, found, over, groups)


def linear(call: AtenCall) -> Value:
    """The operator ``linear``: ``input @ weight.T + bias``."""
    bias = call.optional("bias")
    return _linear(call, call.value("input"), call.weights("weight"), bias)


def addmm(call: AtenCall) -> Value:
    """The operator ``addmm``: ``beta * self + alpha * mat1 @ mat2``."""
    value, alpha = _rank(call, "mat1", 2), float(call.get("alpha"))
    return _linear(
        call, value, call.weights("mat2").T * alpha, call.weights("self") * float(call.get("beta"))
    )


def matmul(second: str, rank: int | None = None) -> Callable[[AtenCall], Value | Array]:
    """A product with a constant matrix; ``second`` is the schema's name of the right operand."""

    def translate(call: AtenCall) -> Value | Array:
        weight = call.weights(second)
        if not isinstance(call.get("self"), Value):
            return np.asarray(call.weights("self") @ weight)
        return _linear(call, call.value() if rank is None else _rank(call, "self", rank), weight.T, None)

    return translate


def bmm(call: AtenCall) -> Value | Array:
    """A product with the same constant matrix for every member of a batch, as ``expand`` makes of one."""
    weight = call.weights("mat2")
    if not isinstance(call.get("self"), Value):
        return np.asarray(call.weights("self") @ weight)
    value = _rank(call, "self", 3)
    if weight.ndim != 3 or len(weight) != value.shape[0] or (weight != weight[:1]).any():
        raise call.build.refuse("it multiplies each part of its input with another matrix; use groups")
    return _linear(call, value, weight[0].T, None)


def equation(call: AtenCall) -> Value | Array:
    """The operator ``einsum``."""
    parts = [
        part if isinstance(part, Value) else call.build.weights(part, "tensors")
        for part in call.get("tensors")
    ]
    return einsum(call.build, call.name, call.get("equation"), parts)


def _rank(call: AtenCall, name: str, rank: int) -> Value:
    value = call.value(name)
    if len(value.shape) != rank:
        raise call.build.refuse(
            f"a tensor of shape {value.shape} is not supported, only of {rank} dimensions"
        )
    return value


def _linear(call: AtenCall, value: Value, weight: Float, bias: Float | None) -> Value:
    """``value @ weight.T + bias``, also where axes of a sample were joined with the batch, as torch does it."""
    if bias is not None and (bias.size != (bias.shape or (1,))[-1] or bias.size not in (1, len(weight))):
        raise call.build.refuse(f"a bias of shape {bias.shape} does not fit {len(weight)} output features")
    batch, lead = call.build.batch, value.shape[:-1]
    if not lead or lead[0] == batch or lead[0] % batch:
        return operators.linear(call.build, call.name, value, weight, bias)
    rows = rearrange.view(call.build, value, lambda array: array.reshape(batch, -1, array.shape[-1]))
    result = operators.linear(call.build, call.name, rows, weight, bias)
    return rearrange.view(call.build, result, lambda array: array.reshape(*lead, -1))


def batch_norm(call: AtenCall) -> Value:
    """The variants of batch normalization with running statistics."""
    value = call.value("input")
    if call.get("running_mean") is None or call.get("running_var") is None:
        raise call.build.refuse("it has no running statistics; train it with track_running_stats=True")
    mean, variance = call.weights("running_mean"), call.weights("running_var")
    gamma, beta = call.optional("weight"), call.optional("bias")
    gamma = np.ones_like(mean) if gamma is None else gamma
    beta = np.zeros_like(mean) if beta is None else beta
    epsilon = float(call.get("eps"))
    return elementwise.batch_norm(call.build, call.name, value, gamma, beta, mean, variance, epsilon)


def relu(high: float) -> Callable[[AtenCall], Value]:
    """A clip from 0 to ``high``: the operators ``relu`` and ``relu6``."""
    return lambda call: elementwise.clip(call.build, call.name, call.value(), 0.0, high)


def clip(*names: str) -> Callable[[AtenCall], Value | Array]:
    """A clip to those arguments, called "min" or "max", that an operator has."""

    def translate(call: AtenCall) -> Value | Array:
        low, high = (call.number(name, default) for name, default in (("min", -np.inf), ("max", np.inf)))
        if all(call.get(name) is None for name in names):
            raise call.build.refuse("it clips to no limit at all")
        if not isinstance(call.get("self"), Value):
            return np.clip(np.asarray(call.get("self")), low, high)
        return elementwise.clip(call.build, call.name, call.value(), low, high)

    return translate


def hardtanh(call: AtenCall) -> Value:
    """The operator ``hardtanh``, a clip whose limits have defaults."""
    return elementwise.clip(call.build, call.name, call.value(), call.get("min_val"), call.get("max_val"))


def leaky_relu(call: AtenCall) -> Value:
    """The operator ``leaky_relu``, one slope for all."""
    return elementwise.leaky(call.build, call.name, call.value(), call.get("negative_slope"))


def prelu(call: AtenCall) -> Value:
    """The operator ``prelu``: ``weight`` is one slope, or one for each element of axis 1."""
    value, slope = call.value(), call.weights("weight")
    if slope.size > 1:
        slope = slope.reshape(-1, *[1] * (len(value.shape) - 2))
    return elementwise.leaky(call.build, call.name, value, slope)


def _pool_window(call: AtenCall, axes: int) -> tuple[Value, Window, Window]:
    """The value, the window as asked for, and with the padding that ``ceil_mode`` adds."""
    value = call.value()
    if call.build.bare and len(value.shape) == axes + 1:
        value = value.view(lambda array: array[None])
    if len(value.shape) != axes + 2:
        raise call.build.refuse(
            f"a tensor of shape {value.shape} is not supported, it needs a batch dimension"
        )
    kernel = _pairs(call, axes, "kernel_size")
    stride = call.integers("stride") or kernel
    dilation = _pairs(call, axes, "dilation") if call.get("dilation") is not None else None
    asked = window(
        kernel, stride * axes if len(stride) == 1 else stride, _pairs(call, axes, "padding"), dilation
    )
    if any(2 * pad > extent for pad, extent in zip(asked.padding, asked.extent * 2)):
        raise call.build.refuse(f"padding {asked.padding} is more than half of the window {asked.kernel}")
    return value, asked, ceil_padding(asked, _spatial(value)) if call.get("ceil_mode") else asked


def max_pool(axes: int) -> Callable[[AtenCall], Value]:
    """The operators ``max_pool1d`` and ``max_pool2d``, with or without indices that nobody reads."""

    def translate(call: AtenCall) -> Value:
        value, _, found = _pool_window(call, axes)
        return _as_given(call, operators.max_pool(call.build, call.name, value, found))

    return translate


def _as_given(call: AtenCall, result: Value) -> Value:
    """The result of a pool without the batch dimension that `_pool_window` put in front of one sample."""
    added = len(result.shape) > len(call.value().shape)
    return result.view(lambda array: array[0]) if added else result


def average_pool(axes: int) -> Callable[[AtenCall], Value]:
    """The operators ``avg_pool1d`` and ``avg_pool2d``."""

    def translate(call: AtenCall) -> Value:
        value, asked, found = _pool_window(call, axes)
        include = call.get("count_include_pad") and any(asked.padding)
        if include and found != asked:
            return _as_given(call, pooling.counting(call.build, call.name, value, asked, found))
        return _as_given(call, pooling.average_pool(call.build, call.name, value, found, include))

    return translate


def adaptive_pool(axes: int, kind: Literal["mean", "max"]) -> Callable[[AtenCall], Value]:
    """The adaptive pools, to any size."""

    def translate(call: AtenCall) -> Value:
        value = call.value()
        if call.build.bare and len(value.shape) == axes + 1:
            value = value.view(lambda array: array[None])
        if len(value.shape) != axes + 2:
            raise call.build.refuse(f"a tensor of shape {value.shape} does not fit a pool over {axes} axes")
        sizes, wanted = value.shape[-axes:], _pairs(call, axes, "output_size")
        if min(*sizes, *wanted) < 1:
            raise call.build.refuse(f"adaptive pooling of {list(sizes)} to {list(wanted)} has no pixels")
        return _as_given(call, pooling.adaptive_pool(call.build, call.name, value, wanted, kind))

    return translate


def reduce(
    kind: pooling.Reduction, of_constants: Callable[[AtenCall], Array]
) -> Callable[[AtenCall], Value | Array]:
    """The operators ``mean``, ``sum``, ``amax`` and ``amin`` over given dimensions, or ``of_constants``."""

    def translate(call: AtenCall) -> Value | Array:
        if not isinstance(call.get("self"), Value):
            return of_constants(call)
        axes = call.integers("dim")
        if not axes:
            raise call.build.refuse("it reduces over everything, the batch included; give its dimensions")
        return pooling.reduce(call.build, call.name, call.value(), axes, bool(call.get("keepdim")), kind)

    return translate
