"""Trained networks in: ONNX and TensorFlow Lite files, torch modules and ``torch.export`` programs become a `Graph`."""

from hwquant.frontends.model_files import load_model, load_network, read_back, with_source
from hwquant.frontends.models import from_brevitas, from_exported, from_onnx, from_torch

__all__ = [
    "from_brevitas",
    "from_exported",
    "from_onnx",
    "from_torch",
    "load_model",
    "load_network",
    "read_back",
    "with_source",
]
