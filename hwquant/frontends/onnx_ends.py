"""The ends of a divided model: what its host does, and what its user gives and gets."""

from __future__ import annotations

import numpy as np

from hwquant.ends import End, Ends, HostNode, Port
from hwquant.errors import Unsupported
from hwquant.frontends.onnx_check import node_name
from hwquant.frontends.onnx_division import Division
from hwquant.frontends.onnx_inputs import inputs_of
from hwquant.frontends.onnx_parts import part
from hwquant.frontends.onnx_reader import tensors_read_by
from hwquant.frontends.qonnx import is_quantizer
from hwquant.frontends.qonnx_host import standard_nodes
from hwquant.host.check import unfit
from hwquant.host.run import check_runnable


def ends(division: Division) -> Ends | None:
    """Make the ends of a division; None where the host does nothing.

    Raises
    ------
    HwquantError
        The host cannot do a node, or would begin with a tensor of unknown size.
    """
    head, tail = ([i for i, place in division.places.items() if place == end] for end in ("head", "tail"))
    for name in division.wanted:
        if name in division.survey.arrays:
            raise Unsupported(f"output {name!r} does not depend on the network's input", where=name)
        if not head and not tail and name not in division.end:
            raise Unsupported(f"output {name!r} is an input as it is; leave it out", where=name)
    if not head and not tail:
        return None
    survey, model = division.survey, division.model
    for index in (*head, *tail):
        node = division.nodes[index]
        if not is_quantizer(node) and (reason := unfit(node, survey.arrays)):
            label = f"node {node_name(node)!r} ({node.op_type})"
            raise Unsupported(
                f"{label} cannot stay with the host: {reason}", where=label, operator=node.op_type
            )
    parts = []
    for what, mine, readers in (("head", head, [*division.on_array, *tail]), ("tail", tail, [])):
        nodes = [
            item
            for index in mine
            for item in standard_nodes(
                survey.build, division.nodes[index], survey.arrays, _kind(division, index)
            )
        ]
        given = division.made(mine, readers)
        for name in given:
            if division.batch > 1 and (survey.described[name].shape or ())[:1] != (division.batch,):
                raise Unsupported(
                    f"tensor {name!r}, which the host would give, has lost its batch of {division.batch}; export the "
                    "model with a batch of 1",
                    where=name,
                )
        data = part(model, nodes, given, survey.arrays, survey.described)
        if data:
            check_runnable(data, f"the {what} of network {division.name!r}")
        parts.append(data)
    return Ends(
        inputs=_ports(division),
        outputs=tuple(division.wanted),
        batch=division.batch,
        nodes=tuple(_host_node(division, index) for index in sorted((*head, *tail))),
        macs=sum(division.macs.values()),
        head=parts[0],
        tail=parts[1],
    )


def _kind(division: Division, index: int) -> str:
    """The element type of what a node reads first, "" where that is not known."""
    found = division.survey.described.get(next(iter(division.nodes[index].input), ""))
    return found.kind if found else ""


def _host_node(division: Division, index: int) -> HostNode:
    node, place = division.nodes[index], division.places[index]
    end: End = "head" if place == "head" else "tail"
    return HostNode(node_name(node), node.op_type, end, division.macs[index], division.why(index))


def _ports(division: Division) -> tuple[Port, ...]:
    """What the user gives: the inputs that are read."""
    from onnx.helper import tensor_dtype_to_np_dtype

    read = {name for index in division.macs for name in tensors_read_by(division.nodes[index])}
    ports = []
    for item in inputs_of(division.model):
        if item.name in read or item.name in division.wanted:
            kind = item.type.tensor_type
            shape = tuple(dim.dim_value for dim in kind.shape.dim)
            batched = division.batch > 0 and shape[:1] == (division.batch,)
            dtype = np.dtype(tensor_dtype_to_np_dtype(kind.elem_type)).name
            ports.append(Port(item.name, shape[1:] if batched else shape, dtype, batched))
    return tuple(ports)
