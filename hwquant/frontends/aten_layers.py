"""The ATen operators that are layers: convolution, linear, normalization, clipping, pooling, padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwquant.frontends import operators
from hwquant.frontends.alternatives import alternative
from hwquant.frontends.aten_call import Call
from hwquant.frontends.values import Array, Value
from hwquant.frontends.windows import Window, window
from hwquant.graph import Shape


def _pairs(call: Call, axes: int, name: str, default: int) -> list[int]:
    """A list of one number an axis, where torch allows one for all."""
    found = call.integers(name, [default]) or [default]
    return found * axes if len(found) == 1 else found


def _spatial(value: Value) -> Shape:
    """(C, H, W) of a value (N, C, H, W) or (N, C, L)."""
    height = value.shape[2] if len(value.shape) == 4 else 1
    return value.shape[1], height, value.shape[-1]


def conv(call: Call) -> Value:
    """conv1d, conv2d, and convolution unless transposed."""
    if call.get("transposed", False):
        raise call.build.refuse(f"transposed convolution is not supported; {alternative('convtranspose')}")
    value, weight = call.value("input"), call.weights("weight")
    axes, padding = weight.ndim - 2, call.get("padding", 0)
    found = window(
        weight.shape[2:],
        _pairs(call, axes, "stride", 1),
        None if isinstance(padding, str) else _pairs(call, axes, "padding", 0),
        _pairs(call, axes, "dilation", 1),
    )
    if padding == "same" and len(value.shape) in (3, 4):
        found = found.same(_spatial(value))
    bias, groups = call.optional("bias"), int(call.get("groups", 1))
    return operators.conv(call.build, call.name, value, weight, bias, found, groups)


def linear(call: Call) -> Value:
    """linear: ``input @ weight.T + bias``."""
    return operators.linear(
        call.build, call.name, call.value("input"), call.weights("weight"), call.optional("bias")
    )


def addmm(call: Call) -> Value:
    """addmm: ``beta * self + alpha * mat1 @ mat2``."""
    weight = call.weights("mat2").T * call.number("alpha", 1)
    bias = call.weights("self") * call.number("beta", 1)
    return operators.linear(call.build, call.name, call.value("mat1"), weight, bias)


def matmul(second: str) -> Callable[[Call], Value | Array]:
    """A product with a constant matrix; ``second`` is the schema's name of the right operand."""

    def translate(call: Call) -> Value | Array:
        weight = call.weights(second)
        if not isinstance(call.get("self"), Value):
            return np.asarray(call.weights("self") @ weight)
        return operators.linear(call.build, call.name, call.value(), weight.T, None)

    return translate


def batch_norm(call: Call) -> Value:
    """The variants of batch normalization with running statistics."""
    value = call.value("input")
    if call.get("training", False):
        raise call.build.refuse("it normalizes in training mode; export the module after .eval()")
    if call.get("running_mean") is None or call.get("running_var") is None:
        raise call.build.refuse("it has no running statistics; train it with track_running_stats=True")
    mean, variance = call.weights("running_mean"), call.weights("running_var")
    gamma, beta = call.optional("weight"), call.optional("bias")
    gamma = np.ones_like(mean) if gamma is None else gamma
    beta = np.zeros_like(mean) if beta is None else beta
    epsilon = call.number("eps", 1e-5)
    return operators.batch_norm(call.build, call.name, value, gamma, beta, mean, variance, epsilon)


def clip(low: str | float, high: str | float) -> Callable[[Call], Value]:
    """Limits by the names of arguments, or fixed."""

    def translate(call: Call) -> Value:
        limits = [
            call.number(limit, default) if isinstance(limit, str) else limit
            for limit, default in ((low, -np.inf), (high, np.inf))
        ]
        return operators.clip(call.build, call.name, call.value(), limits[0], limits[1])

    return translate


def hardtanh(call: Call) -> Value:
    """hardtanh, whose limits have defaults."""
    return operators.clip(
        call.build, call.name, call.value(), call.number("min_val", -1), call.number("max_val", 1)
    )


def leaky_relu(call: Call) -> Value:
    """leaky_relu, one slope for all."""
    slope = call.number("negative_slope", 0.01)
    return operators.leaky(call.build, call.name, call.value(), slope)


def prelu(call: Call) -> Value:
    """prelu: ``weight`` is one slope, or one for each element of axis 1."""
    value, slope = call.value(), call.weights("weight")
    if slope.size > 1:
        slope = slope.reshape(-1, *[1] * (len(value.shape) - 2))
    return operators.leaky(call.build, call.name, value, slope)


def _pool_window(call: Call, axes: int) -> tuple[Value, Window, Window]:
    """The value, the window as asked for, and with the padding that ``ceil_mode`` adds."""
    value = call.value()
    if len(value.shape) != axes + 2:
        raise call.build.refuse(
            f"a tensor of shape {value.shape} is not supported, it needs a batch dimension"
        )
    kernel = _pairs(call, axes, "kernel_size", 1)
    stride = call.integers("stride") or kernel
    asked = window(
        kernel,
        stride * axes if len(stride) == 1 else stride,
        _pairs(call, axes, "padding", 0),
        _pairs(call, axes, "dilation", 1),
    )
    return value, asked, asked.ceil(_spatial(value)) if call.get("ceil_mode", False) else asked


def max_pool(axes: int) -> Callable[[Call], Value]:
    """max_pool1d, max_pool2d, with or without indices that nobody reads."""

    def translate(call: Call) -> Value:
        value, _, found = _pool_window(call, axes)
        return operators.max_pool(call.build, call.name, value, found)

    return translate


def average_pool(axes: int) -> Callable[[Call], Value]:
    """avg_pool1d, avg_pool2d."""

    def translate(call: Call) -> Value:
        value, asked, found = _pool_window(call, axes)
        if call.get("divisor_override") is not None:
            raise call.build.refuse("divisor_override is not supported")
        include = bool(call.get("count_include_pad", True)) and any(asked.padding)
        if include and found != asked:
            raise call.build.refuse(
                "count_include_pad with ceil_mode and windows beyond the padding is not supported"
            )
        return operators.average_pool(call.build, call.name, value, found, include)

    return translate


def adaptive_pool(axes: int, kind: str) -> Callable[[Call], Value]:
    """Adaptive pooling to sizes that divide the input's."""

    def translate(call: Call) -> Value:
        value = call.value()
        sizes = value.shape[-axes:]
        asked = call.get("output_size")
        wanted = [
            size if item is None else int(item) for size, item in zip(sizes, asked if asked else [1] * axes)
        ]
        if any(item < 1 or size % item for size, item in zip(sizes, wanted)):
            raise call.build.refuse(
                f"adaptive pooling of {list(sizes)} to {wanted} has windows of different sizes; "
                "choose output sizes that divide the input's"
            )
        kernel = [size // item for size, item in zip(sizes, wanted)]
        found = window(kernel, kernel)
        if kind == "mean":
            return operators.average_pool(call.build, call.name, value, found, False)
        return operators.max_pool(call.build, call.name, value, found)

    return translate


def reduce(kind: str) -> Callable[[Call], Value]:
    """mean and amax over given dimensions."""

    def translate(call: Call) -> Value:
        axes = call.integers("dim")
        if not axes:
            raise call.build.refuse("it reduces over everything, the batch included; give its dimensions")
        return operators.reduce(
            call.build, call.name, call.value(), axes, bool(call.get("keepdim", False)), kind
        )

    return translate


def pad(call: Call) -> Value:
    """pad and constant_pad_nd with zeros."""
    value, pads = call.value(), call.integers("pad")
    if call.get("mode", "constant") != "constant" or call.number("value", 0) != 0:
        raise call.build.refuse("padding with anything but zeros is not supported")
    rank = len(value.shape)
    if len(pads) % 2 or len(pads) > 2 * rank:
        raise call.build.refuse(f"padding {pads} does not fit a tensor of {rank} dimensions")
    # torch starts at the last axis: its begin, its end, then those of the axis before it
    before, after = [0] * rank, [0] * rank
    for axis, (first, last) in enumerate(zip(pads[::2], pads[1::2]), start=1):
        before[-axis], after[-axis] = first, last
    return operators.pad(call.build, call.name, value, before, after)
