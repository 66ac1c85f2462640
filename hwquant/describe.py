"""What is in a network, layer by layer, as plain JSON values: for tables, reports and scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from hwquant.ends import Ends
from hwquant.graph import AveragePool, Clip, Conv, Function, Graph, MaxPool, Multiply, Node, Shape
from hwquant.history import history
from hwquant.qgraph import Layer, Product, QGraph, QNode, Tensor, Term
from hwquant.window import Window


def describe(network: Graph | QGraph) -> dict[str, Any]:
    """Describe what is in a network, float or integer, as plain JSON values.

    Returns
    -------
    dict
        Name, kind, inputs, outputs, numbers of parameters and of multiply-accumulates, a description of each layer, and
        the steps of its history, all by name; where the host does a part, also "host": its share of the whole
        network's multiply-accumulates, what the user gives and gets, and every node with its place and reason.
    """
    if isinstance(network, Graph):
        layers, steps = [_float_layer(node, network) for node in network.nodes], network.history
        shapes: Mapping[str, Shape] = network.shapes
    else:
        layers, steps = [_integer_layer(node, network) for node in network.nodes], history(network.options)
        shapes = {name: tensor.shape for name, tensor in network.tensors.items()}
    inputs: list[dict[str, Any]] = [
        {
            "name": item.name,
            "shape": list(item.shape),
            "tensor_shape": list(item.tensor_shape),
            **({} if item.state is None else {"state": item.state}),
        }
        for item in network.inputs
    ]
    if isinstance(network, QGraph):
        inputs = [{**item, **_format(network.tensors[item["name"]], network)} for item in inputs]
    return {
        "name": network.name,
        "kind": "float" if isinstance(network, Graph) else "integer",
        "inputs": inputs,
        "outputs": [
            {"name": item.name, "tensor": item.tensor, "shape": list(item.shape), "host": list(item.host)}
            for item in network.outputs
        ],
        "parameters": sum(layer.get("parameters", 0) for layer in layers),
        "macs": network.macs(),
        "layers": [{**layer, "shape": list(shapes[layer["name"]])} for layer in layers],
        "history": [step.to_json() for step in steps],
        **({} if network.host is None else {"host": _host(network.host)}),
    }


def _host(ends: Ends) -> dict[str, Any]:
    return {
        "share": ends.share,
        "macs": ends.macs,
        "inputs": [
            {"name": port.name, "shape": list(port.shape), "dtype": port.dtype} for port in ends.inputs
        ],
        "outputs": list(ends.outputs),
        "nodes": [asdict(node) for node in ends.nodes],
    }


def _float_layer(node: Node, graph: Graph) -> dict[str, Any]:
    shapes = [graph.shapes[name] for name in node.inputs]
    layer: dict[str, Any] = {"name": node.name, "inputs": list(node.inputs)}
    match node:
        case Conv():
            operation = convolution(node.window, node.groups, shapes[0])
            layer |= {"parameters": node.weight.size + node.bias.size, "macs": node.macs(*shapes)}
        case MaxPool() | AveragePool():
            kind = "max pool" if isinstance(node, MaxPool) else "average pool"
            operation = f"{kind} {_window(node.window)}"
        case Clip():
            operation = (
                "ReLU" if (node.low, node.high) == (0, np.inf) else f"clip {node.low:g}..{node.high:g}"
            )
        case Multiply():
            operation = _product(*shapes)
            layer["macs"] = node.macs(*shapes)
        case Function():
            operation = str(node.expression)
        case _:
            operation = type(node).__name__.lower()
    return {**layer, "operation": operation}


def _integer_layer(node: QNode, qgraph: QGraph) -> dict[str, Any]:
    tensor = qgraph.tensors[node.name]
    layer: dict[str, Any] = {"name": node.name, "inputs": list(node.inputs), **_format(tensor, qgraph)}
    match node:
        case Layer():
            weights = [term.codes.size for term in node.terms]
            masks = [term.mask for term in node.terms if term.mask is not None]
            layer |= {
                "operation": " + ".join(_term(term, qgraph) for term in node.terms),
                "bits": max(term.bits for term in node.terms),
                "anchor": node.terms[0].anchor,
                "offset": [value for term in node.terms for value in term.offset.tolist()],
                "weight_scale": [value for term in node.terms for value in term.scale.tolist()],
                "shift": node.shift.tolist(),
                "clamp": [node.low, node.high],
                "parameters": sum(weights) + node.bias.size,
                "pruned": sum(int((~mask).sum()) for mask in masks),
                "macs": node.macs(*(qgraph.tensors[name].shape for name in node.inputs)),
            }
            if any(term.step != 1 for term in node.terms):
                layer["step"] = max(term.step for term in node.terms)
            if node.table is not None:
                layer["table"] = {
                    "bits": node.table.bits,
                    "scale": node.table.scale,
                    "zero_point": node.table.zero_point,
                }
            if node.multiplier is not None:
                layer["multiplier"] = node.multiplier.tolist()
        case Product():
            shapes = [qgraph.tensors[name].shape for name in node.inputs]
            layer |= {
                "operation": _product(*shapes),
                "shift": [node.shift],
                "clamp": [node.low, node.high],
                "macs": node.macs(*shapes),
            }
            if node.multiplier is not None:
                layer["multiplier"] = [node.multiplier]
        case MaxPool():
            layer["operation"] = f"max pool {_window(node.window)}"
        case _:
            layer["operation"] = type(node).__name__.lower()
    return layer


def _product(a: Shape, b: Shape) -> str:
    return "product" if a == b else "product by channel"


def _format(tensor: Tensor, qgraph: QGraph) -> dict[str, Any]:
    """The format of a tensor, and its signal to quantization noise ratio in dB where the quantizer measured it."""
    result: dict[str, Any] = {
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
        "activation_bits": tensor.bits,
    }
    measured = qgraph.options.get("tensors")
    if isinstance(measured, Mapping):
        result["sqnr_db"] = measured.get(tensor.name, {}).get("sqnr_db")
    return result


def _term(term: Term, qgraph: QGraph) -> str:
    shape = qgraph.tensors[term.input].shape
    return convolution(term.window, term.groups, shape)


def convolution(window: Window, groups: int, shape: Shape) -> str:
    """Describe a convolution in a few words.

    Parameters
    ----------
    window : Window
        Its kernel, and how that moves.
    groups : int
        Parts that the channels are divided into.
    shape : tuple of int
        Channels, height and width of its input.
    """
    if window.kernel == shape[1:] and not window.padded and groups == 1:
        return "fully connected"
    grouped = f" groups {groups}" if groups > 1 else ""
    return f"conv {_window(window)}{grouped}"


def _window(window: Window) -> str:
    stride, padding = window.stride, window.padding
    text = times(window.kernel)
    if stride != (1, 1):
        text += f" /{stride[0] if stride[0] == stride[1] else times(stride)}"
    if window.padded:
        text += f" pad {padding[0] if len(set(padding)) == 1 else ','.join(map(str, padding))}"
    if window.dilation != (1, 1):
        text += f" dilation {times(window.dilation)}"
    return text


def times(values: Sequence[int]) -> str:
    """Write sizes as people do, such as 3x3."""
    return "x".join(map(str, values))
