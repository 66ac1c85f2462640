"""How the compiler lays out the convolutions of a float network, found by compiling integers that stand for any."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwquant.graph import Graph
from hwquant.program.compiler import Compilation, lowered_network
from hwquant.program.mapping import Dense
from hwquant.program.sizing import Requirements
from hwquant.qgraph import Layer, QGraph, Tensor, Term
from hwquant.quantize.fuse import LayerPlan, Plan, TermPlan, plan_layers


@dataclass(frozen=True, eq=False)
class MappedConv:
    """How a convolution uses the array.

    Attributes
    ----------
    packed : bool, default False
        Whether its kernel rows are packed into words of the network's input.
    filters : ndarray of int64, shape (kernel height, kernel width), optional
        Which of a channel's depthwise tiles a kernel position is in; None where it runs as dense tiles.
    """

    packed: bool = False
    filters: NDArray[np.int64] | None = None


def map_convolutions(graph: Graph, array: tuple[int, int]) -> Mapping[str, MappedConv]:
    """Map a network's convolutions, for an array that is made for the network.

    Parameters
    ----------
    graph : Graph
        The float network, of which only the geometry matters.
    array : tuple of int
        Rows and columns of the systolic array.

    Returns
    -------
    mapping of MappedConv
        Every convolution by name.

    Raises
    ------
    HwquantError
        The network cannot be quantized or compiled.
    """
    return _mapped(_Structure(graph), array)


class _Structure:
    """A graph as a key for a cache: equal to another that differs in nothing but numbers."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        nodes = [(type(node).__name__, *map(_shape, _values(node))) for node in graph.nodes]
        ends = [(item.name, item.tensor_shape) for item in graph.inputs]
        self._key = tuple(nodes), tuple(ends), tuple(item.tensor for item in graph.outputs)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Structure) and self._key == other._key


def _values(node: object) -> list[object]:
    return [getattr(node, field.name) for field in dataclasses.fields(node)]  # type: ignore[arg-type]


def _shape(value: object) -> object:
    return value.shape if isinstance(value, np.ndarray) else value


@lru_cache(maxsize=16)
def _mapped(structure: _Structure, array: tuple[int, int]) -> Mapping[str, MappedConv]:
    plan = plan_layers(structure.graph)
    layers = {layer.name: layer for layer in plan.layers}
    result = {}
    qgraph = _stand_in(plan)
    for mapped in Compilation(qgraph, lowered_network(qgraph), Requirements(array)).mapped:
        layer = layers.get(mapped.layer.covers[0])
        if layer is None:
            continue
        packed = isinstance(mapped.strategy, Dense) and mapped.strategy.packing is not None
        for term in layer.terms:
            filters = None
            if mapped.plan:
                filters = np.zeros(term.weight.shape[2:], np.int64)
                for number, item in enumerate(mapped.plan.filters):
                    filters[np.ix_(item.rows, item.columns)] = number
            result[term.node] = MappedConv(packed, filters)
    return result


def _stand_in(plan: Plan) -> QGraph:
    """An integer network with the geometry of a plan; no two neighbouring weights are alike, and none is zero."""
    shapes = plan.graph.shapes
    tensors = {name: Tensor(name, shapes[name], 1.0, 0) for name in plan.tensors}
    nodes = tuple(plan.integer_nodes(_layer))
    return QGraph(plan.graph.name, plan.graph.inputs, nodes, plan.graph.outputs, tensors)


def _layer(layer: LayerPlan) -> Layer:
    terms, bias = tuple(_term(term) for term in layer.terms), np.zeros(len(layer.bias), np.int64)
    return Layer(layer.name, terms, bias, np.zeros(1, np.int64), -128, 127)


def _term(term: TermPlan) -> Term:
    codes = np.ones(term.weight.shape, np.int8)
    if term.unit is None and not term.constant:
        codes = (1 + np.arange(codes.size) % 97).astype(np.int8).reshape(codes.shape)
    zero, one = np.zeros(1, np.int64), np.ones(1)
    return Term(term.input, codes, zero, one, "min", 8, term.window, term.groups)
