"""Kernels whose positions all weigh the same, such as average pooling: the accumulators sum over the window."""

from __future__ import annotations

from dataclasses import replace

from hwquant.program.array_shape import ACCUMULATE_HAZARD, ArrayShape
from hwquant.program.layers import ArrayLayer
from hwquant.program.tiling import pixel_blocks
from hwquant.program.weight_format import weight_format


def sum_over_window(layer: ArrayLayer) -> ArrayLayer | None:
    """Rewrite a layer to sum over its kernel as a window; None where kernel positions do not all weigh the same."""
    if len(layer.terms) != 1 or layer.pooled:
        return None
    (term,) = layer.terms
    if term.kernel == (1, 1) or not term.uniform:
        return None
    return replace(
        layer,
        terms=(replace(term, weight=term.weight[:, :, :1, :1], stride=(1, 1), dilation=(1, 1)),),
        window=term.kernel,
        window_stride=term.stride,
        window_dilation=term.dilation,
    )


def revisits_early(layer: ArrayLayer, shape: ArrayShape) -> bool:
    """Whether the next tile visits an accumulator too soon after a summed window has left it.

    There is no next tile where a column block reads one word and its channels do not mix.
    """
    (term,) = layer.terms
    if term.separate and shape.reads_per_word == 1:
        return False
    area = layer.window[0] * layer.window[1]
    fewest = min(block.count for block in pixel_blocks(layer, shape.accumulator_depth, summed=True))
    least = weight_format(term, shape).load_cycles(shape)
    return max(fewest * area, least) - area + 1 < ACCUMULATE_HAZARD
