"""The layers that a float network becomes, with float weights still."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from hwquant.expression import Expression
from hwquant.graph import Concat, Graph, MaxPool, Moving, Rearrange
from hwquant.qgraph import Layer, Product, QNode
from hwquant.window import EACH_PIXEL, Window


@dataclass(frozen=True, eq=False)
class TermPlan:
    """One linear map of a layer, as in :class:`hwquant.qgraph.Term`, with float weights.

    Attributes
    ----------
    node : str
        The float node that the term was.
    input : str
        The tensor that it reads.
    weight : ndarray of float64, shape (out, in / groups, kernel height, kernel width)
        The weights.
    window : Window, optional
        Kernel, stride, padding and dilation; each pixel by itself by default.
    groups : int, default 1
        Number of groups of channels that do not mix.
    unit : float or None, optional
        The power of two that all weights are, where the integer weight has to be 1: of an identity, and of an
        average over a window of 2^n elements. The scales of input and accumulator are then tied to each other.
    constant : bool, default False
        The term is a pool: all its weights are one number.
    """

    node: str
    input: str
    weight: NDArray[np.float64]
    window: Window = EACH_PIXEL
    groups: int = 1
    unit: float | None = None
    constant: bool = False

    @property
    def has_weights(self) -> bool:
        """Whether the term is a convolution with weights of its own, neither an identity nor a pool."""
        return self.unit is None and not self.constant


@dataclass(frozen=True, eq=False)
class FunctionPlan:
    """A function that a layer applies to its clamped sum.

    Attributes
    ----------
    expression : Expression
        The function.
    tensor : str
        The float tensor that it is applied to.
    argument : str
        What the integers in front of the table are called, among the names of the network's tensors.
    """

    expression: Expression
    tensor: str
    argument: str


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """A layer with float weights: ``function(clip(sum of terms + bias, low, high))``.

    Attributes
    ----------
    name : str
        Name of the layer and of its tensor: that of the last node that is fused into it.
    terms : tuple of TermPlan
        What is summed.
    bias : ndarray of float64, shape (out,)
        Real values.
    members : tuple of str
        The float nodes that the layer stands for.
    low, high : float, optional
        The bounds of the clamp, real; infinite where there is none.
    function : FunctionPlan or None, optional
        What is applied to the clamped sum.
    """

    name: str
    terms: tuple[TermPlan, ...]
    bias: NDArray[np.float64]
    members: tuple[str, ...]
    low: float = -math.inf
    high: float = math.inf
    function: FunctionPlan | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that the terms read, in their order."""
        return tuple(term.input for term in self.terms)

    @property
    def target(self) -> str:
        """What the shifts lead to: the layer's own tensor, or the argument of its function."""
        return self.function.argument if self.function else self.name

    @property
    def linear(self) -> bool:
        """Whether the layer gives its sum as it is."""
        return self.low == -math.inf and self.high == math.inf and self.function is None


@dataclass(frozen=True, eq=False)
class ProductPlan:
    """A product of two tensors: ``clip(a * b, low, high)``.

    Attributes
    ----------
    name : str
        Name of the product and of its tensor: that of the last node that is fused into it.
    inputs : tuple of str
        The tensors that it reads: of one shape, or the second with one factor a channel.
    members : tuple of str
        The float nodes that the product stands for.
    low, high : float, optional
        The bounds of the clamp, real; infinite where there is none.
    """

    name: str
    inputs: tuple[str, str]
    members: tuple[str, ...]
    low: float = -math.inf
    high: float = math.inf


PlanNode = LayerPlan | ProductPlan | Moving


@dataclass(frozen=True, eq=False)
class Plan:
    """The layers of a network in topological order, and the float graph whose tensors they compute.

    Attributes
    ----------
    graph : Graph
        The float network, its clips before the pools where that is possible (:func:`hoist_functions`).
    nodes : tuple of LayerPlan, ProductPlan, MaxPool, Concat or Rearrange
        The layers, the products, and the nodes that only move integers.
    """

    graph: Graph
    nodes: tuple[PlanNode, ...]

    @property
    def layers(self) -> Sequence[LayerPlan]:
        """The nodes that are layers, in order."""
        return [node for node in self.nodes if isinstance(node, LayerPlan)]

    @property
    def products(self) -> Sequence[ProductPlan]:
        """The nodes that are products of two tensors, in order."""
        return [node for node in self.nodes if isinstance(node, ProductPlan)]

    @property
    def computed(self) -> Sequence[LayerPlan | ProductPlan]:
        """The nodes that compute: the layers, then the products."""
        return [*self.layers, *self.products]

    @property
    def tensors(self) -> Sequence[str]:
        """Names of the tensors that exist as integers."""
        return [item.name for item in self.graph.inputs] + [node.name for node in self.nodes]

    @property
    def formats(self) -> Sequence[str]:
        """Names of all that has a format: tensors, and what tables are addressed with."""
        return [*self.tensors, *(layer.function.argument for layer in self.layers if layer.function)]

    @property
    def floats(self) -> Mapping[str, str]:
        """The float tensor that each of :attr:`formats` stands for."""
        arguments = {
            layer.function.argument: layer.function.tensor for layer in self.layers if layer.function
        }
        return {**{name: name for name in self.tensors}, **arguments}

    @property
    def observed(self) -> Sequence[str]:
        """The float tensors whose values matter, each once."""
        return list(dict.fromkeys(self.floats.values()))

    def integer_nodes(
        self, layer: Callable[[LayerPlan], Layer], product: Callable[[ProductPlan], Product]
    ) -> Iterator[QNode]:
        """The integer network's nodes in order: what the functions make of a layer and of a product.

        What moves values is as it is.
        """
        for node in self.nodes:
            match node:
                case MaxPool() | Concat() | Rearrange():
                    yield node
                case LayerPlan():
                    yield layer(node)
                case ProductPlan():
                    yield product(node)
                case _:
                    assert_never(node)
