"""QONNX's operators with channels last, written as ONNX's own between Transposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwquant.errors import Unsupported
from hwquant.frontends.onnx_functions import STANDARD
from hwquant.frontends.onnx_old import OLDEST_OPSET
from hwquant.frontends.qonnx import DOMAINS, OTHERS, is_quantizer

if TYPE_CHECKING:
    import onnx

CHANNELS_LAST = "qonnx.custom_op.channels_last"
_TRANSPOSED = {"Conv": 2, "MaxPool": 1, "BatchNormalization": 1}
"""How many of an operator's first inputs have their channels last."""
_RANKS = {1: 3, 2: 4}
_KEEPING = frozenset({"Clip", "Identity", "LeakyRelu", "Relu", "Sigmoid", "Tanh"})
"""Operators whose result has as many dimensions as their input, whatever else they read."""


def with_own_operators(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write what has channels last in ONNX's operators, and name what of QONNX is not read.

    Parameters
    ----------
    model : onnx.ModelProto
        The model, without functions; it is left as it is.

    Returns
    -------
    onnx.ModelProto
        The model, of whose nodes only quantizers are QONNX's; the same object where nothing is to be done.

    Raises
    ------
    Unsupported
        For other operators of QONNX, by node.
    ValueError
        A Trunc has the inputs of another version.
    """
    foreign = [node for node in model.graph.node if node.domain in (*DOMAINS, CHANNELS_LAST)]
    if not foreign:
        return model
    imported = {item.domain: item.version for item in model.opset_import}
    for node in foreign:
        _check(node)
        wanted = 5 if imported.get(node.domain, 0) == 1 else 6
        if node.op_type == "Trunc" and node.domain in imported and len(node.input) != wanted:
            raise ValueError(
                f"node {node.name or node.output[0]!r} (Trunc) has {len(node.input)} inputs, and in version "
                f"{imported[node.domain]} of {node.domain!r} there are {wanted}"
            )
    versions = [item.version for item in model.opset_import if item.domain in STANDARD]
    if versions and versions[0] < OLDEST_OPSET:
        raise Unsupported(
            f"network {model.graph.name!r} has QONNX's quantizers in operator set {versions[0]}, where there are none; "
            f"export it with {OLDEST_OPSET} or later"
        )
    copied = type(model)()
    copied.CopyFrom(model)
    ranks = {
        item.name: len(item.type.tensor_type.shape.dim)
        for item in (*model.graph.input, *model.graph.output, *model.graph.value_info)
        if item.type.tensor_type.HasField("shape")
    }
    nodes = list(copied.graph.node)
    del copied.graph.node[:]
    for node in nodes:
        if node.domain == CHANNELS_LAST:
            ranks[node.output[0]] = _rank(node, ranks)
            copied.graph.node.extend(_channels_first(node, ranks[node.output[0]]))
            continue
        copied.graph.node.append(node)
        if (is_quantizer(node) or node.op_type in _KEEPING) and node.input[0] in ranks:
            ranks.setdefault(node.output[0], ranks[node.input[0]])
    kept = [item for item in copied.opset_import if item.domain in STANDARD]
    del copied.opset_import[:]
    copied.opset_import.extend(kept)
    return copied


def _check(node: onnx.NodeProto) -> None:
    name = node.name or next(iter(node.output), node.op_type)
    label = f"QONNX node {name!r} ({node.op_type})"
    if node.domain == CHANNELS_LAST:
        why = "" if node.op_type in _TRANSPOSED else "it is not known with channels last; make them the first"
    else:
        why = (
            ""
            if is_quantizer(node)
            else OTHERS.get(node.op_type, "it is not read; export the model without it")
        )
    if why:
        raise Unsupported(f"{label}: {why}", where=f"node {name!r}", operator=node.op_type)


def _rank(node: onnx.NodeProto, ranks: dict[str, int]) -> int:
    """How many dimensions a node's data have: by its kernel, or as the model declares."""
    for item in node.attribute:
        if item.name == "kernel_shape" and len(item.ints) in _RANKS:
            return _RANKS[len(item.ints)]
    known = [ranks[name] for name in (*node.input[:1], *node.output) if name in ranks]
    if not known:
        raise Unsupported(
            f"QONNX node {node.name or node.output[0]!r} ({node.op_type}): how many dimensions it has is not declared; "
            "run QONNX's shape inference (qonnx-cleanup) before",
            where=f"node {node.name or node.output[0]!r}",
            operator=node.op_type,
        )
    return known[0]


def _channels_first(node: onnx.NodeProto, rank: int) -> Sequence[onnx.NodeProto]:
    import onnx

    first = [0, rank - 1, *range(1, rank - 1)]
    last = [0, *range(2, rank), 1]
    name, output = node.name or node.output[0], node.output[0]
    made, inputs = [], list(node.input)
    for index in range(min(_TRANSPOSED[node.op_type], len(inputs))):
        moved = f"{output}/{index}_first"
        made.append(
            onnx.helper.make_node("Transpose", [inputs[index]], [moved], f"{name}/{index}_first", perm=first)
        )
        inputs[index] = moved
    own = onnx.helper.make_node(node.op_type, inputs, [f"{output}/first"], name)
    own.attribute.extend(node.attribute)
    back = onnx.helper.make_node("Transpose", [f"{output}/first"], [output], f"{name}/last", perm=last)
    return [*made, own, back]
