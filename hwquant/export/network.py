"""A whole integer network as an ONNX model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from hwquant.export.borders import BATCH, add_input, add_output
from hwquant.export.builder import Builder
from hwquant.export.embedded import METADATA, text_of
from hwquant.export.ends import joined
from hwquant.export.layers import LayerWriter, carried, carrier, middle
from hwquant.files import write_bytes
from hwquant.packages import load_package
from hwquant.qgraph import QGraph
from hwquant.validate import validate

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8

DOC = (
    "Integer network, equal bit for bit to hwquant's golden model. Tensors are carried as uint8 q + 128, called "
    "TENSOR/uint8; acc = b_q + sum (w_q + o)(x_q - z_x), y_q = clamp(((acc * m + (1 << (s - 1))) >> s) + z_y)."
)
WIDE_DOC = " Those of more than 8 bits are carried as uint32 q + 2^15 or q + 2^23, called TENSOR/uint32."


def to_onnx(qgraph: QGraph, *, layers: bool = False) -> onnx.ModelProto:
    """Write an integer network in ONNX's standard operators (opset 17), for any runtime; the host's part with it.

    Inputs and outputs are the float network's: float32 (batch, *shape), by the same names; an argmax is
    int64. What the model gives is :func:`hwquant.golden.predict` rounded to float32, bit for bit; only the
    exponentials of a (log-)softmax are those of the runtime. :func:`hwquant.load_network` reads the network back.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    layers : bool, default False
        Also output every tensor's integers, int8 (int32 where it has more than 8 bits) (batch, C, H, W), as
        ``TENSOR/q``.

    Returns
    -------
    onnx.ModelProto
        A model that onnx.checker accepts, the same for the same network.

    Raises
    ------
    HwquantError
        The network is not valid; a layer's sums do not fit into ONNX's integers; the package onnx
        is absent.
    """
    load_package("onnx", "onnx", "onnx", "writing ONNX models")
    validate(qgraph)
    builder = Builder()
    for item in qgraph.inputs:
        add_input(builder, item, qgraph.tensors[item.name])
    writer = LayerWriter(builder, qgraph)
    for node in qgraph.nodes:
        writer.add(node)
    for output in qgraph.outputs:
        add_output(builder, output, qgraph.tensors[output.tensor])
    for name, tensor in qgraph.tensors.items():
        doc = f"S = {tensor.scale!r}, z = {tensor.zero_point}, {tensor.bits} bits"
        shape: list[int | str] = [BATCH, *tensor.shape]
        builder.describe(carried(tensor), carrier(tensor), shape, f"q + {middle(tensor)}; {doc}")
        if layers:
            signed = builder.cast(carried(tensor), np.int32, f"{name}/int32")
            centre = builder.constant(f"{name}/middle", middle(tensor), np.int32)
            signed = builder.node("Sub", [signed, centre], f"{name}/q_int32")
            dtype = np.int8 if carrier(tensor) is np.uint8 else np.int32
            builder.output(builder.cast(signed, dtype, f"{name}/q"), dtype, shape, doc)
    wide = any(carrier(tensor) is not np.uint8 for tensor in qgraph.tensors.values())
    told = {METADATA: text_of(qgraph)}
    return joined(builder.model(qgraph.name, DOC + WIDE_DOC * wide, OPSET, IR_VERSION, told), qgraph)


def save_onnx(qgraph: QGraph, path: str | os.PathLike[str], *, layers: bool = False) -> None:
    """Write :func:`to_onnx`'s model to a file, whole or not at all; the same network gives the same bytes.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    path : str or PathLike
        The file; one that exists is replaced.
    layers : bool, default False
        Also output every tensor's integers, as :func:`to_onnx` does.

    Raises
    ------
    HwquantError
        The network cannot be expressed, as in :func:`to_onnx`, or the file cannot be written.
    """
    write_bytes(path, to_onnx(qgraph, layers=layers).SerializeToString(deterministic=True))
