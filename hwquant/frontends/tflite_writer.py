"""An ONNX graph that is written node by node; types and shapes of everything in it are known at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant.frontends.limits import LARGEST

if TYPE_CHECKING:
    import onnx

OPSET = 20
"""The newest operator set in which onnxruntime's own optimizations keep the types of integers."""

OPSET_OF_4_BITS = 21
"""The first operator set with integers of 4 bits."""

SMALL = 1024
"""Elements of integer constants that are computed with at once: shapes, axes and places."""

MOST_STORED = 1 << 28
"""Bytes of all constants beyond what is in the file: one that many operators read is written for each."""


class Unwritable(Exception):
    """A node whose inputs do not fit it, or whose result is too large or of no known shape."""


class Writer:
    """The graph so far.

    Parameters
    ----------
    stored : int
        Bytes of the constants in the file.
    opset : int, default OPSET
        The operator set.

    Attributes
    ----------
    constants : dict of ndarray
        Constants by name.
    label : str
        What nodes are called after.
    begun : int
        Nodes before those of the operator at hand.
    """

    def __init__(self, stored: int, opset: int = OPSET) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.label = ""
        self.begun = 0
        self._types: dict[str, onnx.TypeProto] = {}
        self._taken: set[str] = set()
        self._left = MOST_STORED + 2 * stored

    def unique(self, name: str) -> str:
        """A name that nothing has yet."""
        found, count = name, 1
        while found in self._taken:
            count += 1
            found = f"{name}/{count}"
        self._taken.add(found)
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return tuple(dim.dim_value for dim in self._types[name].tensor_type.shape.dim)

    def kind(self, name: str) -> int:
        """The element type of a tensor."""
        return int(self._types[name].tensor_type.elem_type)

    def begin(self, name: str, kind: int, shape: Sequence[int]) -> onnx.ValueInfoProto:
        """Make a tensor an input of the graph."""
        from onnx import helper

        info = helper.make_tensor_value_info(name, kind, list(shape))
        self._types[name] = info.type
        return info

    def described(self, name: str) -> onnx.ValueInfoProto:
        """A tensor as outputs of a graph are declared."""
        from onnx import helper

        return helper.make_value_info(name, self._types[name])

    def constant(self, array: NDArray[Any], name: str = "", bits: int = 0) -> str:
        """Make a constant; its integers have 4 bits where ``bits`` says so."""
        from onnx import TensorProto, helper, numpy_helper

        found = self.unique(name or f"{self.label}/constant")
        array = np.ascontiguousarray(array).reshape(array.shape)
        self._left -= array.nbytes
        if self._left < 0:
            raise Unwritable("its constants are repeated too often")
        if bits == 4:
            tensor = helper.make_tensor(found, TensorProto.INT4, array.shape, _packed(array), raw=True)
        else:
            tensor = numpy_helper.from_array(array, found)
        self.initializers[found] = tensor
        self.constants[found] = array
        self._types[found] = helper.make_tensor_type_proto(tensor.data_type, array.shape)
        return found

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        (output,) = self.nodes_of(operator, inputs, 1, attributes)
        return output

    def nodes_of(
        self, operator: str, inputs: Sequence[str], outputs: int, attributes: Mapping[str, Any]
    ) -> list[str]:
        """Add a node with any number of outputs; one on small integer constants is computed at once.

        Parameters
        ----------
        operator : str
            The operator in ONNX.
        inputs : sequence of str
            Tensors; empty for one that is left out.
        outputs : int
            How many it makes.
        attributes : mapping
            Its attributes.

        Returns
        -------
        list of str
            The names of its outputs.

        Raises
        ------
        Unwritable
            The inputs do not fit the operator.
        """
        from onnx import helper

        name = self.unique(f"{self.label}/{operator}")
        names = [self.unique(f"{name}:{index}" if index else f"{name}:") for index in range(outputs)]
        node = helper.make_node(operator, inputs, names, name, **attributes)
        self._infer(node)
        if all(not item or self._is_small(item) for item in inputs):
            return [self.constant(array) for array in self._computed(node)]
        self.nodes.append(node)
        return names

    def named(self, name: str, wanted: str, copied: bool = False) -> str:
        """Call a tensor as the file does, where it was made since ``begun``; else a copy of it."""
        from onnx import helper

        made = [node for node in self.nodes[self.begun :] if name in node.output]
        wanted = self.unique(wanted)
        if copied or not made:
            self.nodes.append(
                helper.make_node("Identity", [name], [wanted], self.unique(f"{self.label}/Identity"))
            )
            self._types[wanted] = self._types[name]
            return wanted
        for node in self.nodes[self.begun :]:
            for names in (node.input, node.output):
                for place in [place for place, found in enumerate(names) if found == name]:
                    names[place] = wanted
        self._types[wanted] = self._types.pop(name)
        return wanted

    def _is_small(self, name: str) -> bool:
        array = self.constants.get(name)
        return array is not None and array.dtype.kind in "iub" and array.size <= SMALL

    def _infer(self, node: onnx.NodeProto) -> None:
        """Find the types and shapes of what a node makes."""
        import onnx

        given = {name: self._types[name] for name in node.input if name}
        data = {name: self.initializers[name] for name in given if self._is_small(name)}
        schema = onnx.defs.get_schema(node.op_type, self.opset, "")
        domains = [onnx.helper.make_opsetid("", self.opset)]
        misfits = (
            onnx.shape_inference.InferenceError,
            onnx.checker.ValidationError,
            RuntimeError,
            ValueError,
        )
        try:
            made = onnx.shape_inference.infer_node_outputs(schema, node, given, data, opset_imports=domains)
        except misfits as error:
            reason = " ".join(str(error).split())
            raise Unwritable(f"its tensors do not fit it ({node.op_type}: {reason})") from None
        for name in node.output:
            kind = made[name].tensor_type if name in made else None
            if kind is None or not kind.HasField("shape"):
                raise Unwritable("the shape of its result depends on what is computed")
            sizes = [dim.dim_value for dim in kind.shape.dim]
            if any(not dim.HasField("dim_value") or dim.dim_value < 0 for dim in kind.shape.dim):
                raise Unwritable("the shape of its result depends on what is computed")
            if 0 in sizes:
                raise Unwritable("its result has no elements")
            if math.prod(sizes) > LARGEST:
                raise Unwritable(f"its result of shape {sizes} is too large")
            self._types[name] = made[name]

    def _computed(self, node: onnx.NodeProto) -> list[NDArray[Any]]:
        """What a node makes of small integers."""
        from onnx.reference import ReferenceEvaluator

        if sum(math.prod(self.shape(name)) for name in node.output) > SMALL * SMALL:
            raise Unwritable("it makes a large constant of a small one")
        feeds = {name: self.constants[name] for name in node.input if name}
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(node).run(None, feeds)
        except Exception as error:  # whatever a reference implementation raises on bad constants
            raise Unwritable(f"it cannot be computed of its constants ({error})") from error
        return [np.asarray(result) for result in results]


def _packed(array: NDArray[Any]) -> bytes:
    """Integers of 4 bits, two in a byte, the first in its low half."""
    flat = array.ravel().astype(np.uint8) & 15
    both = np.append(flat, np.zeros(flat.size % 2, np.uint8))
    return (both[::2] | both[1::2] << 4).tobytes()
