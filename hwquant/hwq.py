"""Integer networks in files: ``.hwq``, a :mod:`~hwquant.container` of kind "network".

``network.json`` holds names, geometry and single numbers; every array is its own member, named after its
place, such as ``layers/2/terms/0/codes.npy``.

A network of any version up to `VERSION` is read, with the predictions that it had; a newer one is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_never, cast

from numpy.typing import NDArray

from hwquant import container
from hwquant.coding import Anchor
from hwquant.errors import Damaged, HwquantError, check_type
from hwquant.files import read_bytes, recover, write_bytes
from hwquant.graph import Input, Output
from hwquant.qgraph import Concat, Layer, MaxPool, QGraph, QNode, Tensor, Term
from hwquant.validate import validate
from hwquant.window import Pair, Window

KIND = "network"
VERSION = 1

Arrays = dict[str, NDArray[Any]]


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
    }
    return container.pack(KIND, VERSION, {"network": network}, arrays)


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
        The file is absent, or of a newer version.
    """
    recover(Path(path))
    return from_bytes(read_bytes(Path(path)), path)


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
        record = _Record(meta.get("network"), "network.json")
        tensors = [_decode_tensor(item) for item in record.records("tensors")]
        qgraph = QGraph(
            name=record.text("name"),
            inputs=tuple(_decode_input(item, arrays) for item in record.records("inputs")),
            nodes=tuple(_decode_node(item, arrays) for item in record.records("layers")),
            outputs=tuple(_decode_output(item, arrays) for item in record.records("outputs")),
            tensors={tensor.name: tensor for tensor in tensors},
            options=_options(record.mapping("options")),
        )
        validate(qgraph)
    except HwquantError as error:
        message = f"{path} holds no valid network: {error}; quantize it again"
        raise Damaged(message, path=str(path)) from error
    return qgraph


def _ints(values: tuple[int, ...]) -> list[int]:
    return [int(value) for value in values]


def _put(arrays: Arrays, place: str, **members: NDArray[Any] | None) -> None:
    arrays.update({f"{place}/{name}": array for name, array in members.items() if array is not None})


def _encode_input(item: Input, place: str, arrays: Arrays) -> dict[str, object]:
    _put(arrays, place, scale=item.scale, shift=item.shift, order=item.order)
    return {"name": item.name, "shape": _ints(item.shape), "tensor_shape": _ints(item.tensor_shape)}


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
        case _:
            assert_never(node)


def _encode_term(term: Term, place: str, arrays: Arrays) -> dict[str, object]:
    _put(arrays, place, codes=term.codes, offset=term.offset, scale=term.scale, mask=term.mask)
    return {
        "input": term.input,
        "anchor": term.anchor,
        "bits": int(term.bits),
        "groups": int(term.groups),
        "shift": int(term.shift),
        **_encode_window(term.window),
    }


class _Record:
    """A JSON object whose values are checked as they are read; ``where`` says which one in errors."""

    def __init__(self, value: object, where: str, place: str = "") -> None:
        if not isinstance(value, dict):
            raise HwquantError(f"{where} is no JSON object")
        self.value, self.where, self.place = value, where, place

    def _get(self, key: str, kinds: type | tuple[type, ...], what: str) -> Any:
        value = self.value.get(key)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise HwquantError(f"{self.where} has no {what} {key!r}")
        return value

    def integer(self, key: str) -> int:
        return self._get(key, int, "integer")

    def real(self, key: str) -> float:
        return float(self._get(key, (int, float), "number"))

    def text(self, key: str) -> str:
        return self._get(key, str, "text")

    def mapping(self, key: str) -> Mapping[str, object]:
        return self._get(key, dict, "object")

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._get(key, list, "list")
        if not all(isinstance(value, str) for value in values):
            raise HwquantError(f"{self.where} has a value in {key!r} that is not text")
        return tuple(values)

    def integers(self, key: str, count: int | None, least: int) -> Any:
        """Read a tuple of ``count`` integers (any number where None), each at least ``least``."""
        values = self._get(key, list, "list")
        if not all(type(value) is int and value >= least for value in values):
            raise HwquantError(
                f"{self.where} has {key} {values}; each must be an integer and at least {least}"
            )
        if count not in (None, len(values)):
            raise HwquantError(f"{self.where} has {key} {values}; it must have {count} values")
        return tuple(values)

    def records(self, key: str) -> list[_Record]:
        """Read the JSON objects of a list; their arrays are found under ``key`` and their position."""
        values = self._get(key, list, "list")
        parent = f"{self.place}/" if self.place else ""
        result = []
        for index, value in enumerate(values):
            name = value.get("name", index) if isinstance(value, dict) else index
            where = f"{self.where}, term {index}" if key == "terms" else f"{key.removesuffix('s')} {name!r}"
            result.append(_Record(value, where, f"{parent}{key}/{index}"))
        return result

    def array(self, arrays: Arrays, name: str) -> NDArray[Any]:
        place = f"{self.place}/{name}"
        if place not in arrays:
            raise HwquantError(f"{self.where} has no array {place!r}")
        return arrays[place]

    def optional_array(self, arrays: Arrays, name: str) -> NDArray[Any] | None:
        return arrays.get(f"{self.place}/{name}")


def _options(options: Mapping[str, object]) -> Mapping[str, object]:
    """Check the part of the quantizer's report that :mod:`hwquant.describe` looks up; the rest is for people."""
    for name in ("layers", "tensors"):
        entries = options.get(name, {})
        if not isinstance(entries, dict) or not all(isinstance(item, dict) for item in entries.values()):
            raise Damaged(f"its report has {name!r} that are no objects by name")
        for owner, item in entries.items():
            if type(item.get("sqnr_db")) not in (type(None), int, float):
                raise Damaged(f"its report gives {owner!r} an 'sqnr_db' that is no number")
    return options


def _decode_tensor(record: _Record) -> Tensor:
    return Tensor(
        name=record.text("name"),
        shape=record.integers("shape", 3, 1),
        scale=record.real("scale"),
        zero_point=record.integer("zero_point"),
        bits=record.integer("bits"),
    )


def _decode_input(record: _Record, arrays: Arrays) -> Input:
    return Input(
        name=record.text("name"),
        shape=record.integers("shape", None, 1),
        tensor_shape=record.integers("tensor_shape", 3, 1),
        scale=record.array(arrays, "scale"),
        shift=record.array(arrays, "shift"),
        order=record.optional_array(arrays, "order"),
    )


def _decode_output(record: _Record, arrays: Arrays) -> Output:
    return Output(
        name=record.text("name"),
        tensor=record.text("tensor"),
        shape=record.integers("shape", None, 1),
        order=record.optional_array(arrays, "order"),
        host=record.texts("host"),
    )


def _decode_window(record: _Record, kernel: Pair) -> Window:
    return Window(
        kernel,
        stride=record.integers("stride", 2, 1),
        padding=record.integers("padding", 4, 0),
        dilation=record.integers("dilation", 2, 1),
    )


def _decode_node(record: _Record, arrays: Arrays) -> QNode:
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
            )
        case "max_pool":
            window = _decode_window(record, record.integers("kernel", 2, 1))
            return MaxPool(name=name, inputs=(record.text("input"),), window=window)
        case "concat":
            inputs = record.texts("inputs")
            if not inputs:
                raise HwquantError(f"{record.where} joins nothing")
            return Concat(name=name, inputs=inputs)
        case other:
            raise HwquantError(f"{record.where} is of the unknown type {other!r}")


def _decode_term(record: _Record, arrays: Arrays) -> Term:
    codes = record.array(arrays, "codes")
    if codes.ndim != 4:
        raise HwquantError(f"{record.where} has codes of shape {codes.shape}, not 4-D")
    return Term(
        input=record.text("input"),
        codes=codes,
        offset=record.array(arrays, "offset"),
        scale=record.array(arrays, "scale"),
        anchor=cast(Anchor, record.text("anchor")),  # another text is refused by validate
        bits=record.integer("bits"),
        groups=record.integer("groups"),
        shift=record.integer("shift"),
        mask=record.optional_array(arrays, "mask"),
        window=_decode_window(record, codes.shape[2:]),
    )
