"""ONNX files: read one with its external data, and say what another kind of file is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.files import read_ordinary

if TYPE_CHECKING:
    import onnx

LARGEST = (1 << 31) - 1
"""Bytes that a protocol buffer can have."""


def load(path: Path) -> onnx.ModelProto:
    """The model in a file, its external data (of the file's own folder only) in it.

    Raises
    ------
    HwquantError
        if it cannot be read, is damaged, or of another kind
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        content = read_ordinary(path, LARGEST)
    except OSError as error:
        raise HwquantError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    if content[4:8] == b"TFL3":
        raise Unsupported(
            f"{str(path)!r} is a TensorFlow Lite file, which is not read; export the float network as ONNX",
            where=str(path),
        )
    damaged = Damaged(
        f"{str(path)!r} is not an ONNX model, or is truncated; export or copy it again", path=str(path)
    )
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise damaged from None
    if not model.HasField("graph") or not model.opset_import:
        raise damaged
    try:
        onnx.load_external_data_for_model(model, str(path.resolve().parent))
    except (OSError, ValueError, TypeError, RuntimeError, onnx.checker.ValidationError) as error:
        raise Damaged(
            f"the weights of {str(path)!r} are in a separate file that cannot be read: {error}; "
            "keep the files together",
            path=str(path),
        ) from None
    return model
