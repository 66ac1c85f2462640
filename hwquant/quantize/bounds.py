"""Between which real numbers tensors are, where the integers that they are computed from are given."""

from __future__ import annotations

from collections.abc import Mapping
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

    They are close where each number is computed from few others. What a convolution with weights of its own could reach
    is far beyond what it does: it has bounds only where a tensor with bounds is added, and the sum saturates.

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
        reached = _reached(node, [found[name] for name in node.inputs]) or _wanted(node, graph, found)
        if reached is not None and np.isfinite(reached).all():
            found[node.name] = min(0.0, reached[0]), max(0.0, reached[1])
    return found


def _wanted(node: Node, graph: Graph, found: Mapping[str, Bounds]) -> Bounds | None:
    """What of a tensor matters to a sum with another one: beyond it the sum saturates."""
    reader = _reader(node.name, graph)
    others = [] if not isinstance(reader, Add) else [name for name in reader.inputs if name != node.name]
    if reader is None or len(others) != 1 or others[0] not in found:
        return None
    least, most = found[others[0]]
    low, high, at = -np.inf, np.inf, _reader(reader.name, graph)
    while isinstance(at, Clip):
        low, high = max(low, at.low), min(high, at.high)
        at = None if at.name in graph.given.formats else _reader(at.name, graph)
    return low - most, high - least


def _reader(tensor: str, graph: Graph) -> Node | None:
    """The only node that reads a tensor; None where there are several, or it is an output."""
    readers = [node for node in graph.nodes if tensor in node.inputs]
    given = any(output.tensor == tensor for output in graph.outputs)
    return readers[0] if len(readers) == 1 and not given else None


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
