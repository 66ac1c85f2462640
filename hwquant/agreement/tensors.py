"""The integers of tensors, compared: as a whole network gives them, and as each layer alone does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import golden
from hwquant.given import GivenFormat, Source
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


class Count:
    """Differences of a tensor, counted.

    Parameters
    ----------
    form : GivenFormat
        The integers of the model.
    """

    def __init__(self, form: GivenFormat) -> None:
        self.form = form
        self.elements, self.equal, self.within = 0, 0, 0
        self.largest, self.alone = 0.0, 0.0

    def add(self, difference: Array, alone: Array) -> None:
        """Take in real differences of the whole network and of the layer alone."""
        steps, own = (np.abs(array) / self.form.scale for array in (difference, alone))
        self.elements += steps.size
        self.equal += int(np.count_nonzero(steps < 0.5))
        self.within += int(np.count_nonzero(steps < 1.5))
        self.largest = max(self.largest, float(steps.max(initial=0.0)))
        self.alone = max(self.alone, float(own.max(initial=0.0)))

    def result(self, tensor: str, source: str) -> TensorAgreement:
        """What came of it."""
        share = self.equal / self.elements, self.within / self.elements
        return TensorAgreement(tensor, source, *share, round(self.largest, 3), round(self.alone, 3))


def count_tensors(
    qgraph: QGraph,
    x: Mapping[str, Array],
    found: Mapping[str, tuple[Source, Array]],
    counts: Mapping[str, Count],
) -> None:
    """Count the differences of some samples."""
    mine = golden.run(qgraph, golden.quantize_input(qgraph, x), keep=list(qgraph.tensors))
    wanted = {
        tensor: counts[tensor].form.real(
            _placed(source, array, counts[tensor].form, qgraph.tensors[tensor].shape)
        )
        for tensor, (source, array) in found.items()
    }
    for name, alone in _each_alone(qgraph, mine, wanted):
        if name in wanted:
            ours, own = (qgraph.tensors[name].dequantize(q) - wanted[name] for q in (mine[name], alone))
            counts[name].add(ours, own)


def _each_alone(
    qgraph: QGraph, mine: Mapping[str, Array], wanted: Mapping[str, Array]
) -> Iterator[tuple[str, Array]]:
    """What each tensor is where all before it are the model's, whose real numbers are ``wanted``."""
    values: dict[str, Array] = {}

    def keep(name: str, alone: Array) -> tuple[str, Array]:
        values[name] = qgraph.tensors[name].quantize(wanted[name]) if name in wanted else alone
        return name, alone

    for item in qgraph.inputs:
        yield keep(item.name, mine[item.name])
    for node in qgraph.nodes:
        yield keep(node.name, _alone(qgraph, node, values))


def _alone(qgraph: QGraph, node: QNode, values: Mapping[str, Array]) -> Array:
    """What a node makes of integers."""
    names = tuple(dict.fromkeys(node.inputs))
    tensors = {name: qgraph.tensors[name] for name in (*names, node.name)}
    inputs = tuple(Input(name, tensors[name].shape, tensors[name].shape) for name in names)
    output = Output(node.name, node.name, tensors[node.name].shape)
    single = QGraph(node.name, inputs, (node,), (output,), tensors)
    return golden.run(single, {name: values[name] for name in names})[node.name]


def _placed(source: Source, array: Array, form: GivenFormat, shape: Sequence[int]) -> Array:
    """The model's integers of a tensor, signed, in the tensor's order."""
    unsigned = array.dtype.kind == "u"
    flat = array.reshape(len(array), -1).astype(np.int64) - ((1 << (form.bits - 1)) if unsigned else 0)
    if source.order is not None:
        moved = np.zeros_like(flat)
        moved[:, source.order] = flat
        flat = moved
    return flat.reshape(len(array), *shape)
