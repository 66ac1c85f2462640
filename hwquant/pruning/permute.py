"""Other orders of a network's channels, which change nothing that it computes.

Permuting the output channels of a convolution is free where every reader's input channels are permuted to
match. Some tensors must then have the same order: what a sum adds, what a depthwise convolution or a pool reads
and writes. Such channels are a *space*. A concatenation is a row of spaces, each with its own order. The
channels of the network's inputs and outputs, and those next to other grouped convolutions, stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import IntArray
from hwquant.errors import HwquantError
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Function, Graph, MaxPool, Multiply, Node
from hwquant.qgraph import Layer, Product, QGraph, QNode, Term


@dataclass(frozen=True)
class ChannelSpace:
    """Channels that have one order, in however many tensors they are.

    Attributes
    ----------
    channels : int
        Number of channels.
    tensors : tuple of str
        Names of the tensors that consist of exactly these channels.
    free : bool
        Whether the channels may have any order.
    """

    channels: int
    tensors: tuple[str, ...]
    free: bool


class ChannelSpaces:
    """The spaces of a network's tensors.

    Attributes
    ----------
    spaces : tuple of ChannelSpace
        The spaces in the order of the network.
    layouts : dict of tuple of int
        By name of tensor, the indices of the spaces that its channels are, one after the other.
    """

    def __init__(self, network: Graph | QGraph):
        self._sizes: list[int] = []
        self._parent: list[int] = []
        self._frozen: set[int] = set()
        layouts: dict[str, list[int]] = {}
        shapes = _shapes(network)
        for item in network.inputs:
            layouts[item.name] = [self._new(shapes[item.name])]
            self._freeze(layouts[item.name])
        for node in network.nodes:
            layouts[node.name] = self._node(node, layouts, shapes[node.name])
        for output in network.outputs:
            self._freeze(layouts[output.tensor])
        roots = sorted({self._root(index) for layout in layouts.values() for index in layout})
        frozen = {self._root(index) for index in self._frozen}
        self.layouts = {
            name: tuple(roots.index(self._root(index)) for index in layout)
            for name, layout in layouts.items()
        }
        self.spaces = tuple(
            ChannelSpace(
                channels=self._sizes[root],
                tensors=tuple(name for name, layout in self.layouts.items() if layout == (number,)),
                free=root not in frozen,
            )
            for number, root in enumerate(roots)
        )

    def _node(self, node: Node | QNode, layouts: Mapping[str, list[int]], channels: int) -> list[int]:
        maps: list[tuple[str, NDArray[Any], int]]
        match node:
            case Concat():
                return [index for name in node.inputs for index in layouts[name]]
            case Clip() | Function() | MaxPool() | AveragePool() | Add() | Multiply() | Product():
                return self._tie([layouts[name] for name in node.inputs])
            case Conv():
                maps = [(node.inputs[0], node.weight, node.groups)]
            case Layer():
                maps = [(term.input, term.codes, term.groups) for term in node.terms]
            case _:  # of which nothing is known: its channels stay where they are
                for name in node.inputs:
                    self._freeze(layouts[name])
                made = [self._new(channels)]
                self._freeze(made)
                return made
        results = []
        for source, weight, groups in maps:
            if groups == 1:
                results.append([self._new(channels)])
            elif groups == len(weight) and weight.shape[1] == 1:
                results.append(layouts[source])
            else:
                self._freeze(layouts[source])
                results.append([self._new(channels)])
                self._freeze(results[-1])
        return self._tie(results)

    def _new(self, channels: int) -> int:
        self._sizes.append(channels)
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            index = self._parent[index]
        return index

    def _freeze(self, layout: Sequence[int]) -> None:
        self._frozen.update(layout)

    def _tie(self, layouts: Sequence[list[int]]) -> list[int]:
        """Give layouts one order; freeze them where they are divided differently."""
        first = [self._sizes[index] for index in layouts[0]]
        if any([self._sizes[index] for index in layout] != first for layout in layouts):
            for layout in layouts:
                self._freeze(layout)
            return layouts[0]
        for layout in layouts[1:]:
            for a, b in zip(layouts[0], layout):
                low, high = sorted((self._root(a), self._root(b)))
                self._parent[high] = low
        return layouts[0]

    def order(self, tensor: str, orders: Mapping[int, IntArray]) -> IntArray:
        """Find the order of a tensor's channels from those of its spaces.

        Parameters
        ----------
        tensor : str
            Name of the tensor.
        orders : mapping of ndarray of int64
            New orders of spaces by index; a space that is not named stays as it is.

        Returns
        -------
        ndarray of int64, shape (channels,)
            The old numbers of the channels in their new order.
        """
        parts, start = [], 0
        for index in self.layouts[tensor]:
            channels = self.spaces[index].channels
            parts.append(start + orders.get(index, np.arange(channels)))
            start += channels
        return np.concatenate(parts)


@overload
def permute(network: Graph, orders: Mapping[str, IntArray]) -> Graph: ...
@overload
def permute(network: QGraph, orders: Mapping[str, IntArray]) -> QGraph: ...
def permute(network: Graph | QGraph, orders: Mapping[str, IntArray]) -> Graph | QGraph:
    """Give the channels of some tensors another order, which changes nothing that the network computes.

    Parameters
    ----------
    network : Graph or QGraph
        The network. An integer one computes the same outputs bit for bit, a float one up to the order of summation.
        An integer network's ``options`` stay as they are.
    orders : mapping of ndarray of int64, shape (channels,)
        By name of tensor, the old numbers of its channels in their new order. Tensors that share its space follow.
        Names that the network does not have are skipped, so that the orders of a float network also serve the integer
        one, in which nodes are fused.

    Raises
    ------
    HwquantError
        An order is no permutation or contradicts another one, or a tensor's channels cannot move.
    """
    channels = ChannelSpaces(network)
    chosen: dict[int, IntArray] = {}
    for tensor, order in orders.items():
        if tensor not in channels.layouts:
            continue
        layout = channels.layouts[tensor]
        if len(layout) != 1 or not channels.spaces[layout[0]].free:
            raise HwquantError(f"the channels of {tensor!r} cannot change their order; leave that tensor out")
        (index,) = layout
        if not np.array_equal(np.sort(order), np.arange(channels.spaces[index].channels)):
            raise HwquantError(
                f"the order for {tensor!r} is no permutation of its {channels.spaces[index].channels} channels"
            )
        if not np.array_equal(chosen.setdefault(index, order), order):
            raise HwquantError(f"{tensor!r} is given another order than a tensor with the same channels")
    order_of = {name: channels.order(name, chosen) for name in channels.layouts}
    if isinstance(network, Graph):
        return replace(network, nodes=tuple(_float_node(node, order_of) for node in network.nodes))
    return replace(network, nodes=tuple(_integer_node(node, order_of) for node in network.nodes))


def _float_node(node: Node, order: Mapping[str, IntArray]) -> Node:
    if not isinstance(node, Conv):
        return node
    out = order[node.name]
    weight = _weights(node.weight, out, order[node.inputs[0]], node.groups)
    return replace(node, weight=weight, bias=node.bias[out])


def _integer_node(node: QNode, order: Mapping[str, IntArray]) -> QNode:
    if not isinstance(node, Layer):
        return node
    out = order[node.name]

    def by_channel(values: NDArray[Any]) -> NDArray[Any]:
        return values[out] if len(values) > 1 else values

    def term(old: Term) -> Term:
        source = order[old.input]
        return replace(
            old,
            codes=_weights(old.codes, out, source, old.groups),
            mask=None if old.mask is None else _weights(old.mask, out, source, old.groups),
            offset=by_channel(old.offset),
            scale=by_channel(old.scale),
        )

    return replace(
        node,
        terms=tuple(term(old) for old in node.terms),
        bias=by_channel(node.bias),
        shift=by_channel(node.shift),
        multiplier=None if node.multiplier is None else by_channel(node.multiplier),
    )


def _weights(weight: NDArray[Any], out: IntArray, source: IntArray, groups: int) -> NDArray[Any]:
    return np.ascontiguousarray(weight[out][:, source] if groups == 1 else weight[out])


def _shapes(network: Graph | QGraph) -> dict[str, int]:
    """The number of channels of every tensor, by name."""
    if isinstance(network, Graph):
        return {name: shape[0] for name, shape in network.shapes.items()}
    return {name: tensor.shape[0] for name, tensor in network.tensors.items()}
