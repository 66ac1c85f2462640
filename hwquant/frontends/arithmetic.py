"""Elementwise arithmetic: of activations and constants, and of functions of one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, Literal

import numpy as np

from hwquant.expression import Operator, apply
from hwquant.frontends import elementwise, pooling
from hwquant.frontends.builder import Builder
from hwquant.frontends.functions import combined
from hwquant.frontends.values import Array, Value

OPERATORS: dict[str, Operator] = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "max": "maximum",
    "min": "minimum",
    "pow": "power",
}
"""What expressions call the operations."""


def binary(build: Builder, name: str, kind: str, left: Value | Array, right: Value | Array) -> Value | Array:
    """Compute ``left kind right`` element by element.

    A constant operand becomes an affine map, functions of one tensor become one function; two constants are computed.

    Parameters
    ----------
    build : Builder
        The network under construction.
    name : str
        Name for the node.
    kind : {"add", "sub", "mul", "div", "pow"}
        The operation.
    left, right : Value or ndarray of float64
        An activation, or a constant.

    Returns
    -------
    Value or ndarray of float64
        A constant where both operands are.
    """
    activations = isinstance(left, Value) + isinstance(right, Value)
    if (kind == "pow" and activations) or activations == 2 or (kind == "div" and isinstance(right, Value)):
        curved = kind in ("add", "sub")
        made = combined(build, name, partial(apply, OPERATORS[kind]), (left, right), curved)
        if made is not None:
            return made
    if isinstance(left, Value) and isinstance(right, Value):
        if kind == "add":
            return elementwise.add(build, name, [left, right])
        if kind == "sub":
            negative = elementwise.affine(build, f"{name}_negative", right, -1.0, 0.0)
            return elementwise.add(build, name, [left, negative])
        if kind == "mul":
            return elementwise.multiply(build, name, left, right)
        verb = {"div": "divides", "pow": "takes powers of"}[kind]
        raise build.refuse(
            f"it {verb} two activations, which the hardware cannot unless they are functions of one tensor"
        )
    if activations and (kind == "pow" or (kind == "div" and isinstance(right, Value))):
        raise build.refuse("a constant here must be one number for all elements")
    if isinstance(left, Value) and not isinstance(right, Value):
        return _with_constant(build, name, kind, left, right)
    if isinstance(right, Value) and not isinstance(left, Value):
        if kind == "sub":
            return elementwise.affine(build, name, right, -1.0, left)
        return _with_constant(build, name, kind, right, left)
    function: Any = getattr(np, OPERATORS[kind])
    return np.asarray(function(np.asarray(left), np.asarray(right)))


def bounds(build: Builder, name: str, kind: Literal["max", "min"], values: Sequence[Value | Array]) -> Value:
    """Elementwise "max" or "min": of functions of one tensor a function, else pixels side by side, then a clip."""
    activations = [value for value in values if isinstance(value, Value)]
    if len(activations) > 1:
        operator = partial(apply, OPERATORS[kind])
        made = combined(build, name, lambda *parts: reduce(operator, parts), values)
        if made is not None:
            return made
    numbers = [value for value in values if not isinstance(value, Value)]
    if not activations or any(np.size(number) != 1 for number in numbers):
        raise build.refuse(f"elementwise {kind} is only supported of activations and single numbers")
    result = pooling.extreme(build, name, activations, kind)
    if not numbers:
        return result
    if any(np.ndim(number) > len(result.shape) for number in numbers):
        raise build.refuse("a number of more dimensions than the activation is not supported")
    if any(np.isnan(number).any() for number in numbers):
        raise build.refuse(f"its {kind} with NaN is NaN; train or export the model again")
    limits = [float(np.asarray(number).item()) for number in numbers]
    low, high = (max(limits), np.inf) if kind == "max" else (-np.inf, min(limits))
    return elementwise.clip(build, name, result, low, high)


def _with_constant(build: Builder, name: str, kind: str, value: Value, constant: Array) -> Value:
    if kind == "div":
        if not constant.all():
            raise build.refuse("it divides by zero")
        return elementwise.affine(build, name, value, 1.0 / constant, 0.0)
    if kind == "mul":
        return elementwise.affine(build, name, value, constant, 0.0)
    return elementwise.affine(build, name, value, 1.0, -constant if kind == "sub" else constant)
