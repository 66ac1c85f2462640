"""Parts of an ONNX model as models of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hwquant.errors import Unsupported
from hwquant.frontends.onnx_check import opset
from hwquant.frontends.onnx_reader import tensors_read_by
from hwquant.frontends.onnx_survey import Described
from hwquant.frontends.values import Array

if TYPE_CHECKING:
    import onnx


def part(
    model: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    outputs: Collection[str],
    constants: Mapping[str, Array],
    described: Mapping[str, Described],
) -> bytes:
    """Make a model of some nodes.

    Parameters
    ----------
    model : onnx.ModelProto
        The whole model.
    nodes : sequence of onnx.NodeProto
        The nodes, in order.
    outputs : collection of str
        The tensors of theirs that are wanted.
    constants : mapping of ndarray
        Constants by name; those that the nodes read go with them.
    described : mapping of Described
        Type and shape of all other tensors.

    Returns
    -------
    bytes
        The model, the same for the same arguments; empty where there are no nodes.

    Raises
    ------
    Unsupported
        The host would have to begin with a tensor of unknown size.
    """
    from onnx import helper, numpy_helper

    if not nodes:
        return b""
    made = {name for node in nodes for name in node.output}
    inner = {name for node in nodes for item in node.attribute for name in _made_inside(item)}
    read = dict.fromkeys(name for node in nodes for name in tensors_read_by(node) if name)
    outside = [name for name in read if name not in made and name not in inner]
    inputs = [name for name in outside if name not in constants]
    for name in inputs:
        if not described[name].known:
            raise Unsupported(
                f"the host would go on with {name!r}, whose size is not fixed; fix the shapes at export",
                where=name,
            )
    graph = helper.make_graph(
        list(nodes),
        model.graph.name or "part",
        [_info(name, described[name]) for name in inputs],
        [_info(name, described[name]) for name in outputs],
        [numpy_helper.from_array(constants[name], name) for name in outside if name in constants],
    )
    version = helper.make_opsetid("", opset(model))
    made_model = helper.make_model(graph, opset_imports=[version], producer_name="hwquant")
    made_model.ir_version = max(model.ir_version, 4)  # before it only inputs are initialized
    return bytes(made_model.SerializeToString(deterministic=True))


def _info(name: str, found: Described) -> Any:
    from onnx import TensorProto, helper

    if found.shape is None:
        raise Unsupported(
            f"the host would give {name!r}, of which not even the number of dimensions is known", where=name
        )
    open_sizes = [size or f"{name}_{axis}" for axis, size in enumerate(found.shape)]
    return helper.make_tensor_value_info(name, TensorProto.DataType.Value(found.kind.upper()), open_sizes)


def _made_inside(attribute: onnx.AttributeProto) -> set[str]:
    """The tensors that a branch makes itself."""
    if not attribute.HasField("g"):
        return set()
    graph = attribute.g
    names = {name for node in graph.node for name in node.output} | {item.name for item in graph.initializer}
    return names | {name for node in graph.node for item in node.attribute for name in _made_inside(item)}
