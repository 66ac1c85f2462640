"""The ends of a network in a ``.hwq`` file: their models as bytes, the rest as JSON."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np

from hwquant.ends import End, Ends, HostNode, Port
from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.host.check import LARGEST, opened
from hwquant.qgraph import QGraph
from hwquant.record import Arrays, Record

PLACE = "host"
DTYPES = (
    "float16",
    "float32",
    "float64",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
"""What an input can be."""


def encode_ends(ends: Ends, arrays: Arrays) -> dict[str, object]:
    """Make the JSON object of the ends, and add their models to the arrays of a file."""
    for end, data in ends.parts:
        arrays[f"{PLACE}/{end}"] = np.frombuffer(data, np.uint8)
    return {
        "inputs": [
            {"name": port.name, "shape": list(port.shape), "dtype": port.dtype, "batched": int(port.batched)}
            for port in ends.inputs
        ],
        "outputs": list(ends.outputs),
        "batch": ends.batch,
        "macs": ends.macs,
        "nodes": [
            {
                "name": node.name,
                "operator": node.operator,
                "end": node.end,
                "macs": node.macs,
                "reason": node.reason,
            }
            for node in ends.nodes
        ],
    }


def decode_ends(value: object, arrays: Arrays) -> Ends:
    """Read the ends of a network from a file's JSON and arrays.

    Raises
    ------
    HwquantError
        Something is missing, or not of the kind that it should be.
    """
    record = Record(value, "the host's part", PLACE)
    return Ends(
        inputs=tuple(
            Port(
                item.text("name"),
                item.integers("shape", None, 1),
                item.text("dtype"),
                bool(item.integer("batched")),
            )
            for item in record.records("inputs")
        ),
        outputs=record.texts("outputs"),
        batch=record.integer("batch"),
        nodes=tuple(_node(item) for item in record.records("nodes")),
        macs=record.integer("macs"),
        head=_model(record, arrays, "head"),
        tail=_model(record, arrays, "tail"),
    )


def check_ends(network: Graph | QGraph) -> None:
    """Raise unless the ends of a network are models that fit it, and may be run.

    Raises
    ------
    HwquantError
        They are not.
    """
    ends = network.host
    if ends is None:
        return
    where = f"the host's part of network {network.name!r}"
    _require(0 <= ends.batch <= 1 << 16, f"{where} has batches of {ends.batch}")
    _require(bool(ends.parts), f"{where} is empty")
    names = [port.name for port in ends.inputs]
    _require(bool(names) and len(set(names)) == len(names), f"{where} has no inputs, or two of one name")
    for port in ends.inputs:
        _require(port.dtype in DTYPES, f"{where} has input {port.name!r} of type {port.dtype!r:.20}")
        _require(
            math.prod(port.shape) * max(ends.batch, 1) <= LARGEST,
            f"{where} has input {port.name!r}, which is too large",
        )
        _require(port.batched or ends.batch <= 1, f"{where} has input {port.name!r}, which holds no batch")
    counted = sum(node.macs for node in ends.nodes)
    _require(0 <= counted <= ends.macs, f"{where} has {counted} of {ends.macs} multiply-accumulates")
    states = [item.name for item in network.inputs if item.state is not None]
    for name in states:
        _require(name in names, f"{where} computes {name!r}, which cannot be a state then")
    known = set(names)
    for end, data in ends.parts:
        if end == "tail":
            _meet(where, [item.name for item in network.inputs], known, "the array reads")
            known |= {item.name for item in network.outputs}
        graph = opened(data, f"the {end} of network {network.name!r}").graph
        weights = {tensor.name for tensor in graph.initializer}
        inputs = [item for item in graph.input if item.name not in weights]
        _meet(where, [item.name for item in inputs], known, f"its {end} reads")
        for name in (item.name for item in inputs if item.name in states):
            raise HwquantError(f"{where} reads {name!r} in its {end}, so that it cannot be a state")
        for item in inputs:
            first = [dim.dim_value for dim in item.type.tensor_type.shape.dim[:1]]
            _require(
                ends.batch in (0, 1, *first),
                f"{where} has {item.name!r}, which holds no batch of {ends.batch}",
            )
        known |= {item.name for item in graph.output}
    _meet(where, [item.name for item in network.inputs], known, "the array reads")
    _require(bool(ends.outputs), f"{where} gives nothing")
    _meet(where, list(ends.outputs), known | {item.name for item in network.outputs}, "the user gets")


def _meet(where: str, wanted: list[str], known: set[str], what: str) -> None:
    for name in wanted:
        _require(name in known, f"{where} does not fit: {what} {name!r}, which nothing before gives")


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise HwquantError(problem)


def _node(record: Record) -> HostNode:
    end = next((item for item in get_args(End) if item == record.text("end")), None)
    if end is None or record.integer("macs") < 0:
        raise HwquantError(f"{record.where} is neither in the head nor in the tail, or has a count below 0")
    return HostNode(
        record.text("name"), record.text("operator"), end, record.integer("macs"), record.text("reason")
    )


def _model(record: Record, arrays: Arrays, end: End) -> bytes:
    array = record.optional_array(arrays, end)
    if array is None:
        return b""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise HwquantError(f"{record.where} has a {end} that is no bytes")
    return array.tobytes()
