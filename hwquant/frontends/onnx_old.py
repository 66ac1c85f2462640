"""Operator sets 1 to 6 written as operator set 7, the oldest that the importer knows.

`onnx.version_converter` does this too, but not for all operators, and it drops what it does not convert (names of
nodes, types of values, branches). Here every operator that changed has an entry; what an entry does not account for
is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.errors import Unsupported

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 7
"""The operator set that older ones are written as."""

INFERENCE = "export the model in evaluation mode"


def modernized(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Write a valid model of an old operator set as one of set 7; the argument is left as it is.

    Parameters
    ----------
    model : onnx.ModelProto
        The model, without functions.
    version : int
        Its operator set.

    Returns
    -------
    onnx.ModelProto
        The model; the same object where nothing is to be done.

    Raises
    ------
    Unsupported
        For what operator set 7 cannot say, by node.
    """
    if version >= OLDEST_OPSET:
        return model
    copied = type(model)()
    copied.CopyFrom(model)
    _Conversion(version, tensor_names(model.graph)).graph(copied.graph)
    for entry in copied.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = OLDEST_OPSET
    return copied


def tensor_names(graph: onnx.GraphProto) -> set[str]:
    """All names of tensors, inside of branches too."""
    names = {item.name for items in (graph.input, graph.output, graph.initializer) for item in items}
    for node in graph.node:
        names.update((*node.input, *node.output))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= tensor_names(attribute.g)
    return names


@dataclass
class _Conversion:
    """The nodes of a model on their way to operator set 7.

    Attributes
    ----------
    version : int
        The model's operator set.
    names : set of str
        Names that tensors have.
    types : dict
        The types of tensors as far as they are known, onnx.TypeProto by name.
    constants : dict
        Tensors that are constant, onnx.TensorProto by name.
    """

    version: int
    names: set[str]
    types: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)

    def graph(self, graph: onnx.GraphProto) -> None:
        """Convert the nodes of a graph in place."""
        import onnx

        for tensor in graph.initializer:
            self.constants[tensor.name] = tensor
            self.types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        for item in graph.input:
            self.types.setdefault(item.name, item.type)
        nodes = list(graph.node)
        del graph.node[:]
        for node in nodes:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    self.graph(attribute.g)
            for converted in self._converted(node):
                graph.node.append(converted)
                self._infer(converted)

    def _converted(self, node: onnx.NodeProto) -> Iterable[onnx.NodeProto]:
        import onnx

        if node.domain not in ("", "ai.onnx"):
            return [node]
        old, new = (
            onnx.defs.get_schema(node.op_type, version, "") for version in (self.version, OLDEST_OPSET)
        )
        if old.since_version == new.since_version:
            return [node]
        if node.op_type not in CONVERSIONS:
            raise _refused(node, f"its meaning in operator set {self.version} is not converted")
        _take(node, "consumed_inputs")  # a hint about memory
        return [*CONVERSIONS[node.op_type](self, node), node]

    def _infer(self, node: onnx.NodeProto) -> None:
        """Learn the types of a node's outputs, as far as onnx can tell."""
        import onnx

        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    tensor = attribute.t
                    self.constants[node.output[0]] = tensor
                    self.types[node.output[0]] = onnx.helper.make_tensor_type_proto(
                        tensor.data_type, tensor.dims
                    )
            return
        read = [name for name in node.input if name]
        if any(name not in self.types for name in read) or any(item.HasField("g") for item in node.attribute):
            return
        schema = onnx.defs.get_schema(node.op_type, OLDEST_OPSET, "")
        try:
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                {name: self.types[name] for name in read},
                {name: self.constants[name] for name in read if name in self.constants},
                opset_imports=[onnx.helper.make_opsetid("", OLDEST_OPSET)],
            )
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError, RuntimeError):
            return  # the whole model is inferred strictly later, which says what is wrong
        self.types.update(found)

    def shape(self, name: str) -> list[int | str | None] | None:
        """The shape of a tensor: sizes, names or None of open dimensions; None where its rank is unknown."""
        found = self.types.get(name)
        if found is None or not found.tensor_type.HasField("shape"):
            return None
        return [
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
            for dim in found.tensor_type.shape.dim
        ]

    def rank(self, node: onnx.NodeProto, name: str) -> int:
        """The number of a tensor's dimensions, which a conversion needs."""
        shape = self.shape(name)
        if shape is None:
            raise _refused(node, f"the shape of its input {name!r} is not known, which its conversion needs")
        return len(shape)

    def constant(self, node: onnx.NodeProto, name: str) -> Any:
        """The array of a constant tensor."""
        import onnx

        if name not in self.constants:
            raise _refused(node, f"its input {name!r} must be a constant")
        return onnx.numpy_helper.to_array(self.constants[name])

    def new(self, name: str) -> str:
        """A name that no tensor has."""
        candidate, count = f"{name}_set7", 1
        while candidate in self.names:
            count += 1
            candidate = f"{name}_set7_{count}"
        self.names.add(candidate)
        return candidate

    def add(self, name: str, array: Any) -> tuple[onnx.NodeProto, str]:
        """A node that makes a constant, and the name of that."""
        import onnx

        made = self.new(name)
        return onnx.helper.make_node("Constant", [], [made], value=onnx.numpy_helper.from_array(array)), made

    def unsqueezed(self, node: onnx.NodeProto, index: int, count: int) -> list[onnx.NodeProto]:
        """Give an input of a node ``count`` axes of length 1 at its end."""
        import onnx

        if not count:
            return []
        name = node.input[index]
        rank, made = self.rank(node, name), self.new(name)
        node.input[index] = made
        return [onnx.helper.make_node("Unsqueeze", [name], [made], axes=list(range(rank, rank + count)))]


def _refused(node: onnx.NodeProto, why: str) -> Unsupported:
    where = f"node {node.name or next(iter(node.output), node.op_type)!r}"
    return Unsupported(
        f"{where} ({node.op_type}): {why}; export the model again with a newer operator set",
        where=where,
        operator=node.op_type,
    )


def _take(node: onnx.NodeProto, name: str) -> Any:
    """Remove an attribute from a node, and return its value; None where it has none."""
    from onnx import helper

    for index, attribute in enumerate(node.attribute):
        if attribute.name == name:
            value = helper.get_attribute_value(attribute)
            del node.attribute[index]
            return value
    return None


def _set(node: onnx.NodeProto, name: str, value: Any) -> None:
    from onnx import helper

    node.attribute.append(helper.make_attribute(name, value))


Result = list["onnx.NodeProto"]
"""Nodes that come before the converted one."""


def _plain(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """What only lost a hint about memory, or gained an attribute whose default means the same."""
    return []


def _broadcast(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Arithmetic and comparisons: ``axis`` says where the second operand's axes are; else they are the last."""
    axis, broadcast = _take(node, "axis"), _take(node, "broadcast")
    left, right = node.input
    shapes = conversion.shape(left), conversion.shape(right)
    if not broadcast:
        known = [[size for size in shape if isinstance(size, int)] for shape in shapes if shape is not None]
        if len(known) == 2 and (len(shapes[0] or ()) != len(shapes[1] or ()) or known[0] != known[1]):
            raise _refused(node, f"its inputs have the shapes {shapes[0]} and {shapes[1]} without broadcast")
        return []
    if axis is None:
        return []
    rank, second = conversion.rank(node, left), conversion.rank(node, right)
    if not 0 <= axis <= rank - second:
        raise _refused(node, f"{second} axes from axis {axis} on are not in the {rank} of its first input")
    return conversion.unsqueezed(node, 1, rank - axis - second)


def _gemm(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Gemm, whose bias had to be broadcast explicitly."""
    broadcast, shape = _take(node, "broadcast"), conversion.shape(node.input[2])
    if not broadcast and shape is not None and len(shape) != 2:
        raise _refused(node, f"its input {node.input[2]!r} has the shape {shape} without broadcast")
    return []


def _inference(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """BatchNormalization and Dropout, which said whether they train."""
    if _take(node, "is_test") == 0:
        raise _refused(node, f"is_test=0 is training mode, which is not supported; {INFERENCE}")
    return []


def _cast(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Cast, whose type was a name."""
    import onnx

    name = (_take(node, "to") or b"").decode("ascii", "replace")
    known = dict(onnx.TensorProto.DataType.items())
    if name not in known:
        raise _refused(node, f"there is no element type {name!r}")
    _set(node, "to", known[name])
    return []


def _concat(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Concat, whose axis was 1 by default."""
    if all(attribute.name != "axis" for attribute in node.attribute):
        _set(node, "axis", 1)
    return []


def _pad(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Pad, whose ``pads`` had another name."""
    _set(node, "pads", _take(node, "paddings"))
    return []


def _reshape(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Reshape, whose shape was an attribute."""
    shape = _take(node, "shape")
    if shape is None:
        raise _refused(node, "it has no shape")
    made, name = conversion.add(node.output[0], np.asarray(shape, np.int64))
    node.input.append(name)
    return [made]


def _split(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Split, whose sizes could be an input."""
    if len(node.input) > 1:
        sizes = conversion.constant(node, node.input[1])
        del node.input[1:]
        _take(node, "split")
        _set(node, "split", [int(size) for size in sizes])
    return []


def _tile(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Tile, which repeated along one axis."""
    data, tiles, axis = node.input
    repeats = [1] * conversion.rank(node, data)
    place = int(conversion.constant(node, axis).item())
    if not 0 <= place < len(repeats):
        raise _refused(node, f"there is no axis {place} of {len(repeats)}")
    repeats[place] = int(conversion.constant(node, tiles).item())
    made, name = conversion.add(node.output[0], np.asarray(repeats, np.int64))
    del node.input[1:]
    node.input.append(name)
    return [made]


def _upsample(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """Upsample, which scaled height and width."""
    scales = [1.0, 1.0, _take(node, "height_scale"), _take(node, "width_scale")]
    _set(node, "scales", scales)
    return []


def _prelu(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """PRelu, whose slopes were those of channels."""
    data, slope = node.input
    shape = conversion.shape(slope)
    if shape is None or len(shape) != 1:
        raise _refused(node, f"its slopes {slope!r} have the shape {shape}, not one a channel")
    return [] if shape == [1] else conversion.unsqueezed(node, 1, max(conversion.rank(node, data) - 2, 0))


def _norm(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """LpPool and GlobalLpPool, whose ``p`` was a real number."""
    p = _take(node, "p")
    if p is not None and p != int(p):
        raise _refused(node, f"p={p:g} is no integer")
    if p is not None:
        _set(node, "p", int(p))
    return []


def _recurrent(conversion: _Conversion, node: onnx.NodeProto) -> Result:
    """GRU, LSTM and RNN, which said whether they give the whole sequence; now the outputs that are named say it."""
    _take(node, "output_sequence")
    return []


_HINTS = """
    Abs Ceil Clip Elu Exp Floor HardSigmoid InstanceNormalization LeakyRelu Log Max Mean Min Neg Reciprocal Relu
    Selu Sigmoid Sqrt Sum Tanh AveragePool
    """
_BROADCASTING = "Add And Div Equal Greater Less Mul Or Pow Sub Xor"

CONVERSIONS: dict[str, Callable[[_Conversion, Any], Result]] = {
    **dict.fromkeys(_HINTS.split(), _plain),
    **dict.fromkeys(_BROADCASTING.split(), _broadcast),
    **dict.fromkeys(("BatchNormalization", "Dropout"), _inference),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(("LpPool", "GlobalLpPool"), _norm),
    "Cast": _cast,
    "Concat": _concat,
    "Gemm": _gemm,
    "PRelu": _prelu,
    "Pad": _pad,
    "Reshape": _reshape,
    "Split": _split,
    "Tile": _tile,
    "Upsample": _upsample,
}
"""What becomes of every operator whose meaning or attributes changed from operator set 1 to 7."""
