"""ATen operators that are functions of one variable, on activations and on constants, and those that choose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from hwquant.expression import Expression, apply, bounded, choose
from hwquant.frontends import activations, elementwise
from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.fold import Affine
from hwquant.frontends.functions import Combination, combined, function
from hwquant.frontends.values import Array, Value
from hwquant.graph import Function

Translation = Callable[[AtenCall], Value | Array]
X = Expression()


def _of(make: Callable[[AtenCall], Expression]) -> Translation:
    """An operator of one tensor; ``make`` gives its function for its other arguments."""

    def translate(call: AtenCall) -> Value | Array:
        operand = call.operand("self")
        expression = make(call)
        if isinstance(operand, Value):
            return function(call.build, call.name, operand, expression)
        return expression(operand)

    return translate


def _truncated() -> Expression:
    return apply("sign", X) * apply("floor", apply("absolute", X))


FIXED: Mapping[str, Expression] = {
    "erfc": apply("subtract", 1.0, apply("erf", X)),
    "exp": apply("exp", X),
    "exp2": apply("exp", X * math.log(2)),
    "expm1": apply("exp", X) - 1.0,
    "log": apply("log", X),
    "log10": apply("log", X) / math.log(10),
    "log1p": apply("log", X + 1.0),
    "log2": apply("log", X) / math.log(2),
    "reciprocal": apply("divide", 1.0, X),
    "rsqrt": apply("divide", 1.0, apply("sqrt", X)),
    **{
        name: apply(name, X)
        for name in ("sqrt", "erf", "tanh", "sigmoid", "sin", "cos", "tan", "sinh", "cosh")
    },
    **{name: apply(name, X) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
}
"""Operators that make integers real."""

KEPT: Mapping[str, Expression] = {
    "abs": apply("absolute", X),
    "ceil": apply("ceil", X),
    "floor": apply("floor", X),
    "frac": X - _truncated(),
    "hardsigmoid": bounded(X + 3.0, 0.0, 6.0) / 6.0,
    "hardswish": activations.hard_swish(),
    "log_sigmoid": activations.log_sigmoid(),
    "log_sigmoid_forward": activations.log_sigmoid(),
    "mish": activations.mish(),
    "round": apply("round", X),
    "selu": activations.selu(),
    "sign": apply("sign", X),
    "silu": activations.swish(),
    "square": X * X,
    "trunc": _truncated(),
}
"""Operators whose result is of their operand's type."""

WITH_ARGUMENTS: Mapping[str, Callable[[AtenCall], Expression]] = {
    "celu": lambda call: activations.celu(_nonzero(call, "alpha")),
    "elu": lambda call: activations.elu(call.get("alpha"), call.get("scale"), call.get("input_scale")),
    "gelu": lambda call: activations.gelu(_approximation(call)),
    "hardshrink": lambda call: activations.shrink(call.get("lambd"), 0.0),
    "softplus": lambda call: activations.softplus(_nonzero(call, "beta"), call.get("threshold")),
    "softshrink": lambda call: activations.shrink(call.get("lambd"), call.get("lambd")),
    "threshold": lambda call: activations.thresholded(call.get("threshold"), call.get("value")),
}

REAL_RESULTS: Mapping[str, Translation] = {
    name: _of(lambda _, expression=expression: expression)  # type: ignore[misc]
    for name, expression in FIXED.items()
}
SAME_RESULTS: Mapping[str, Translation] = {
    **{
        name: _of(lambda _, expression=expression: expression)  # type: ignore[misc]
        for name, expression in KEPT.items()
    },
    **{name: _of(make) for name, make in WITH_ARGUMENTS.items()},
}


def _nonzero(call: AtenCall, name: str) -> float:
    value = float(call.get(name))
    if value == 0:
        raise call.build.refuse(f"it divides by its {call.label(name)}, which is 0")
    return value


def _approximation(call: AtenCall) -> str:
    kind = str(call.get("approximate"))
    if kind not in ("none", "tanh"):
        raise call.build.refuse(f"there is no GELU {kind!r}, only 'none' and 'tanh'")
    return kind


def _compared(combination: Combination) -> Translation:
    """A comparison of functions of one tensor and single numbers: 1 where it is true, else 0."""

    def translate(call: AtenCall) -> Value | Array:
        operands = [call.operand("self"), call.operand("other")]
        made = combined(call.build, call.name, combination, operands)
        if made is None:
            raise call.build.refuse_operator("gt")
        return made

    return translate


COMPARISONS: Mapping[str, Translation] = {
    "eq": _compared(activations.equal),
    "ge": _compared(activations.at_least),
    "gt": _compared(activations.greater),
    "le": _compared(lambda a, b: activations.at_least(b, a)),
    "lt": _compared(lambda a, b: activations.greater(b, a)),
    "ne": _compared(lambda a, b: choose(activations.equal(a, b), 0.0, 1.0)),
}


def chosen(call: AtenCall) -> Value:
    """The operator ``where``: of functions of one tensor, or a PReLU with a slope for each channel."""
    operands = [call.any("condition"), call.operand("self"), call.operand("other")]
    if not isinstance(operands[0], Value):
        raise call.build.refuse_operator("where")
    made = combined(call.build, call.name, choose, operands)
    if made is not None:
        return made
    _, kept, other = operands
    if not isinstance(kept, Value) or not isinstance(other, Value) or not _positive(call, operands[0], kept):
        raise call.build.refuse_operator("where")
    node = call.build.producer(other.tensor)
    alike = np.array_equal(call.build.sample(kept), call.build.sample(other))
    if not alike or not isinstance(node, Affine) or node.inputs != (kept.tensor,) or node.shift.any():
        raise call.build.refuse_operator("where")
    slopes = node.scale.ravel()[call.build.sample(kept)][None]
    return elementwise.leaky(call.build, call.name, kept, slopes)


def _positive(call: AtenCall, condition: Value, kept: Value) -> bool:
    """Whether a condition is that the value itself is above 0."""
    node = call.build.producer(condition.tensor)
    return (
        isinstance(node, Function)
        and node.inputs == (kept.tensor,)
        and node.expression == activations.greater(X, 0.0)
        and np.array_equal(call.build.sample(condition), call.build.sample(kept))
    )
