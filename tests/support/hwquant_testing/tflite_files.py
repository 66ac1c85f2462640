"""TensorFlow Lite files, built table by table, and LiteRT's answers to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import onnxruntime
import tflite

from hwquant.frontends.tflite_onnx import tflite_as_onnx

KINDS = {
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(np.float16): tflite.TensorType.FLOAT16,
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int16): tflite.TensorType.INT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.int64): tflite.TensorType.INT64,
    np.dtype(np.bool_): tflite.TensorType.BOOL,
}


@dataclass(frozen=True)
class Sparse:
    """Where the elements of a sparse tensor are; each level is a size, or segments and indices of one type."""

    order: Sequence[int]
    blocks: Sequence[int]
    levels: Sequence[int | tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Tensor:
    """A tensor: its shape, or its elements; where they stand for real numbers, scales, zero points and their axis.

    Of a sparse one ``array`` has the elements that are stored.
    """

    shape: tuple[int, ...] = ()
    dtype: Any = np.float32
    array: np.ndarray | None = None
    scales: tuple[float, ...] = ()
    zeros: tuple[int, ...] = ()
    axis: int = 0
    kind: int | None = None
    sparse: Sparse | None = None


@dataclass(frozen=True)
class Operation:
    """An operator by its name in the schema; tensors by number."""

    kind: str
    inputs: Sequence[int]
    outputs: Sequence[int]
    table: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def constant(array: Any, dtype: Any = np.float32, **meaning: Any) -> Tensor:
    """A tensor whose elements are in the file."""
    found = np.asarray(array, dtype)
    return Tensor(found.shape, dtype, found, **meaning)


def resource() -> Tensor:
    """A tensor that stands for a variable."""
    return Tensor(kind=tflite.TensorType.RESOURCE)


def handle(number: int, name: str) -> Operation:
    """VAR_HANDLE: a tensor for the variable of a name."""
    return Operation("VAR_HANDLE", (), (number,), "VarHandleOptions", {"SharedName": name})


def read(variable: int, number: int) -> Operation:
    """READ_VARIABLE."""
    return Operation("READ_VARIABLE", (variable,), (number,), "ReadVariableOptions")


def assign(variable: int, number: int) -> Operation:
    """ASSIGN_VARIABLE."""
    return Operation("ASSIGN_VARIABLE", (variable, number), (), "AssignVariableOptions")


def once(number: int = 1) -> Operation:
    """CALL_ONCE of another subgraph."""
    return Operation("CALL_ONCE", (), (), "CallOnceOptions", {"InitSubgraphIndex": number})


def beginning(values: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Operation]]:
    """The subgraph that gives variables their first values."""
    tensors = [item for value in values.values() for item in (resource(), value)]
    steps = [
        step
        for number, name in enumerate(values)
        for step in (handle(2 * number, name), assign(2 * number, 2 * number + 1))
    ]
    return tensors, steps


def built(
    tensors: Sequence[Tensor],
    operations: Sequence[Operation],
    inputs: Sequence[int],
    outputs: Sequence[int],
    others: Sequence[tuple[Sequence[Tensor], Sequence[Operation]]] = (),
) -> bytes:
    """The bytes of a file; other subgraphs have no inputs and outputs."""
    make = flatbuffers.Builder(1024)
    buffers, codes = [_table(make, "Buffer")], []
    graphs = [_graph(make, buffers, codes, tensors, operations, inputs, outputs)]
    graphs += [_graph(make, buffers, codes, *other, (), ()) for other in others]
    model = _table(
        make,
        "Model",
        Version=3,
        OperatorCodes=_offsets(make, codes),
        Subgraphs=_offsets(make, graphs),
        Buffers=_offsets(make, buffers),
    )
    make.Finish(model, b"TFL3")
    return bytes(make.Output())


def _graph(
    make: flatbuffers.Builder,
    buffers: list[int],
    codes: list[int],
    tensors: Sequence[Tensor],
    operations: Sequence[Operation],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> int:
    made = [_tensor(make, buffers, number, tensor) for number, tensor in enumerate(tensors)]
    steps = []
    for operation in operations:
        code = getattr(tflite.BuiltinOperator, operation.kind)
        codes.append(
            _table(make, "OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code, Version=1)
        )
        fields = {"OpcodeIndex": len(codes) - 1}
        if operation.table:
            values = {
                name: _numbers(make, value)
                if isinstance(value, tuple)
                else make.CreateString(value)
                if isinstance(value, str)
                else value
                for name, value in operation.options.items()
            }
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, operation.table)
            fields["BuiltinOptions"] = _table(make, operation.table, **values)
        taken, written = _numbers(make, operation.inputs), _numbers(make, operation.outputs)
        steps.append(_table(make, "Operator", Inputs=taken, Outputs=written, **fields))
    return _table(
        make,
        "SubGraph",
        Tensors=_offsets(make, made),
        Inputs=_numbers(make, inputs),
        Outputs=_numbers(make, outputs),
        Operators=_offsets(make, steps),
    )


def _tensor(make: flatbuffers.Builder, buffers: list[int], number: int, tensor: Tensor) -> int:
    place = 0
    if tensor.array is not None:
        data = make.CreateNumpyVector(np.frombuffer(tensor.array.tobytes(), np.uint8))
        place = len(buffers)
        buffers.append(_table(make, "Buffer", Data=data))
    meaning = {}
    if tensor.scales:
        scales = make.CreateNumpyVector(np.array(tensor.scales, np.float32))
        zeros = make.CreateNumpyVector(np.array(tensor.zeros, np.int64))
        meaning["Quantization"] = _table(
            make, "QuantizationParameters", Scale=scales, ZeroPoint=zeros, QuantizedDimension=tensor.axis
        )
    if tensor.sparse is not None:
        levels = [_level(make, level) for level in tensor.sparse.levels]
        meaning["Sparsity"] = _table(
            make,
            "SparsityParameters",
            TraversalOrder=_numbers(make, tensor.sparse.order),
            BlockMap=_numbers(make, tensor.sparse.blocks),
            DimMetadata=_offsets(make, levels),
        )
    kind = KINDS[np.dtype(tensor.dtype)] if tensor.kind is None else tensor.kind
    name, shape = make.CreateString(f"t{number}"), _numbers(make, tensor.shape)
    return _table(make, "Tensor", Shape=shape, Type=kind, Buffer=place, Name=name, **meaning)


def _level(make: flatbuffers.Builder, level: int | tuple[np.ndarray, np.ndarray]) -> int:
    if isinstance(level, int):
        return _table(make, "DimensionMetadata", Format=tflite.DimensionType.DENSE, DenseSize=level)
    fields = {}
    for name, numbers in zip(("ArraySegments", "ArrayIndices"), level):
        kind = f"{numbers.dtype.name.capitalize()}Vector"
        fields[f"{name}Type"] = getattr(tflite.SparseIndexVector, kind)
        fields[name] = _table(make, kind, Values=make.CreateNumpyVector(numbers))
    return _table(make, "DimensionMetadata", Format=tflite.DimensionType.SPARSE_CSR, **fields)


def _table(make: flatbuffers.Builder, name: str, **fields: Any) -> int:
    getattr(tflite, f"{name}Start")(make)
    for label, value in fields.items():
        getattr(tflite, f"{name}Add{label}")(make, value)
    return int(getattr(tflite, f"{name}End")(make))


def _numbers(make: flatbuffers.Builder, numbers: Sequence[int]) -> int:
    return int(make.CreateNumpyVector(np.array(list(numbers), np.int32)))


def _offsets(make: flatbuffers.Builder, places: Sequence[int]) -> int:
    make.StartVector(4, len(places), 4)
    for place in reversed(places):
        make.PrependUOffsetTRelative(place)
    return int(make.EndVector())


def litert(path: Path, feeds: Sequence[np.ndarray], delegates: bool = True) -> list[np.ndarray]:
    """What LiteRT computes, with one thread."""
    return [array for array, _ in _litert(path, feeds, delegates)]


def litert_real(path: Path, feeds: Sequence[np.ndarray]) -> list[tuple[np.ndarray, float]]:
    """What the integers stand for that LiteRT computes, and the real value of one."""
    found = []
    for array, (scale, zero) in _litert(path, feeds):
        found.append((scale * (array.astype(np.float64) - zero), scale))
    return found


def litert_calls(path: Path, x: np.ndarray) -> np.ndarray:
    """What LiteRT computes of one sample (...) after the other of an input, keeping its variables: the first output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), found = interpreter.get_input_details(), interpreter.get_output_details()[0]
    answers = []
    for sample in x:
        interpreter.set_tensor(given["index"], sample[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(found["index"]))
    return np.concatenate(answers)


def _litert(
    path: Path, feeds: Sequence[np.ndarray], delegates: bool = True
) -> list[tuple[np.ndarray, tuple[float, int]]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.AUTO if delegates else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    for item, value in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(item["index"], value)
    interpreter.invoke()
    details = interpreter.get_output_details()
    return [(interpreter.get_tensor(item["index"]), item["quantization"]) for item in details]


def onnx_answers(path: Path, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What onnxruntime computes of the model that we make."""
    model = tflite_as_onnx(path)
    onnx.checker.check_model(model, full_check=True)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings)
    names = [item.name for item in session.get_inputs()]
    return session.run(None, dict(zip(names, feeds, strict=True)))


def agree(got: np.ndarray, want: np.ndarray) -> None:
    """Fail unless two arrays of one shape and type are as close as float32 is."""
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * max(1.0, np.abs(want).max()))
