"""Whether the bytes of a host part are a model that may be run: they may come from a file that anybody made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.packages import load_package

if TYPE_CHECKING:
    import onnx

LARGEST = 1 << 28
"""Elements of a tensor, and bytes of a part, beyond which it is taken for damaged."""
MOST_NODES = 20_000
STANDARD = ("", "ai.onnx")
"""The names of the domain of ONNX's own operators: a runtime's own ones may be anything."""
ENDLESS = frozenset({"Loop", "Scan", "SequenceMap"})
"""Operators that can run as long as their data say."""
EVALUATION = "export the model in evaluation mode"
RANDOM = ("Random", "Bernoulli", "Multinomial")
_INVALID = (ValueError, RuntimeError, TypeError, KeyError, IndexError)


def opened(part: bytes, what: str) -> onnx.ModelProto:
    """Read a host part, and check that it is one.

    Parameters
    ----------
    part : bytes
        The model.
    what : str
        What messages call it, such as ``"the head of 'net'"``.

    Returns
    -------
    onnx.ModelProto
        A valid model of standard operators alone, all of its data inside, whose tensors have bounded sizes.

    Raises
    ------
    HwquantError
        It is not.
    MissingPackage
        The package onnx is not installed.
    """
    load_package("onnx", "onnx", "host", "running a network's parts on the host")
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if len(part) > LARGEST:
        raise HwquantError(f"{what} has {len(part)} bytes, more than {LARGEST}")
    try:
        model = onnx.load_model_from_string(part)
    except DecodeError:
        raise HwquantError(f"{what} is no ONNX model") from None
    _check_outside(model, what)
    nodes, constants = list(_nodes(model.graph)), _constants(model.graph)
    if not 1 <= len(nodes) <= MOST_NODES:
        raise HwquantError(f"{what} has {len(nodes)} operators; 1 to {MOST_NODES} are possible")
    for node in nodes:
        if reason := unfit(node, constants):
            raise HwquantError(f"{what} holds {node.op_type!r}: {reason}")
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, *_INVALID) as error:
        reason = " ".join(str(error).split())
        raise HwquantError(f"{what} is no valid ONNX model: {reason:.200}") from None
    _check_sizes(inferred.graph, what)
    return model


def unfit(node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> str:
    """Say why a node may not be run by the host; empty where it may.

    Parameters
    ----------
    node : onnx.NodeProto
        The node.
    constants : mapping of ndarray
        Constants of its graph by name, at least those that are one truth value.
    """
    if node.domain not in STANDARD:
        return f"operators of the domain {node.domain!r} are not run, only ONNX's own"
    if node.op_type in ENDLESS:
        return "loops are not run, which can go on for ever"
    if node.op_type.startswith(RANDOM):
        return "random numbers are not supported"
    if _trains(node, constants):
        return "it is in training mode, where a result depends on other samples or on chance; " + EVALUATION
    return ""


def _trains(node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a node is in training mode, or may be."""
    if any(item.name == "training_mode" and item.i for item in node.attribute):
        return True
    if node.op_type == "BatchNormalization":
        # Before operator set 14, statistics among the outputs are what says so.
        return any(node.output[1:])
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        mode = constants.get(node.input[2])
        return mode is None or bool(mode.any())
    return False


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    """The constants of a model that are one truth value, by name."""
    from onnx import TensorProto, numpy_helper

    return {
        item.name: numpy_helper.to_array(item)
        for item in graph.initializer
        if item.data_type == TensorProto.BOOL and not item.dims
    }


def _check_outside(model: onnx.ModelProto, what: str) -> None:
    """Refuse what reaches beyond the model, or beyond ONNX's own operators."""
    import onnx

    domains = [item.domain for item in model.opset_import]
    if len(domains) != 1 or domains[0] not in STANDARD:
        raise HwquantError(f"{what} uses the operator sets {domains}; it may only use ONNX's own")
    version, newest = model.opset_import[0].version, onnx.defs.onnx_opset_version()
    if not 1 <= version <= newest:
        raise HwquantError(
            f"{what} uses ONNX operator set {version}, the installed onnx package knows {newest}; "
            "update it with: pip install -U onnx"
        )
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise HwquantError(f"{what} holds functions, training or sparse tensors, which are not run")
    for tensor in _tensors(model.graph):
        if isinstance(tensor, onnx.SparseTensorProto):
            raise HwquantError(f"{what} holds sparse tensors, which are not read")
        if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
            raise HwquantError(f"{what} has data of {tensor.name!r} in another file, which is not read")


def _check_sizes(graph: onnx.GraphProto, what: str) -> None:
    """Refuse tensors that are too large, and ends whose inputs are not of a known size."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [item for item in graph.input if item.name not in weights]
    if not inputs or not graph.output:
        raise HwquantError(f"{what} reads or gives nothing")
    for item in (*inputs, *graph.output, *graph.value_info):
        if not item.type.HasField("tensor_type"):
            raise HwquantError(f"{what} has {item.name!r}, which is no tensor")
        size = math.prod(max(dim.dim_value, 1) for dim in item.type.tensor_type.shape.dim)
        if size > LARGEST:
            raise HwquantError(f"{what} has {item.name!r} of {size} elements, more than {LARGEST}")
    for item in inputs:
        if any(dim.dim_value < 1 for dim in item.type.tensor_type.shape.dim):
            raise HwquantError(f"{what} reads {item.name!r}, whose size is not known")


def _graphs(node: onnx.NodeProto) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from (attribute.g,) if attribute.HasField("g") else ()
        yield from attribute.graphs


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of its branches."""
    for node in graph.node:
        yield node
        for inner in _graphs(node):
            yield from _nodes(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[Any]:
    """The constants of a graph and of its branches."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t,) if attribute.HasField("t") else ()
            yield from (*attribute.tensors, *attribute.sparse_tensors)
            yield from (attribute.sparse_tensor,) if attribute.HasField("sparse_tensor") else ()
        for inner in _graphs(node):
            yield from _tensors(inner)
