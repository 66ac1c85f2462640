"""How many rows a word of the weight memory should hold, and how many should enter the array at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hwquant.program.array_shape import PACKINGS, ArrayShape
from hwquant.program.layers import ArrayTerm
from hwquant.program.limits import LIMITS
from hwquant.program.schedule import LayerSchedule
from hwquant.program.weight_format import weight_format
from hwquant.program.window_sums import revisits_early

MAX_SLOT_BITS = 8
"""The widest slot that is chosen to store narrow weights densely."""

WORTHWHILE = 1 / 16
"""Least share of the weight memory that sharing words must save, or of the cycles that loading rows at once must."""

TOLERABLE = 1 / 8
"""Largest share of weight memory that may be added to save cycles: weights rarely fill words without rest."""


@dataclass
class TermLoad:
    """What a term's tiles ask of the weight memory.

    Attributes
    ----------
    term : ArrayTerm
        The term that the tiles are cut from.
    tiles : int, default 0
        Tiles in the memory.
    offset_rows : int, default 0
        Rows of offsets in the memory.
    streams : dict of int
        Number of executed tiles, by the pixels that they stream.
    """

    term: ArrayTerm
    tiles: int = 0
    offset_rows: int = 0
    streams: dict[int, int] = field(default_factory=dict)

    def words(self, shape: ArrayShape) -> int:
        """Count the words of the weight memory that the tiles take."""
        return self.tiles * weight_format(self.term, shape).words(shape) + self.offset_rows

    def cycles(self, shape: ArrayShape) -> int:
        """Count the cycles of streaming, or of loading where that takes longer."""
        least = weight_format(self.term, shape).load_cycles(shape)
        return sum(count * max(pixels, least) for pixels, count in self.streams.items())


def term_loads(schedule: Iterable[LayerSchedule], shape: ArrayShape) -> list[TermLoad]:
    """Sum up what the scheduled tiles of every term ask of the weight memory."""
    loads: dict[ArrayTerm, TermLoad] = {}
    for item in schedule:
        streamed = [item.mapped.streamed(block) for block in item.pixel_blocks]
        for column_pass in item.passes:
            for term_tiles in column_pass.terms:
                if not isinstance(term_tiles.term, ArrayTerm):
                    continue  # a product has no weights
                load = loads.setdefault(term_tiles.term, TermLoad(term_tiles.term))
                load.tiles += len(term_tiles.tiles)
                load.offset_rows += int(shape.channel_offsets)
                for pixels in streamed:
                    load.streams[pixels] = load.streams.get(pixels, 0) + len(term_tiles.tiles)
    return list(loads.values())


def choose_weight_format(schedule: Sequence[LayerSchedule], shape: ArrayShape) -> ArrayShape:
    """Choose how wide slots are and how many rows share a word; the array stays as it is where one row is best.

    Of the slot widths, rows a word and rows a cycle that store the weights in about the fewest bits, those that are
    about the fastest; of these the one with the fewest rows a cycle, then the fewest bits.
    """
    costs = _costs(schedule, shape)
    bits, cycles, _ = costs[shape]
    least = min(cost[0] for cost in costs.values())
    dense = {other: cost for other, cost in costs.items() if cost[0] <= least * (1 + TOLERABLE)}
    fastest = min(cost[1] for cost in dense.values())
    if fastest > cycles * (1 - WORTHWHILE):  # entries to the inside of the array are not worth it
        dense = {other: cost for other, cost in dense.items() if other.load_rows == 1}
        if least > bits * (1 - WORTHWHILE):
            return shape
    else:
        dense = {other: cost for other, cost in dense.items() if cost[1] <= fastest * (1 + WORTHWHILE)}
        fewest = min(other.load_rows for other in dense)
        dense = {other: cost for other, cost in dense.items() if other.load_rows == fewest}
    return min(dense, key=lambda other: dense[other])


def _costs(
    schedule: Sequence[LayerSchedule], shape: ArrayShape
) -> Mapping[ArrayShape, tuple[int, int, tuple[int, int, int]]]:
    """What each format that the layers can run with costs: bits of weight memory, cycles, a measure of the hardware."""
    loads = term_loads(schedule, shape)
    sums = [item.mapped.layer for item in schedule if item.mapped.summed]
    costs = {}
    rows_at_once = [n for n in PACKINGS if n <= shape.rows]
    if shape.offset == "sum" and shape.channel_offsets:
        rows_at_once = [1]
    # Wider ones bring rows of any weights at once: as many bits, in fewer and wider words.
    wide = {shape.weight_bits * rows for rows in rows_at_once if rows > 1}
    slots = [
        *range(shape.weight_bits, MAX_SLOT_BITS + 1),
        *(slot for slot in wide if MAX_SLOT_BITS < slot <= LIMITS["weight_slot_bits"][1]),
    ]
    for slot in slots:
        for rows_per_word in PACKINGS:
            for rows_per_cycle in rows_at_once:
                if rows_per_cycle > rows_per_word or rows_per_word > slot:
                    continue
                candidate = replace(
                    shape,
                    weight_slot_bits=slot if slot > shape.weight_bits else 0,
                    weight_packing=rows_per_word,
                    load_rows=rows_per_cycle,
                )
                if not candidate.settles and any(revisits_early(layer, candidate) for layer in sums):
                    continue  # its tiles would follow each other too fast for a window sum
                words = sum(load.words(candidate) for load in loads)
                cycles = sum(load.cycles(candidate) for load in loads)
                costs[candidate] = (
                    words * shape.columns * slot,
                    cycles,
                    (rows_per_cycle, rows_per_word, slot),
                )
    return costs
