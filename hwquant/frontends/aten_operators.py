"""The ATen operators, each translated to a function on values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hwquant.frontends import arithmetic, operators
from hwquant.frontends import aten_layers as layers
from hwquant.frontends.aten_call import Call
from hwquant.frontends.values import Array, Value


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


def _constant(name: str, function: Callable[[Array], Array]) -> Callable[[Call], Value | Array]:
    """An elementwise function of constants only."""

    def translate(call: Call) -> Array:
        if isinstance(call.get("self"), Value):
            raise call.build.refuse_operator(name)
        return np.asarray(function(call.weights("self")))

    return translate


def _filled(number: float | None) -> Callable[[Call], Array]:
    """A constant of one number, by default the argument ``fill_value``."""
    return lambda call: np.full(
        call.integers("size"), call.number("fill_value", 0) if number is None else number, np.float64
    )


def _negative(call: Call) -> Value | Array:
    return arithmetic.binary(call.build, call.name, "mul", call.operand("self"), np.asarray(-1.0))


def _concat(call: Call) -> Value:
    values = call.get("tensors")
    if not all(isinstance(value, Value) for value in values):
        raise call.build.refuse("it concatenates a constant; only activations can be")
    return operators.concat(call.build, call.name, values, int(call.get("dim", 0)))


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
    "_adaptive_avg_pool2d": layers.adaptive_pool(2, "mean"),
    "_log_softmax": _softmax("log_softmax"),
    "_native_batch_norm_legit_no_training": layers.batch_norm,
    "_operator.add": _integer(operator.add),
    "_operator.floordiv": _integer(operator.floordiv),
    "_operator.mul": _integer(operator.mul),
    "_operator.sub": _integer(operator.sub),
    "_softmax": _softmax("softmax"),
    "_to_copy": _cast,
    "_unsafe_view": _view(_shape("size")),
    "adaptive_avg_pool1d": layers.adaptive_pool(1, "mean"),
    "adaptive_avg_pool2d": layers.adaptive_pool(2, "mean"),
    "adaptive_max_pool1d": layers.adaptive_pool(1, "max"),
    "adaptive_max_pool2d": layers.adaptive_pool(2, "max"),
    "add": _binary("add"),
    "addmm": layers.addmm,
    "alias": _identity(),
    "amax": layers.reduce("max"),
    "argmax": _argmax,
    "avg_pool1d": layers.average_pool(1),
    "avg_pool2d": layers.average_pool(2),
    "batch_norm": layers.batch_norm,
    "cat": _concat,
    "clamp": layers.clip("min", "max"),
    "clamp_max": layers.clip(-np.inf, "max"),
    "clamp_min": layers.clip("min", np.inf),
    "clip": layers.clip("min", "max"),
    "clone": _identity(),
    "concat": _concat,
    "concatenate": _concat,
    "constant_pad_nd": layers.pad,
    "contiguous": _identity(),
    "conv1d": layers.conv,
    "conv2d": layers.conv,
    "convolution": layers.conv,
    "detach": _identity(),
    "div": _binary("div"),
    "dropout": _identity("input"),
    "feature_dropout": _identity("input"),
    "full": _filled(None),
    "flatten": _view(_flatten),
    "hardtanh": layers.hardtanh,
    "leaky_relu": layers.leaky_relu,
    "lift_fresh_copy": _identity(),
    "linear": layers.linear,
    "log_softmax": _softmax("log_softmax"),
    "matmul": layers.matmul("other"),
    "max_pool1d": layers.max_pool(1),
    "max_pool2d": layers.max_pool(2),
    "max_pool2d_with_indices": layers.max_pool(2),
    "maximum": _bounds("max"),
    "mean": layers.reduce("mean"),
    "minimum": _bounds("min"),
    "mm": layers.matmul("mat2"),
    "mul": _binary("mul"),
    "neg": _negative,
    "numpy_T": _view(lambda call: lambda array: array.T),
    "ones": _filled(1.0),
    "pad": layers.pad,
    "permute": _view(lambda call: lambda array: array.transpose(call.integers("dims"))),
    "prelu": layers.prelu,
    "reciprocal": _constant("reciprocal", np.reciprocal),
    "relu": layers.clip(0.0, np.inf),
    "relu6": layers.clip(0.0, 6.0),
    "reshape": _view(_shape("shape")),
    "rsqrt": _constant("rsqrt", lambda array: 1 / np.sqrt(array)),
    "rsub": _binary("sub", reverse=True),
    "softmax": _softmax("softmax"),
    "sqrt": _constant("sqrt", np.sqrt),
    "squeeze": _view(_squeeze),
    "sub": _binary("sub"),
    "sym_size": lambda call: call.value().shape[int(call.get("dim"))],
    "t": _view(lambda call: lambda array: array.T),
    "to": _cast,
    "transpose": _view(_transpose),
    "unsqueeze": _view(lambda call: lambda array: np.expand_dims(array, int(call.get("dim")))),
    "view": _view(_shape("size")),
    "zeros": _filled(0.0),
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
        "numpy_T",
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
