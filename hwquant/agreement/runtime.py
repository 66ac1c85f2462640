"""A quantized model as its own runtime computes it, and all of its integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.frontends.aten_program import AtenProgram
from hwquant.frontends.torch_program import as_module
from hwquant.packages import load_package

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
SAMPLES = 64
"""Computed at once, where the model leaves that open."""


class Runtime:
    """A model in its runtime.

    Parameters
    ----------
    name : str
        What computes it, for messages.
    compute : callable
        Computes the wanted tensors of arrays by input name.
    types : mapping of dtype
        The element types of the inputs, by name.
    batches : sequence of int or None
        The first size of each input; None where it is open.
    names : sequence of str
        The tensors that are wanted.
    bare : bool
        The model takes a sample as it is, without a batch dimension.
    """

    def __init__(
        self,
        name: str,
        compute: Callable[[Mapping[str, Array]], Sequence[Array]],
        types: Mapping[str, Any],
        batches: Sequence[int | None],
        names: Sequence[str],
        bare: bool,
    ) -> None:
        self._name, self._compute, self._types, self._names, self._bare = name, compute, types, names, bare
        sizes = [size for size in batches if size]
        self.batch = 1 if bare else next(iter(sizes), SAMPLES)
        self._fixed = bool(sizes)

    def run(self, x: Mapping[str, Array]) -> dict[str, Array]:
        """Compute the tensors for at most ``batch`` samples."""
        count = len(next(iter(x.values())))
        feeds = {name: x[name].astype(kind) for name, kind in self._types.items() if name in x}
        if self._bare:
            feeds = {name: array[0] for name, array in feeds.items()}
        elif self._fixed and count < self.batch:
            feeds = {name: np.resize(array, (self.batch, *array.shape[1:])) for name, array in feeds.items()}
        try:
            found = self._compute(feeds)
        except Exception as error:  # whatever the runtime raises for arrays that it cannot compute
            raise HwquantError(f"the source cannot be computed by {self._name}: {_line(error)}") from error
        return {name: array[None] if self._bare else array[:count] for name, array in zip(self._names, found)}


def of_onnx(model: onnx.ModelProto, names: Sequence[str], bare: bool) -> Runtime:
    """A model in onnxruntime, without its optimizations: they would take the integers away."""
    import onnx

    runtime = load_package("onnxruntime", "onnxruntime", "host", "comparing with the source")
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    outputs = {item.name for item in shown.graph.output}
    wanted = list(dict.fromkeys(names))
    shown.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in wanted if name not in outputs
    )
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = runtime.InferenceSession(
            shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # whatever the runtime raises for a model that it cannot run
        raise HwquantError(f"{model.graph.name!r} cannot be run by onnxruntime: {_line(error)}") from error
    weights = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in weights]
    types = {
        item.name: onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type) for item in inputs
    }
    first = [
        item.type.tensor_type.shape.dim[0].dim_value for item in inputs if item.type.tensor_type.shape.dim
    ]
    return Runtime("onnxruntime", lambda feeds: session.run(wanted, feeds), types, first, wanted, bare)


def of_program(program: AtenProgram, names: Sequence[str], bare: bool) -> Runtime:
    """A program of torch.export in torch, operator by operator."""
    load_package("torch", "torch", "torch", "comparing with the source")
    import torch

    wanted = list(dict.fromkeys(names))
    module = as_module(replace(program, outputs=tuple(wanted)))

    def compute(feeds: Mapping[str, Array]) -> list[Array]:
        with torch.no_grad():
            found = module(
                *(torch.from_numpy(np.ascontiguousarray(feeds[item.name])) for item in program.inputs)
            )
        return [tensor.numpy() for tensor in found]

    types = {item.name: np.dtype(item.dtype) for item in program.inputs}
    batches = [item.shape[0] for item in program.inputs if item.shape]
    return Runtime("torch", compute, types, batches, wanted, bare)


def _line(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"
