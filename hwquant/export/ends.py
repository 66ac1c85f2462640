"""The whole network as one model: the array's part between the ends that stay with the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hwquant.errors import Unsupported
from hwquant.graph import Graph
from hwquant.host.check import opened
from hwquant.qgraph import QGraph

if TYPE_CHECKING:
    import onnx


def joined(array: onnx.ModelProto, network: Graph | QGraph) -> onnx.ModelProto:
    """Put the model of the array's part between the ends of its network.

    Parameters
    ----------
    array : onnx.ModelProto
        The array's part, whose inputs and outputs have the names that they have in the network; it is changed.
    network : Graph or QGraph
        The network.

    Returns
    -------
    onnx.ModelProto
        The argument where the host does nothing; else a model that onnx.checker accepts, of the batch that the ends
        have.

    Raises
    ------
    Unsupported
        An end cannot be brought to the operator set of the array's part, or has no batch dimension.
    """
    import onnx

    ends = network.host
    if ends is None:
        return array
    if not ends.batch:
        raise Unsupported(
            f"network {network.name!r} has no batch dimension, and a part of it stays with the host, which together "
            "is not exported; give the model a batch dimension",
        )
    parts = {end: opened(data, f"the {end} of network {network.name!r}") for end, data in ends.parts}
    version = max(item.opset_import[0].version for item in (array, *parts.values()))
    graphs: dict[str, onnx.GraphProto] = {
        end: _at(model, version, f"the {end} of network {network.name!r}").graph
        for end, model in parts.items()
    }
    for end, graph in graphs.items():
        _set_apart(graph, f"host/{end}/", {item.name for item in (*graph.input, *graph.output)})
    del array.opset_import[:]
    array.opset_import.append(onnx.helper.make_opsetid("", version))
    array.ir_version = max(
        array.ir_version, onnx.helper.find_min_ir_version_for(list(array.opset_import), True)
    )
    _fix_batch(array.graph, ends.batch)
    _assemble(array.graph, graphs, network)
    onnx.checker.check_model(array)
    onnx.shape_inference.infer_shapes(array, check_type=True, strict_mode=True, data_prop=True)
    return array


def _at(model: onnx.ModelProto, version: int, what: str) -> onnx.ModelProto:
    """A model in another operator set."""
    import onnx.version_converter

    if model.opset_import[0].version == version:
        return model
    try:
        return onnx.version_converter.convert_version(model, version)
    except (RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise Unsupported(
            f"{what} cannot be brought from ONNX operator set {model.opset_import[0].version} to {version}: "
            f"{reason:.200}; export the float network in that one"
        ) from error


def _set_apart(graph: onnx.GraphProto, prefix: str, kept: set[str]) -> None:
    """Give nodes and tensors, those of branches too, names that nothing else has; but for the tensors in ``kept``."""
    for node in graph.node:
        node.name = f"{prefix}{node.name}" if node.name else ""
        for names in (node.input, node.output):
            names[:] = [name if not name or name in kept else f"{prefix}{name}" for name in names]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _set_apart(attribute.g, prefix, kept)
                for item in (*attribute.g.input, *attribute.g.output):
                    item.name = item.name if item.name in kept else f"{prefix}{item.name}"
    for item in (*graph.initializer, *graph.value_info):
        item.name = item.name if item.name in kept else f"{prefix}{item.name}"


def _fix_batch(graph: onnx.GraphProto, batch: int) -> None:
    for item in (*graph.input, *graph.output, *graph.value_info):
        for dim in item.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = batch


def _assemble(array: onnx.GraphProto, ends: Mapping[str, onnx.GraphProto], network: Graph | QGraph) -> None:
    """Put the graphs of the ends around that of the array's part."""
    from onnx import helper

    tensors = {item.name: item for part in ends.values() for item in (*part.input, *part.output)}
    own = {item.name: item for item in (*array.input, *array.output)}
    before = [node for item in network.inputs for node in _read(array, own[item.name], tensors)]
    after = [node for item in network.outputs for node in _handed_on(array, own[item.name], tensors)]
    known = {**own, **tensors}
    nodes = [list(ends[end].node) if end in ends else [] for end in ("head", "tail")]
    given = {item.name for item in network.outputs}
    whole = helper.make_graph(
        [*nodes[0], *before, *array.node, *after, *nodes[1]],
        array.name,
        [known[port.name] for port in network.network_inputs],
        [
            *(known[name] for name in network.network_outputs),
            *(i for i in array.output if i.name not in given),
        ],
        [*array.initializer, *(item for part in ends.values() for item in part.initializer)],
        array.doc_string,
        array.value_info,
    )
    array.CopyFrom(whole)


def _read(
    array: onnx.GraphProto, item: onnx.ValueInfoProto, tensors: Mapping[str, onnx.ValueInfoProto]
) -> list[onnx.NodeProto]:
    """What the array's part reads in another element type than an end has it in, converted."""
    from onnx import helper

    mine = item.type.tensor_type.elem_type
    if item.name not in tensors or tensors[item.name].type.tensor_type.elem_type == mine:
        return []
    inner = f"{item.name}/array"
    for node in array.node:
        node.input[:] = [inner if name == item.name else name for name in node.input]
    return [helper.make_node("Cast", [item.name], [inner], f"{inner}_type", to=mine)]


def _handed_on(
    array: onnx.GraphProto, item: onnx.ValueInfoProto, tensors: Mapping[str, onnx.ValueInfoProto]
) -> list[onnx.NodeProto]:
    """What the array's part hands to an end, in the element type that the end has it in.

    Where the types are the same, a maximum of one tensor stands between: onnxruntime fuses normalizations across the
    conversion from float64 before it, to nodes that it then refuses, and removes an identity.
    """
    from onnx import TensorProto, helper

    if item.name not in tensors:
        return []
    inner, mine = f"{item.name}/array", item.type.tensor_type.elem_type
    wanted = tensors[item.name].type.tensor_type.elem_type
    if mine == wanted != TensorProto.FLOAT:
        return []
    for node in array.node:
        node.output[:] = [inner if name == item.name else name for name in node.output]
        node.input[:] = [inner if name == item.name else name for name in node.input]
    if mine == wanted:
        return [helper.make_node("Max", [inner], [item.name], f"{inner}_handed_on")]
    return [helper.make_node("Cast", [inner], [item.name], f"{inner}_type", to=wanted)]
