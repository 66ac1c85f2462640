"""The comparison of two networks, number for number."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from hwquant.graph import Graph


def same_graph(one: Graph, other: Graph) -> bool:
    """Whether inputs, nodes and outputs are equal in every field, in the same order."""
    return all(
        len(left) == len(right) and all(_same(a, b) for a, b in zip(left, right))
        for left, right in (
            (one.inputs, other.inputs),
            (one.nodes, other.nodes),
            (one.outputs, other.outputs),
        )
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if type(one) is not type(other):
        return False
    if isinstance(one, tuple):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other))
    if is_dataclass(one):
        return all(_same(getattr(one, item.name), getattr(other, item.name)) for item in fields(one))
    return bool(one == other)
