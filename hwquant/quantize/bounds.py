"""Between which real numbers tensors are, where the integers that they are computed from are given."""

from __future__ import annotations

from typing import assert_never

import numpy as np

from hwquant.graph import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Conv,
    Function,
    Graph,
    MaxPool,
    Multiply,
    Node,
    Rearrange,
)

Bounds = tuple[float, float]

POINTS = 4097
"""Where a function is computed, between the bounds of its argument."""


def bounds(graph: Graph) -> dict[str, Bounds]:
    """Find bounds of tensors from the formats of others, by interval arithmetic.

    They are close where each number is computed from few others. A convolution with weights of its own has none: what
    its sum could reach is far beyond what it does.

    Parameters
    ----------
    graph : Graph
        A network, the formats of some of its tensors given.

    Returns
    -------
    dict of (float, float)
        The least and the greatest number that a tensor can hold, 0 among them, by its name; tensors without bounds
        are not in it.
    """
    found = {name: form.range for name, form in graph.given.formats.items()}
    for node in graph.nodes:
        if node.name in found or not all(name in found for name in node.inputs):
            continue
        reached = _reached(node, [found[name] for name in node.inputs])
        if reached is not None and np.isfinite(reached).all():
            found[node.name] = min(0.0, reached[0]), max(0.0, reached[1])
    return found


def _reached(node: Node, sources: list[Bounds]) -> Bounds | None:
    """What a node can give; None where nothing useful is known."""
    low, high = (pick(pair[side] for pair in sources) for side, pick in ((0, min), (1, max)))
    match node:
        case MaxPool() | AveragePool() | Concat() | Rearrange():
            return low, high
        case Clip():
            return float(np.clip(low, node.low, node.high)), float(np.clip(high, node.low, node.high))
        case Function():
            with np.errstate(all="ignore"):
                values = node.expression(np.linspace(low, high, POINTS))
            return float(np.min(values)), float(np.max(values))
        case Add():
            return sum(pair[0] for pair in sources), sum(pair[1] for pair in sources)
        case Multiply():
            products = [a * b for a in sources[0] for b in sources[1]]
            return min(products), max(products)
        case Conv():
            if node.weight[0].size > 1:
                return None
            ends = np.multiply.outer((low, high), node.weight.ravel()) + node.bias
            return float(ends.min()), float(ends.max())
        case _:
            assert_never(node)
