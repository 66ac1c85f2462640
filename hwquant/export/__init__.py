"""Integer networks as ONNX: standard operators that another runtime executes to the same bits. Float ones too."""

from hwquant.export.float_network import float_to_onnx, save_float
from hwquant.export.network import save_onnx, to_onnx

__all__ = ["float_to_onnx", "save_float", "save_onnx", "to_onnx"]
