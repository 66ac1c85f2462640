"""A network's input with positions of a kernel in one word, where that saves tiles of the layers that read it.

A layer of one input channel would use one row of the array. So a word holds what several positions of the kernel read:
a row of it, the whole of it, or as much of a long one as fills the array's rows; the kernel that is left moves from
word to word.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hwquant.graph import Shape
from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.layout import WindowPacking
from hwquant.program.raw_inputs import RawInput, is_packable
from hwquant.program.widths import bits_for

MOST = 64
"""Positions in a word beyond which only a whole row of the kernel is tried: twice the rows of the largest array."""


@dataclasses.dataclass(frozen=True)
class _Side:
    """One axis of a packing: positions in a word, words that a kernel covers, and words in all."""

    positions: int
    words: int
    step: int
    count: int

    @classmethod
    def of(cls, positions: int, kernel: int, stride: int, dilation: int, outputs: int) -> _Side:
        """Put ``positions`` of a kernel's in a word; words are as far apart as both kernel and outputs need."""
        words = -(-kernel // positions)
        step = math.gcd(stride, positions * dilation) if words > 1 else stride
        last = (outputs - 1) * stride + (words - 1) * positions * dilation
        return cls(positions, words, step, last // step + 1)


def window_packing(
    layers: Sequence[ArrayLayer], tensor: Shape, array: ArrayShape, *, raw: bool = False
) -> WindowPacking | None:
    """Plan how to pack a tensor that layers read, all with the same window; None where that saves no tile.

    It is measured by what one row of the kernel in a word would need, or the tensor as it is where that saves nothing:
    the plan with the fewest cycles of tiles, and words that the host sends, that has no more of either. Where the
    hardware makes the words they cost the host nothing: the plan with the fewest cycles of tiles, then words, that
    its packer can have.

    Parameters
    ----------
    layers : sequence of ArrayLayer
        What reads the tensor, each with one term.
    tensor : tuple of int
        Channels, height and width of the tensor.
    array : ArrayShape
        The array.
    raw : bool, default False
        Whether the host sends the tensor as it is, and the hardware makes the words.
    """
    terms = [layer.terms[0] for layer in layers]
    windows = {(term.kernel, term.stride, term.padding, term.dilation) for term in terms}
    if len(windows) > 1 or terms[0].kernel == (1, 1):
        return None
    first, *others = _candidates(terms, tensor)
    plain = math.prod(terms[0].kernel) * -(-tensor[0] // array.rows)
    row, best = _tiles(first, terms[0], array), None
    most = _words(first, array) if row < plain else -(-tensor[0] // array.lanes) * math.prod(tensor[1:])
    least = math.inf, math.inf
    for packing in (first, *others):
        tiles, words = _tiles(packing, terms[0], array), _words(packing, array)
        if tiles >= plain or tiles > row or (not raw and words > most):
            continue
        if raw and not is_packable(RawInput(packing, 0), array.activation_bits):
            continue
        sent = 0 if raw else words
        cost = sent + sum(_cycles(layer, tiles, array) for layer in layers), words
        if cost < least:
            best, least = packing, cost
    return best


def _candidates(terms: Sequence[ArrayTerm], tensor: Shape) -> Iterator[WindowPacking]:
    """All packings, first a row of the kernel; positions beyond the kernel's end need weights that are zero."""
    term, (_, height, width) = terms[0], tensor
    (kh, kw), (sy, sx), (dy, dx), (top, left, bottom, right) = (
        term.kernel,
        term.stride,
        term.dilation,
        term.padding,
    )
    rows = (height + top + bottom - dy * (kh - 1) - 1) // sy + 1
    columns = (width + left + right - dx * (kw - 1) - 1) // sx + 1
    zeros = all(_stores_zero(item) for item in terms)
    for across in (kw, *range(min(kw - 1, MOST), 0, -1)):
        side = _Side.of(across, kw, sx, dx, columns)
        plan = WindowPacking(tensor, across, side.step, dx, left, side.count)
        for down in range(1, 1 + min(kh, max(1, MOST // across))):
            if not zeros and (kw % across or kh % down):
                continue
            if down == 1:
                yield plan
                continue
            side = _Side.of(down, kh, sy, dy, rows)
            yield dataclasses.replace(
                plan, rows=down, row_stride=side.step, row_dilation=dy, top=top, height=side.count
            )


def _stores_zero(term: ArrayTerm) -> bool:
    """Whether weight zero is stored in no more bits than the others."""
    return term.step == 1 and bits_for(*term.zero_limits) <= bits_for(*term.weight_limits)


def _tiles(packing: WindowPacking, term: ArrayTerm, array: ArrayShape) -> int:
    """Tiles of one column block."""
    kh, kw = term.kernel
    reads = -(-packing.packed_shape[0] // array.rows)
    return -(-kh // packing.rows) * -(-kw // packing.kernel) * reads


def _words(packing: WindowPacking, array: ArrayShape) -> int:
    channels, height, width = packing.packed_shape
    return -(-channels // array.lanes) * height * width


def _cycles(layer: ArrayLayer, tiles: int, array: ArrayShape) -> int:
    """Cycles of a layer's tiles, about."""
    pixels = math.prod(layer.pixels) * math.prod(layer.window)
    return tiles * -(-len(layer.bias) // array.columns) * max(pixels, array.load_cycles)


def input_packings(
    dense: Mapping[str, Sequence[ArrayLayer]],
    shapes: Mapping[str, Shape],
    array: ArrayShape,
    *,
    raw: bool = False,
) -> dict[str, WindowPacking]:
    """Plan the packing of inputs, by their names; those that are not packed are left out.

    Parameters
    ----------
    dense : mapping of sequence of ArrayLayer
        The layers that read each input of which all readers have one term and dense tiles.
    shapes : mapping of tuple of int
        Channels, height and width of the inputs.
    array : ArrayShape
        The array.
    raw : bool, default False
        Whether the host sends inputs as they are, and the hardware makes the words.
    """
    plans = {name: window_packing(layers, shapes[name], array, raw=raw) for name, layers in dense.items()}
    return {name: plan for name, plan in plans.items() if plan}


def packed_term(term: ArrayTerm, packing: WindowPacking) -> ArrayTerm:
    """Rewrite a term to read the packed tensor, in which positions of the kernel have become channels."""
    out, inputs, kh, kw = term.weight.shape
    down, across = packing.rows, packing.kernel
    grid = -(-kh // down), -(-kw // across)
    weight = np.zeros((out, inputs, grid[0] * down, grid[1] * across), np.int64)
    weight[:, :, :kh, :kw] = term.weight
    weight = weight.reshape(out, inputs, grid[0], down, grid[1], across).transpose(0, 3, 5, 1, 2, 4)
    positions = np.arange(down * across)[:, None] * term.channels
    reads = np.where(term.reads[:, None, :] < 0, -1, positions + term.reads[:, None, :])
    (sy, sx), (dy, dx), (top, _, bottom, _) = term.stride, term.dilation, term.padding
    folded = down > 1
    return dataclasses.replace(
        term,
        channels=down * across * term.channels,
        weight=weight.reshape(out, down * across * inputs, *grid),
        reads=reads.reshape(out, down * across * inputs),
        stride=(sy // packing.row_stride if folded else sy, sx // packing.stride),
        padding=(0, 0, 0, 0) if folded else (top, 0, bottom, 0),
        dilation=(
            (dy * down // packing.row_stride if grid[0] > 1 else 1) if folded else dy,
            dx * across // packing.stride if grid[1] > 1 else 1,
        ),
    )
