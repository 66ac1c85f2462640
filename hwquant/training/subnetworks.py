"""A network as consecutive sub-networks."""

from __future__ import annotations

import numpy as np

from hwquant.errors import HwquantError
from hwquant.quantize.plans import LayerPlan, Plan

SubNetwork = tuple[LayerPlan, ...]


def cut(plan: Plan, count: int | None) -> list[SubNetwork]:
    """Cut the layers of a plan into sub-networks of consecutive ones.

    Layers without weights (pools, additions) go with the layer after them, the last ones with the one before.

    Parameters
    ----------
    plan : Plan
        The layers.
    count : int or None
        Number of sub-networks, of about equally many layers with weights; one for each of these if None.

    Returns
    -------
    list of tuple of LayerPlan
        The sub-networks, in order.

    Raises
    ------
    HwquantError
        There are no weights, or fewer layers with weights than sub-networks are asked for.
    """
    parts: list[list[LayerPlan]] = []
    waiting: list[LayerPlan] = []
    for layer in plan.layers:
        waiting.append(layer)
        if any(term.has_weights for term in layer.terms):
            parts.append(waiting)
            waiting = []
    if not parts:
        raise HwquantError(f"network {plan.graph.name!r} has no weights to train")
    parts[-1] += waiting
    if count is None:
        count = len(parts)
    if not isinstance(count, int) or not 1 <= count <= len(parts):
        raise HwquantError(f"subnetworks must be an integer from 1 to {len(parts)}, not {count!r}")
    groups = np.array_split(np.arange(len(parts)), count)
    return [tuple(layer for index in group for layer in parts[index]) for group in groups]


def convolutions(part: SubNetwork) -> list[str]:
    """Names of the convolutions of a sub-network whose weights are trained."""
    return [term.node for layer in part for term in layer.terms if term.has_weights]
