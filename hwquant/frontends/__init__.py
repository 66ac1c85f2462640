"""Trained networks in: ONNX files, ``torch.nn.Module`` and ``torch.export`` programs become a `Graph`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwquant.frontends.onnx_reader import read_onnx
from hwquant.graph import Graph

if TYPE_CHECKING:
    import onnx

__all__ = ["from_onnx"]


def from_onnx(model: str | Path | onnx.ModelProto) -> Graph:
    """A float network from an ONNX file or a ModelProto (operator sets 7 to the newest).

    Raises
    ------
    HwquantError
        for what is not an ONNX model, and for what is not supported, by node and operator
    """
    return read_onnx(model)
