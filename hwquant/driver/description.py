"""What software without hwquant must know of a core: how a user's arrays become a frame, and a result arrays."""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import Any

import numpy as np

from hwquant.program.program import Program
from hwquant.program.registers import IDENTITY, VERSION
from hwquant.qgraph import IntArray, QGraph

ELEMENTS = 1 << 40
"""What is added to the number of an element, so that none is taken for a constant."""

LEVEL = 9
"""How much the tables are compressed."""


def core_description(qgraph: QGraph, program: Program, beat_bytes: int, word_bytes: int) -> str:
    """Describe a core's network for a driver.

    Layouts are tables, which are true of every program: for each value of a frame which element of the inputs it is
    or, beyond those, which constant, and for each element of an output which value of the result. An input's elements
    are those of all samples of a batch, in the user's order; inputs follow each other.

    Parameters
    ----------
    qgraph : QGraph
        The network that ``program`` was compiled from.
    program : Program
        What the core executes.
    beat_bytes, word_bytes : int
        Bytes that a beat of a frame, and a word of a result, take in memory.

    Returns
    -------
    str
        A JSON object. Tables are little-endian differences of 32 bits, compressed by zlib, in base64.
    """
    config = program.config
    (beats, _), (words, _) = program.frame_sizes
    frame, constants = _frame(qgraph, program)
    inputs: list[dict[str, Any]] = []
    for item in qgraph.inputs:
        tensor = qgraph.tensors[item.name]
        low, high = tensor.limits
        inputs.append(
            {
                "name": item.name,
                "shape": item.shape,
                "scale": item.scale.tolist(),
                "shift": item.shift.tolist(),
                "step": float(tensor.scale),
                "zero_point": int(tensor.zero_point),
                "low": low,
                "high": high,
                "state": item.state,
            }
        )
    places = program.results(np.arange(words * config.lanes).reshape(1, words, config.lanes))
    outputs: list[dict[str, Any]] = []
    for output in qgraph.outputs:
        tensor = qgraph.tensors[output.tensor]
        flat = places[output.tensor].reshape(program.batch, -1)
        outputs.append(
            {
                "name": output.name,
                "shape": output.shape,
                "step": float(tensor.scale),
                "zero_point": int(tensor.zero_point),
                "host": output.host,
                "words": _table(flat if output.order is None else flat[:, output.order]),
            }
        )
    description = {
        "identity": IDENTITY,
        "version": VERSION,
        "checksum": program.checksum,
        "batch": program.batch,
        "bits": config.activation_bits,
        "lanes": config.lanes,
        "beats": beats,
        "beat_bytes": beat_bytes,
        "words": words,
        "word_bytes": word_bytes,
        "memory_bytes": config.external_bytes,
        "constants": constants,
        "inputs": inputs,
        "outputs": outputs,
        "frame": _table(frame),
    }
    return json.dumps(description, indent=1) + "\n"


def _frame(qgraph: QGraph, program: Program) -> tuple[IntArray, list[int]]:
    """For each value of a frame the number of an element or, counted on, of a constant; and the constants."""
    elements, count = {}, 0
    for item in qgraph.inputs:
        shape = (program.batch, math.prod(item.shape))
        numbers = ELEMENTS + count + np.arange(math.prod(shape)).reshape(shape)
        ordered = numbers if item.order is None else numbers[:, item.order]
        elements[item.name] = ordered.reshape(program.batch, *item.tensor_shape)
        count += numbers.size
    frame = program.frame(elements).ravel()
    constants = np.unique(frame[frame < ELEMENTS // 2])
    numbers = np.where(frame < ELEMENTS // 2, count + np.searchsorted(constants, frame), frame - ELEMENTS)
    return numbers, constants.tolist()


def _table(numbers: IntArray) -> str:
    differences = np.diff(numbers.ravel(), prepend=0).astype("<i4")
    return base64.b64encode(zlib.compress(differences.tobytes(), LEVEL)).decode()
