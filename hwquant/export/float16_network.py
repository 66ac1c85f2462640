"""A float network as an ONNX model whose parameters and tensors are float16."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.errors import Unsupported
from hwquant.export.borders import BATCH, add_delivered, add_prepared
from hwquant.export.builder import Builder
from hwquant.export.network import IR_VERSION, OPSET
from hwquant.files import write_bytes
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Graph, MaxPool, Node
from hwquant.packages import load_package

if TYPE_CHECKING:
    import onnx

DOC = (
    "Float network with parameters in float16. Operators compute in float32; each reads float16 tensors "
    "(NODE/float16) and rounds its result to float16."
)


def float16_to_onnx(graph: Graph) -> onnx.ModelProto:
    """Write a float network in ONNX's standard operators, rounded to float16.

    Weights, biases and tensors are rounded. Every operator stands between explicit conversions, and computes in
    float32. Inputs and outputs are float32 (batch, *shape), an argmax int64.

    Parameters
    ----------
    graph : Graph
        The float network.

    Returns
    -------
    onnx.ModelProto
        A model that onnx.checker accepts.

    Raises
    ------
    HwquantError
        A parameter is beyond float16's 65,504; ONNX cannot express a layer; the package onnx is
        absent.
    """
    load_package("onnx", "onnx", "onnx", "writing ONNX models")
    builder = Builder()
    for item in graph.inputs:
        # By way of float32: what a float64 becomes in a single rounding can differ in the last bit.
        value = builder.cast(add_prepared(builder, item, "real values"), np.float32, f"{item.name}/real")
        _round(builder, value, item.name, graph)
    for node in graph.nodes:
        _round(builder, _operator(builder, node), node.name, graph)
    for output in graph.outputs:
        value = builder.cast(f"{output.tensor}/float32", np.float64, f"{output.name}/delivered")
        add_delivered(builder, output, value, graph.shapes[output.tensor])
    return builder.model(graph.name, DOC, OPSET, IR_VERSION)


def save_float16(graph: Graph, path: str | os.PathLike[str]) -> None:
    """Write :func:`float16_to_onnx`'s model to a file, whole or not at all."""
    write_bytes(path, float16_to_onnx(graph).SerializeToString(deterministic=True))


def _round(builder: Builder, value: str, name: str, graph: Graph) -> None:
    """Round a value to float16, and convert it back for the operators that read it."""
    half = builder.cast(value, np.float16, f"{name}/float16")
    builder.describe(half, np.float16, [BATCH, *graph.shapes[name]], "")
    builder.cast(half, np.float32, f"{name}/float32")


def _operator(builder: Builder, node: Node) -> str:
    """Add the operator of a node, on float32 values."""
    name, inputs = node.name, [f"{source}/float32" for source in node.inputs]
    match node:
        case Conv():
            operands = [*inputs, _parameter(builder, name, "weight", node.weight)]
            operands.append(_parameter(builder, name, "bias", node.bias))
            return builder.node(
                "Conv",
                operands,
                f"{name}/real",
                kernel_shape=node.window.kernel,
                strides=node.window.stride,
                pads=node.window.padding,
                dilations=node.window.dilation,
                group=node.groups,
            )
        case Clip():
            limits = [
                "" if math.isinf(limit) else builder.constant(f"{name}/{side}", limit, np.float32)
                for side, limit in (("low", node.low), ("high", node.high))
            ]
            return builder.node("Clip", [*inputs, *limits], f"{name}/real")
        case MaxPool() | AveragePool():
            if any(pad >= size for pad, size in zip(node.window.padding, node.window.kernel * 2)):
                raise Unsupported(
                    f"pool {name!r} has as much padding as kernel, which ONNX cannot express; give it less padding",
                    where=name,
                )
            window: dict[str, Any] = {
                "kernel_shape": node.window.kernel,
                "strides": node.window.stride,
                "pads": node.window.padding,
            }
            if isinstance(node, MaxPool):
                return builder.node(
                    "MaxPool", inputs, f"{name}/real", dilations=node.window.dilation, **window
                )
            counted = int(node.count_include_pad)
            return builder.node("AveragePool", inputs, f"{name}/real", count_include_pad=counted, **window)
        case Add():
            return builder.node("Sum", inputs, f"{name}/real")
        case Concat():
            return builder.node("Concat", inputs, f"{name}/real", axis=1)
    kind = type(node).__name__
    raise Unsupported(
        f"node {name!r} is a {kind}, which has no ONNX operator here", where=name, operator=kind
    )


def _parameter(builder: Builder, name: str, role: str, value: Any) -> str:
    if np.abs(value).max(initial=0) > np.finfo(np.float16).max:
        raise Unsupported(
            f"the {role} of {name!r} exceeds 65504, the largest float16; keep it in float32", where=name
        )
    half = builder.constant(f"{name}/{role}", value, np.float16)
    return builder.cast(half, np.float32, f"{name}/{role}_float32")
