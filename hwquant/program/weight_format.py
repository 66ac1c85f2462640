"""How a layer's weights lie in the weight memory: several rows of a tile in a word where they are narrow.

A word has a slot of ``slot_bits`` for each column. With ``packing`` rows in a word, a slot is cut into as many
fields, field 0 in the low bits. With ``parallel`` rows entering the array in a cycle, the array's rows are
``parallel`` segments, one below the other; cycle ``n`` of loading brings the ``n``-th row from below of each of
them, segment ``i``'s in field ``i`` of the cycle's ``parallel`` fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hwquant.program.config import ACCUMULATE_HAZARD, PACKINGS, ArrayConfig, bits_for
from hwquant.program.lowering import ArrayTerm
from hwquant.qgraph import IntArray

MAX_SLOT_BITS = 8
"""The widest slot that is chosen where no weight is wider."""

WORTHWHILE = 1 / 16
"""Least share of the weight memory that packing, or of the cycles that loading several rows at once, must save."""

TOLERABLE = 1 / 8
"""Largest share of weight memory that may be added to save cycles: weights rarely fill words without rest."""


@dataclass(frozen=True)
class WeightFormat:
    """``packing`` rows share a word, ``parallel`` of them enter the array in a cycle; powers of two."""

    packing: int = 1
    parallel: int = 1

    @classmethod
    def of(cls, packing: int, config: ArrayConfig) -> WeightFormat:
        """The format with that many rows in a word: as many of them at once as the hardware can load."""
        return cls(packing, min(packing, config.load_rows))

    def load_cycles(self, config: ArrayConfig) -> int:
        """Cycles that loading a tile takes (without an offset row)."""
        return max(config.segment_rows(self.parallel), ACCUMULATE_HAZARD)

    def words(self, config: ArrayConfig) -> int:
        """Words of a tile (without an offset row)."""
        return -(-config.segment_rows(self.parallel) // (self.packing // self.parallel))

    def pack(self, weight: IntArray, config: ArrayConfig) -> IntArray:
        """The slots (words, columns) of a tile's stored weights (rows, columns), signed as a slot is."""
        if self.packing == 1:
            return weight[::-1]
        segment, cycles = config.segment_rows(self.parallel), self.packing // self.parallel
        padded = np.zeros((self.parallel * segment, config.columns), np.int64)
        padded[: config.rows] = weight
        rows = np.zeros((self.words(config) * cycles, self.parallel, config.columns), np.int64)
        rows[:segment] = padded.reshape(self.parallel, segment, -1)[:, ::-1].swapaxes(0, 1)
        fields = rows.reshape(self.words(config), self.packing, config.columns)
        width, sign = config.slot_bits // self.packing, 1 << (config.slot_bits - 1)
        shifts = np.arange(self.packing)[:, None] * width
        slots = ((fields & ((1 << width) - 1)) << shifts).sum(axis=1)
        return (slots ^ sign) - sign


def weight_format(term: ArrayTerm, config: ArrayConfig) -> WeightFormat:
    """The densest format that a term's weights have on the hardware.

    The stored weights include that of weight zero, which idle lanes need; so no adjusted weight is more than one
    bit wider than a field. A literal range without zero may cost packing for that reason.
    """
    bits = bits_for(*term.stored_limits)
    fitting = [n for n in PACKINGS if n <= config.weight_packing and bits <= config.slot_bits // n]
    return WeightFormat.of(max(fitting) if bits <= config.weight_bits else 1, config)


@dataclass
class TermLoad:
    """What a term's tiles ask of the weight memory, for :func:`choose_packing`.

    ``tiles`` and ``offset_rows`` in the memory; ``streams``: number of executed tiles by their pixels.
    """

    term: ArrayTerm
    tiles: int = 0
    offset_rows: int = 0
    streams: dict[int, int] = field(default_factory=dict)

    def words(self, config: ArrayConfig) -> int:
        return self.tiles * weight_format(self.term, config).words(config) + self.offset_rows

    def cycles(self, config: ArrayConfig) -> int:
        least = weight_format(self.term, config).load_cycles(config)
        return sum(count * max(pixels, least) for pixels, count in self.streams.items())


def choose_packing(loads: Sequence[TermLoad], config: ArrayConfig) -> ArrayConfig:
    """The configuration with the packing that its network's weights are worth; unchanged where they are not.

    Of the slot widths, packings and rows a cycle that store the weights in about the fewest bits, those that are
    about the fastest; of these the one with the fewest rows a cycle, then the fewest bits.
    """
    costs = _costs(loads, config)
    bits, cycles, _ = costs[config]
    least = min(cost[0] for cost in costs.values())
    dense = {other: cost for other, cost in costs.items() if cost[0] <= least * (1 + TOLERABLE)}
    fastest = min(cost[1] for cost in dense.values())
    if fastest > cycles * (1 - WORTHWHILE):  # entries to the inside of the array are not worth it
        dense = {other: cost for other, cost in dense.items() if other.load_rows == 1}
        if least > bits * (1 - WORTHWHILE):
            return config
    else:
        dense = {other: cost for other, cost in dense.items() if cost[1] <= fastest * (1 + WORTHWHILE)}
        fewest = min(other.load_rows for other in dense)
        dense = {other: cost for other, cost in dense.items() if other.load_rows == fewest}
    return min(dense, key=lambda other: dense[other])


def _costs(
    loads: Sequence[TermLoad], config: ArrayConfig
) -> Mapping[ArrayConfig, tuple[int, int, tuple[int, int, int]]]:
    """Bits of weight memory, cycles, and a measure of the hardware, of every packing."""
    costs = {}
    rows_at_once = [n for n in PACKINGS if n <= config.rows]
    if config.offset == "sum" and config.channel_offsets:
        rows_at_once = [1]
    for slot in range(config.weight_bits, MAX_SLOT_BITS + 1):
        for packing in PACKINGS:
            for parallel in rows_at_once:
                if parallel > packing or packing > slot:
                    continue
                candidate = replace(
                    config,
                    weight_slot_bits=slot if slot > config.weight_bits else 0,
                    weight_packing=packing,
                    load_rows=parallel,
                )
                words = sum(load.words(candidate) for load in loads)
                cycles = sum(load.cycles(candidate) for load in loads)
                costs[candidate] = (words * config.columns * slot, cycles, (parallel, packing, slot))
    return costs
