"""An integer network inside of its own export, which is read back to the same ``.hwq`` file, byte for byte.

The metadata of an exported model hold the ``.hwq`` file: its operators lack what no runtime needs, such as scales of
weights, masks, and how the network was quantized. They are believed where the network in them exports to the very
operators and constants that the model has; so a model that was edited, or whose metadata were, is not.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import TYPE_CHECKING

from hwquant.errors import Damaged, Unsupported
from hwquant.hwq import from_bytes, to_bytes
from hwquant.qgraph import QGraph

if TYPE_CHECKING:
    import onnx

METADATA = "hwquant.network"
"""Where the metadata of an ONNX model have the network."""
LEVEL = 9
MOST_BYTES = 64
"""Bytes of a ``.hwq`` file for each byte of its export, at most: both have the weights, and reports are small."""


def text_of(qgraph: QGraph) -> str:
    """Write a network as the text that an ONNX model's metadata hold."""
    return base64.b64encode(zlib.compress(to_bytes(qgraph), LEVEL)).decode()


def is_embedded(model: onnx.ModelProto) -> bool:
    """Whether a model has an integer network in its metadata."""
    return any(item.key == METADATA for item in model.metadata_props)


def embedded(model: onnx.ModelProto, name: str) -> QGraph:
    """Read the integer network that a model was exported from.

    Parameters
    ----------
    model : onnx.ModelProto
        A model that :func:`is_embedded`.
    name : str
        What messages call it.

    Returns
    -------
    QGraph
        The network.

    Raises
    ------
    Damaged
        The metadata are damaged, or not those of this model.
    HwquantError
        They are of a newer version.
    """
    where = f"the network in the metadata {METADATA!r} of {name!r}"
    texts = [item.value for item in model.metadata_props if item.key == METADATA]
    if len(texts) > 1:
        raise Damaged(f"{where} is there twice; export it again")
    qgraph = from_bytes(_decoded(texts[0], MOST_BYTES * model.ByteSize(), where), where)
    if not _exports_to(qgraph, model):
        raise Damaged(
            f"{name!r} does not compute what {where} does: it was changed since, or exported by another hwquant; "
            "export the .hwq file again, or delete the metadata to have its operators read as those of any model"
        )
    return qgraph


def _decoded(text: str, most: int, where: str) -> bytes:
    """The bytes of a ``.hwq`` file, which are not more than ``most``."""
    try:
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(base64.b64decode(text, validate=True), most)
        if not unpacking.eof or unpacking.unused_data:
            raise ValueError("its end is not where it should be")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise Damaged(f"{where} is damaged: {error}; export it again") from None
    return content


def _exports_to(qgraph: QGraph, model: onnx.ModelProto) -> bool:
    """Whether an export of a network computes what a model does, operator by operator."""
    from hwquant.export.network import to_onnx

    layers = len(model.graph.output) > len(qgraph.network_outputs)
    try:
        made = to_onnx(qgraph, layers=layers)
    except Unsupported:
        return False
    return _computed(made) == _computed(model)


def _computed(model: onnx.ModelProto) -> bytes:
    """What of a model decides what it computes: all but descriptions and where it comes from."""
    bare = type(model)()
    bare.graph.CopyFrom(model.graph)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    del bare.graph.value_info[:]
    for item in (
        bare.graph,
        *bare.graph.node,
        *bare.graph.input,
        *bare.graph.output,
        *bare.graph.initializer,
    ):
        item.ClearField("doc_string")
    return bare.SerializeToString(deterministic=True)
