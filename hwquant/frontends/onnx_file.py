"""ONNX files: one is read with its external data, and another kind of file is called what it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.files import read_ordinary

if TYPE_CHECKING:
    import onnx

LARGEST = (1 << 31) - 1
"""Bytes that a protocol buffer can have."""


def load(path: Path) -> onnx.ModelProto:
    """Read the model in a file, with its external data (of the file's own folder only) in it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    onnx.ModelProto
        The model.

    Raises
    ------
    HwquantError
        If it cannot be read, is damaged, or of another kind.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        content = read_ordinary(path, LARGEST)
    except OSError as error:
        raise HwquantError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    if content[4:8] == b"TFL3":
        raise Unsupported(
            f"{str(path)!r} is a TensorFlow Lite file, which is no ONNX model; load_model reads it",
            where=str(path),
        )
    hint = (
        "export or copy it again"
        if path.suffix.lower() == ".onnx"
        else "models are .onnx files, .pt2 files of torch.export.save, and .tflite files"
    )
    damaged = Damaged(f"{str(path)!r} is not an ONNX model, or is truncated; {hint}", path=str(path))
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise damaged from None
    if not model.HasField("graph") or not model.opset_import:
        raise damaged
    try:
        for graph in (model.graph, *model.functions):
            for tensor in _tensors(graph):
                _check_external(tensor)
        onnx.load_external_data_for_model(model, str(path.resolve().parent))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, onnx.checker.ValidationError) as error:
        raise Damaged(
            f"the weights of {str(path)!r} are in a separate file that cannot be read: {error}; "
            "keep the files together",
            path=str(path),
        ) from None
    return model


_EXTERNAL = ("location", "offset", "length", "checksum")
"""What ONNX says of a tensor that is in another file."""


def _tensors(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """The constants of a graph or a function, and of its branches."""
    yield from getattr(graph, "initializer", ())
    for attribute in (item for node in graph.node for item in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        if attribute.HasField("g"):
            yield from _tensors(attribute.g)


def _check_external(tensor: onnx.TensorProto) -> None:
    """Refuse what runtimes do, and read of another file no more than the tensor's own size.

    Raises
    ------
    ValueError
        For keys that are repeated or unknown, and for a length that is not the tensor's.
    """
    import onnx

    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    keys = [entry.key for entry in tensor.external_data]
    if len(set(keys)) < len(keys) or not set(keys) <= set(_EXTERNAL):
        raise ValueError(f"tensor {tensor.name!r} says where its data is by {keys}")
    size = math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    given = next((int(entry.value) for entry in tensor.external_data if entry.key == "length"), None)
    if given is None:
        tensor.external_data.add(key="length", value=str(size))
    elif given > size:
        raise ValueError(f"tensor {tensor.name!r} has {given} bytes of data, more than its {size}")
