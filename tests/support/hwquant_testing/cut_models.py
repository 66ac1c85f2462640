"""Models whose beginning or end no array does, and what onnxruntime makes of them a batch at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node

Arrays = Mapping[str, np.ndarray]


def rng(seed: int = 0) -> np.random.Generator:
    """Numbers for a model or its data."""
    return np.random.default_rng(seed)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[Any]],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
    kinds: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model; shapes include the batch, and constants of float64 become float32."""
    arrays = {name: np.asarray(array) for name, array in (constants or {}).items()}
    arrays = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in arrays.items()}
    kinds = kinds or {}
    graph = helper.make_graph(
        list(nodes),
        "net",
        [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), list(shape))
            for name, shape in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(made, data_prop=True)
    for (
        item
    ) in inferred.graph.output:  # the checker wants a type and a shape, even of what cannot be inferred
        if not item.type.tensor_type.HasField("shape"):
            item.type.tensor_type.shape.SetInParent()
        item.type.tensor_type.elem_type = item.type.tensor_type.elem_type or TensorProto.FLOAT
    return inferred


def conv(source: str, target: str, weight: str = "w", **attributes: Any) -> onnx.NodeProto:
    """A convolution, which an array does."""
    return make_node("Conv", [source, weight], [target], name=target, **attributes)


def host_node(source: str, target: str) -> onnx.NodeProto:
    """Sums along the last axis, ``CumSum`` with the constant ``last``: no array has one."""
    return make_node("CumSum", [source, "last"], [target], name=target)


CONSTANTS = {"last": np.asarray(-1, np.int64), "w": rng(1).standard_normal((4, 2, 3, 3))}
"""Constants that the nodes above read."""


def session(made: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A model in onnxruntime, in one thread and quietly."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(made.SerializeToString(), options)


def by_batches(made: onnx.ModelProto, data: Arrays, batch: int = 1) -> list[np.ndarray]:
    """The outputs for samples (N, ...), N divisible by the batch, put together along the first axis."""
    runtime = session(made)
    count = len(next(iter(data.values())))
    pieces = [
        runtime.run(None, {name: array[start : start + batch] for name, array in data.items()})
        for start in range(0, count, batch)
    ]
    return [np.concatenate(parts) for parts in zip(*pieces)]
