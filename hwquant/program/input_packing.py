"""A network's input with a kernel row in one word, where that saves tiles of the layer that reads it."""

from __future__ import annotations

import dataclasses

import numpy as np

from hwquant.graph import Shape
from hwquant.program.layers import ArrayTerm
from hwquant.program.layout import RowPacking


def row_packing(term: ArrayTerm, tensor: Shape, rows: int) -> RowPacking | None:
    """Plan how to pack the tensor that a term reads; None where that saves no tile of ``rows`` channels.

    Parameters
    ----------
    term : ArrayTerm
        What reads the tensor, as the network has it.
    tensor : tuple of int
        Channels, height and width of the tensor.
    rows : int
        Rows of the array.
    """
    channels, _, width = tensor
    kernel = term.kernel[1]
    unpacked = kernel * -(-channels // rows)
    if kernel == 1 or -(-channels * kernel // rows) >= unpacked:
        return None
    left, right = term.padding[1], term.padding[3]
    positions = (width + left + right - term.dilation[1] * (kernel - 1) - 1) // term.stride[1] + 1
    return RowPacking(tensor, kernel, term.stride[1], term.dilation[1], left, positions)


def packed_term(term: ArrayTerm) -> ArrayTerm:
    """Rewrite a term to read the packed tensor, in which a kernel row has become channels."""
    out, inputs, kernel_rows, kernel = term.weight.shape
    reads = np.arange(kernel)[:, None] * term.channels + term.reads[:, None, :]
    return dataclasses.replace(
        term,
        channels=kernel * term.channels,
        weight=term.weight.transpose(0, 3, 1, 2).reshape(out, kernel * inputs, kernel_rows, 1),
        reads=np.where(term.reads[:, None, :] < 0, -1, reads).reshape(out, kernel * inputs),
        stride=(term.stride[0], 1),
        padding=(term.padding[0], 0, term.padding[2], 0),
        dilation=(term.dilation[0], 1),
    )
