"""ONNX models: read, check, evaluate what is constant, and translate the rest node by node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwquant.errors import HwquantError
from hwquant.frontends.builder import ANY_BATCH, Builder
from hwquant.frontends.onnx_operators import OPERATORS, Call, Result
from hwquant.frontends.values import Array, Value
from hwquant.graph import Graph
from hwquant.packages import load_package

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 7
"""Before it, Add and Mul had their own broadcasting rules."""


def read_onnx(source: str | Path | onnx.ModelProto) -> Graph:
    """A float network from an ONNX file or model.

    Parameters
    ----------
    source : a path, beside which external data is looked for; or a ModelProto with its data inside

    Raises
    ------
    HwquantError
        if it is no valid ONNX model, or has something unsupported; the node and the operator are named
    """
    load_package("onnx", "onnx", "onnx", "reading ONNX models")
    import onnx
    import onnx.inliner

    if isinstance(source, onnx.ModelProto):
        name = source.graph.name or "onnx model"
        model = source
    else:
        name = Path(source).stem
        model = _load(onnx, Path(source))
    try:
        onnx.checker.check_model(model)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or ["no reason given"]
        raise HwquantError(f"{name!r} is not a valid ONNX model: {reason[0]}; export it again") from None
    return _Translation(onnx, model, name).graph()


def _load(onnx: Any, path: Path) -> onnx.ModelProto:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise HwquantError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    except DecodeError:
        raise HwquantError(
            f"{str(path)!r} is not an ONNX model, or is truncated; export or copy it again"
        ) from None
    if not model.HasField("graph") or not model.opset_import:
        raise HwquantError(f"{str(path)!r} is not an ONNX model, or is truncated; export or copy it again")
    try:
        onnx.load_external_data_for_model(model, str(path.resolve().parent))
    except (OSError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise HwquantError(
            f"the weights of {str(path)!r} are in a separate file that cannot be read: {error}; "
            "keep the files together"
        ) from None
    return model


class _Translation:
    """One pass over the nodes of a model."""

    def __init__(self, onnx: Any, model: Any, name: str) -> None:
        self.onnx = onnx
        self.model = model
        versions = {entry.domain: entry.version for entry in model.opset_import}
        self.opset = versions.get("", versions.get("ai.onnx", 0))
        if self.opset < OLDEST_OPSET:
            raise HwquantError(
                f"{name!r} uses ONNX operator set {self.opset}, the oldest supported is {OLDEST_OPSET}; "
                "convert it with onnx.version_converter"
            )
        newest = onnx.defs.onnx_opset_version()
        if self.opset > newest:
            raise HwquantError(
                f"{name!r} uses ONNX operator set {self.opset}, the installed onnx package knows {newest}; "
                "update it with: pip install -U onnx"
            )
        self.values: dict[str, Result] = {}
        for tensor in model.graph.initializer:
            self.values[tensor.name] = self._array(tensor)
        self.build = Builder(name, self._batch())

    def graph(self) -> Graph:
        """The network."""
        for item in self._inputs():
            shape = tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim)
            kind = self.onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type).kind
            if kind not in "fiuV":  # V: bfloat16 and its like
                raise HwquantError(f"input {item.name!r} is not a tensor of real numbers")
            self.values[item.name] = self.build.input(item.name, shape[1:], integer=kind in "iu")
        for node in self.model.graph.node:
            self._translate(node)
        for item in self.model.graph.output:
            value = self.values.get(item.name)
            if not isinstance(value, Value):
                raise HwquantError(f"output {item.name!r} does not depend on the network's input")
            self.build.output(item.name, value)
        return self.build.graph()

    def _inputs(self) -> list[Any]:
        """The inputs that are not weights (old models list their weights as inputs too)."""
        return [item for item in self.model.graph.input if item.name not in self.values]

    def _batch(self) -> int:
        """The batch size that all inputs share; ANY_BATCH where it is open."""
        batches = set()
        for item in self._inputs():
            if not item.type.tensor_type.HasField("shape") or not item.type.tensor_type.shape.dim:
                raise HwquantError(f"input {item.name!r} has no shape; export the model with fixed shapes")
            first, *rest = item.type.tensor_type.shape.dim
            for axis, dim in enumerate(rest, start=1):
                if dim.dim_value < 1:
                    label = f" ({dim.dim_param!r})" if dim.dim_param else ""
                    raise HwquantError(
                        f"dimension {axis}{label} of input {item.name!r} is not fixed, only the batch may "
                        "be open; fix it with onnxruntime.tools.make_dynamic_shape_fixed or at export"
                    )
            if first.dim_value > 0:
                batches.add(first.dim_value)
        if len(batches) > 1:
            raise HwquantError(
                f"the inputs have different batch sizes {sorted(batches)}; the first dimension is the batch"
            )
        return batches.pop() if batches else ANY_BATCH

    def _translate(self, node: Any) -> None:
        build = self.build
        name = node.name or next(iter(node.output), node.op_type)
        build.where = f"node {name!r} ({node.op_type})"
        inputs: list[Result | None] = []
        for tensor in node.input:
            if tensor and tensor not in self.values:
                raise build.refuse(f"it reads tensor {tensor!r}, which nothing before it produces")
            inputs.append(self.values[tensor] if tensor else None)
        if node.domain not in ("", "ai.onnx"):
            raise build.refuse(
                f"operators of the domain {node.domain!r} are not supported; "
                "export without a runtime's own optimizations"
            )
        if not any(isinstance(value, Value) for value in inputs):
            self._evaluate(node)
            return
        if node.op_type not in OPERATORS:
            raise build.refuse_operator(node.op_type)
        attributes = {attribute.name: self._attribute(attribute) for attribute in node.attribute}
        call = Call(build, name, self.opset, inputs, list(node.input), attributes)
        self.values[node.output[0]] = OPERATORS[node.op_type](call)

    def _evaluate(self, node: Any) -> None:
        """A node whose inputs are all constant, by the reference implementation of the onnx package."""
        from onnx.reference import ReferenceEvaluator

        if node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial"):
            raise self.build.refuse("random numbers are not supported; export the model in evaluation mode")
        feeds = {name: np.asarray(self.values[name]) for name in node.input if name}
        helper = self.onnx.helper
        graph = helper.make_graph(
            [node],
            "constant",
            [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
                for n, a in feeds.items()
            ],
            [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        )
        model = helper.make_model(graph, opset_imports=self.model.opset_import)
        try:
            results = ReferenceEvaluator(model).run(None, feeds)
        except Exception as error:  # whatever an operator's reference implementation raises on bad constants
            raise self.build.refuse(f"its constants cannot be evaluated: {error}") from error
        for name, result in zip((name for name in node.output if name), results):
            self.values[name] = np.asarray(result)

    def _attribute(self, attribute: Any) -> Any:
        """Strings as str, the rest as the onnx package reads it."""
        value = self.onnx.helper.get_attribute_value(attribute)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def _array(self, tensor: Any) -> Array:
        try:
            array: Array = self.onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, self.onnx.checker.ValidationError) as error:
            raise HwquantError(
                f"tensor {tensor.name!r} cannot be read: {error}; export the model again"
            ) from None
        return array
