"""Integer networks as ONNX: standard operators that another runtime executes to the same bits."""
