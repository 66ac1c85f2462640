"""From the integer network to what the array executes: terms, a window order, one output each.

Every layer becomes an :class:`ArrayLayer`: a pooling that cannot be fused, a concatenation and copies of pixels become
identity weights,
a max pool behind a layer with windows that do not overlap becomes that layer's pixel order. Of grouped and of identity
weights only those that exist are kept, with the channels that they read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import numpy as np

from hwquant.coding import SIGN, integer_limits
from hwquant.errors import Unsupported
from hwquant.program.copying import copied, copy_layer, identity
from hwquant.program.layers import ArrayLayer, ArrayProduct, ArrayTerm
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, Product, QGraph, Rearrange, Tensor, Term

MAX_COPIES = 64


def lower(qgraph: QGraph) -> list[ArrayLayer]:
    """Lower a network to layers on the array, in order of execution.

    Raises
    ------
    Unsupported
        A layer has weights that no array can hold.
    """
    readers: dict[str, list[str]] = {}
    for node in qgraph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node.name)
    for output in qgraph.outputs:
        readers.setdefault(output.tensor, []).append("")
    offsets = any(
        (term.offset if term.step == 1 else _odd_offset(term)).any()
        for node in qgraph.nodes
        if isinstance(node, Layer)
        for term in node.terms
    )
    layers: list[ArrayLayer] = []
    for node in qgraph.nodes:
        match node:
            case Layer():
                layers.append(_layer(node, qgraph, offsets))
            case Product():
                layers.append(_product(node, qgraph))
            case Concat():
                layers.append(_concat(node, qgraph))
            case Rearrange():
                layers = copied(node, layers, qgraph, readers)
            case MaxPool():
                alone = readers[node.inputs[0]] == [node.name]
                if layers and layers[-1].name == node.inputs[0] and alone and _fusable(node, layers[-1]):
                    layers[-1] = _pooled(layers[-1], node, qgraph)
                else:
                    layers.append(_pool(node, qgraph))
            case _:
                assert_never(node)
    return layers


def _pooled(layer: ArrayLayer, node: MaxPool, qgraph: QGraph) -> ArrayLayer:
    """The layer with a max pool on its way out."""
    height, width = qgraph.tensors[node.inputs[0]].shape[1:]
    pixels = qgraph.tensors[node.name].shape[1:]
    # Windows side by side may leave pixels at the edge unread: those are not computed at all.
    read = pixels[0] * node.window.kernel[0] * pixels[1] * node.window.kernel[1]
    return replace(
        layer,
        useful_macs=layer.macs * read // (height * width),
        name=node.name,
        covers=(*layer.covers, node.name),
        pixels=pixels,
        window=node.window.kernel,
        window_stride=node.window.stride,
    )


def _fusable(node: MaxPool, layer: ArrayLayer) -> bool:
    """Whether a max pool fits on a layer's way out: its only one, of windows that do not overlap or leave the image."""
    return (
        not layer.pooled
        and not layer.product
        and not node.window.padded
        and all(size == 1 or d == 1 for size, d in zip(node.window.kernel, node.window.dilation))
        and all(stride >= size for stride, size in zip(node.window.stride, node.window.kernel))
    )


def _layer(layer: Layer, qgraph: QGraph, offsets: bool) -> ArrayLayer:
    terms: list[ArrayTerm] = []
    for term in layer.terms:
        terms.extend(_terms(layer, term, qgraph.tensors[term.input], offsets))
    tensor = qgraph.tensors[layer.name]
    macs = layer.macs(*(qgraph.tensors[name].shape for name in layer.inputs))
    return ArrayLayer(
        name=layer.name,
        covers=(layer.name,),
        terms=tuple(terms),
        bias=layer.bias,
        shift=layer.shift,
        multiplier=layer.multiplier,
        zero_point=layer.table.zero_point if layer.table else tensor.zero_point,
        low=layer.low,
        high=layer.high,
        table=layer.table,
        output_zero=tensor.zero_point,
        macs=macs,
        useful_macs=macs,
        pixels=tensor.shape[1:],
    )


def _product(node: Product, qgraph: QGraph) -> ArrayLayer:
    tensor = qgraph.tensors[node.name]
    a, b = (qgraph.tensors[name] for name in node.inputs)
    macs = node.macs(a.shape, b.shape)
    return ArrayLayer(
        name=node.name,
        covers=(node.name,),
        terms=(),
        bias=np.zeros(tensor.shape[0], np.int64),
        shift=np.array([node.shift], np.int64),
        multiplier=None if node.multiplier is None else np.array([node.multiplier], np.int64),
        zero_point=tensor.zero_point,
        low=node.low,
        high=node.high,
        macs=macs,
        useful_macs=macs,
        pixels=tensor.shape[1:],
        product=ArrayProduct(a.name, b.name, (a.zero_point, b.zero_point), held=b.shape[1:] == (1, 1)),
    )


def _terms(layer: Layer, term: Term, tensor: Tensor, offsets: bool) -> list[ArrayTerm]:
    """A term as the array computes it; ``offsets`` says whether any term of the network has an integer offset."""
    weight, step, copies = term.weight, term.step, 1
    if step == 2:
        offset = _odd_offset(term)
    else:
        offset = term.offset if term.anchor == "min" else _negated_offset(term)
    if term.shift:
        # A shifted term is stored as shifted weights; what exceeds a weight is repeated.
        low, high = min(0, int(weight.min(initial=0))), max(0, int(weight.max(initial=0)))
        shift = term.shift
        while shift and not _storable(low << shift, high << shift, offsets):
            shift -= 1
            copies *= 2
        if copies > MAX_COPIES:
            raise Unsupported(
                f"layer {layer.name!r}: the term that reads {term.input!r} is shifted left by {term.shift}, more "
                f"than the array can do in {MAX_COPIES} passes; quantize with scales that are closer together",
                where=layer.name,
            )
        if shift:
            weight, low, high = weight << shift, low << shift, high << shift
            offset, step = np.array([high - 127 if high > 127 else min(0, low + 128)]), 1
    if step == 1 and term.groups > 1 and not term.shift and not _fits(-offset, term.bits):
        raise Unsupported(
            f"layer {layer.name!r}: a grouped convolution needs a representable zero weight; "
            "quantize it without the literal range",
            where=layer.name,
        )
    if step == 1 and offset.tolist() == [128] and weight.min() >= -1 and weight.max() <= 254:
        # As large as an offset in a row of weights, beside channels with offsets of their own, can be.
        offset = np.array([127])
    lowered = ArrayTerm(
        tensor=term.input,
        channels=tensor.shape[0],
        weight=weight,
        offset=offset,
        reads=_reads(term, tensor.shape[0]),
        stride=term.window.stride,
        padding=term.window.padding,
        dilation=term.window.dilation,
        pad=tensor.zero_point,
        step=step,
    )
    return [lowered] * copies


def _storable(low: int, high: int, offsets: bool) -> bool:
    """Whether 8 bits, with or without an offset, hold the weights from ``low`` to ``high``."""
    return high - low <= 255 if offsets else low >= -128 and high <= 127


def _negated_offset(term: Term) -> IntArray:
    """The offset of ``o - q``, of which the hardware stores ``-q``, or ``~q`` and adds ``o + 1``.

    The latter holds every code; the former needs no offset where there is none, in symmetric networks.
    """
    plain = not term.offset.any() and bool(np.all(term.codes > integer_limits(term.bits)[0]))
    return term.offset if plain else term.offset + 1


def _odd_offset(term: Term) -> IntArray:
    """The offset ``h`` of ``2 (stored + h) + 1``: of ``o + 2 q``, or of ``o - 2 q``, for which ``~q`` is stored."""
    return (term.offset - SIGN[term.anchor]) // 2


def _fits(values: IntArray, bits: int) -> bool:
    low, high = integer_limits(bits)
    return bool(np.all((values >= low) & (values <= high)))


def _reads(term: Term, channels: int) -> IntArray:
    """The channels of a tensor that a term's weights multiply, int64 [out, channels of a group]."""
    out, per_group = term.codes.shape[:2]
    if term.groups == 1:
        return np.broadcast_to(np.arange(channels), (out, channels))
    group = np.arange(out) // (out // term.groups)
    return np.asarray((group * (channels // term.groups))[:, None] + np.arange(per_group))


def _concat(node: Concat, qgraph: QGraph) -> ArrayLayer:
    return copy_layer(node, identity([qgraph.tensors[name] for name in node.inputs]), qgraph)


def _pool(node: MaxPool, qgraph: QGraph) -> ArrayLayer:
    """A max pool of its own: the identity, visited in the order of overlapping or padded windows.

    Padding inserts the least value, which never wins.
    """
    tensor = qgraph.tensors[node.inputs[0]]
    terms = identity([tensor], padding=node.window.padding, pad=tensor.limits[0])
    return replace(
        copy_layer(node, terms, qgraph),
        window=node.window.kernel,
        window_stride=node.window.stride,
        window_dilation=node.window.dilation,
    )
