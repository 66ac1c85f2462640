"""A float network as an ONNX model, in float32 or rounded to float16."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hwquant.errors import Unsupported
from hwquant.export.borders import BATCH, add_delivered, add_prepared
from hwquant.export.builder import Builder
from hwquant.export.ends import joined
from hwquant.export.expression import write_expression
from hwquant.export.network import IR_VERSION, OPSET
from hwquant.export.rearranged import add_rearranged
from hwquant.files import write_bytes
from hwquant.graph import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Conv,
    Function,
    Graph,
    MaxPool,
    Multiply,
    Node,
    Rearrange,
)
from hwquant.history import METADATA, to_text
from hwquant.packages import load_package

if TYPE_CHECKING:
    import onnx

Precision = Literal["float32", "float16"]
"""What parameters and tensors are."""

DOCS = {
    "float32": "Float network. Tensors are called NODE/float32.",
    "float16": "Float network with parameters in float16. Operators compute in float32; each reads float16 tensors "
    "(NODE/float16) and rounds its result to float16.",
}


def float_to_onnx(graph: Graph, precision: Precision = "float32") -> onnx.ModelProto:
    """Write a float network in ONNX's standard operators.

    In float32 :func:`hwquant.load_model` reads the same network back, where its parameters are float32's, as training
    leaves them; zeros stay zeros. In float16 weights, biases and tensors are rounded: every operator stands between
    explicit conversions, and computes in float32. Inputs and outputs are float32 (batch, *shape), an argmax int64.

    Parameters
    ----------
    graph : Graph
        The float network.
    precision : {"float32", "float16"}
        What parameters and tensors are.

    Returns
    -------
    onnx.ModelProto
        A model that onnx.checker accepts, the same for the same network.

    Raises
    ------
    HwquantError
        A parameter is beyond the largest number of the precision; ONNX cannot express a layer; the package onnx is
        absent.
    """
    load_package("onnx", "onnx", "onnx", "writing ONNX models")
    builder = Builder()
    for item in graph.inputs:
        value = add_prepared(builder, item, "real values")
        if precision == "float16":
            # By way of float32: what a float64 becomes in a single rounding can differ in the last bit.
            value = builder.cast(value, np.float32, f"{item.name}/real")
            _round(builder, value, item.name, graph)
        else:
            builder.cast(value, np.float32, f"{item.name}/float32")
    for node in graph.nodes:
        if precision == "float16":
            value = _operator(builder, node, graph, precision, f"{node.name}/real")
            _round(builder, value, node.name, graph)
        else:
            value = _operator(builder, node, graph, precision, f"{node.name}/float32")
            builder.describe(value, np.float32, [BATCH, *graph.shapes[node.name]], "")
    for output in graph.outputs:
        value = builder.cast(f"{output.tensor}/float32", np.float64, f"{output.name}/delivered")
        add_delivered(builder, output, value, graph.shapes[output.tensor])
    told = {METADATA: to_text(graph.history)} if graph.history else {}
    return joined(builder.model(graph.name, DOCS[precision], OPSET, IR_VERSION, told), graph)


def save_float(graph: Graph, path: str | os.PathLike[str], precision: Precision = "float32") -> None:
    """Write :func:`float_to_onnx`'s model to a file, whole or not at all."""
    write_bytes(path, float_to_onnx(graph, precision).SerializeToString(deterministic=True))


def _round(builder: Builder, value: str, name: str, graph: Graph) -> None:
    """Round a value to float16, and convert it back for the operators that read it."""
    half = builder.cast(value, np.float16, f"{name}/float16")
    builder.describe(half, np.float16, [BATCH, *graph.shapes[name]], "")
    builder.cast(half, np.float32, f"{name}/float32")


def _operator(builder: Builder, node: Node, graph: Graph, precision: Precision, value: str) -> str:
    """Add the operator of a node, on float32 values, under the node's name; ``value`` is what it produces."""
    name, inputs = node.name, [f"{source}/float32" for source in node.inputs]
    add = partial(builder.node, label=name)
    match node:
        case Conv():
            operands = [*inputs, _parameter(builder, name, "weight", node.weight, precision)]
            operands.append(_parameter(builder, name, "bias", node.bias, precision))
            return add(
                "Conv",
                operands,
                value,
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
            return add("Clip", [*inputs, *limits], value)
        case Function():
            return write_expression(builder, node.expression, inputs[0], value, name)
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
                return add("MaxPool", inputs, value, dilations=node.window.dilation, **window)
            counted = int(node.count_include_pad)
            return add("AveragePool", inputs, value, count_include_pad=counted, **window)
        case Add():
            return add("Sum", inputs, value)
        case Multiply():
            return add("Mul", inputs, value)
        case Concat():
            return add("Concat", inputs, value, axis=1)
        case Rearrange():
            shapes = [graph.shapes[source] for source in node.inputs]
            return add_rearranged(builder, node, inputs, shapes, value, np.zeros((), np.float32))
    kind = type(node).__name__
    raise Unsupported(
        f"node {name!r} is a {kind}, which has no ONNX operator here", where=name, operator=kind
    )


def _parameter(builder: Builder, name: str, role: str, value: Any, precision: Precision) -> str:
    largest = np.finfo(precision).max
    if np.abs(value).max(initial=0) > largest:
        raise Unsupported(
            f"the {role} of {name!r} exceeds {largest:g}, the largest {precision}; train with smaller parameters",
            where=name,
        )
    stored = builder.constant(f"{name}/{role}", value, precision)
    return stored if precision == "float32" else builder.cast(stored, np.float32, f"{name}/{role}_float32")
