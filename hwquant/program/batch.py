"""Several samples in one inference, side by side: a fully connected network loads its weights once for all of them.

A tensor of one pixel becomes one of a row of pixels, a sample each. No layer looks at a second pixel, so that nothing
but shapes changes: neither the hardware nor the instruction set knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

import numpy as np

from hwquant.errors import HwquantError, Unsupported
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, Product, QGraph, QNode, Rearrange

LARGEST = 1024
"""Samples of a batch, at most."""


def batched(qgraph: QGraph, batch: int) -> QGraph:
    """Make the network that computes several samples at once.

    Parameters
    ----------
    qgraph : QGraph
        A network whose tensors all have one pixel.
    batch : int
        Samples of an inference, 1 to :data:`LARGEST`.

    Returns
    -------
    QGraph
        The network; its tensors (channels, 1, batch) hold a sample in each pixel.

    Raises
    ------
    Unsupported
        A tensor has several pixels, or a layer reads several, or state goes from sample to sample.
    HwquantError
        The batch is out of range.
    """
    if not 1 <= batch <= LARGEST:
        raise HwquantError(f"a batch must have 1 to {LARGEST:,} samples, not {batch}")
    if batch == 1:
        return qgraph
    for item in qgraph.inputs:
        if item.state is not None:
            raise _refused(item.name, "it is a state, which goes from one sample to the next")
    for name, tensor in qgraph.tensors.items():
        if tensor.shape[1:] != (1, 1):
            raise _refused(name, f"it has {tensor.shape[1]}x{tensor.shape[2]} pixels")
    for node in qgraph.nodes:
        if not _one_pixel(node):
            raise _refused(node.name, "it moves pixels")
    wide = {
        name: replace(tensor, shape=(tensor.shape[0], 1, batch)) for name, tensor in qgraph.tensors.items()
    }
    return replace(qgraph, tensors=wide)


def _one_pixel(node: QNode) -> bool:
    """Whether a node computes each pixel of the one that it reads."""
    match node:
        case Layer():
            return all(term.window.pointwise for term in node.terms)
        case Product() | Concat():
            return True
        case MaxPool() | Rearrange():
            return False
        case _:
            assert_never(node)


def _refused(name: str, why: str) -> Unsupported:
    return Unsupported(
        f"the network cannot compute a batch: of {name!r}, {why}; only fully connected networks can, others compute a "
        "sample at a time",
        where=name,
    )


def together(q: IntArray, batch: int) -> IntArray:
    """Lay samples (N, C, 1, 1) side by side, (N / batch, C, 1, batch); the last one fills the last row."""
    if batch == 1:
        return q
    count = -(-len(q) // batch) * batch
    whole = q[np.minimum(np.arange(count), len(q) - 1)]
    return whole.reshape(-1, batch, q.shape[1]).transpose(0, 2, 1)[:, :, None]


def apart(q: IntArray, batch: int) -> IntArray:
    """Take samples (N, C, 1, 1) out of the rows (N / batch, C, 1, batch) that they are side by side in."""
    if batch == 1:
        return q
    return q[:, :, 0].transpose(0, 2, 1).reshape(-1, q.shape[1], 1, 1)


def all_together(tensors: Mapping[str, IntArray], batch: int) -> dict[str, IntArray]:
    """Lay the samples of several tensors side by side."""
    return {name: together(q, batch) for name, q in tensors.items()}
