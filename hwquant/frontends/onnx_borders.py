"""Where the host computes with integers, it gets them from real numbers: these are what array and host exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hwquant.frontends.onnx_integer_operators import VIEWS

if TYPE_CHECKING:
    import onnx

READERS = frozenset({"QuantizeLinear", *VIEWS})
"""Operators that read integers of a QuantizeLinear and are the array's where it has these, beside DequantizeLinear."""


def with_real_borders(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put a DequantizeLinear and a QuantizeLinear before what computes with the integers of a quantized tensor.

    The pair changes no integer, and a model can be divided within.

    Parameters
    ----------
    model : onnx.ModelProto
        A valid model; it is left as it is.

    Returns
    -------
    onnx.ModelProto
        The model; the same object where no node computes with such integers.
    """
    from onnx import helper

    constants = {}
    for item in model.graph.initializer:  # without its name: exporters write a constant for each node
        constants[item.name] = bare = type(item)()
        bare.CopyFrom(item)
        bare.ClearField("name")
    makers: dict[str, onnx.NodeProto] = {}
    nodes: list[onnx.NodeProto] = []
    again: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            makers[node.output[0]] = node
        elif node.op_type in VIEWS and node.input[0] in makers:
            makers[node.output[0]] = makers[node.input[0]]
        made = type(node)()
        made.CopyFrom(node)
        for place, name in enumerate(node.input):
            if name not in makers or _reads(node, makers[name], constants):
                continue
            if name not in again:
                maker = makers[name]
                real, again[name] = f"{name}/real", f"{name}/again"
                back = helper.make_node("DequantizeLinear", [name, *maker.input[1:]], [real], real)
                nodes += [back, helper.make_node("QuantizeLinear", [real, *maker.input[1:]], [again[name]])]
                for item in nodes[-2:]:
                    item.attribute.extend(entry for entry in maker.attribute if entry.name == "axis")
                nodes[-1].name = again[name]
            made.input[place] = again[name]
        nodes.append(made)
    if not again:
        return model
    copied = type(model)()
    copied.CopyFrom(model)
    del copied.graph.node[:]
    copied.graph.node.extend(nodes)
    return copied


def _reads(node: onnx.NodeProto, maker: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node reads integers as what they are: multiples of their own scale."""
    if node.op_type != "DequantizeLinear":
        return node.op_type in READERS
    mine, theirs = (
        [
            constants[name].SerializeToString() if name in constants else name.encode()
            for name in item.input[1:]
        ]
        for item in (node, maker)
    )
    return mine == theirs
