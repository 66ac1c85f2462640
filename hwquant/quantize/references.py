"""What the float network gives on the samples that layers are fitted to, for as much as fitting needs of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwquant.graph import Clip, Function
from hwquant.quantize.calibration import Data, batches
from hwquant.quantize.plans import LayerPlan, Plan
from hwquant.quantize.weight_scheme import Array

_PATCHES = 1 << 14
"""Positions of a layer's output that it is fitted at, at most."""
_ELEMENTS = 1 << 26
"""Sums of all layers together that are kept (256 MiB); of larger networks fewer positions are."""

Positions = tuple[NDArray[np.int64], ...]
"""Samples, rows and columns, int64 [P] each."""


@dataclass(frozen=True, eq=False)
class References:
    """What integer layers are to give.

    Attributes
    ----------
    images : Mapping[str, Array]
        Mean over the samples of each float tensor that a layer reads, float64 (C, H, W), by name.
    sums : Mapping[str, NDArray]
        What each layer with weights computes in front of its clamp, float32 (P, out), at every ``stride``-th of the
        :func:`positions` of its output; by layer.
    stride : int
        1 but for large networks.
    """

    images: Mapping[str, Array]
    sums: Mapping[str, NDArray[np.float32]]
    stride: int


def float_references(plan: Plan, samples: Data) -> References:
    """Run the float network once, and keep what its layers are fitted to."""
    shapes = plan.graph.shapes
    count = len(next(iter(samples.values())))
    read = list(dict.fromkeys(name for layer in plan.layers for name in layer.inputs))
    images: dict[str, Array] = {name: np.zeros(shapes[name]) for name in read}
    sources = {
        layer.name: unclipped(layer, plan)
        for layer in plan.layers
        if any(term.has_weights for term in layer.terms)
    }
    where = {name: positions((count, *shapes[source][1:])) for name, source in sources.items()}
    kept = sum(len(where[name][0]) * shapes[source][0] for name, source in sources.items())
    stride = max(1, math.ceil(kept / _ELEMENTS))
    where = {name: tuple(axis[::stride] for axis in axes) for name, axes in where.items()}
    sums = {
        name: np.empty((len(where[name][0]), shapes[source][0]), np.float32)
        for name, source in sources.items()
    }
    start, wanted = 0, list(dict.fromkeys([*read, *sources.values()]))
    # Networks that only move values are fitted to nothing.
    for batch in batches(plan.graph, samples, wanted) if wanted else ():
        for name in read:
            images[name] += batch[name].sum(axis=0)
        stop = start + len(next(iter(batch.values())))
        for name, source in sources.items():
            sample, row, column = where[name]
            part = slice(*np.searchsorted(sample, (start, stop)))
            sums[name][part] = batch[source][sample[part] - start, :, row[part], column[part]]
        start = stop
    return References({name: image / count for name, image in images.items()}, sums, stride)


def positions(shape: Sequence[int]) -> Positions:
    """Samples, rows and columns of (N, H, W), taken evenly and in order, as many as a layer is fitted at."""
    total = math.prod(shape)
    chosen = np.unique(np.linspace(0, total - 1, min(total, _PATCHES)).astype(np.int64))
    return tuple(np.unravel_index(chosen, tuple(shape)))


def unclipped(layer: LayerPlan, plan: Plan) -> str:
    """The float tensor that a layer clamps, and applies a function to."""
    nodes = {node.name: node for node in plan.graph.nodes}
    name = layer.name
    while name in layer.members and isinstance(node := nodes[name], Clip | Function):
        name = node.inputs[0]
    return name
