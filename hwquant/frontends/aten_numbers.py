"""Arithmetic of Python on sizes, which programs with an open batch contain."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from hwquant.frontends.aten_schema import BatchSize, Unaccounted


def _number(function: Callable[[int, int], int]) -> Callable[[Mapping[str, Any]], int]:
    """A function of two sizes, which Python computes."""

    def compute(given: Mapping[str, Any]) -> int:
        if set(given) != {"a", "b"} or not all(type(item) in (int, BatchSize) for item in given.values()):
            raise Unaccounted("it computes with something else than two sizes")
        result = function(given["a"], given["b"])
        return BatchSize(result) if BatchSize in map(type, given.values()) else result

    return compute


NUMBERS: Mapping[str, Callable[[Mapping[str, Any]], int]] = {
    "_operator.add": _number(operator.add),
    "_operator.eq": _number(operator.eq),
    "_operator.floordiv": _number(operator.floordiv),
    "_operator.ge": _number(operator.ge),
    "_operator.gt": _number(operator.gt),
    "_operator.le": _number(operator.le),
    "_operator.lt": _number(operator.lt),
    "_operator.mod": _number(operator.mod),
    "_operator.mul": _number(operator.mul),
    "_operator.ne": _number(operator.ne),
    "_operator.sub": _number(operator.sub),
}
"""Arithmetic of Python on sizes, which programs with an open batch contain."""
