"""Branches that shapes and constants decide: exporters of scripted modules leave them around a squeeze, say.

A model that is cut is divided node by node, so that ``If`` nodes whose condition is known become the nodes of the
branch that is taken. Where all of a model is read, the reader takes branches by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hwquant.errors import Unsupported
from hwquant.frontends.builder import Builder
from hwquant.frontends.onnx_check import opset, without_shapes
from hwquant.frontends.onnx_constants import EVALUATED, Constants
from hwquant.frontends.onnx_old import tensor_names
from hwquant.frontends.values import Array

if TYPE_CHECKING:
    import onnx

_SMALL = 1024
"""Elements of a constant that may decide: sizes and flags are fewer."""
MOST_BRANCHES = 1000
"""Branches that are taken, one in another ones included."""


def decided(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put branches that are known to be taken in the places of their ``If`` nodes; the argument is left as it is.

    Parameters
    ----------
    model : onnx.ModelProto
        A valid model without functions.

    Returns
    -------
    onnx.ModelProto
        The model; the argument itself where nothing is decided.

    Raises
    ------
    Unsupported
        There are too many branches.
    """
    for _ in range(MOST_BRANCHES):
        found = _taken(model) if any(node.op_type == "If" for node in model.graph.node) else {}
        if not found:
            return model
        copied = type(model)()
        copied.CopyFrom(model)
        del copied.graph.node[:]
        used = tensor_names(model.graph)
        for index, node in enumerate(model.graph.node):
            copied.graph.node.extend(_inside(copied, node, found[index], used) if index in found else [node])
        model = copied
    raise Unsupported(
        f"network {model.graph.name!r} has more than {MOST_BRANCHES} branches; export it traced"
    )


def _taken(model: onnx.ModelProto) -> dict[int, onnx.GraphProto]:
    """The branches that are known to be taken, by the index of their nodes."""
    from onnx import numpy_helper

    sizes, known = _sizes(model), {}
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            known[tensor.name] = numpy_helper.to_array(tensor)
    constants, build = Constants(opset(model), len(model.graph.node) * _SMALL), Builder("branches", 1)
    found = {}
    for index, node in enumerate(model.graph.node):
        if node.op_type == "If" and node.input[0] in known:
            wanted = "then_branch" if known[node.input[0]].ravel()[:1].any() else "else_branch"
            found[index] = next(item.g for item in node.attribute if item.name == wanted)
        elif node.op_type == "Shape" and node.input[0] in sizes:
            known[node.output[0]] = _shape(node, sizes[node.input[0]])
        elif node.op_type in EVALUATED and all(name in known for name in node.input if name):
            try:
                made = constants.evaluate(build, node, {name: known[name] for name in node.input if name})
            except Unsupported:  # it is reported where the model is read, if anything depends on it
                continue
            known.update({name: array for name, array in made.items() if array.size <= _SMALL})
    return found


def _sizes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes that are known in full."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(without_shapes(model), data_prop=True).graph
    sizes = {}
    for item in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = item.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            sizes[item.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return sizes


def _shape(node: onnx.NodeProto, sizes: tuple[int, ...]) -> Array:
    attributes = {item.name: item.i for item in node.attribute}
    return np.array(sizes[attributes.get("start", 0) : attributes.get("end", len(sizes))], np.int64)


def _inside(
    model: onnx.ModelProto, node: onnx.NodeProto, branch: onnx.GraphProto, used: set[str]
) -> Iterator[onnx.NodeProto]:
    """The nodes of a branch with names of their own; its constants are put into the model."""
    from onnx import helper

    inner = {tensor.name for tensor in branch.initializer}
    inner.update(name for item in branch.node for name in item.output if name)
    renamed = {}
    for name in sorted(inner):
        fresh, count = f"{node.output[0]}/{name}", 1
        while fresh in used:
            count += 1
            fresh = f"{node.output[0]}/{name}_{count}"
        renamed[name] = fresh
        used.add(fresh)
    for tensor in branch.initializer:
        stored = model.graph.initializer.add()
        stored.CopyFrom(tensor)
        stored.name = renamed[tensor.name]
    for item in branch.node:
        yield _renamed(item, renamed)
    for result, name in zip(branch.output, node.output):
        if name:
            yield helper.make_node("Identity", [renamed.get(result.name, result.name)], [name], name=name)


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    """A node that reads and gives tensors by other names, in its own branches too."""
    copied = type(node)()
    copied.CopyFrom(node)
    copied.input[:] = [names.get(name, name) for name in node.input]
    copied.output[:] = [names.get(name, name) for name in node.output]
    for attribute in copied.attribute:
        if attribute.HasField("g"):
            nodes = [_renamed(item, names) for item in attribute.g.node]
            del attribute.g.node[:]
            attribute.g.node.extend(nodes)
            for result in attribute.g.output:
                result.name = names.get(result.name, result.name)
    return copied
