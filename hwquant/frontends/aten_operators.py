"""The ATen operators, each translated to a function on values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwquant.frontends import arithmetic, operators
from hwquant.frontends.builder import Builder
from hwquant.frontends.values import Array, Float, Value
from hwquant.frontends.windows import Window, window
from hwquant.graph import Shape


@dataclass(frozen=True)
class Call:
    """One node of a program, its arguments resolved.

    Attributes
    ----------
    build : where its nodes go
    name : name for them
    arguments : values, arrays, numbers, strings, None, and lists of them, by the schema's names
    names : the module's names of those arguments that are tensors
    """

    build: Builder
    name: str
    arguments: Mapping[str, Any]
    names: Mapping[str, str]

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or its default."""
        found = self.arguments.get(name)
        return default if found is None else found

    def value(self, name: str = "self") -> Value:
        """An activation."""
        found = self.get(name)
        if not isinstance(found, Value):
            raise self.build.refuse(f"its argument {name!r} is a constant where an activation is expected")
        return found

    def weights(self, name: str) -> Float:
        """A constant in float64, all of it finite."""
        found = self.get(name)
        if isinstance(found, Value):
            raise self.build.refuse(
                f"its argument {name!r} is computed from the network's input; it must be a constant"
            )
        return self.build.weights(found, self.names.get(name, name))

    def optional(self, name: str) -> Float | None:
        """A constant in float64, or None where it is left out."""
        return None if self.get(name) is None else self.weights(name)

    def operand(self, name: str) -> Value | Array:
        """An activation as it is, a constant in float64."""
        found = self.get(name)
        return found if isinstance(found, Value) else self.weights(name)

    def integers(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """Integers; one number is a list of one."""
        found = self.get(name)
        if found is None:
            return list(default)
        if any(isinstance(item, Value) for item in np.atleast_1d(np.asarray(found, object))):
            raise self.build.refuse(
                f"its argument {name!r} is computed from the network's input; it must be fixed"
            )
        return [int(item) for item in (found if isinstance(found, list) else [found])]

    def number(self, name: str, default: float) -> float:
        """One real number."""
        found = self.get(name, default)
        if isinstance(found, Value) or np.size(found) != 1:
            raise self.build.refuse(f"its argument {name!r} is not one fixed number")
        return float(np.asarray(found).item())


def _pairs(call: Call, axes: int, name: str, default: int) -> list[int]:
    """A list of one number an axis, where torch allows one for all."""
    found = call.integers(name, [default]) or [default]
    return found * axes if len(found) == 1 else found


def _spatial(value: Value) -> Shape:
    """(C, H, W) of a value (N, C, H, W) or (N, C, L)."""
    height = value.shape[2] if len(value.shape) == 4 else 1
    return value.shape[1], height, value.shape[-1]


def _conv(call: Call) -> Value:
    if call.get("transposed", False):
        raise call.build.refuse("transposed convolution is not supported; upsampling has to happen outside")
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


def _linear(call: Call) -> Value:
    return operators.linear(
        call.build, call.name, call.value("input"), call.weights("weight"), call.optional("bias")
    )


def _addmm(call: Call) -> Value:
    weight = call.weights("mat2").T * call.number("alpha", 1)
    bias = call.weights("self") * call.number("beta", 1)
    return operators.linear(call.build, call.name, call.value("mat1"), weight, bias)


def _matmul(second: str) -> Callable[[Call], Value]:
    return lambda call: operators.linear(call.build, call.name, call.value(), call.weights(second).T, None)


def _batch_norm(call: Call) -> Value:
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


def _clip(low: str | float, high: str | float) -> Callable[[Call], Value]:
    """Limits by the names of arguments, or fixed."""

    def translate(call: Call) -> Value:
        limits = [
            call.number(limit, default) if isinstance(limit, str) else limit
            for limit, default in ((low, -np.inf), (high, np.inf))
        ]
        return operators.clip(call.build, call.name, call.value(), limits[0], limits[1])

    return translate


def _hardtanh(call: Call) -> Value:
    return operators.clip(
        call.build, call.name, call.value(), call.number("min_val", -1), call.number("max_val", 1)
    )


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


def _max_pool(axes: int) -> Callable[[Call], Value]:
    def translate(call: Call) -> Value:
        value, _, found = _pool_window(call, axes)
        return operators.max_pool(call.build, call.name, value, found)

    return translate


def _average_pool(axes: int) -> Callable[[Call], Value]:
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


def _adaptive_pool(axes: int, kind: str) -> Callable[[Call], Value]:
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


def _reduce(kind: str) -> Callable[[Call], Value]:
    def translate(call: Call) -> Value:
        axes = call.integers("dim")
        if not axes:
            raise call.build.refuse("it reduces over everything, the batch included; give its dimensions")
        return operators.reduce(
            call.build, call.name, call.value(), axes, bool(call.get("keepdim", False)), kind
        )

    return translate


def _binary(kind: str, reverse: bool = False) -> Callable[[Call], Value | Array]:
    """``self kind alpha * other``, or with ``reverse`` ``other kind alpha * self``."""

    def translate(call: Call) -> Value | Array:
        left, right = _promoted(call, kind)
        if call.get("rounding_mode") is not None:
            raise call.build.refuse("division with rounding is not supported")
        if reverse:
            left, right = right, left
        alpha = np.asarray(call.number("alpha", 1))
        if alpha != 1:
            right = arithmetic.binary(call.build, f"{call.name}_alpha", "mul", right, alpha)
        return arithmetic.binary(call.build, call.name, kind, left, right)

    return translate


def _promoted(call: Call, kind: str) -> list[Value | Array]:
    """The operands; integer activations are float where torch makes them that: divided, or met by a float."""
    operands = [call.get("self"), call.get("other")]
    sides = [call.operand("self"), call.operand("other")]
    real = kind == "div" or any(
        isinstance(item, float) or (isinstance(item, np.ndarray) and item.dtype.kind == "f")
        for item in operands
    )
    return [replace(side, integer=False) if real and isinstance(side, Value) else side for side in sides]


def _bounds(kind: str) -> Callable[[Call], Value]:
    return lambda call: arithmetic.bounds(
        call.build, call.name, kind, [call.operand("self"), call.operand("other")]
    )


def _constant(function: Callable[[Array], Array]) -> Callable[[Call], Value | Array]:
    """An elementwise function of constants only."""

    def translate(call: Call) -> Array:
        if isinstance(call.get("self"), Value):
            raise call.build.refuse("this operator is not supported on activations")
        return np.asarray(function(call.weights("self")))

    return translate


def _negative(call: Call) -> Value | Array:
    return arithmetic.binary(call.build, call.name, "mul", call.operand("self"), np.asarray(-1.0))


def _concat(call: Call) -> Value:
    values = call.get("tensors")
    if not all(isinstance(value, Value) for value in values):
        raise call.build.refuse("it concatenates a constant; only activations can be")
    return operators.concat(call.build, call.name, values, int(call.get("dim", 0)))


def _pad(call: Call) -> Value:
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


def _view(function: Callable[[Call], Callable[[Array], Array]]) -> Callable[[Call], Value | Array]:
    """A numpy function, made from the arguments, that moves elements or changes the shape."""

    def translate(call: Call) -> Value | Array:
        source = call.get("self")
        if isinstance(source, Value):
            return operators.view(call.build, source, function(call))
        return np.asarray(function(call)(np.asarray(source)))

    return translate


def _flatten(call: Call) -> Callable[[Array], Array]:
    def apply(array: Array) -> Array:
        rank = array.ndim
        start, end = int(call.get("start_dim", 0)) % rank, int(call.get("end_dim", -1)) % rank
        return array.reshape(*array.shape[:start], -1, *array.shape[end + 1 :])

    return apply


def _squeeze(call: Call) -> Callable[[Array], Array]:
    asked = call.get("dim")

    def apply(array: Array) -> Array:
        axes = range(array.ndim) if asked is None else call.integers("dim")
        ones = [axis % array.ndim for axis in axes if array.shape[axis] == 1]
        return array.squeeze(tuple(ones))

    return apply


def _transpose(call: Call) -> Callable[[Array], Array]:
    return lambda array: array.swapaxes(int(call.get("dim0")), int(call.get("dim1")))


def _shape(name: str) -> Callable[[Call], Callable[[Array], Array]]:
    return lambda call: lambda array: array.reshape(call.integers(name))


def _identity(name: str = "self") -> Callable[[Call], Value | Array]:
    def translate(call: Call) -> Value | Array:
        if call.get("train", False):
            raise call.build.refuse("it drops values as in training; export the module after .eval()")
        return call.get(name)

    return translate


def _cast(call: Call) -> Value | Array:
    source, dtype = call.get("self"), call.get("dtype")
    if dtype is None:
        return source
    if not isinstance(source, Value):
        return np.asarray(source).astype(np.float64 if dtype.startswith(("float", "bfloat")) else dtype)
    if dtype.startswith(("float", "bfloat")):
        return replace(source, integer=False)
    if source.host[-1:] == ("argmax",) or source.integer:
        return source
    raise call.build.refuse(
        "a cast of activations to integers is not supported; quantization is what hwquant adds"
    )


def _softmax(function: str) -> Callable[[Call], Value]:
    return lambda call: operators.host(call.build, call.value(), function, int(call.get("dim")))


def _argmax(call: Call) -> Value:
    if call.get("dim") is None:
        raise call.build.refuse(
            "argmax over everything, the batch included, is not supported; give its dimension"
        )
    return operators.host(call.build, call.value(), "argmax", int(call.get("dim")))


def _integer(function: Callable[[int, int], int]) -> Callable[[Call], Any]:
    """Arithmetic on sizes."""
    return lambda call: function(int(call.get("a")), int(call.get("b")))


OPERATORS: Mapping[str, Callable[[Call], Any]] = {
    "_adaptive_avg_pool2d": _adaptive_pool(2, "mean"),
    "_log_softmax": _softmax("log_softmax"),
    "_native_batch_norm_legit_no_training": _batch_norm,
    "_operator.add": _integer(operator.add),
    "_operator.floordiv": _integer(operator.floordiv),
    "_operator.mul": _integer(operator.mul),
    "_operator.sub": _integer(operator.sub),
    "_softmax": _softmax("softmax"),
    "_to_copy": _cast,
    "_unsafe_view": _view(_shape("size")),
    "adaptive_avg_pool1d": _adaptive_pool(1, "mean"),
    "adaptive_avg_pool2d": _adaptive_pool(2, "mean"),
    "adaptive_max_pool1d": _adaptive_pool(1, "max"),
    "adaptive_max_pool2d": _adaptive_pool(2, "max"),
    "add": _binary("add"),
    "addmm": _addmm,
    "alias": _identity(),
    "amax": _reduce("max"),
    "argmax": _argmax,
    "avg_pool1d": _average_pool(1),
    "avg_pool2d": _average_pool(2),
    "batch_norm": _batch_norm,
    "cat": _concat,
    "clamp": _clip("min", "max"),
    "clamp_max": _clip(-np.inf, "max"),
    "clamp_min": _clip("min", np.inf),
    "clip": _clip("min", "max"),
    "clone": _identity(),
    "concat": _concat,
    "concatenate": _concat,
    "constant_pad_nd": _pad,
    "contiguous": _identity(),
    "conv1d": _conv,
    "conv2d": _conv,
    "convolution": _conv,
    "detach": _identity(),
    "div": _binary("div"),
    "dropout": _identity("input"),
    "feature_dropout": _identity("input"),
    "flatten": _view(_flatten),
    "hardtanh": _hardtanh,
    "lift_fresh_copy": _identity(),
    "linear": _linear,
    "log_softmax": _softmax("log_softmax"),
    "matmul": _matmul("other"),
    "max_pool1d": _max_pool(1),
    "max_pool2d": _max_pool(2),
    "max_pool2d_with_indices": _max_pool(2),
    "maximum": _bounds("max"),
    "mean": _reduce("mean"),
    "minimum": _bounds("min"),
    "mm": _matmul("mat2"),
    "mul": _binary("mul"),
    "neg": _negative,
    "pad": _pad,
    "permute": _view(lambda call: lambda array: array.transpose(call.integers("dims"))),
    "reciprocal": _constant(np.reciprocal),
    "relu": _clip(0.0, np.inf),
    "relu6": _clip(0.0, 6.0),
    "reshape": _view(_shape("shape")),
    "rsqrt": _constant(lambda array: 1 / np.sqrt(array)),
    "rsub": _binary("sub", reverse=True),
    "softmax": _softmax("softmax"),
    "sqrt": _constant(np.sqrt),
    "squeeze": _view(_squeeze),
    "sub": _binary("sub"),
    "sym_size": lambda call: call.value().shape[int(call.get("dim"))],
    "t": _view(lambda call: lambda array: array.T),
    "to": _cast,
    "transpose": _view(_transpose),
    "unsqueeze": _view(lambda call: lambda array: np.expand_dims(array, int(call.get("dim")))),
    "view": _view(_shape("size")),
}

ALIASING = frozenset(
    {
        "_unsafe_view",
        "alias",
        "contiguous",
        "detach",
        "dropout",
        "feature_dropout",
        "flatten",
        "permute",
        "reshape",
        "squeeze",
        "t",
        "to",
        "transpose",
        "unsqueeze",
        "view",
    }
)
"""Operators whose result may share memory with their argument."""

IGNORED = frozenset(
    {"_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range_for_size"}
)
"""Checks that compute nothing."""
