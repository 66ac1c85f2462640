"""``where(x > 0, x, slope * x)``, which ``run_decompositions()`` makes of a PReLU; no other choice is computed."""

from __future__ import annotations

import numpy as np

from hwquant.errors import HwquantError
from hwquant.frontends import elementwise
from hwquant.frontends.aten_call import AtenCall
from hwquant.frontends.aten_schema import Positive
from hwquant.frontends.fold import Affine
from hwquant.frontends.values import Float, Value


def positive(call: AtenCall) -> Positive:
    """The condition ``x > 0``; other comparisons are refused."""
    if call.get("other") != 0:
        raise call.build.refuse_operator("gt")
    return Positive(call.value())


def choose(call: AtenCall) -> Value:
    """Compute ``where`` by the sign of the very activation that it keeps where that is positive."""
    condition, kept, other = (call.get(name) for name in ("condition", "self", "other"))
    if not isinstance(condition, Positive) or not isinstance(kept, Value) or not _same(kept, condition.value):
        raise _refused(call)
    if isinstance(other, Value):
        slope = _slope(call, kept, other)
    elif not np.any(call.weights("other")) and np.ndim(other) <= len(kept.shape):
        slope = np.zeros(())
    else:
        raise _refused(call)
    return elementwise.leaky(call.build, call.name, kept, slope)


def _slope(call: AtenCall, value: Value, scaled: Value) -> Float:
    """What ``value`` was multiplied with, element by element.

    Raises
    ------
    Unsupported
        If ``scaled`` is no multiple of it.
    """
    if _same(value, scaled):
        return np.ones(())
    if value.preprocess is not None or scaled.preprocess is not None:
        raise _refused(call)
    node = call.build.producer(scaled.tensor)
    if not isinstance(node, Affine) or node.inputs != (value.tensor,) or node.shift.any():
        raise _refused(call)
    if not np.array_equal(call.build.sample(value), call.build.sample(scaled)):
        raise _refused(call)
    return np.asarray(node.scale.ravel()[call.build.sample(value)][None])


def _same(one: Value, other: Value) -> bool:
    """Whether two values are one."""
    if one.tensor != other.tensor or one.shape != other.shape:
        return False
    if one.preprocess is not None or other.preprocess is not None:
        return one is other
    return np.array_equal(one.indices(), other.indices())


def _refused(call: AtenCall) -> HwquantError:
    return call.build.refuse_operator("where")
