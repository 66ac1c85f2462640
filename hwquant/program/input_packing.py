"""Which network inputs arrive packed: a kernel row of theirs in one word, where that saves tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from hwquant.program.config import ArrayConfig
from hwquant.program.depthwise import choose
from hwquant.program.layout import Packing, Placement
from hwquant.program.lowering import ArrayLayer, ArrayTerm
from hwquant.qgraph import QGraph


def input_packings(
    qgraph: QGraph, steps: Sequence[ArrayLayer], places: Mapping[str, Placement], config: ArrayConfig
) -> dict[int, Packing]:
    """How to pack the inputs that only the single term of a step reads, by the number of the step."""
    inputs = {item.name for item in qgraph.inputs}
    outputs = {item.tensor for item in qgraph.outputs}
    readers: dict[str, list[int]] = {}
    for index, step in enumerate(steps):
        for term in step.terms:
            readers.setdefault(term.tensor, []).append(index)
    packings = {}
    for index, step in enumerate(steps):
        name = step.terms[0].tensor
        if len(step.terms) > 1 or name not in inputs or name in outputs or readers[name] != [index]:
            continue
        chosen, plan = choose(step, places[name], config)
        packing = _packing(step.terms[0], places[name], config.rows)
        if packing and not plan and not chosen.summed:
            packings[index] = packing
    return packings


def _packing(term: ArrayTerm, tensor: Placement, rows: int) -> Packing | None:
    channels, _, width = tensor.shape
    kernel = term.weight.shape[3]
    unpacked = kernel * -(-channels // rows)
    if kernel == 1 or -(-channels * kernel // rows) >= unpacked:
        return None
    left, right = term.padding[1], term.padding[3]
    positions = (width + left + right - term.dilation[1] * (kernel - 1) - 1) // term.stride[1] + 1
    return Packing(tensor.shape, kernel, term.stride[1], term.dilation[1], left, positions)


def packed_term(term: ArrayTerm) -> ArrayTerm:
    """The term that reads the packed tensor: its kernel row has become channels."""
    out, channels, kernel_rows, kernel = term.weight.shape
    weight = term.weight.transpose(0, 3, 1, 2).reshape(out, kernel * channels, kernel_rows, 1)
    return dataclasses.replace(
        term,
        weight=weight,
        structure=np.tile(term.structure, (1, kernel)),
        stride=(term.stride[0], 1),
        padding=(term.padding[0], 0, term.padding[2], 0),
        dilation=(term.dilation[0], 1),
    )
