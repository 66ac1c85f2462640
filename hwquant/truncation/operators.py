"""The operators of a float network, each as a network of its own."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from hwquant.floating import windows
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Function, Graph, MaxPool, Multiply, Node
from hwquant.interface import Input, Output


def kind(node: Node, graph: Graph) -> str:
    """What people call an operator. A convolution whose kernel is its whole input is a matrix product."""
    match node:
        case Conv():
            whole = node.window.kernel == graph.shapes[node.inputs[0]][1:] and not node.window.padded
            return "matrix product" if whole and node.groups == 1 else "convolution"
        case Clip() | Function():
            return "activation"
        case MaxPool():
            return "max pooling"
        case AveragePool():
            return "average pooling"
        case Add():
            return "addition"
        case Multiply():
            return "product"
        case Concat():
            return "concatenation"
        case _:
            return type(node).__name__.lower()


def has_reshape(node: Node, graph: Graph) -> bool:
    """Whether an operator is a matrix product that reads pixels: between them and its vector there is a reshape."""
    return kind(node, graph) == "matrix product" and graph.shapes[node.inputs[0]][1:] != (1, 1)


def reshaped(node: Conv, x: NDArray[Any]) -> NDArray[Any]:
    """The vectors that a matrix product reads of a tensor (N, C, H, W), put back into its shape.

    Frontends fold the order of a reshape into the weights, so that what comes out should be what goes in.
    """
    vectors = windows(x.swapaxes(0, 1), node.window).transpose(1, 2, 3, 0, 4, 5)
    return vectors.reshape(x.shape)


def alone(node: Node, graph: Graph) -> Graph:
    """Make a network of one operator; its inputs are the tensors that it reads, under their names."""
    inputs = [_plain_input(name, graph) for name in dict.fromkeys(node.inputs)]
    return Graph(node.name, tuple(inputs), (node,), (Output(node.name, node.name, graph.shapes[node.name]),))


def rest(graph: Graph, known: frozenset[str]) -> Graph:
    """Cut out the part of a network that computes its outputs from the ``known`` tensors, its new inputs.

    What is neither known nor computed is an input of the network.
    """
    needed = {output.tensor for output in graph.outputs}
    nodes: list[Node] = []
    for node in reversed(graph.nodes):
        if node.name in needed - known:
            nodes.append(node)
            needed |= set(node.inputs)
    computed = {node.name for node in nodes}
    inputs = tuple(_plain_input(name, graph) for name in graph.shapes if name in needed - computed)
    return Graph(graph.name, inputs, tuple(reversed(nodes)), graph.outputs)


def _plain_input(name: str, graph: Graph) -> Input:
    return Input(name, graph.shapes[name], graph.shapes[name])
