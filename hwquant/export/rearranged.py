"""Copied pixels as standard operators: the inputs' elements in a row, gathered in the order of the output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.copies import element_index
from hwquant.export.builder import Builder
from hwquant.graph import Rearrange, Shape


def add_rearranged(
    builder: Builder,
    node: Rearrange,
    sources: Sequence[str],
    shapes: Sequence[Shape],
    target: str,
    zero: NDArray[Any],
) -> str:
    """Add the operators of a node.

    Parameters
    ----------
    builder : Builder
        The ONNX graph.
    node : Rearrange
        The node.
    sources : sequence of str
        The values that it reads.
    shapes : sequence of tuple of int
        Their shapes, without the batch.
    target : str
        The value that it produces.
    zero : ndarray, shape ()
        What stands for zero, in the type of the values.
    """
    rows = [
        builder.reshape(source, [math.prod(shape)], f"{node.name}/row_{number}")
        for number, (source, shape) in enumerate(zip(sources, shapes))
    ]
    elements = rows[0]
    if len(rows) > 1:
        elements = builder.node("Concat", rows, f"{node.name}/elements", axis=1)
    if node.writes_zeros:
        amounts = builder.constant(f"{node.name}/one_behind", [0, 0, 0, 1], np.int64)
        value = builder.constant(f"{node.name}/zero", zero, zero.dtype)
        elements = builder.node("Pad", [elements, amounts, value], f"{node.name}/with_zero")
    index = builder.constant(f"{node.name}/index", element_index(node.shape, shapes, node.copies), np.int64)
    return builder.node("Gather", [elements, index], target, label=node.name, axis=1)
