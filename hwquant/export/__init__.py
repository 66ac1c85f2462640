"""Integer networks as ONNX: standard operators that another runtime executes to the same bits."""

from hwquant.export.float16_network import float16_to_onnx, save_float16
from hwquant.export.network import save_onnx, to_onnx

__all__ = ["float16_to_onnx", "save_float16", "save_onnx", "to_onnx"]
