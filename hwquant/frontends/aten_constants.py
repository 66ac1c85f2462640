"""ATen operators of constants only, such as parametrizations of weights are made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.aten_views import axis_of
from hwquant.frontends.values import Array, Float, Value


def constant(call: AtenCall, name: str, argument: str = "self") -> Float:
    """A constant argument of the operator ``name``, in float64."""
    if isinstance(call.get(argument), Value):
        raise call.build.refuse_operator(name)
    return call.weights(argument)


def product(second: str) -> Callable[[AtenCall], Array]:
    """The product of two constants that are vectors or matrices; ``second`` is the name of the right one."""
    return lambda call: np.asarray(call.weights("self") @ call.weights(second))


def reduction(name: str, function: Callable[..., Array]) -> Callable[[AtenCall], Array]:
    """A function over some axes, or over all; ``function(array, axis=, keepdims=)`` is numpy's."""

    def translate(call: AtenCall) -> Array:
        array = constant(call, name)
        asked = call.integers("dim")
        axes = tuple(axis_of(axis, array.ndim) for axis in asked) if asked else None
        return np.asarray(function(array, axis=axes, keepdims=bool(call.get("keepdim"))))

    return translate


def deviation(name: str, function: Callable[..., Array]) -> Callable[[AtenCall], Array]:
    """Variance or standard deviation, by default of a sample."""

    def translate(call: AtenCall) -> Array:
        correction = call.get("correction", 1)
        if call.get("unbiased") is not None:
            correction = int(call.get("unbiased"))
        return reduction(name, lambda array, **named: function(array, ddof=correction, **named))(call)

    return translate


def vector_norm(call: AtenCall) -> Array:
    """The Euclidean norm, ``linalg_vector_norm``."""
    if call.get("ord") != 2:
        raise call.build.refuse(f"a norm of the order {call.get('ord')} is not supported, only 2")
    return reduction("norm", lambda array, **named: np.sqrt((array * array).sum(**named)))(call)


def remainder(call: AtenCall) -> Array:
    """What is left of a constant divided by a number, ``fmod``: places that roll over."""
    return np.asarray(np.fmod(constant(call, "fmod"), call.get("other")))


def weight_norm(call: AtenCall) -> Array:
    """A weight ``v * g / |v|``, the norm over all axes but one, or with -1 over all."""
    v, g, dim = call.weights("v"), call.weights("g"), call.get("dim")
    axes = tuple(axis for axis in range(v.ndim) if dim == -1 or axis != axis_of(dim, v.ndim))
    norm = np.sqrt((v * v).sum(axis=axes, keepdims=True))
    if not norm.all():
        raise call.build.refuse(f"it divides by the norm of {call.tensor('v')!r}, which is zero")
    return np.asarray(v * g / norm)
