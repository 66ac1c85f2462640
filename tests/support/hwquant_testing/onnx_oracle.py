"""What an ONNX model computes according to two programs that we did not write, and whether an import agrees.

The rule. An import of a model is right if it is refused, or if

- onnxruntime runs the model, and every output has its shape and its numbers; or
- onnxruntime has no implementation of it (which is no verdict on the model: it says ``NOT_IMPLEMENTED``), and it
  gives these for the model in float32, or else the reference evaluator of the onnx package does; where that cannot
  run it either, nobody can tell.

The import computes with real numbers: it does not round to float16 or bfloat16 on the way. Of a model that does, the
numbers of its float32 form count.

The shapes that a model declares of intermediate tensors are no part of it: they are hints, often stale, and neither
the import nor onnxruntime is to trust them; it is given the model without.

A model that is accepted and that onnxruntime calls invalid, or fails on, is a fault, whatever the reference
evaluator says: it checks next to nothing. Where both run and differ, one of them agreeing is enough.

An output of a model for one sample may be without a batch dimension; the import's has one.

A network whose ends stay with the host is one of a fixed batch; as many samples are compared. The host rounds to
float16 where the model does, so that the numbers agree to its precision only; and where it makes infinity or NaN of
the samples, the array takes none of them and there is nothing to compare. Some of what is invalid shows only when
the host computes: it may refuse it then, where onnxruntime refuses the model too.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from hwquant.errors import HwquantError
from hwquant.floating import finish, predict, run
from hwquant.graph import Graph
from hwquant.host import before
from hwquant.interface import Output

Arrays = Mapping[str, np.ndarray]

TOLERANCE = 1e-4
"""Relative to the largest number of an output."""
HALF_TOLERANCE = 1e-2
"""The same where some of the nodes round to float16."""
_HALF = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
_FLOATS = {TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}


def feeds(model: onnx.ModelProto, seed: int, batch: int = 3) -> dict[str, np.ndarray]:
    """Random data for a model; ``batch`` samples where the batch is open."""
    rng = np.random.default_rng(seed)
    weights = {item.name for item in model.graph.initializer}
    data = {}
    for item in model.graph.input:
        if item.name in weights:
            continue
        shape = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        shape[:1] = [shape[0] if shape[0] > 0 else batch] if shape else []  # some write -1 for an open one
        dtype = helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            data[item.name] = rng.integers(
                max(info.min, -1000), min(info.max, 1000), shape, dtype, endpoint=True
            )
        else:
            data[item.name] = rng.standard_normal(shape).astype(dtype)
    return data


def runtime(model: onnx.ModelProto, data: Arrays) -> list[np.ndarray]:
    """The outputs that onnxruntime computes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.enable_mem_reuse = False  # its plan errs where a pool keeps the shape of one axis only
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for item in bare.graph.value_info:
        if item.type.HasField("tensor_type"):
            item.type.tensor_type.ClearField("shape")
    kinds = {item.type.tensor_type.elem_type for item in (*model.graph.input, *model.graph.output)}
    if TensorProto.BFLOAT16 in kinds:
        raise NoKernel("it takes and gives no bfloat16 through numpy")
    session = onnxruntime.InferenceSession(
        bare.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(data))


def reference(model: onnx.ModelProto, data: Arrays) -> list[np.ndarray]:
    """The outputs that the onnx package's own evaluator computes."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, dict(data))]


@dataclass(frozen=True)
class Result:
    """An output, and for an argmax the numbers that it chose from."""

    value: np.ndarray
    scores: np.ndarray | None


def real(data: Arrays) -> dict[str, np.ndarray]:
    """Arrays that the import takes: bfloat16 is no type of numpy's own."""
    return {
        name: array.astype(np.float64) if array.dtype.kind == "V" else array for name, array in data.items()
    }


def _results(graph: Graph, data: Arrays) -> list[Result] | None:
    """What the import computes; None where the host would give the array what is not finite."""
    data = real(data)
    with np.errstate(all="ignore"):
        if graph.host is not None:
            given = {
                port.name: data[port.name] if port.batched else data[port.name][None]
                for port in graph.host.inputs
            }
            inner = before(graph, given)
            if not all(np.isfinite(inner[item.name]).all() for item in graph.inputs):
                return None
            return [Result(value, None) for value in predict(graph, given)]
        tensors = run(graph, {item.name: data[item.name] for item in graph.inputs})
        return [_result(output, tensors[output.tensor]) for output in graph.outputs]


def _result(output: Output, tensor: np.ndarray) -> Result:
    scores = finish(replace(output, host=output.host[:-1]), tensor)
    return Result(finish(output, tensor), scores if output.host[-1:] == ("argmax",) else None)


def disagreement(model: onnx.ModelProto, graph: Graph, seed: int, batch: int = 3) -> str | None:
    """What is wrong with an import that was accepted, by the rule above; None if nothing."""
    data = feeds(model, seed, batch if graph.host is None else max(graph.host.batch, 1))
    try:
        got = _results(graph, data)
    except HwquantError as error:
        return None if graph.host is not None and _refused(model, data) else f"it cannot be run: {error}"
    if got is None:
        return None
    half = bool(_HALF & _types(model))
    tolerance = HALF_TOLERANCE if half and graph.host is not None else TOLERANCE
    try:
        found = differs(model, got, runtime(model, data), tolerance)
        if found is None:
            return None
        if half:
            return _of_float32(model, got, data, tolerance)
    except NoKernel:  # of most operators it has one for float32 only
        found = ""
        if _FLOATS & _types(model):
            return _of_float32(model, got, data, tolerance)
    except Exception as error:
        if batch > 1:  # a model may take a single sample only, although its batch is open
            return disagreement(model, graph, seed, 1)
        return f"onnxruntime refuses it: {error}"
    try:
        other = differs(model, got, reference(model, data), tolerance)
    except Exception as error:  # whatever a reference implementation raises
        return (found and f"{found}; the reference evaluator fails: {error}") or None
    return other and f"{found or 'onnxruntime has no implementation'}; of the reference evaluator {other}"


def _refused(model: onnx.ModelProto, data: Arrays) -> bool:
    """Whether onnxruntime refuses a model, or has no implementation of it."""
    try:
        runtime(model, data)
    except Exception:
        return True
    return False


def _of_float32(model: onnx.ModelProto, got: list[Result], data: Arrays, tolerance: float) -> str | None:
    """The same for a model of another float type, with float32 in its place."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.value_info[:]
    for item in (*changed.graph.input, *changed.graph.output):
        if item.type.tensor_type.elem_type in _FLOATS:
            item.type.tensor_type.elem_type = TensorProto.FLOAT
    tensors = [*changed.graph.initializer]
    for node in changed.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i in _FLOATS:
                attribute.i = TensorProto.FLOAT
            if attribute.HasField("t"):
                tensors.append(attribute.t)
    for tensor in tensors:
        if tensor.data_type in _FLOATS:
            with np.errstate(all="ignore"):
                array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    narrow = {
        name: array.astype(np.float32) if array.dtype.kind in "fV" else array for name, array in data.items()
    }
    try:
        return differs(model, got, runtime(changed, narrow), tolerance)
    except NoKernel:
        return None
    except Exception as error:
        return f"onnxruntime refuses it in float32: {error}"


def _types(model: onnx.ModelProto) -> set[int]:
    types = {item.data_type for item in model.graph.initializer}
    types |= {item.type.tensor_type.elem_type for item in (*model.graph.input, *model.graph.output)}
    return types | {item.i for node in model.graph.node for item in node.attribute if item.name == "to"}


def differs(
    model: onnx.ModelProto, got: list[Result], want: list[np.ndarray], tolerance: float = TOLERANCE
) -> str | None:
    """The first output whose shape or numbers differ."""
    for output, result, theirs in zip(model.graph.output, got, want, strict=True):
        ours = result.value
        if len(ours) == 1 and ours.shape[1:] == theirs.shape:  # all of it is of the one sample
            theirs = theirs[None]
        if ours.shape != theirs.shape:
            return f"output {output.name!r} has shape {ours.shape}, not {theirs.shape}"
        if result.scores is not None:  # another choice is right where the numbers are equal but for rounding
            ours, theirs = (
                np.take_along_axis(result.scores, np.expand_dims(index.astype(np.int64), 1), 1)
                for index in (ours, theirs)
            )
        theirs = theirs.astype(np.float64)
        finite = np.isfinite(theirs)  # beyond float32 only the oracle overflows
        scale = max(1e-3, float(np.abs(theirs[finite]).max(initial=0.0)))
        error = float(np.abs(ours[finite] - theirs[finite]).max(initial=0.0)) / scale
        if not error <= tolerance:
            return f"output {output.name!r} is off by {error:.3g} of its largest number"
    return None
