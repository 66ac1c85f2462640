"""The integers of tensors, compared: as a whole network gives them, and as each layer alone does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import golden
from hwquant.given import Source
from hwquant.interface import Input, Output
from hwquant.qgraph import QGraph, QNode

Array = NDArray[Any]


@dataclass(frozen=True)
class TensorAgreement:
    """How far the integers of a tensor agree.

    Attributes
    ----------
    tensor : str
        The tensor.
    source : str
        Its integers in the model.
    equal : float
        Share of the integers that are equal, 0..1.
    within : float
        Share of those that differ by one step at most.
    largest : float
        Largest difference, in steps of the model.
    alone : float
        The same of what the layer makes of the model's integers.
    """

    tensor: str
    source: str
    equal: float
    within: float
    largest: float
    alone: float


class _Count:
    """Differences of a tensor, counted in steps of the model."""

    def __init__(self) -> None:
        self.elements, self.equal, self.within = 0, 0, 0
        self.largest, self.alone = 0.0, 0.0

    def add(self, steps: Array, alone: Array) -> None:
        """Take in differences of the whole network, and of the layer alone."""
        self.elements += steps.size
        self.equal += int(np.count_nonzero(steps < 0.5))
        self.within += int(np.count_nonzero(steps < 1.5))
        self.largest = max(self.largest, float(steps.max(initial=0.0)))
        self.alone = max(self.alone, float(alone.max(initial=0.0)))


class Tensors:
    """The tensors that a network and its source have both, compared sample by sample.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    known : mapping of Source
        Its tensors, by the names of their integers in the source; the first of several counts.
    """

    def __init__(self, qgraph: QGraph, known: Mapping[str, Source]) -> None:
        self._qgraph, self._known = qgraph, known
        names = {found.tensor: name for name, found in reversed(list(known.items()))}
        self._names = {tensor: names[tensor] for tensor in qgraph.tensors if tensor in names}
        self._counts = {tensor: _Count() for tensor in self._names}

    def add(self, mine: Mapping[str, Array], theirs: Mapping[str, Array]) -> None:
        """Take in the integers of some samples, of the network and of the source."""
        wanted = {
            tensor: self._known[name].real(theirs[name]).reshape(mine[tensor].shape)
            for tensor, name in self._names.items()
        }
        for tensor, alone in self._each_alone(mine, wanted):
            if tensor in wanted:
                scale = self._known[self._names[tensor]].format.scale
                real = self._qgraph.tensors[tensor].dequantize
                far = (np.abs(real(q) - wanted[tensor]) / scale for q in (mine[tensor], alone))
                self._counts[tensor].add(*far)

    def result(self) -> tuple[TensorAgreement, ...]:
        """What came of it, in the order in which the tensors are computed."""
        return tuple(
            TensorAgreement(
                tensor,
                self._names[tensor],
                found.equal / found.elements,
                found.within / found.elements,
                round(found.largest, 3),
                round(found.alone, 3),
            )
            for tensor, found in self._counts.items()
        )

    def _each_alone(
        self, mine: Mapping[str, Array], wanted: Mapping[str, Array]
    ) -> Iterator[tuple[str, Array]]:
        """What each tensor is where all before it are the source's, whose real numbers are ``wanted``."""
        values: dict[str, Array] = {}

        def keep(name: str, alone: Array) -> tuple[str, Array]:
            values[name] = self._qgraph.tensors[name].quantize(wanted[name]) if name in wanted else alone
            return name, alone

        for item in self._qgraph.inputs:
            yield keep(item.name, mine[item.name])
        for node in self._qgraph.nodes:
            yield keep(node.name, _alone(self._qgraph, node, values))


def _alone(qgraph: QGraph, node: QNode, values: Mapping[str, Array]) -> Array:
    """What a node makes of integers."""
    names = tuple(dict.fromkeys(node.inputs))
    tensors = {name: qgraph.tensors[name] for name in (*names, node.name)}
    inputs = tuple(Input(name, tensors[name].shape, tensors[name].shape) for name in names)
    output = Output(node.name, node.name, tensors[node.name].shape)
    single = QGraph(node.name, inputs, (node,), (output,), tensors)
    return golden.run(single, {name: values[name] for name in names})[node.name]
