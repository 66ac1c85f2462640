"""Integer networks as ONNX: standard operators that another runtime executes to the same bits."""

from hwquant.export.network import save_onnx, to_onnx

__all__ = ["save_onnx", "to_onnx"]
