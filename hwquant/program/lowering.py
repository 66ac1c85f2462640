"""From the integer network to what the array executes: terms, a window order, one output each.

Every layer becomes an :class:`ArrayLayer`: a pooling that cannot be fused and a concatenation become identity weights,
a max pool behind a layer with windows that do not overlap becomes that layer's pixel order. Of grouped and of identity
weights only those that exist are kept, with the channels that they read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Unsupported
from hwquant.graph import Padding
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, QGraph, Tensor, Term

MAX_COPIES = 64
ALL = slice(None)


@dataclass(frozen=True, eq=False)
class ArrayTerm:
    """A convolution into the accumulators.

    Attributes
    ----------
    tensor : str
        What is read.
    channels : int
        Of that tensor.
    weight : NDArray of int64
        [out, inputs, kernel height, kernel width], adjusted.
    reads : NDArray of int64
        [out, inputs], the tensor's channel that a weight multiplies, in increasing order; -1 where it is none. Tiles
        of channels that no output reads are neither executed nor counted as skipped.
    offset : NDArray of int64
        [1] or [out], what the hardware adds to the stored weight.
    stride : tuple of int
        Of the pixels that are read, (y, x).
    padding : Padding
        Around the tensor.
    dilation : tuple of int
        Of the kernel, (y, x).
    pad : int
        The value that padding inserts.
    """

    tensor: str
    channels: int
    weight: IntArray
    reads: IntArray
    offset: IntArray
    stride: tuple[int, int]
    padding: Padding
    dilation: tuple[int, int]
    pad: int

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width."""
        return self.weight.shape[2], self.weight.shape[3]

    @cached_property
    def partial(self) -> bool:
        """Whether an output does not read all channels, so that the array holds zeros that the network has not."""
        return self.weight.shape[1] < self.channels or bool((self.reads < 0).any())

    @cached_property
    def separate(self) -> bool:
        """Whether each output channel reads the input channel of its own number, and no other."""
        out = len(self.reads)
        return out == self.channels and np.array_equal(self.reads, np.arange(out)[:, None])

    @cached_property
    def uniform(self) -> bool:
        """Whether all positions of a kernel weigh the same."""
        return bool((self.weight == self.weight[:, :, :1, :1]).all())

    @cached_property
    def weight_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight, with that of a zero that the array holds between the network's."""
        stored = self.weight - self.offset.reshape(-1, 1, 1, 1)
        values = [int(stored.min()), int(stored.max()), *(self.zero_limits if self.partial else ())]
        return min(values), max(values)

    @property
    def zero_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight of adjusted weight zero, over the output channels."""
        return int(-self.offset.max()), int(-self.offset.min())

    @property
    def stored_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight, those of adjusted weight zero included."""
        (low, high), zeros = self.weight_limits, self.zero_limits
        return min(low, zeros[0]), max(high, zeros[1])

    def dense(self, outputs: slice = ALL) -> IntArray:
        """The adjusted weights of all channels, int64 [outputs, channels, kernel height, kernel width]."""
        if not self.partial:
            return self.weight[outputs]
        weight, reads = self.weight[outputs], self.reads[outputs]
        dense = np.zeros((len(weight), self.channels, *self.kernel), np.int64)
        output, read = np.nonzero(reads >= 0)
        dense[output, reads[output, read]] = weight[output, read]
        return dense

    def connected(self, outputs: slice = ALL) -> NDArray[np.bool_]:
        """Which channels an output reads, bool [outputs, channels]."""
        reads = self.reads[outputs]
        connected = np.zeros((len(reads), self.channels), bool)
        output, read = np.nonzero(reads >= 0)
        connected[output, reads[output, read]] = True
        return connected


@dataclass(frozen=True, eq=False)
class ArrayLayer:
    """A layer on the array: one pass over all its tiles.

    Attributes
    ----------
    name : str
        Of the tensor that it produces.
    covers : tuple of str
        The integer network's nodes that it executes.
    terms : tuple of ArrayTerm
        What the accumulators sum.
    bias : NDArray of int64
        [out], still relative to ``x - z``.
    shift : NDArray of int64
        [1] or [out].
    multiplier : NDArray of int64 or None
        [1] or [out]; None for shift-only requantization.
    zero_point : int
        Of the output.
    low : int
        The least output.
    high : int
        The greatest output.
    macs : int
        Of the network's layer.
    useful_macs : int
        Those of them whose results are read.
    pixels : tuple of int
        The output's (height, width).
    window : tuple of int
        Of the max pool on the way out, or what the accumulators sum over where it is mapped to window sums.
    window_stride : tuple of int
        From one window to the next.
    window_dilation : tuple of int
        From one pixel of a window to the next.
    """

    name: str
    covers: tuple[str, ...]
    terms: tuple[ArrayTerm, ...]
    bias: IntArray
    shift: IntArray
    multiplier: IntArray | None
    zero_point: int
    low: int
    high: int
    macs: int
    useful_macs: int
    pixels: tuple[int, int]
    window: tuple[int, int] = (1, 1)
    window_stride: tuple[int, int] = (1, 1)
    window_dilation: tuple[int, int] = (1, 1)

    @property
    def pooled(self) -> bool:
        """Whether outputs are visited other than one after the other."""
        return self.window != (1, 1) or self.window_stride != (1, 1)


def lower(qgraph: QGraph) -> list[ArrayLayer]:
    """The layers on the array in order of execution."""
    readers: dict[str, list[str]] = {}
    for node in qgraph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node.name)
    for output in qgraph.outputs:
        readers.setdefault(output.tensor, []).append("")
    offsets = any(
        term.offset.any() for node in qgraph.nodes if isinstance(node, Layer) for term in node.terms
    )
    layers: list[ArrayLayer] = []
    for node in qgraph.nodes:
        if isinstance(node, Layer):
            layers.append(_layer(node, qgraph, offsets))
        elif isinstance(node, Concat):
            layers.append(_concat(node, qgraph))
        elif (
            _fusable(node)
            and layers
            and layers[-1].name == node.input
            and not layers[-1].pooled
            and readers[node.input] == [node.name]
        ):
            height, width = qgraph.tensors[node.input].shape[1:]
            pixels = qgraph.tensors[node.name].shape[1:]
            # Windows side by side may leave pixels at the edge unread: those are not computed at all.
            read = pixels[0] * node.kernel[0] * pixels[1] * node.kernel[1]
            layers[-1] = replace(
                layers[-1],
                useful_macs=layers[-1].macs * read // (height * width),
                name=node.name,
                covers=(*layers[-1].covers, node.name),
                pixels=pixels,
                window=node.kernel,
                window_stride=node.stride,
            )
        else:
            layers.append(_pool(node, qgraph))
    return layers


def _fusable(node: MaxPool) -> bool:
    return (
        not any(node.padding)
        and all(size == 1 or d == 1 for size, d in zip(node.kernel, node.dilation))
        and all(stride >= size for stride, size in zip(node.stride, node.kernel))
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
        zero_point=tensor.zero_point,
        low=layer.low,
        high=layer.high,
        macs=macs,
        useful_macs=macs,
        pixels=tensor.shape[1:],
    )


def _terms(layer: Layer, term: Term, tensor: Tensor, offsets: bool) -> list[ArrayTerm]:
    """A term as the array computes it; ``offsets`` tells whether the network has integer offsets at all."""
    weight = term.weight
    offset = term.offset if term.anchor == "min" else _negated_offset(term)
    copies = 1
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
            offset = np.array([high - 127 if high > 127 else min(0, low + 128)])
    if term.groups > 1 and not term.shift and not _fits(-offset, term.bits):
        raise Unsupported(
            f"layer {layer.name!r}: a grouped convolution needs a representable zero weight; "
            "quantize it without the literal range",
            where=layer.name,
        )
    if offset.tolist() == [128] and weight.min() >= -1 and weight.max() <= 254:
        # As large as an offset in a row of weights, beside channels with offsets of their own, can be.
        offset = np.array([127])
    lowered = ArrayTerm(
        tensor=term.input,
        channels=tensor.shape[0],
        weight=weight,
        offset=offset,
        reads=_reads(term, tensor.shape[0]),
        stride=term.stride,
        padding=term.padding,
        dilation=term.dilation,
        pad=tensor.zero_point,
    )
    return [lowered] * copies


def _storable(low: int, high: int, offsets: bool) -> bool:
    """Whether 8 bits, with or without an offset, hold the weights from ``low`` to ``high``."""
    return high - low <= 255 if offsets else low >= -128 and high <= 127


def _negated_offset(term: Term) -> IntArray:
    """The offset of ``o - q``, of which the hardware stores ``-q``, or ``~q`` and adds ``o + 1``.

    The latter holds every code; the former needs no offset where there is none, in symmetric networks.
    """
    plain = not term.offset.any() and bool(np.all(term.codes > -(1 << (term.bits - 1))))
    return term.offset if plain else term.offset + 1


def _fits(values: IntArray, bits: int) -> bool:
    return bool(np.all((values >= -(1 << (bits - 1))) & (values < 1 << (bits - 1))))


def _reads(term: Term, channels: int) -> IntArray:
    """The channels of a tensor that a term's weights multiply, int64 [out, channels of a group]."""
    out, per_group = term.codes.shape[:2]
    if term.groups == 1:
        return np.broadcast_to(np.arange(channels), (out, channels))
    group = np.arange(out) // (out // term.groups)
    return np.asarray((group * (channels // term.groups))[:, None] + np.arange(per_group))


def _identity(tensors: Sequence[Tensor], **geometry: object) -> list[ArrayTerm]:
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


def _copy(node: MaxPool | Concat, terms: list[ArrayTerm], qgraph: QGraph) -> ArrayLayer:
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


def _concat(node: Concat, qgraph: QGraph) -> ArrayLayer:
    return _copy(node, _identity([qgraph.tensors[name] for name in node.inputs]), qgraph)


def _pool(node: MaxPool, qgraph: QGraph) -> ArrayLayer:
    """A max pool of its own: the identity, visited in the order of overlapping or padded windows.

    Padding inserts the least value, which never wins.
    """
    tensor = qgraph.tensors[node.input]
    terms = _identity([tensor], padding=node.padding, pad=tensor.limits[0])
    return replace(
        _copy(node, terms, qgraph),
        window=node.kernel,
        window_stride=node.stride,
        window_dilation=node.dilation,
    )
