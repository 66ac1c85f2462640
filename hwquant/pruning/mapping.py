"""How the compiler lays out the convolutions of a float network, found by compiling integers that stand for any."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from hwquant.graph import Graph
from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.mapping import MappedLayer
from hwquant.program.raw_choice import map_with_inputs
from hwquant.program.schedule import tile_weights
from hwquant.program.sides import Array
from hwquant.program.sizing import Requirements
from hwquant.program.tiling import column_blocks, pixel_blocks
from hwquant.qgraph import IntArray, Layer, Product, QGraph, Tensor, Term
from hwquant.quantize.fuse import plan_layers
from hwquant.quantize.plans import LayerPlan, Plan, ProductPlan, TermPlan


@dataclass(frozen=True, eq=False)
class MappedConv:
    """Where the weights of a convolution lie in the array's tiles, and what a tile costs.

    Attributes
    ----------
    blocks : ndarray of int64, shape (out,)
        Number of the column block that an output channel is in.
    columns : ndarray of int64, shape (out,)
        Column of the array that it takes.
    tiles : ndarray of int64, of the shape of the weight
        Number of the tile of its column block that a weight is in.
    lanes : ndarray of int64, of the shape of the weight, or None
        Number of the channel, as the activation memory has them, that the weight multiplies. None where the tiles are
        depthwise, of a channel a column.
    positions : ndarray of int64, of the shape of the weight
        Number of the kernel position, as the array has them: where kernel rows are packed, they are channels.
    cycles : int
        Cycles that a tile takes for all pixels of an inference, of weights that are a row in a word.
    """

    blocks: IntArray
    columns: IntArray
    tiles: IntArray
    lanes: IntArray | None
    positions: IntArray
    cycles: int


def map_convolutions(graph: Graph, array: Array) -> Mapping[str, MappedConv]:
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
def _mapped(structure: _Structure, array: Array) -> Mapping[str, MappedConv]:
    plan = plan_layers(structure.graph)
    layers = {layer.name: layer for layer in plan.layers}
    qgraph = _stand_in(plan)
    lowered = lowered_network(qgraph)
    compilation = Compilation(qgraph, lowered, Requirements(array))
    # Weights that are numbers show where the compiler puts each of them.
    numbered = [_numbered(layer, layers.get(layer.covers[0])) for layer in lowered]
    result = {}
    packs = compilation.requirements.packs_input
    every, _ = map_with_inputs(numbered, qgraph, compilation.offered, packs=packs)
    for mapped in every:
        if (layer := layers.get(mapped.layer.covers[0])) is None:
            continue
        for planned, term in zip(layer.terms, mapped.layer.terms, strict=True):
            if planned.has_weights:
                result[planned.node] = _places(planned, term, mapped, compilation)
    return result


def _numbered(layer: ArrayLayer, plan: LayerPlan | None) -> ArrayLayer:
    """A layer whose convolutions have the weights 1, 2, 3 and so on."""
    if plan is None:
        return layer
    terms = [
        replace(term, weight=1 + np.arange(term.weight.size).reshape(term.weight.shape))
        if planned.has_weights
        else term
        for planned, term in zip(plan.terms, layer.terms, strict=True)
    ]
    return replace(layer, terms=tuple(terms))


def _places(plan: TermPlan, term: ArrayTerm, mapped: MappedLayer, compilation: Compilation) -> MappedConv:
    """Find the places of a term's numbered weights in the tiles that the compiler cuts."""
    shape = compilation.needed
    places = np.zeros((4, plan.weight.size), np.int64)
    for number, item in enumerate(column_blocks(len(plan.weight), shape, complete=False)):
        weights = tile_weights(mapped, term, item, shape)
        where = np.nonzero(weights)
        places[:, weights[where] - 1] = np.stack([np.full(len(where[0]), number), *where])
    block, tile, row, column = places.reshape(4, *plan.weight.shape)
    kernel = term.kernel[0] * term.kernel[1]
    local = next(item for item in compilation.divided.layers if item.layer.name == mapped.layer.name)
    blocks = pixel_blocks(local.layer, shape.accumulator_depth, summed=mapped.summed)
    return MappedConv(
        blocks=block[:, 0, 0, 0],
        columns=column[:, 0, 0, 0],
        tiles=tile,
        lanes=None if mapped.plan else tile // kernel * shape.rows + row,
        positions=tile % kernel,
        cycles=sum(max(local.streamed(item), shape.load_cycles) for item in blocks),
    )


def _stand_in(plan: Plan) -> QGraph:
    """An integer network with the geometry of a plan; no two neighbouring weights are alike, and none is zero."""
    shapes = plan.graph.shapes
    tensors = {name: Tensor(name, shapes[name], 1.0, 0) for name in plan.tensors}
    nodes = tuple(plan.integer_nodes(_layer, _product))
    return QGraph(plan.graph.name, plan.graph.inputs, nodes, plan.graph.outputs, tensors)


def _layer(layer: LayerPlan) -> Layer:
    terms, bias = tuple(_term(term) for term in layer.terms), np.zeros(len(layer.bias), np.int64)
    return Layer(layer.name, terms, bias, np.zeros(1, np.int64), -128, 127)


def _product(product: ProductPlan) -> Product:
    return Product(product.name, product.inputs, 0, -128, 127)


def _term(term: TermPlan) -> Term:
    codes = np.ones(term.weight.shape, np.int8)
    if term.has_weights:
        codes = (1 + np.arange(codes.size) % 97).astype(np.int8).reshape(codes.shape)
    zero, one = np.zeros(1, np.int64), np.ones(1)
    return Term(term.input, codes, zero, one, "min", 8, term.window, term.groups)
