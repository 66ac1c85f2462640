"""The largest part of a network that one stretch on the array can do.

Nodes are divided into those before the array, on it, and after it, in the order of the data: what is before reads
nothing else, and nothing before or on the array reads what is after. The best division is a maximum closure (Picard,
"Maximal closure of a graph and applications to combinatorial problems", 1976), by a minimum cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Literal

Place = Literal["head", "array", "tail"]

_SOURCE, _SINK = -1, -2


def largest_segment(
    sources: Sequence[Collection[int]],
    weights: Sequence[int],
    host: Collection[int],
    apart: Collection[tuple[int, int]] = (),
) -> list[Place]:
    """Place every node so that the weights on the array are the most.

    Parameters
    ----------
    sources : sequence of collection of int
        The nodes that each node reads, which come before it.
    weights : sequence of int
        What each node is worth on the array, not negative.
    host : collection of int
        Nodes that the array cannot do.
    apart : collection of (int, int)
        Nodes and readers of theirs that the array cannot do both: where it does the reader, the first is before it.

    Returns
    -------
    list of {"head", "array", "tail"}
        The place of each node.
    """
    count = len(sources)
    # Item v: node v is before or on the array; item count + v: it is before. An item that is chosen needs others.
    network = _Network()
    for node, read in enumerate(sources):
        network.add(count + node, node, None)
        if node in host:
            network.add(node, count + node, None)
        elif weights[node]:
            network.add(_SOURCE, node, weights[node])
            network.add(count + node, _SINK, weights[node])
        for source in read:
            network.add(node, source, None)
            network.add(count + node, count + source, None)
            if (source, node) in apart:
                network.add(node, count + source, None)
    chosen = network.closure()
    places: dict[tuple[bool, bool], Place] = {
        (False, False): "tail",
        (True, False): "array",
        (True, True): "head",
    }
    return [places[node in chosen, count + node in chosen] for node in range(count)]


class _Network:
    """A flow network, whose capacities are what is left of them; None is without bound."""

    def __init__(self) -> None:
        self._left: dict[int, dict[int, int | None]] = {_SOURCE: {}, _SINK: {}}

    def add(self, start: int, end: int, capacity: int | None) -> None:
        """Add an edge."""
        self._left.setdefault(start, {})[end] = capacity
        self._left.setdefault(end, {}).setdefault(start, 0)

    def closure(self) -> set[int]:
        """What the source still reaches once no more can flow: the best choice of items, the fewest of equals."""
        while True:
            before = self._search()
            if _SINK not in before:
                return set(before) - {_SOURCE}
            path = [_SINK]
            while path[-1] != _SOURCE:
                path.append(before[path[-1]])
            edges = [(start, end) for end, start in pairwise(path)]
            bounds = [left for start, end in edges if (left := self._left[start][end]) is not None]
            flow = min(bounds)
            for start, end in edges:
                self._change(start, end, -flow)
                self._change(end, start, flow)

    def _change(self, start: int, end: int, by: int) -> None:
        left = self._left[start][end]
        self._left[start][end] = None if left is None else left + by

    def _search(self) -> dict[int, int]:
        """The items that the source reaches, nearest first, with the one before each."""
        before, queue = {_SOURCE: _SOURCE}, deque([_SOURCE])
        while queue:
            item = queue.popleft()
            for end, left in self._left[item].items():
                if left != 0 and end not in before:
                    before[end] = item
                    queue.append(end)
        return before
