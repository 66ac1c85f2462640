"""An ONNX graph under construction, with names for people.

Everything inside is called ``owner/role``, the owner being a tensor, an input or an output of the network and
the role what the value is to it ("weight", "accumulator"). Roles hold no slash, so that such names differ
wherever owner or role do; only inputs and outputs keep the names that the user gave them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from hwquant.errors import Unsupported

Dimensions = Sequence[int | str]


class Builder:
    """Nodes, initializers, inputs and outputs, in the order in which they are added."""

    def __init__(self) -> None:
        import onnx

        self._onnx = onnx
        self._names: set[str] = set()
        self._labels: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.values: list[onnx.ValueInfoProto] = []

    def _claim(self, name: str) -> str:
        if name in self._names:
            raise Unsupported(f"two values of the ONNX model would be called {name!r}; rename one of them")
        self._names.add(name)
        return name

    def _type(self, dtype: DTypeLike) -> int:
        return self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def _info(self, name: str, dtype: DTypeLike, shape: Dimensions, doc: str) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, self._type(dtype), list(shape), doc)

    def constant(self, name: str, value: ArrayLike, dtype: DTypeLike) -> str:
        """Add an initializer."""
        array: NDArray[Any] = np.asarray(value, dtype)
        self.initializers.append(self._onnx.numpy_helper.from_array(array, self._claim(name)))
        return name

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        doc: str | None = None,
        label: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node with one output, ``name``, which is also what the node is called where it has no ``label``."""
        called = label or name
        while called in self._labels:  # as that of an output, which may be called like a node of the network
            called += "/output"
        self._labels.add(called)
        made = self._onnx.helper.make_node(
            operator, list(inputs), [self._claim(name)], called, doc, **attributes
        )
        self.nodes.append(made)
        return name

    def cast(self, source: str, dtype: DTypeLike, name: str, doc: str | None = None) -> str:
        """Add a conversion to another dtype."""
        return self.node("Cast", [source], name, doc, to=self._type(dtype))

    def reshape(self, source: str, shape: Sequence[int], name: str) -> str:
        """Add a reshape of the elements of each sample; the shape is given without the batch."""
        target = self.constant(f"{name}_shape", [0, *shape], np.int64)  # 0 keeps the batch as it is
        return self.node("Reshape", [source, target], name)

    def input(self, name: str, dtype: DTypeLike, shape: Dimensions, doc: str) -> str:
        """Add an input of the model."""
        self.inputs.append(self._info(self._claim(name), dtype, shape, doc))
        return name

    def output(self, name: str, dtype: DTypeLike, shape: Dimensions, doc: str) -> None:
        """Make a value that a node produces an output of the model."""
        self.outputs.append(self._info(name, dtype, shape, doc))

    def describe(self, name: str, dtype: DTypeLike, shape: Dimensions, doc: str) -> None:
        """State the type and shape of a value inside."""
        self.values.append(self._info(name, dtype, shape, doc))

    def model(
        self, name: str, doc: str, opset: int, ir_version: int, metadata: Mapping[str, str] | None = None
    ) -> Any:
        """Finish the model, checked by ONNX itself, shapes included; ``metadata`` are texts by key."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, self.initializers, doc, self.values
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", opset)],
            ir_version=ir_version,
            producer_name="hwquant",
            doc_string=doc,
        )
        helper.set_model_props(model, dict(metadata or {}))
        self._onnx.checker.check_model(model, full_check=True)
        return model
