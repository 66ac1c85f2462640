"""The contents of the weight and the parameter memory, and how far sums can go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import integer_limits
from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.mapping import MappedLayer
from hwquant.program.overflow import sum_range
from hwquant.program.schedule import LayerSchedule, TermTiles, tile_weights
from hwquant.program.tiling import ColumnBlock, Tile
from hwquant.program.weight_format import WeightFormat
from hwquant.program.widths import bits_for
from hwquant.qgraph import IntArray, Tensor
from hwquant.ranges import product_range

Span = tuple[str, IntArray, IntArray]
"""A layer, and the least and the greatest sum of products of each column."""

LEAST_ZEROS = 4
"""Low bits that all biases must share as zeros for hardware that leaves them out: fewer come about by chance."""


@dataclass(frozen=True, eq=False)
class Images:
    """The contents of the read-only memories, in order of use.

    Attributes
    ----------
    weights : ndarray of int16 or int32, shape (words, columns)
        Words of the weight memory: a column's slot as a signed integer.
    bias : ndarray of int64, shape (channels,)
        What is added to a channel's sum, the rounding term of a shift among it.
    shift : ndarray of int64, shape (channels,)
        Right shift of a channel's sum, as the hardware applies it.
    multiplier : ndarray of int64, shape (channels,)
        What a channel's sum is multiplied by; 0 where requantization is a shift alone.
    bias_zeros : int
        Low bits that are zero in every bias, where they are at least :data:`LEAST_ZEROS`; else 0.
    sums : tuple of int
        The least and the greatest sum that an accumulator can come to, with the bias.
    widest : str
        The layer that needs the widest accumulators.
    """

    weights: NDArray[np.int16 | np.int32]
    bias: IntArray
    shift: IntArray
    multiplier: IntArray
    bias_zeros: int
    sums: tuple[int, int]
    widest: str


@dataclass(frozen=True, eq=False)
class Parameters:
    """The parameters of a column block: of its channels, then of the columns that have none.

    Attributes
    ----------
    bias, shift, multiplier : ndarray of int64, shape (columns,)
        As those of :class:`Images`.
    zeros : ndarray of int64, shape (columns,)
        What inputs that are all at their zero point add to a sum.
    channels : int
        Number of columns with a channel.
    """

    bias: IntArray
    shift: IntArray
    multiplier: IntArray
    zeros: IntArray
    channels: int

    def idle_shifted(self, shift: int, multiplied: bool) -> Parameters:
        """Let columns without a channel, whose results are zero points, come to them by a shift.

        Where there are multipliers, theirs are 0, and any shift will do.
        """
        idle = np.arange(len(self.bias)) >= self.channels
        bias = self.bias if multiplied else ((self.bias + self.zeros) << shift) - self.zeros
        return replace(self, bias=np.where(idle, bias, self.bias), shift=np.where(idle, shift, self.shift))


@dataclass(frozen=True, eq=False)
class BlockWeights:
    """The weights of one term in one column block.

    Attributes
    ----------
    words : ndarray of int16 or int32, shape (words, columns)
        Words of the weight memory.
    zeros : ndarray of int64, shape (columns,)
        The sum of products with inputs that are all at their zero point.
    low : ndarray of int64, shape (columns,)
        The least sum of products with inputs within their limits.
    high : ndarray of int64, shape (columns,)
        The greatest sum of products with inputs within their limits.
    """

    words: NDArray[np.int16 | np.int32]
    zeros: IntArray
    low: IntArray
    high: IntArray


def make_images(
    schedule: Sequence[LayerSchedule],
    tensors: Mapping[str, Tensor],
    shape: ArrayShape,
    formats: Mapping[ArrayTerm, WeightFormat],
) -> Images:
    """Make the images of all layers, a column block at a time.

    Parameters
    ----------
    schedule : sequence of LayerSchedule
        All layers in order of execution.
    tensors : mapping of Tensor
        The network's tensors by name, for zero points and limits.
    shape : ArrayShape
        The array, with the format of its weight memory.
    formats : mapping of WeightFormat
        How each term's weights are stored.
    """
    weights, parameters, spans = [], [], []
    for item in schedule:
        layer = item.mapped.layer
        for column_pass in item.passes:
            block, terms = column_pass.block, column_pass.terms
            own = [_summand(item.mapped, block, one, tensors, shape, formats) for one in terms]
            weights += [one.words for one in own]
            zeros, low, high = (
                np.sum([getattr(one, name) for one in own], axis=0) for name in ("zeros", "low", "high")
            )
            parameters.append(_parameters(layer, block, zeros, shape))
            spans.append((layer.name, low, high))
    shared = _shared_zeros(parameters, shape, bits_for(*_sums(parameters, spans)[0]))
    multiplied = shape.multiplier_bits > 0
    shift = shape.least_shift if multiplied else max(shared, shape.least_shift)
    parameters = [one.idle_shifted(shift, multiplied) for one in parameters]
    sums, widest = _sums(parameters, spans)
    columns = {
        name: np.concatenate([getattr(item, name) for item in parameters])
        for name in ("bias", "shift", "multiplier")
    }
    return Images(np.concatenate(weights), **columns, bias_zeros=shared, sums=sums, widest=widest)


def _sums(parameters: Sequence[Parameters], spans: Sequence[Span]) -> tuple[tuple[int, int], str]:
    """The least and the greatest sum that an accumulator can come to, and the layer that needs the widest."""
    sums, widest = (0, 0), ""
    for item, (name, low, high) in zip(parameters, spans):
        span = int((item.bias + low).min()), int((item.bias + high).max())
        if bits_for(*span) > bits_for(*sums):
            widest = name
        sums = min(span[0], sums[0]), max(span[1], sums[1])
    return sums, widest


def _shared_zeros(parameters: Sequence[Parameters], shape: ArrayShape, width: int) -> int:
    """Low bits that are zero in the bias of every channel, and in what idle columns add; 0 for a few.

    They are at most as many as a shift can have, and so many that a zero point before that shift has no more than the
    ``width`` of the sums.
    """
    used = [part for item in parameters for part in (item.bias[: item.channels], item.zeros[item.channels :])]
    bits = int(np.bitwise_or.reduce(np.concatenate(used)))
    most = min(shape.least_shift + (1 << shape.shift_bits) - 1, width - shape.requantized_bits)
    zeros = min((bits & -bits).bit_length() - 1, most)
    return zeros if zeros >= LEAST_ZEROS else 0


def _summand(
    mapped: MappedLayer,
    block: ColumnBlock,
    term_tiles: TermTiles,
    tensors: Mapping[str, Tensor],
    shape: ArrayShape,
    formats: Mapping[ArrayTerm, WeightFormat],
) -> BlockWeights:
    """What one term adds in a column block; a product has no weights, and its zero points are subtracted before it."""
    term = term_tiles.term
    if isinstance(term, ArrayTerm):
        return _weights(mapped, block, term, term_tiles.tiles, tensors[term.tensor], shape, formats[term])
    factors = [tensors[name] for name in (term.tensor, term.factors)]
    low, high = product_range(factors, [tensor.limits for tensor in factors])
    each = np.ones(shape.columns, np.int64)
    return BlockWeights(np.zeros((0, shape.columns), shape.slot_type), 0 * each, low * each, high * each)


def _weights(
    mapped: MappedLayer,
    block: ColumnBlock,
    term: ArrayTerm,
    tiles: Sequence[Tile],
    tensor: Tensor,
    shape: ArrayShape,
    form: WeightFormat,
) -> BlockWeights:
    """The rows of one term in a column block, behind its row of offsets where channels have their own."""
    least, greatest = integer_limits(shape.weight_bits)
    offset = np.zeros(shape.columns, np.int64)
    if shape.channel_offsets:
        offset[: len(block.channels)] = np.broadcast_to(term.offset, len(term.weight))[block.outputs]
    else:
        offset[:] = term.offset[0]
    weight = tile_weights(mapped, term, block, shape)[[tile.number for tile in tiles]]
    # A zero that no stored weight can express is left to lanes that always hold the zero point.
    stored = np.clip(term.stored(weight, offset), least, greatest)
    actual = term.adjusted(stored, offset).reshape(-1, shape.columns)
    words = form.pack(stored, shape).reshape(-1, shape.columns)
    if shape.channel_offsets:
        words = np.concatenate([offset[None], words])
    low, high = sum_range(actual, tensor.limits)
    return BlockWeights(
        words=words.astype(shape.slot_type),
        zeros=mapped.visits * tensor.zero_point * actual.sum(axis=0),
        low=mapped.visits * low,
        high=mapped.visits * high,
    )


def _parameters(layer: ArrayLayer, block: ColumnBlock, zeros: IntArray, shape: ArrayShape) -> Parameters:
    """Bias, shift and multiplier of a column block.

    ``zeros`` is what inputs that are all at their zero point add to a sum.
    """
    count = len(block.channels)
    idle = layer.idle(shape.multiplier_bits > 0)
    bias = np.zeros(shape.columns, np.int64)
    bias[:count] = layer.bias[block.outputs]
    bias -= zeros
    shift = np.zeros(shape.columns, np.int64)
    shift[:count] = np.broadcast_to(layer.shift, layer.bias.shape)[block.outputs]
    multiplier = np.zeros(shape.columns, np.int64)
    if not shape.multiplier_bits:
        bias += np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0) + (layer.zero_point << shift)
        bias[count:] += 0 if idle is None else idle - layer.zero_point
        return Parameters(bias, shift, multiplier, zeros, count)
    factors = np.ones(1, np.int64) if layer.multiplier is None else layer.multiplier
    multiplier[:count] = np.broadcast_to(factors, layer.bias.shape)[block.outputs]
    # The hardware rounds after shifting by one less; what is not shifted at all is doubled first.
    multiplier = np.where(shift == 0, 2 * multiplier, multiplier)
    return Parameters(bias, np.maximum(shift - 1, 0), multiplier, zeros, count)
