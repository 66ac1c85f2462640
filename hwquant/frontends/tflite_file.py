"""TensorFlow Lite files as plain data: tensors, operators and their options, all of them checked.

A file is a FlatBuffer of the schema that the package ``tflite`` has classes for.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.files import read_ordinary
from hwquant.frontends.limits import LARGEST
from hwquant.frontends.tflite_model import Operation, Quantization, Tensor, TfliteFile
from hwquant.frontends.tflite_sparse import MOST_DENSE, dense
from hwquant.frontends.tflite_tables import UNREADABLE, Tables
from hwquant.frontends.tflite_variables import WITHOUT_OUTPUTS, begun_by, without_variables
from hwquant.frontends.tflite_verifier import Verifier
from hwquant.packages import load_package

IDENTIFIER = b"TFL3"
"""What stands at byte 4 of a file."""

VERSION = 3
"""Of the schema, as runtimes read it."""

LARGEST_FILE = 1 << 30
"""Bytes of a file that is read."""

_DTYPES = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "INT64": np.int64,
    "INT32": np.int32,
    "INT16": np.int16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "BOOL": np.bool_,
}
"""What elements are, by the name of their type in the schema; INT4 is two of them in a byte."""

_ZERO_POINTS = {
    "INT8": (-128, 127),
    "UINT8": (0, 255),
    "INT4": (-8, 7),
    "INT16": (-32768, 32767),
    "INT32": (0, 0),
}
"""The least and the greatest zero point of each type; biases have none."""

CODES = ("INT8", "UINT8", "INT4", "INT16")
"""Types whose elements stand for real numbers where the tensor has a scale."""


def read_tflite(path: Path) -> TfliteFile:
    """Read a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    TfliteFile
        The network.

    Raises
    ------
    HwquantError
        If it cannot be read, is damaged, or has what is not supported.
    """
    schema = load_package("tflite", "tflite", "tflite", "reading TensorFlow Lite files")
    try:
        content = read_ordinary(path, LARGEST_FILE)
    except OSError as error:
        raise HwquantError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    try:
        return _Reader(schema, content, path.stem).file()
    except UNREADABLE as error:
        reason = str(error) or type(error).__name__
        raise Damaged(
            f"{str(path)!r} is a TensorFlow Lite file that is damaged or truncated ({reason}); "
            "convert or copy it again",
            path=str(path),
        ) from None


class _Reader:
    """The reader of one file; what is damaged raises one of `UNREADABLE`."""

    def __init__(self, schema: Any, content: bytes, name: str) -> None:
        self.schema, self.content, self.name = schema, content, name
        self.read = Tables(content)
        self.kinds = _names(schema.TensorType)
        self.operators = _names(schema.BuiltinOperator)
        self.tables = _names(schema.BuiltinOptions)
        self.buffers: list[Any] = []
        self.left = MOST_DENSE

    def file(self) -> TfliteFile:
        """All of the file."""
        if self.content[4:8] != IDENTIFIER:
            raise ValueError("it does not say that it is one")
        Verifier(self.schema, self.content).verify()
        model = self.schema.Model.GetRootAs(self.content)
        if model.Version() != VERSION:
            raise ValueError(f"it is of version {model.Version()} of the schema")
        graphs = self.read.tables(model, "Subgraphs")
        codes = self.read.tables(model, "OperatorCodes")
        self.buffers = self.read.tables(model, "Buffers")
        if not graphs:
            raise ValueError("it has no subgraph")
        main = self.graph(graphs[0], codes)
        if not main.outputs:
            raise ValueError("it has no outputs")
        once = {begun_by(operation) for operation in main.operations} - {None}
        if once != set(range(1, len(graphs))):
            raise self.refused(f"it has {len(graphs)} subgraphs; convert one function, without control flow")
        others = {number: self.graph(graphs[number], codes) for number in range(1, len(graphs))}
        return without_variables(main, others)

    def graph(self, graph: Any, codes: list[Any]) -> TfliteFile:
        """A subgraph."""
        tensors: list[Tensor] = []
        names: set[str] = set()
        for index, table in enumerate(self.read.tables(graph, "Tensors")):
            tensors.append(self.tensor(table, index, names))
            names.add(tensors[-1].name)
        operations = [
            self.operation(table, index, codes)
            for index, table in enumerate(self.read.tables(graph, "Operators"))
        ]
        found = TfliteFile(
            self.name,
            tuple(tensors),
            tuple(operations),
            self.places(graph, "Inputs"),
            self.places(graph, "Outputs"),
        )
        _check_order(found)
        return found

    def refused(self, what: str) -> Unsupported:
        """The error for what is valid and not supported."""
        return Unsupported(f"{self.name!r} is a TensorFlow Lite file; {what}", where=self.name)

    def places(self, parent: Any, field: str) -> tuple[int, ...]:
        """Tensors by number."""
        return tuple(int(number) for number in self.read.numbers(parent, field))

    def tensor(self, table: Any, index: int, taken: set[str]) -> Tensor:
        """A tensor, by a name that is not taken."""
        name = self.read.text(table.Name()) or f"tensor {index}"
        name = f"{name};{index}" if name in taken else name
        kind = self.kinds[table.Type()]
        shape = tuple(int(size) for size in self.read.numbers(table, "Shape"))
        if any(size < 0 for size in shape):
            raise ValueError(f"tensor {name!r} has the shape {shape}")
        if table.IsVariable():
            raise self.refused(f"its tensor {name!r} is a variable, which is not read; convert it without")
        if math.prod(shape) > LARGEST:
            raise self.refused(f"its tensor {name!r} has the shape {shape}, which is too large")
        array = self.elements(table.Buffer(), name, kind, shape, table.Sparsity())
        meaning = self.quantization(table, name, kind, shape, array is not None)
        return Tensor(name, kind, shape, array, meaning, table.Sparsity() is not None)

    def elements(
        self, index: int, name: str, kind: str, shape: tuple[int, ...], sparsity: Any
    ) -> NDArray[Any] | None:
        """The elements of a tensor that are in a buffer; None where the buffer is empty."""
        buffer = self.buffers[index]
        data = buffer.DataAsNumpy()
        offset, size = buffer.Offset(), buffer.Size()
        if offset > 1:  # beside the tables, as in files beyond 2 GB
            data = np.frombuffer(self.content, np.uint8, size, offset)
        if index == 0 or isinstance(data, int) or not data.size:
            return None
        packed = kind == "INT4"
        dtype = np.dtype(np.uint8 if packed else _DTYPES.get(kind, np.uint8))
        count = math.prod(shape)
        if kind not in _DTYPES and not packed:
            raise self.refused(f"its constant {name!r} has elements of type {kind}, which are not read")
        if sparsity is not None:
            self.left -= count * dtype.itemsize
            if packed or self.left < 0:
                what = "has integers of 4 bits" if packed else "is too large"
                raise self.refused(
                    f"its constant {name!r} is sparse, and {what}; convert it without sparsity"
                )
            return dense(self.read, self.schema, sparsity, np.frombuffer(data, dtype), shape)
        if data.size != (-(-count // 2) if packed else count * dtype.itemsize):
            raise ValueError(f"tensor {name!r} of shape {shape} and type {kind} has {data.size} bytes")
        if packed:
            return _nibbles(data)[:count].reshape(shape)
        return np.frombuffer(data, dtype).reshape(shape)

    def quantization(
        self, table: Any, name: str, kind: str, shape: tuple[int, ...], constant: bool
    ) -> Quantization | None:
        """What a tensor's integers stand for; None where they are integers, or its elements are no integers.

        Of 32 bits only constants have scales: they are biases.
        """
        found = table.Quantization()
        if found is None:
            return None
        count = found.ScaleLength()
        if count and found.ZeroPointLength() != count:
            raise ValueError(f"tensor {name!r} has {count} scales and {found.ZeroPointLength()} zero points")
        if kind not in CODES and not (kind == "INT32" and constant):
            return None
        if found.DetailsType():
            raise self.refused(f"its tensor {name!r} is quantized in a way of its own, which is not read")
        scales, zeros = self.read.numbers(found, "Scale"), self.read.numbers(found, "ZeroPoint")
        if not scales.size:
            return None
        axis = found.QuantizedDimension() if scales.size > 1 else 0
        several = scales.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scales.size)
        if several:
            raise ValueError(f"tensor {name!r} has {scales.size} scales and {zeros.size} zero points")
        if not (np.isfinite(scales) & (scales >= np.finfo(np.float32).tiny)).all():
            raise ValueError(f"tensor {name!r} has a scale that is no positive number, or next to none")
        low, high = _ZERO_POINTS[kind]
        if not low <= zeros.min() <= zeros.max() <= high:
            raise ValueError(f"tensor {name!r} has a zero point that is none of its integers")
        return Quantization(scales.astype(np.float32), zeros.astype(np.int64), axis)

    def operation(self, table: Any, index: int, codes: list[Any]) -> Operation:
        """An operator with its options."""
        code = codes[table.OpcodeIndex()]
        number = self.read.operator(code)
        kind = self.operators.get(number, f"number {number}")
        custom = kind == "CUSTOM"
        if custom:
            kind = self.read.text(code.CustomCode())
        name, options = "", {}
        if table.BuiltinOptionsType():
            name = self.tables[table.BuiltinOptionsType()]
            union, found = table.BuiltinOptions(), getattr(self.schema, name)()
            if union is None:
                raise ValueError(f"operator {index} ({kind}) lacks its options")
            found.Init(union.Bytes, union.Pos)
            options = self.read.options(found)
        inputs, outputs = self.places(table, "Inputs"), self.places(table, "Outputs")
        return Operation(index, kind, custom, inputs, outputs, name, options)


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _nibbles(data: NDArray[np.uint8]) -> NDArray[np.int8]:
    """The numbers of 4 bits, the first in the low half of a byte."""
    both = np.stack([data & 15, data >> 4], axis=-1).ravel().astype(np.int8)
    return np.where(both > 7, both - 16, both).astype(np.int8)


def _check_order(file: TfliteFile) -> None:
    """Raise ValueError unless each tensor is there before it is read, and has one source."""
    count = len(file.tensors)
    known = {index for index, tensor in enumerate(file.tensors) if tensor.array is not None}
    for index in file.inputs:
        if not 0 <= index < count or index in known:
            raise ValueError(f"its input {index} is none of its tensors, or a constant")
        known.add(index)
    for operation in file.operations:
        if not operation.outputs and (operation.custom or operation.kind not in WITHOUT_OUTPUTS):
            raise ValueError(f"operator {operation.index} ({operation.kind}) has no outputs")
        for index in operation.inputs:
            if index != -1 and index not in known:
                raise ValueError(f"operator {operation.index} ({operation.kind}) reads what is not computed")
        for index in operation.outputs:
            if not 0 <= index < count or index in known:
                raise ValueError(f"operator {operation.index} ({operation.kind}) has an output that is taken")
            known.add(index)
    if not set(file.outputs) <= known:
        raise ValueError("its outputs are not computed")
