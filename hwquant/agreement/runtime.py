"""A quantized model in onnxruntime, and all of its integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.packages import load_package

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
SAMPLES = 64
"""Computed at once, where the model leaves that open."""


class Runtime:
    """A model in onnxruntime, without its optimizations: they would take the integers away.

    Parameters
    ----------
    model : onnx.ModelProto
        The model.
    names : sequence of str
        The tensors that are wanted.
    bare : bool
        The model takes a sample as it is, without a batch dimension.
    """

    def __init__(self, model: onnx.ModelProto, names: Sequence[str], bare: bool) -> None:
        import onnx

        runtime = load_package("onnxruntime", "onnxruntime", "host", "comparing with the source")
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        outputs = {item.name for item in shown.graph.output}
        self._names = list(dict.fromkeys(names))
        shown.graph.output.extend(
            onnx.helper.make_empty_tensor_value_info(name) for name in self._names if name not in outputs
        )
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = runtime.InferenceSession(
                shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # whatever the runtime raises for a model that it cannot run
            raise HwquantError(
                f"{model.graph.name!r} cannot be run by onnxruntime: {_line(error)}"
            ) from error
        self._bare = bare
        weights = {item.name for item in model.graph.initializer}
        inputs = [item for item in model.graph.input if item.name not in weights]
        self._types = {
            item.name: onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
            for item in inputs
        }
        first = [
            item.type.tensor_type.shape.dim[0].dim_value for item in inputs if item.type.tensor_type.shape.dim
        ]
        self.batch = 1 if bare else next((size for size in first if size > 0), SAMPLES)
        self._fixed = any(size > 0 for size in first)

    def run(self, x: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the tensors for at most ``batch`` samples."""
        count = len(next(iter(x.values())))
        feeds = {name: x[name].astype(kind) for name, kind in self._types.items() if name in x}
        if self._bare:
            feeds = {name: array[0] for name, array in feeds.items()}
        elif self._fixed and count < self.batch:
            feeds = {name: np.resize(array, (self.batch, *array.shape[1:])) for name, array in feeds.items()}
        try:
            found = self._session.run(self._names, feeds)
        except Exception as error:  # as above, for the arrays
            raise HwquantError(f"the source cannot be computed by onnxruntime: {_line(error)}") from error
        return {name: array[None] if self._bare else array[:count] for name, array in zip(self._names, found)}


def _line(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"
