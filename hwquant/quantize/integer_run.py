"""The integer layers so far on the calibration data, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import golden
from hwquant.coding import IntArray
from hwquant.interface import Input, Output
from hwquant.qgraph import QGraph, QNode, Tensor
from hwquant.quantize.calibration import Data
from hwquant.quantize.plans import Plan


class IntegerRun:
    """The integer network on the calibration data, node after node.

    Tensors are kept for as long as they are read.

    Parameters
    ----------
    plan : Plan
        The nodes, and who reads what.
    tensors : mapping of Tensor
        The integer formats of all tensors, by name.
    samples : mapping of ndarray
        Calibration samples (N, *shape) by input name.
    """

    def __init__(self, plan: Plan, tensors: Mapping[str, Tensor], samples: Data) -> None:
        self._tensors = dict(tensors)
        self._pending = {name: sum(name in node.inputs for node in plan.nodes) for name in plan.tensors}
        self._values: dict[str, NDArray[np.signedinteger[Any]]] = {}
        for item in plan.graph.inputs:
            q = tensors[item.name].quantize(item.prepare(samples[item.name]))
            self._values[item.name] = q.astype(_dtype(tensors[item.name]))

    def change(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors that are not computed yet other formats."""
        self._tensors |= {tensor.name: tensor for tensor in tensors}

    def tensor(self, name: str) -> Tensor:
        """The integer format of a tensor."""
        return self._tensors[name]

    def centred(self, name: str) -> IntArray:
        """The integers (N, C, H, W) of a tensor less its zero point, int64."""
        return self._values[name].astype(np.int64) - self._tensors[name].zero_point

    def step(self, node: QNode) -> None:
        """Run one node, and forget what no later node reads."""
        names = dict.fromkeys(node.inputs)
        inputs = tuple(Input(name, self._tensors[name].shape, self._tensors[name].shape) for name in names)
        outputs = (Output(node.name, node.name, self._tensors[node.name].shape),)
        single = QGraph(
            node.name, inputs, (node,), outputs, {name: self._tensors[name] for name in (*names, node.name)}
        )
        result = golden.run(
            single, {name: self._values[name].astype(np.int64) for name in names}, keep=[node.name]
        )
        self._values[node.name] = result[node.name].astype(_dtype(self._tensors[node.name]))
        for name in names:
            self._pending[name] -= 1
            if not self._pending[name]:
                del self._values[name]


def _dtype(tensor: Tensor) -> type[np.signedinteger[Any]]:
    """The smallest type that values are kept in."""
    return np.int8 if tensor.bits <= 8 else np.int32
