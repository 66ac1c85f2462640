"""What each layer does with the array, in numbers."""

from __future__ import annotations

from collections.abc import Mapping

from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayTerm
from hwquant.program.program import LayerInfo
from hwquant.program.schedule import LayerSchedule
from hwquant.program.weight_format import WeightFormat


def layer_info(
    item: LayerSchedule, shape: ArrayShape, formats: Mapping[ArrayTerm, WeightFormat]
) -> LayerInfo:
    """Sum up the numbers of one layer, from its schedule and the formats of its weights."""
    layer = item.mapped.layer
    streamed = [item.mapped.streamed(block) for block in item.pixel_blocks]
    ideal = words = 0
    for term_tiles in (term_tiles for column_pass in item.passes for term_tiles in column_pass.terms):
        tiles = len(term_tiles.tiles)
        if not isinstance(term_tiles.term, ArrayTerm):
            ideal += tiles * sum(streamed)
            continue
        form = formats[term_tiles.term]
        ideal += tiles * sum(max(pixels, form.load_cycles(shape)) for pixels in streamed)
        words += tiles * form.words(shape) + int(shape.channel_offsets)
    return LayerInfo(
        name=layer.name,
        covers=layer.covers,
        macs=layer.macs,
        useful_macs=layer.useful_macs,
        tiles=sum(column_pass.dense for column_pass in item.passes),
        tiles_skipped=sum(column_pass.skipped for column_pass in item.passes),
        jobs=sum(column_pass.count for column_pass in item.passes) * len(item.pixel_blocks),
        ideal_cycles=ideal,
        weight_words=words,
        rows_per_word=min((formats[term].rows_per_word for term in layer.terms), default=1),
        rows_per_cycle=min((formats[term].rows_per_cycle for term in layer.terms), default=1),
        into=layer.into,
        rows=layer.pixels[0] if shape.arrays > 1 and not item.mapped.alone else None,
    )
