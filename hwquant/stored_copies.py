"""Copies of pixels, as ``.hwq`` files hold them: numbers in JSON, the channels of each copy in an array."""

from __future__ import annotations

import numpy as np

from hwquant.copies import Copy, Grid
from hwquant.errors import HwquantError
from hwquant.graph import Rearrange
from hwquant.record import Arrays, Record

LARGEST_STEP = 1 << 31
"""Beyond any image, backward."""


def encode_copies(node: Rearrange, place: str, arrays: Arrays) -> dict[str, object]:
    """Turn what a node copies into JSON values; its arrays are added to ``arrays`` under ``place``."""
    for number, copy in enumerate(node.copies):
        arrays[f"{place}/parts/{number}/channels"] = copy.channels
    return {
        "inputs": list(node.inputs),
        "shape": _ints(node.shape),
        "parts": [
            {
                "input": int(copy.input),
                "source": _ints(copy.source),
                "step": _ints(copy.step),
                "start": _ints(copy.target.start),
                "spacing": _ints(copy.target.step),
                "size": _ints(copy.target.size),
            }
            for copy in node.copies
        ],
    }


def decode_copies(record: Record, arrays: Arrays) -> Rearrange:
    """Read the node that :func:`encode_copies` wrote.

    Raises
    ------
    HwquantError
        A value is missing or has another form, or the copies make no node.
    """
    copies = []
    for part in record.records("parts"):
        channels = part.array(arrays, "channels")
        if channels.dtype != np.int64 or channels.ndim != 1:
            raise HwquantError(
                f"{part.where} has channels {channels.dtype} {channels.shape}, not int64 in a row"
            )
        target = Grid(
            part.integers("start", 2, 0), part.integers("spacing", 2, 1), part.integers("size", 2, 1)
        )
        source, step = part.integers("source", 2, 0), part.integers("step", 2, -LARGEST_STEP)
        copies.append(Copy(part.integer("input"), channels, source, step, target))
    inputs = record.texts("inputs")
    if not inputs or not copies:
        raise HwquantError(f"{record.where} copies nothing")
    return Rearrange(record.text("name"), inputs, record.integers("shape", 3, 1), tuple(copies))


def _ints(values: tuple[int, ...]) -> list[int]:
    return [int(value) for value in values]
