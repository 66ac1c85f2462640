"""The float network on the calibration data, for as far as the integer layers have come."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from hwquant import floating
from hwquant.graph import Clip
from hwquant.quantize.calibration import Data
from hwquant.quantize.fuse import LayerPlan, Plan

_BATCH = 32

Tensors = NDArray[np.float32]


class FloatRun:
    """The float network on the calibration data in single precision, node after node, on demand.

    Tensors are kept for as long as they are read.

    Parameters
    ----------
    plan : Plan
        The layers, and the float network that they stand for.
    samples : mapping of ndarray
        Calibration samples (N, *shape) by input name.
    """

    def __init__(self, plan: Plan, samples: Data) -> None:
        self._graph = plan.graph
        self._nodes = iter(plan.graph.nodes)
        self._sources = {layer.name: unclipped(layer, plan) for layer in plan.layers}
        self._pending = Counter(name for node in plan.graph.nodes for name in set(node.inputs))
        self._pending.update(self._sources.values())
        self._values: dict[str, Tensors] = {
            item.name: np.ascontiguousarray(item.prepare(samples[item.name]).swapaxes(0, 1), np.float32)
            for item in plan.graph.inputs
        }

    def sums(self, layer: LayerPlan) -> Tensors:
        """What a layer computes in front of its clamp, float32 (C, N, H, W); once for each layer, in their order."""
        name = self._sources[layer.name]
        while name not in self._values:
            self._step()
        result = self._values[name]
        self._read(name)
        return result

    def _step(self) -> None:
        node = next(self._nodes)
        inputs = [self._values[name] for name in node.inputs]
        count = inputs[0].shape[1]
        parts = [
            floating.evaluate(node, *(x[:, start : start + _BATCH] for x in inputs))
            for start in range(0, count, _BATCH)
        ]
        self._values[node.name] = np.concatenate(parts, axis=1)
        for name in set(node.inputs):
            self._read(name)

    def _read(self, name: str) -> None:
        self._pending[name] -= 1
        if not self._pending[name]:
            del self._values[name]


def unclipped(layer: LayerPlan, plan: Plan) -> str:
    """The float tensor that a layer clamps."""
    nodes = {node.name: node for node in plan.graph.nodes}
    name = layer.name
    while name in layer.members and isinstance(node := nodes[name], Clip):
        name = node.inputs[0]
    return name
