"""Tensors that share a scale, and tensors whose scales differ by powers of two.

A *group* shares scale, zero point and bits: MaxPool, Concat and Rearrange move integers as they are. A *class* is one
or more groups whose scales must differ by a power of two: an identity term, or an average over 2^n elements, has
nothing but a shift between its input and its output. What a product asks of three classes at once is in
:mod:`~hwquant.quantize.products`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import assert_never

from hwquant.graph import Concat, MaxPool, Rearrange
from hwquant.quantize.plans import LayerPlan, Plan, ProductPlan


class Partition:
    """Disjoint sets of names, each known by its first name.

    Parameters
    ----------
    names : sequence of str
        All names; each is a set of its own at first.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._parent = {name: name for name in names}
        self._order = {name: index for index, name in enumerate(names)}

    def find(self, name: str) -> str:
        """The name that the set of ``name`` is known by."""
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def unite(self, a: str, b: str) -> None:
        """Make one set of the sets of two names."""
        first, second = sorted((self.find(a), self.find(b)), key=self._order.__getitem__)
        self._parent[second] = first

    def sets(self) -> dict[str, list[str]]:
        """The members of every set, by the name that it is known by."""
        result: dict[str, list[str]] = {}
        for name in self._parent:
            result.setdefault(self.find(name), []).append(name)
        return result


def scale_groups(plan: Plan) -> Partition:
    """The sets of tensors that must share scale, zero point and bits."""
    groups = Partition(plan.formats)
    outputs = {output.name: output.tensor for output in plan.graph.outputs}
    for item in plan.graph.inputs:
        if item.state is not None and item.as_it_is:
            groups.unite(outputs[item.state], item.name)
    for node in plan.nodes:
        match node:
            case MaxPool() | Concat() | Rearrange():
                for name in node.inputs:
                    groups.unite(name, node.name)
            case LayerPlan() | ProductPlan():
                pass
            case _:
                assert_never(node)
    return groups


def scale_classes(plan: Plan, shift_only: bool) -> Partition:
    """The sets of tensors whose scales must differ by powers of two.

    Parameters
    ----------
    plan : Plan
        The layers.
    shift_only : bool
        The network has no multipliers, so that an identity ties what its layer's shifts lead to to its input.

    Returns
    -------
    Partition
        Classes, each one or more of the groups of :func:`scale_groups`.
    """
    classes = scale_groups(plan)
    for layer in plan.layers:
        tied = [term.input for term in layer.terms if term.unit is not None]
        if shift_only and tied:
            tied.append(layer.target)
        for a, b in pairwise(tied):
            classes.unite(a, b)
    return classes
