"""Check that a model is valid, and can be imported at all; what a runtime refuses is refused here.

The onnx package checks the structure, and infers every element type and shape strictly. What it lets through
and onnxruntime does not is checked here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hwquant.errors import Damaged, Unsupported
from hwquant.frontends.alternatives import alternative
from hwquant.frontends.batch import BatchAxis
from hwquant.frontends.onnx_functions import STANDARD, inlined
from hwquant.frontends.onnx_inputs import batch_of, dimensions, inputs_of
from hwquant.frontends.onnx_integer import with_real_operators
from hwquant.frontends.onnx_old import modernized
from hwquant.frontends.onnx_operators import CONSTANT_RESULT, OPERATORS
from hwquant.frontends.onnx_types import ANY, REFUSED, type_name
from hwquant.frontends.qonnx import is_quantizer
from hwquant.frontends.qonnx_host import standing_for, with_standing
from hwquant.frontends.qonnx_layout import with_own_operators

if TYPE_CHECKING:
    import onnx

_INVALID = (ValueError, RuntimeError, TypeError, KeyError, IndexError)
"""What the onnx package raises beside its own errors, which are RuntimeError."""


def checked(
    model: onnx.ModelProto, name: str, batch_axis: BatchAxis = 0, whole: bool = True
) -> onnx.ModelProto:
    """Check a model, and return it with its functions inlined, of a known operator set; the argument stays as it is.

    Parameters
    ----------
    model : onnx.ModelProto
        The model.
    name : str
        What messages call it.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is.
    whole : bool, default True
        Whether the array has to do all of it; else any operator of ONNX's own is let through.

    Returns
    -------
    onnx.ModelProto
        The model, known to be valid.

    Raises
    ------
    Damaged
        For what is not a valid model.
    Unsupported
        For operator sets, domains and operators that are not supported.
    """
    import onnx

    problems = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, *_INVALID)
    try:
        _check_opset(model, name)
        model = with_own_operators(inlined(model))
        _check_names(model.graph)
        model = with_real_operators(model)
        _check_structure(model)
        dimensions(model)
        if whole:  # what begins with the host may have its batch elsewhere
            batch_of(model, batch_axis)
        _check_operators(model.graph, whole)
        onnx.checker.check_model(with_standing(_with_output_shapes(model)))
        model = modernized(model, opset(model))
        onnx.shape_inference.infer_shapes(without_shapes(model), check_type=True, strict_mode=True)
    except problems as error:
        raise Damaged(f"{name!r} is not a valid ONNX model: {_reason(error)}; export it again") from None
    return model


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operator set."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    return int(versions.get("", versions.get("ai.onnx", 0)))


def _reason(error: Exception) -> str:
    """The first line of an error, with the node that shape inference names in front."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason given"]
    text = lines[0].removesuffix(".")
    node = re.search(r"\(op_type:(\w+), node name: (.*?)\): *(.*)", text)
    text = f"node {node[2]!r} ({node[1]}): {node[3]}" if node else text
    return re.sub(r"\[\w+InferenceError\] *|Inference error\(s\): *", "", text)


def _check_opset(model: onnx.ModelProto, name: str) -> None:
    import onnx

    version, newest = opset(model), onnx.defs.onnx_opset_version()
    domains = Counter("" if entry.domain in STANDARD else entry.domain for entry in model.opset_import)
    if repeated := [domain for domain, count in domains.items() if count > 1]:
        raise ValueError(f"it imports operator set {repeated[0]!r} twice")
    if version < 1:
        raise Unsupported(
            f"{name!r} imports no operator set of ONNX, the oldest of which is 1; export it again"
        )
    if version > newest:
        raise Unsupported(
            f"{name!r} uses ONNX operator set {version}, the installed onnx package knows {newest}; "
            "update it with: pip install -U onnx"
        )


def _check_operators(graph: onnx.GraphProto, whole: bool, inside: bool = False) -> None:
    """Refuse what is not supported by name, before shape inference fails at it with another reason."""
    activations = {item.name for item in graph.input} - {item.name for item in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _check_operators(attribute.g, whole, inside=True)
        label = f"node {node_name(node)!r} ({node.op_type})"
        if is_quantizer(node) and inside:
            raise _refused(
                node, f"QONNX {label}: it is in a branch, where none is read; simplify the model before"
            )
        if is_quantizer(node):
            activations.update(node.output)
            continue
        if node.domain not in STANDARD:
            raise _refused(
                node,
                f"{label}: operators of the domain {node.domain!r} are not supported; "
                "export without a runtime's own optimizations",
            )
        if not whole or activations.isdisjoint(node.input):
            continue
        if node.op_type not in OPERATORS:
            raise _refused(node, f"{label}: this operator is not supported; {alternative(node.op_type)}")
        if node.op_type not in CONSTANT_RESULT:
            activations.update(node.output)


def _refused(node: onnx.NodeProto, message: str) -> Unsupported:
    return Unsupported(message, where=f"node {node_name(node)!r}", operator=node.op_type)


def node_name(node: onnx.NodeProto) -> str:
    """The name of a node, or that of what it makes."""
    return str(node.name or next(iter(node.output), node.op_type))


def _check_names(graph: onnx.GraphProto) -> None:
    """Check those names of tensors that the checker of the onnx package does not see to.

    Two outputs may have one name: torch exports a tensor so that is returned twice.
    """
    names: tuple[tuple[str, Iterator[str]], ...] = (
        ("nodes", (node.name for node in graph.node if node.name)),
        ("inputs", (item.name for item in graph.input)),
        ("initializers", (item.name for item in graph.initializer)),
    )
    for kind, all_names in names:
        for found, count in Counter(all_names).items():
            if count > 1:
                raise ValueError(f"two {kind} have the name {found!r}")


def _check_structure(model: onnx.ModelProto) -> None:
    graph = model.graph
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise Unsupported(
            f"tensor {name!r} is a sparse initializer, which is not read; export it as a dense one",
            where=name,
        )
    inputs = inputs_of(model)
    for kind, items in (("input", inputs), ("output", graph.output)):
        for item in items:
            if item.type.WhichOneof("value") not in (None, "tensor_type"):
                raise Unsupported(f"{kind} {item.name!r} is not a tensor; give each tensor of it by itself")
    codes: dict[str, int] = {}
    for kind, items in (("input", inputs), ("output", graph.output), ("tensor", graph.value_info)):
        for item in items:
            code = item.type.tensor_type.elem_type
            if code and codes.setdefault(item.name, code) != code:
                raise ValueError(f"{kind} {item.name!r} is declared with two element types")
            if item.type.HasField("tensor_type") and type_name(code) is None:
                raise ValueError(f"{kind} {item.name!r} has the element type {code}, which there is not")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "block_size" and attribute.i < 0:
                raise ValueError(f"node {node_name(node)!r} has blocks of {attribute.i} elements")
    for item in inputs:
        if not item.type.HasField("tensor_type"):
            raise ValueError(f"input {item.name!r} has no type")
        element = str(type_name(item.type.tensor_type.elem_type))
        if element not in ANY:
            raise Unsupported(
                f"input {item.name!r} is not a tensor of real numbers but of {element}: {REFUSED[element]}"
            )


def _with_output_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model for the checker, which wants a type and a shape of every output; inference finds them."""
    import onnx

    if all(item.type.tensor_type.HasField("shape") for item in model.graph.output):
        return model
    copied = _copy(model)
    for item in copied.graph.output:
        kind = item.type.tensor_type
        kind.shape.SetInParent()
        kind.elem_type = kind.elem_type or onnx.TensorProto.FLOAT
    return copied


def without_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model for shape inference: nodes have names, by which its errors call them, and no shapes.

    Declared shapes of what is computed can be stale (the batch changed by hand): they are inferred anew. Those of
    constants stay, as onnx takes a constant that is declared without a shape for one that it does not know.
    """
    copied = _copy(model)
    copied.ir_version = max(copied.ir_version, 4)  # before it only inputs are initialized
    nodes = list(copied.graph.node)
    del copied.graph.node[:]
    for node in map(standing_for, nodes):
        node.name = node_name(node)
        tensors = [item.t for item in node.attribute if item.name == "value" and item.HasField("t")]
        if node.op_type == "Constant" and tensors:  # of any type in all runtimes, not so in the old schemas
            copied.graph.initializer.add().CopyFrom(tensors[0])
            copied.graph.initializer[-1].name = node.output[0]
        else:
            copied.graph.node.append(node)
    constants = {item.name for item in copied.graph.initializer}
    inner = [item for item in copied.graph.value_info if item.name not in constants]
    for item in (*copied.graph.output, *inner):
        if item.type.HasField("tensor_type"):
            item.type.tensor_type.ClearField("shape")
    return copied


def _copy(model: Any) -> Any:
    copied = type(model)()
    copied.CopyFrom(model)
    return copied
