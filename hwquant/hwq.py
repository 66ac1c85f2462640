"""Integer networks in files: ``.hwq``, a :mod:`~hwquant.container` of kind "network".

``network.json`` holds names, geometry and single numbers; every array is its own member, named after its
place, such as ``layers/2/terms/0/codes.npy``. Codes of fewer than 8 bits, and the mask beside them, are
:mod:`~hwquant.packed`; ``network.json`` then has the shape.

A network of any version up to `VERSION` is read, with the predictions that it had; a newer one is refused. A network
is written as the oldest version that can say what it means: packed codes, weights on a mid-rise grid, tensors of more
than 8 bits, and products, came with version 2; tables, states, copies of pixels, and parts that stay with the host
(:mod:`~hwquant.host.stored`), with version 3.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never, cast

import numpy as np
from numpy.typing import NDArray

from hwquant import container
from hwquant.coding import Anchor, Step
from hwquant.errors import Damaged, HwquantError, check_type
from hwquant.files import read_bytes, recover, write_bytes
from hwquant.history import KEY, of_json
from hwquant.host.stored import check_ends, decode_ends, encode_ends
from hwquant.interface import Input, Output
from hwquant.names import check_is_network
from hwquant.packed import pack, unpack
from hwquant.qgraph import Concat, Layer, MaxPool, Product, QGraph, QNode, Rearrange, Tensor, Term
from hwquant.record import Arrays, Record
from hwquant.stored_copies import decode_copies, encode_copies
from hwquant.stored_tables import decode_table, encode_table
from hwquant.validate import validate
from hwquant.window import Pair, Window

KIND = "network"
VERSION = 3
PLAIN_BITS = 8
"""Codes of so many bits are int8 as they are, and no tensor of version 1 has more."""


def save(qgraph: QGraph, path: str | os.PathLike[str]) -> None:
    """Write a network; the same network gives the same bytes.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    path : str or os.PathLike
        The file; its folder must exist.

    Raises
    ------
    HwquantError
        The network is not valid, or the file cannot be written.
    TypeError
        The network is no QGraph.
    """
    write_bytes(path, to_bytes(qgraph))


def to_bytes(qgraph: QGraph) -> bytes:
    """Make the bytes of a file, those that :func:`save` writes.

    Raises
    ------
    HwquantError
        The network is not valid.
    TypeError
        The network is no QGraph.
    """
    check_type("qgraph", qgraph, QGraph, hint="hwquant.quantize_network makes one of a float network")
    validate(qgraph)
    check_ends(qgraph)
    arrays: Arrays = {}
    network = {
        "name": qgraph.name,
        "options": dict(qgraph.options),
        "inputs": [_encode_input(item, f"inputs/{i}", arrays) for i, item in enumerate(qgraph.inputs)],
        "layers": [_encode_node(node, f"layers/{i}", arrays) for i, node in enumerate(qgraph.nodes)],
        "outputs": [_encode_output(item, f"outputs/{i}", arrays) for i, item in enumerate(qgraph.outputs)],
        "tensors": [
            {
                "name": tensor.name,
                "shape": _ints(tensor.shape),
                "scale": float(tensor.scale),
                "zero_point": int(tensor.zero_point),
                "bits": int(tensor.bits),
            }
            for tensor in qgraph.tensors.values()
        ],
        **({} if qgraph.host is None else {"host": encode_ends(qgraph.host, arrays)}),
    }
    return container.pack(KIND, _version(qgraph), {"network": network}, arrays)


def load(path: str | os.PathLike[str]) -> QGraph:
    """Read a network that :func:`save` wrote.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Raises
    ------
    Damaged
        The file is no ``.hwq`` file, is damaged, or has numbers out of range.
    HwquantError
        The file is absent, of a newer version, a folder, or, by its name, a model that is not quantized yet.
    """
    path = Path(path)
    check_is_network(path)
    recover(path)
    return from_bytes(read_bytes(path), path)


def from_bytes(data: bytes, path: str | os.PathLike[str]) -> QGraph:
    """Read a network from the bytes of a file.

    Parameters
    ----------
    data : bytes
        The bytes.
    path : str or os.PathLike
        Where they are from, for messages.

    Raises
    ------
    Damaged
        They are not those of a ``.hwq`` file, or have numbers out of range.
    HwquantError
        They are of a newer version.
    """
    meta, arrays = container.unpack(data, KIND, VERSION, path)
    try:
        record = Record(meta.get("network"), "network.json")
        tensors = [_decode_tensor(item) for item in record.records("tensors")]
        qgraph = QGraph(
            name=record.text("name"),
            inputs=tuple(_decode_input(item, arrays) for item in record.records("inputs")),
            nodes=tuple(_decode_node(item, arrays) for item in record.records("layers")),
            outputs=tuple(_decode_output(item, arrays) for item in record.records("outputs")),
            tensors={tensor.name: tensor for tensor in tensors},
            options=_options(record.mapping("options")),
            host=decode_ends(record.value["host"], arrays) if "host" in record.value else None,
        )
        validate(qgraph)
        check_ends(qgraph)
    except HwquantError as error:
        message = f"{path} holds no valid network: {error}; quantize it again"
        raise Damaged(message, path=str(path)) from error
    return qgraph


def _version(qgraph: QGraph) -> int:
    """The oldest version whose readers understand a network."""
    layers = [node for node in qgraph.nodes if isinstance(node, Layer)]
    stateful = any(item.state is not None for item in qgraph.inputs)
    third = qgraph.host is not None or stateful or any(layer.table for layer in layers)
    if third or _copies_pixels(qgraph):
        return 3
    terms = [term for layer in layers for term in layer.terms]
    new = any(term.bits < PLAIN_BITS or term.step != 1 for term in terms)
    new |= any(isinstance(item, Product) for item in qgraph.nodes)
    return 2 if new or any(tensor.bits > PLAIN_BITS for tensor in qgraph.tensors.values()) else 1


def _copies_pixels(qgraph: QGraph) -> bool:
    return any(isinstance(node, Rearrange) for node in qgraph.nodes)


def _ints(values: tuple[int, ...]) -> list[int]:
    return [int(value) for value in values]


def _put(arrays: Arrays, place: str, **members: NDArray[Any] | None) -> None:
    arrays.update({f"{place}/{name}": array for name, array in members.items() if array is not None})


def _encode_input(item: Input, place: str, arrays: Arrays) -> dict[str, object]:
    _put(arrays, place, scale=item.scale, shift=item.shift, order=item.order)
    state = {} if item.state is None else {"state": item.state}
    return {"name": item.name, "shape": _ints(item.shape), "tensor_shape": _ints(item.tensor_shape), **state}


def _encode_output(item: Output, place: str, arrays: Arrays) -> dict[str, object]:
    _put(arrays, place, order=item.order)
    return {"name": item.name, "tensor": item.tensor, "shape": _ints(item.shape), "host": list(item.host)}


def _encode_window(window: Window) -> dict[str, object]:
    """A window without its kernel, which a convolution's weights tell."""
    return {
        "stride": _ints(window.stride),
        "padding": _ints(window.padding),
        "dilation": _ints(window.dilation),
    }


def _encode_node(node: QNode, place: str, arrays: Arrays) -> dict[str, object]:
    match node:
        case Layer():
            _put(arrays, place, bias=node.bias, shift=node.shift, multiplier=node.multiplier)
            terms = [_encode_term(term, f"{place}/terms/{i}", arrays) for i, term in enumerate(node.terms)]
            return {
                "type": "layer",
                "name": node.name,
                "low": int(node.low),
                "high": int(node.high),
                "terms": terms,
                **encode_table(node.table, place, arrays),
            }
        case Product():
            return {
                "type": "product",
                "name": node.name,
                "inputs": list(node.inputs),
                "shift": int(node.shift),
                "low": int(node.low),
                "high": int(node.high),
                **({} if node.multiplier is None else {"multiplier": int(node.multiplier)}),
            }
        case MaxPool():
            return {
                "type": "max_pool",
                "name": node.name,
                "input": node.inputs[0],
                "kernel": _ints(node.window.kernel),
                **_encode_window(node.window),
            }
        case Concat():
            return {"type": "concat", "name": node.name, "inputs": list(node.inputs)}
        case Rearrange():
            return {"type": "rearrange", "name": node.name, **encode_copies(node, place, arrays)}
        case _:
            assert_never(node)


def _encode_term(term: Term, place: str, arrays: Arrays) -> dict[str, object]:
    _put(arrays, place, offset=term.offset, scale=term.scale)
    packed = term.bits < PLAIN_BITS
    for name, values, bits in (("codes", term.codes, term.bits), ("mask", term.mask, 1)):
        if values is not None:
            arrays[f"{place}/{name}"] = pack(values, bits) if packed else values
    return {
        **({"shape": _ints(term.codes.shape)} if packed else {}),
        "input": term.input,
        "anchor": term.anchor,
        "bits": int(term.bits),
        "groups": int(term.groups),
        "shift": int(term.shift),
        **({"step": int(term.step)} if term.step != 1 else {}),
        **_encode_window(term.window),
    }


def _options(options: Mapping[str, object]) -> Mapping[str, object]:
    """Check the part of the options that other modules look up; the rest is for people."""
    for name in ("layers", "tensors"):
        entries = options.get(name, {})
        if not isinstance(entries, dict) or not all(isinstance(item, dict) for item in entries.values()):
            raise Damaged(f"its report has {name!r} that are no objects by name")
        for owner, item in entries.items():
            if type(item.get("sqnr_db")) not in (type(None), int, float):
                raise Damaged(f"its report gives {owner!r} an 'sqnr_db' that is no number")
    of_json(options.get(KEY, []), "it")
    return options


def _decode_tensor(record: Record) -> Tensor:
    return Tensor(
        name=record.text("name"),
        shape=record.integers("shape", 3, 1),
        scale=record.real("scale"),
        zero_point=record.integer("zero_point"),
        bits=record.integer("bits"),
    )


def _decode_input(record: Record, arrays: Arrays) -> Input:
    return Input(
        name=record.text("name"),
        shape=record.integers("shape", None, 1),
        tensor_shape=record.integers("tensor_shape", 3, 1),
        scale=record.array(arrays, "scale"),
        shift=record.array(arrays, "shift"),
        order=record.optional_array(arrays, "order"),
        state=record.text("state") if "state" in record.value else None,
    )


def _decode_output(record: Record, arrays: Arrays) -> Output:
    return Output(
        name=record.text("name"),
        tensor=record.text("tensor"),
        shape=record.integers("shape", None, 1),
        order=record.optional_array(arrays, "order"),
        host=record.texts("host"),
    )


def _decode_window(record: Record, kernel: Pair) -> Window:
    return Window(
        kernel,
        stride=record.integers("stride", 2, 1),
        padding=record.integers("padding", 4, 0),
        dilation=record.integers("dilation", 2, 1),
    )


def _decode_node(record: Record, arrays: Arrays) -> QNode:
    name = record.text("name")
    match record.text("type"):
        case "layer":
            terms = tuple(_decode_term(item, arrays) for item in record.records("terms"))
            if not terms:
                raise HwquantError(f"{record.where} has no terms")
            return Layer(
                name=name,
                terms=terms,
                bias=record.array(arrays, "bias"),
                shift=record.array(arrays, "shift"),
                low=record.integer("low"),
                high=record.integer("high"),
                multiplier=record.optional_array(arrays, "multiplier"),
                table=decode_table(record, arrays),
            )
        case "product":
            factors = record.texts("inputs")
            if len(factors) != 2:
                raise HwquantError(f"{record.where} multiplies {len(factors)} tensors, not two")
            return Product(
                name=name,
                inputs=(factors[0], factors[1]),
                shift=record.integer("shift"),
                low=record.integer("low"),
                high=record.integer("high"),
                multiplier=record.integer("multiplier") if "multiplier" in record.value else None,
            )
        case "max_pool":
            window = _decode_window(record, record.integers("kernel", 2, 1))
            return MaxPool(name=name, inputs=(record.text("input"),), window=window)
        case "concat":
            inputs = record.texts("inputs")
            if not inputs:
                raise HwquantError(f"{record.where} joins nothing")
            return Concat(name=name, inputs=inputs)
        case "rearrange":
            return decode_copies(record, arrays)
        case other:
            raise HwquantError(f"{record.where} is of the unknown type {other!r}")


def _decode_codes(record: Record, arrays: Arrays) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The codes of a term, and its mask where it has one."""
    codes, mask = record.array(arrays, "codes"), record.optional_array(arrays, "mask")
    if "shape" in record.value:
        shape, bits = record.integers("shape", 4, 1), record.integer("bits")
        sign = 1 << (bits - 1) if 1 <= bits <= PLAIN_BITS else 0
        codes = (_unpacked(record, "codes", codes, shape, bits).astype(np.int64) ^ sign) - sign
        codes = codes.astype(np.int8)
        mask = None if mask is None else _unpacked(record, "mask", mask, shape, 1).astype(np.bool_)
    if codes.ndim != 4:
        raise HwquantError(f"{record.where} has codes of shape {codes.shape}, not 4-D")
    return codes, mask


def _unpacked(
    record: Record, name: str, packed: NDArray[Any], shape: tuple[int, ...], bits: int
) -> NDArray[np.uint8]:
    try:
        return unpack(packed, math.prod(shape), bits).reshape(shape)
    except HwquantError as error:
        raise HwquantError(f"{record.where} has {name} {error}") from error


def _decode_term(record: Record, arrays: Arrays) -> Term:
    codes, mask = _decode_codes(record, arrays)
    return Term(
        input=record.text("input"),
        codes=codes,
        offset=record.array(arrays, "offset"),
        scale=record.array(arrays, "scale"),
        anchor=cast(Anchor, record.text("anchor")),  # another text is refused by validate
        bits=record.integer("bits"),
        step=cast(
            Step, record.integer("step") if "step" in record.value else 1
        ),  # validate knows which there are
        groups=record.integer("groups"),
        shift=record.integer("shift"),
        mask=mask,
        window=_decode_window(record, codes.shape[2:]),
    )
