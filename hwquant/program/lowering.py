"""From the integer network to what the array executes: dense terms, a window order, one output each.

Every layer becomes a :class:`Step`: grouped weights become dense ones with zero blocks (whose tiles cost
nothing), a pooling that cannot be fused and a concatenation become identity weights, a max pool behind a
layer with windows that do not overlap becomes that layer's pixel order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import Unsupported
from hwquant.qgraph import Concat, IntArray, Layer, MaxPool, QGraph, Tensor, Term
from hwquant.window import Padding

MAX_COPIES = 64


@dataclass(frozen=True, eq=False)
class StepTerm:
    """A dense convolution into the accumulators.

    Attributes
    ----------
    weight : int64 [out, channels of the tensor, kernel height, kernel width], adjusted
    offset : int64 [1] or [out], what the hardware adds to the stored weight
    structure : bool [out, in], False where a grouped or identity weight has no connection: such tiles are
        neither executed nor counted as skipped
    pad : the value that padding inserts
    """

    tensor: str
    weight: IntArray
    offset: IntArray
    structure: NDArray[np.bool_]
    stride: tuple[int, int]
    padding: Padding
    dilation: tuple[int, int]
    pad: int

    @cached_property
    def stored_limits(self) -> tuple[int, int]:
        """Least and greatest stored weight, those of adjusted weight zero included."""
        offset = self.offset.reshape(-1, 1, 1, 1)
        stored = self.weight - offset
        zeros = int(-offset.max()), int(-offset.min())
        return min(zeros[0], int(stored.min(initial=zeros[0]))), max(
            zeros[1], int(stored.max(initial=zeros[1]))
        )


@dataclass(frozen=True, eq=False)
class Step:
    """One pass of the array over all its tiles; it produces the tensor ``name``.

    ``bias`` is still relative to ``x - z``; ``pixels`` is the output's (height, width); ``window...`` describe the
    max pool on the way out, or with ``summed`` what the accumulators sum over; ``covers`` names the integer
    network's nodes that it executes; ``macs`` are those of the network's layer, ``useful_macs`` those whose
    results are read.
    """

    name: str
    covers: tuple[str, ...]
    terms: tuple[StepTerm, ...]
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
    summed: bool = False

    @property
    def pooled(self) -> bool:
        """Whether outputs are visited other than one after the other."""
        return self.window != (1, 1) or self.window_stride != (1, 1)


def lower(qgraph: QGraph) -> list[Step]:
    """All steps in execution order."""
    readers: dict[str, list[str]] = {}
    for node in qgraph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node.name)
    for output in qgraph.outputs:
        readers.setdefault(output.tensor, []).append("")
    offsets = any(
        term.offset.any() for node in qgraph.nodes if isinstance(node, Layer) for term in node.terms
    )
    steps: list[Step] = []
    for node in qgraph.nodes:
        match node:
            case Layer():
                steps.append(_layer(node, qgraph, offsets))
            case Concat():
                steps.append(_concat(node, qgraph))
            case MaxPool():
                alone = readers[node.inputs[0]] == [node.name]
                if steps and steps[-1].name == node.inputs[0] and alone and _fusable(node, steps[-1]):
                    steps[-1] = _pooled(steps[-1], node, qgraph)
                else:
                    steps.append(_pool(node, qgraph))
            case _:
                assert_never(node)
    return steps


def _pooled(step: Step, node: MaxPool, qgraph: QGraph) -> Step:
    """The step with a max pool on its way out."""
    height, width = qgraph.tensors[node.inputs[0]].shape[1:]
    pixels = qgraph.tensors[node.name].shape[1:]
    # Windows side by side may leave pixels at the edge unread: those are not computed at all.
    read = pixels[0] * node.window.kernel[0] * pixels[1] * node.window.kernel[1]
    return replace(
        step,
        useful_macs=step.macs * read // (height * width),
        name=node.name,
        covers=(*step.covers, node.name),
        pixels=pixels,
        window=node.window.kernel,
        window_stride=node.window.stride,
    )


def _fusable(node: MaxPool, step: Step) -> bool:
    """Whether a max pool can be on a step's way out: one alone, of windows that neither overlap nor leave the image."""
    return (
        not step.pooled
        and not node.window.padded
        and all(size == 1 or d == 1 for size, d in zip(node.window.kernel, node.window.dilation))
        and all(stride >= size for stride, size in zip(node.window.stride, node.window.kernel))
    )


def _layer(layer: Layer, qgraph: QGraph, offsets: bool) -> Step:
    terms: list[StepTerm] = []
    for term in layer.terms:
        terms.extend(_terms(layer, term, qgraph.tensors[term.input], offsets))
    tensor = qgraph.tensors[layer.name]
    macs = layer.macs(*(qgraph.tensors[name].shape for name in layer.inputs))
    return Step(
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


def _terms(layer: Layer, term: Term, tensor: Tensor, offsets: bool) -> list[StepTerm]:
    """A term as the array computes it; ``offsets`` tells whether the network has integer offsets at all."""
    dense, structure = _dense(term)
    offset = term.offset if term.anchor == "min" else _negated_offset(term)
    copies = 1
    if term.shift:
        # A shifted term is stored as shifted weights; what exceeds a weight is repeated.
        low, high = min(0, int(dense.min(initial=0))), max(0, int(dense.max(initial=0)))
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
            dense, low, high = dense << shift, low << shift, high << shift
            offset = np.array([high - 127 if high > 127 else min(0, low + 128)])
    if term.groups > 1 and not term.shift and not _fits(-offset, term.bits):
        raise Unsupported(
            f"layer {layer.name!r}: a grouped convolution needs a representable zero weight; "
            "quantize it without the literal range",
            where=layer.name,
        )
    if offset.tolist() == [128] and dense.min() >= -1 and dense.max() <= 254:
        # As large as an offset in a row of weights, beside channels with offsets of their own, can be.
        offset = np.array([127])
    lowered = StepTerm(
        tensor=term.input,
        weight=dense,
        offset=offset,
        structure=structure,
        stride=term.window.stride,
        padding=term.window.padding,
        dilation=term.window.dilation,
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


def _dense(term: Term) -> tuple[IntArray, NDArray[np.bool_]]:
    """Grouped weights as dense ones, and which of them exist."""
    weight, groups = term.weight, term.groups
    out, per_group = weight.shape[:2]
    dense = np.zeros((out, per_group * groups, *weight.shape[2:]), np.int64)
    structure = np.zeros(dense.shape[:2], bool)
    for group, rows in enumerate(np.split(np.arange(out), groups)):
        columns = slice(group * per_group, (group + 1) * per_group)
        dense[rows, columns] = weight[rows]
        structure[rows, columns] = True
    return dense, structure


def _identity(tensors: Sequence[Tensor], **geometry: object) -> list[StepTerm]:
    """Terms that copy tensors one after the other into the output's channels."""
    total = sum(tensor.shape[0] for tensor in tensors)
    terms, start = [], 0
    for tensor in tensors:
        channels = tensor.shape[0]
        eye = np.eye(total, channels, -start, dtype=np.int64)
        values: dict[str, object] = {
            "tensor": tensor.name,
            "weight": eye.reshape(total, channels, 1, 1),
            "offset": np.zeros(1, np.int64),
            "structure": eye.astype(bool),
            "stride": (1, 1),
            "padding": (0, 0, 0, 0),
            "dilation": (1, 1),
            "pad": tensor.zero_point,
        }
        terms.append(StepTerm(**(values | geometry)))  # type: ignore[arg-type]
        start += channels
    return terms


def _copy(node: MaxPool | Concat, terms: list[StepTerm], qgraph: QGraph) -> Step:
    tensor = qgraph.tensors[node.name]
    low, high = tensor.limits
    return Step(
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


def _concat(node: Concat, qgraph: QGraph) -> Step:
    return _copy(node, _identity([qgraph.tensors[name] for name in node.inputs]), qgraph)


def _pool(node: MaxPool, qgraph: QGraph) -> Step:
    """A max pool of its own: the identity, visited in the order of overlapping or padded windows.

    Padding inserts the least value, which never wins.
    """
    tensor = qgraph.tensors[node.inputs[0]]
    terms = _identity([tensor], padding=node.window.padding, pad=tensor.limits[0])
    return replace(
        _copy(node, terms, qgraph),
        window=node.window.kernel,
        window_stride=node.window.stride,
        window_dilation=node.window.dilation,
    )
