"""Exact minimization of a sum of small cost tables, by eliminating one variable after the other.

The min-sum form of bucket elimination (R. Dechter, Bucket elimination, 1999). On a chain of variables it is
the Viterbi algorithm; on a graph it costs labels to the power of the largest intermediate table's variables.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_LARGEST_TABLE = 1 << 22


@dataclass(frozen=True, eq=False)
class Cost:
    """A table of costs over a few variables: an axis for each variable, an entry for each label of it.

    Attributes
    ----------
    variables : tuple of Hashable
        The variables, in the order of the table's axes.
    table : ndarray of float64
        ``table[label of variables[0], label of variables[1], ...]`` is the cost of these labels.
    """

    variables: tuple[Hashable, ...]
    table: Array


def minimize(costs: Sequence[Cost], labels: Mapping[Hashable, int]) -> dict[Hashable, int]:
    """Find the labelling with the least total cost; ties go to the smaller label.

    Where a network is so entangled that an intermediate table would become too large, the variable with the
    most neighbours is first fixed to the label that is best by its own costs. Only then is the result not
    exact.

    Parameters
    ----------
    costs : sequence of Cost
        Tables over distinct variables, any number of them over the same ones.
    labels : mapping of Hashable to int
        Number of labels of each variable; their order decides between equally good orders of elimination.

    Returns
    -------
    dict of Hashable to int
        The label of each variable.
    """
    costs = list(costs)
    remaining = list(labels)
    fixed: dict[Hashable, int] = {}
    eliminated: list[tuple[Hashable, Cost]] = []
    while remaining:
        scopes = {name: _scope(name, costs) for name in remaining}
        name = min(remaining, key=lambda name: _size(scopes[name], labels))
        if _size(scopes[name], labels) > _LARGEST_TABLE:
            name = max(remaining, key=lambda name: len(scopes[name]))
            own = _join([cost for cost in costs if cost.variables == (name,)], (name,), labels)
            fixed[name] = int(own.argmin())
            costs = [_condition(cost, name, fixed[name]) for cost in costs]
        else:
            bucket = [cost for cost in costs if name in cost.variables]
            joint = _join(bucket, (name, *scopes[name]), labels)
            costs = [cost for cost in costs if name not in cost.variables]
            costs.append(Cost(scopes[name], np.asarray(joint.min(axis=0))))
            eliminated.append((name, Cost(scopes[name], np.asarray(joint.argmin(axis=0), np.float64))))
        remaining.remove(name)
    result = dict(fixed)
    for name, choice in reversed(eliminated):
        result[name] = int(choice.table[tuple(result[other] for other in choice.variables)])
    return result


def _scope(name: Hashable, costs: Sequence[Cost]) -> tuple[Hashable, ...]:
    """The other variables that share a table with this one."""
    neighbours = dict.fromkeys(other for cost in costs if name in cost.variables for other in cost.variables)
    return tuple(other for other in neighbours if other != name)


def _size(scope: Sequence[Hashable], labels: Mapping[Hashable, int]) -> float:
    return float(np.prod([labels[name] for name in scope], dtype=np.float64))


def _join(costs: Sequence[Cost], scope: tuple[Hashable, ...], labels: Mapping[Hashable, int]) -> Array:
    """Sum of tables, broadcast to the variables of ``scope``."""
    total = np.zeros([labels[name] for name in scope])
    for cost in costs:
        axes = sorted(range(len(cost.variables)), key=lambda axis: scope.index(cost.variables[axis]))
        shape = [labels[name] if name in cost.variables else 1 for name in scope]
        total = total + cost.table.transpose(axes).reshape(shape)
    return total


def _condition(cost: Cost, name: Hashable, label: int) -> Cost:
    if name not in cost.variables:
        return cost
    axis = cost.variables.index(name)
    rest = tuple(other for other in cost.variables if other != name)
    return Cost(rest, np.moveaxis(cost.table, axis, 0)[label])
