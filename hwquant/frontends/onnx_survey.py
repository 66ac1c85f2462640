"""What of an ONNX model the array can do, node by node: whatever cannot be translated begins anew behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hwquant.errors import Unsupported
from hwquant.frontends.builder import Builder
from hwquant.frontends.onnx_check import without_shapes
from hwquant.frontends.onnx_inputs import inputs_of
from hwquant.frontends.onnx_reader import Translation, tensors_read_by
from hwquant.frontends.onnx_types import ANY, INTEGERS, type_name
from hwquant.frontends.qonnx_host import standing_for
from hwquant.frontends.qonnx_operators import given_by_host
from hwquant.frontends.refusals import Invalid
from hwquant.frontends.values import Array, Value
from hwquant.graph import Concat, Rearrange

if TYPE_CHECKING:
    import onnx


class Described(NamedTuple):
    """What is known of a tensor.

    Attributes
    ----------
    kind : str
        Its element type.
    shape : tuple of int or None
        Its shape, the batch included; an open dimension is 0. None where not even their number is known.
    """

    kind: str
    shape: tuple[int, ...] | None

    @property
    def known(self) -> bool:
        """Whether the shape is known in full."""
        return self.shape is not None and all(self.shape)


class Survey(Translation):
    """A translation that goes on behind what it cannot translate.

    Parameters
    ----------
    model : onnx.ModelProto
        The model, its batch fixed.
    build : Builder
        What makes the network.
    outside : mapping of int to str
        Nodes that are not to be translated, by their index, and why.

    Attributes
    ----------
    refused : dict of int to str
        Why a node has no translation, by its index.
    apart : dict of int to str
        Why a node only has one if what it reads does not come from the array.
    moving : set of int
        Nodes that compute nothing: views and concatenations; those of ``joining`` are the latter.
    joining : set of int
        Nodes that concatenate.
    constant : set of int
        Nodes that give nothing but constants.
    arrays : dict of ndarray
        All constants by name.
    described : dict of Described
        All other tensors by name.
    """

    def __init__(self, model: onnx.ModelProto, build: Builder, outside: Mapping[int, str]) -> None:
        super().__init__(model, build)
        self._outside = outside
        self.refused: dict[int, str] = dict(outside)
        self.apart: dict[int, str] = {}
        self.moving: set[int] = set()
        self.joining: set[int] = set()
        self.constant: set[int] = set()
        self.arrays: dict[str, Array] = {
            name: value for name, value in self.values.items() if isinstance(value, np.ndarray)
        }
        self.described: dict[str, Described] = {}
        self._opened: set[str] = set()
        self._inferred = _inferred(model)

    def run(self) -> Survey:
        """Look at all nodes, and return the survey itself."""
        for item in inputs_of(self.model):
            kind = item.type.tensor_type
            shape = tuple(dim.dim_value for dim in kind.shape.dim)
            self._open(item.name, Described(str(type_name(kind.elem_type)), shape))
        nodes = self.model.graph.node
        last = {name: index for index, node in enumerate(nodes) for name in tensors_read_by(node)}
        for index, node in enumerate(nodes):
            self._visit(index, node)
            for name in (*tensors_read_by(node), *node.output):
                if last.get(name, -1) <= index:  # of large models not all values can be kept
                    self.values.pop(name, None)
        return self

    def begin(self, tensor: str, kind: str, shape: tuple[int, ...]) -> None:
        """Make a tensor an input of the network, in the midst of it."""
        self.types[tensor] = kind
        label = self.build.unique(tensor)
        sample = shape if self.build.bare else shape[1:]
        self.values[tensor] = self.build.input(label, sample, integer=kind in INTEGERS)

    def _visit(self, index: int, node: onnx.NodeProto) -> None:
        count = len(self.build.nodes)
        reason = self._outside.get(index) or self._attempt(index, node)
        if reason:
            self.refused[index] = reason
            for name in filter(None, node.output):
                self._open(name, self._infer(node, name))
                if isinstance(value := self.values.get(name), Value):
                    self.values[name] = given_by_host(self.build, value, node, self.arrays)
            return
        made = self.build.nodes[count:]
        if all(isinstance(item, Concat | Rearrange) for item in made):
            self.moving.add(index)
            if any(isinstance(item, Concat) for item in made) or self._joins(node):
                self.joining.add(index)
        for name in node.output:
            value = self.values.get(name)
            if isinstance(value, Value):
                self.described[name] = Described(self.types[name], value.seen_shape)
            elif value is not None:
                self.arrays[name] = np.asarray(value)
        if not any(name in self.described for name in node.output):
            self.constant.add(index)

    def _joins(self, node: onnx.NodeProto) -> bool:
        """Whether what a node gives is a join of several tensors that it does not read as such."""
        read = [self.values.get(name) for name in node.input]
        known = {value.tensor for value in read if isinstance(value, Value)}
        given = [value for name in node.output if isinstance(value := self.values.get(name), Value)]
        return any(value.tensor not in known and len(self.build.parts(value.tensor)) > 1 for value in given)

    def _attempt(self, index: int, node: onnx.NodeProto) -> str:
        """Translate a node, if need be as one that begins the array's part; else return why that is impossible."""
        missing = [
            name for name in tensors_read_by(node) if name in self.described and name not in self.values
        ]
        if missing:
            return f"it reads {missing[0]!r}, which only the host can"
        try:
            self._translate(node)
        except Invalid:
            raise
        except Unsupported as error:
            reason = str(error).removeprefix(f"{self.build.where}: ")
        else:
            return ""
        inner = [
            name
            for name in dict.fromkeys(node.input)
            if isinstance(self.values.get(name), Value) and name not in self._opened
        ]
        kept = {name: self.values[name] for name in inner}
        try:
            for name in inner:
                self.begin(name, self.described[name].kind, self.described[name].shape or ())
            if inner:
                self._translate(node)
        except Unsupported:
            return reason
        finally:
            self.values.update(kept)
        if not inner:
            return reason
        self.apart[index] = reason
        return ""

    def _open(self, name: str, found: Described) -> None:
        """Let the array's part begin at a tensor that the host gives, if it can."""
        self.described[name] = found
        self.values.pop(name, None)
        batched = found.shape is not None and (self.build.bare or found.shape[:1] == (self.build.batch,))
        if found.kind in ANY and found.known and found.shape and batched:
            try:
                self.begin(name, found.kind, found.shape)
            except Unsupported:
                return
            self._opened.add(name)

    def _infer(self, node: onnx.NodeProto, name: str) -> Described:
        """The type and shape of what a node gives: by inference over the model, or with the constants of now."""
        import onnx

        found = self._inferred.get(name)
        if found is not None and found.known:
            return found
        types, data = {}, {}
        for tensor in filter(None, node.input):
            if tensor in self.arrays:
                array = self.arrays[tensor]
                types[tensor] = onnx.helper.make_tensor_type_proto(
                    onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
                )
                data[tensor] = onnx.numpy_helper.from_array(array, tensor)
            elif tensor in self.described:
                types[tensor] = _type(self.described[tensor])
        misfits = (onnx.shape_inference.InferenceError, onnx.checker.ValidationError)
        try:
            node = standing_for(node)
            schema = onnx.defs.get_schema(node.op_type, self.opset, "")
            imports = [onnx.helper.make_opsetid("", self.opset)]
            types = {tensor: types[tensor] for tensor in node.input if tensor in types}
            proto = onnx.shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=imports)[
                name
            ]
        except (*misfits, ValueError, RuntimeError, KeyError, TypeError):
            return found or Described("undefined", None)
        return _described(proto)


def _inferred(model: onnx.ModelProto) -> dict[str, Described]:
    """What inference over the whole model finds; sizes of outputs that it does not find are those that are declared."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(without_shapes(model), data_prop=True).graph
    found = {item.name: _described(item.type) for item in (*graph.value_info, *graph.output)}
    for item in model.graph.output:
        known, said = found[item.name].shape or (), _described(item.type).shape or ()
        if len(known) == len(said):
            sizes = tuple(size or other for size, other in zip(known, said))
            found[item.name] = found[item.name]._replace(shape=sizes)
    return found


def _described(proto: onnx.TypeProto) -> Described:
    if not proto.HasField("tensor_type"):
        return Described("undefined", None)
    kind, shape = proto.tensor_type, None
    if kind.HasField("shape"):
        shape = tuple(max(dim.dim_value, 0) for dim in kind.shape.dim)
    return Described(str(type_name(kind.elem_type)), shape)


def _type(found: Described) -> Any:
    from onnx import TensorProto, helper

    code = TensorProto.DataType.Value(found.kind.upper())
    shape = None if found.shape is None else [size or None for size in found.shape]
    return helper.make_tensor_type_proto(code, shape)
