"""The comparison of two networks, number for number."""

from __future__ import annotations

from dataclasses import fields
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
    return type(one) is type(other) and all(
        np.array_equal(getattr(one, item.name), getattr(other, item.name))
        if isinstance(getattr(one, item.name), np.ndarray)
        else getattr(one, item.name) == getattr(other, item.name)
        for item in fields(one)
    )
