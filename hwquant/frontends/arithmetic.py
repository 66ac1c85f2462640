"""Elementwise arithmetic where at most one operand, or the operands of a sum, are activations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from hwquant.frontends import elementwise, pooling
from hwquant.frontends.builder import Builder
from hwquant.frontends.values import Array, Value


def binary(build: Builder, name: str, kind: str, left: Value | Array, right: Value | Array) -> Value | Array:
    """Compute ``left kind right`` element by element.

    A constant operand becomes an affine map; two constants are computed.

    Parameters
    ----------
    build : Builder
        The network under construction.
    name : str
        Name for the node.
    kind : {"add", "sub", "mul", "div"}
        The operation.
    left, right : Value or ndarray of float64
        An activation, or a constant.

    Returns
    -------
    Value or ndarray of float64
        A constant where both operands are.
    """
    if isinstance(left, Value) and isinstance(right, Value):
        if kind == "add":
            return elementwise.add(build, name, [left, right])
        if kind == "sub":
            negative = elementwise.affine(build, f"{name}_negative", right, -1.0, 0.0)
            return elementwise.add(build, name, [left, negative])
        verb = {"mul": "multiplies", "div": "divides"}[kind]
        raise build.refuse(
            f"it {verb} two activations, which the hardware cannot; only constants can be factors"
        )
    if isinstance(left, Value) and not isinstance(right, Value):
        return _with_constant(build, name, kind, left, right)
    if isinstance(right, Value) and not isinstance(left, Value):
        if kind == "div":
            raise build.refuse("it divides a constant by an activation, which the hardware cannot")
        if kind == "sub":
            return elementwise.affine(build, name, right, -1.0, left)
        return _with_constant(build, name, kind, right, left)
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[kind]
    return np.asarray(function(np.asarray(left), np.asarray(right)))


def bounds(build: Builder, name: str, kind: Literal["max", "min"], values: Sequence[Value | Array]) -> Value:
    """Elementwise "max" or "min" of activations and numbers: pixels side by side, then a clip."""
    activations = [value for value in values if isinstance(value, Value)]
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
