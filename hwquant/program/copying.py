"""What only moves, as layers on the array: identity weights, of which the tiles of zeros cost nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwquant.copies import Copy
from hwquant.graph import Moving, Rearrange
from hwquant.program.layers import ArrayLayer, ArrayTerm, Destination
from hwquant.qgraph import QGraph, Tensor


def identity(tensors: Sequence[Tensor], **geometry: object) -> list[ArrayTerm]:
    """Terms that copy tensors one after the other into the output's channels."""
    total = sum(tensor.shape[0] for tensor in tensors)
    terms, start = [], 0
    for tensor in tensors:
        channels = tensor.shape[0]
        reads = np.arange(total)[:, None] - start
        reads = np.where((reads >= 0) & (reads < channels), reads, -1)
        values: dict[str, object] = {
            "tensor": tensor.name,
            "channels": channels,
            "weight": (reads >= 0).astype(np.int64).reshape(total, 1, 1, 1),
            "reads": reads,
            "offset": np.zeros(1, np.int64),
            "stride": (1, 1),
            "padding": (0, 0, 0, 0),
            "dilation": (1, 1),
            "pad": tensor.zero_point,
        }
        terms.append(ArrayTerm(**(values | geometry)))  # type: ignore[arg-type]
        start += channels
    return terms


def copy_layer(node: Moving, terms: Sequence[ArrayTerm], qgraph: QGraph) -> ArrayLayer:
    """A layer that hands on what its terms copy, as it is."""
    tensor = qgraph.tensors[node.name]
    low, high = tensor.limits
    return ArrayLayer(
        name=node.name,
        covers=(node.name,),
        terms=tuple(terms),
        bias=np.zeros(tensor.shape[0], np.int64),
        shift=np.zeros(1, np.int64),
        multiplier=None,
        zero_point=tensor.zero_point,
        low=low,
        high=high,
        macs=0,
        useful_macs=0,
        pixels=tensor.shape[1:],
    )


def copied(
    node: Rearrange, layers: Sequence[ArrayLayer], qgraph: QGraph, readers: Mapping[str, Sequence[str]]
) -> list[ArrayLayer]:
    """Carry out the copies of a node, a layer for each target.

    A tensor that is copied whole, and that nothing else reads, is written to its target by the layer that makes it.

    Parameters
    ----------
    node : Rearrange
        The node.
    layers : sequence of ArrayLayer
        The layers before it.
    qgraph : QGraph
        The network.
    readers : mapping of sequence of str
        What reads each tensor, by its name.

    Returns
    -------
    list of ArrayLayer
        The layers up to and with the node's.
    """
    result = list(layers)
    targets = list(dict.fromkeys(copy.target for copy in node.copies))
    whole = qgraph.tensors[node.name].shape[1:]
    for number, target in enumerate(targets):
        copies = [copy for copy in node.copies if copy.target == target]
        into = None if target.size == whole else Destination(node.name, target)
        maker = _maker(node, copies, result, qgraph, readers) if into else None
        if maker is not None:
            covers = (*result[maker].covers, node.name)
            result[maker] = replace(result[maker], covers=covers, into=into)
            continue
        tensors = [qgraph.tensors[node.inputs[copy.input]] for copy in copies]
        terms = tuple(_term(copy, tensor) for copy, tensor in zip(copies, tensors))
        name = node.name if into is None else f"{node.name}:{number}"
        layer = copy_layer(node, terms, qgraph)
        result.append(replace(layer, name=name, pixels=target.size, into=into))
    return result


def _maker(
    node: Rearrange,
    copies: Sequence[Copy],
    layers: Sequence[ArrayLayer],
    qgraph: QGraph,
    readers: Mapping[str, Sequence[str]],
) -> int | None:
    """The number of the layer whose output is all that is copied to a target; None where there is none."""
    (copy, *others) = copies
    name = node.inputs[copy.input]
    channels, *size = qgraph.tensors[name].shape
    uses = sum(node.inputs[item.input] == name for item in node.copies)
    whole = (copy.source, copy.step, list(copy.target.size)) == ((0, 0), (1, 1), size)
    same = np.array_equal(copy.channels, np.arange(channels))
    if others or not whole or not same or uses > 1 or list(readers[name]) != [node.name]:
        return None
    return next((number for number, layer in enumerate(layers) if layer.name == name), None)


def _term(copy: Copy, tensor: Tensor) -> ArrayTerm:
    """A copy as a 1x1 convolution: what is left away at the beginning is padding below zero."""
    (top, left), reads = copy.source, copy.channels[:, None]
    return ArrayTerm(
        tensor=tensor.name,
        channels=tensor.shape[0],
        weight=(reads >= 0).astype(np.int64).reshape(-1, 1, 1, 1),
        reads=reads,
        offset=np.zeros(1, np.int64),
        stride=copy.step,
        padding=(-top, -left, 0, 0),
        dilation=(1, 1),
        pad=tensor.zero_point,
    )
