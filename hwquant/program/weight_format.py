"""How a layer's weights lie in the weight memory: several rows of a tile in a word where they are narrow.

A word has a slot of ``slot_bits`` for each column. With ``rows_per_word`` rows in a word, a slot is cut into as many
fields, field 0 in the low bits. With ``rows_per_cycle`` rows entering the array in a cycle, the array's rows are
``rows_per_cycle`` segments, one below the other; cycle ``n`` of loading brings the ``n``-th row from below of each of
them, segment ``i``'s in field ``i`` of the cycle's ``rows_per_cycle`` fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hwquant.program.array_shape import ACCUMULATE_HAZARD, PACKINGS, ArrayShape
from hwquant.program.layers import ArrayTerm
from hwquant.program.widths import bits_for
from hwquant.qgraph import IntArray


@dataclass(frozen=True)
class WeightFormat:
    """How the rows of a tile lie in words.

    Attributes
    ----------
    rows_per_word : {1, 2, 4, 8}
        Rows that share a word.
    rows_per_cycle : {1, 2, 4, 8}
        Rows of a word that enter the array in a cycle, at most ``rows_per_word``.
    """

    rows_per_word: int = 1
    rows_per_cycle: int = 1

    @classmethod
    def of(cls, rows_per_word: int, shape: ArrayShape) -> WeightFormat:
        """Make the format with ``rows_per_word`` rows in a word, loaded as many at once as the hardware can."""
        return cls(rows_per_word, min(rows_per_word, shape.load_rows))

    def load_cycles(self, shape: ArrayShape) -> int:
        """Count the cycles that loading a tile takes, without an offset row."""
        return max(shape.segment_rows(self.rows_per_cycle), ACCUMULATE_HAZARD)

    def words(self, shape: ArrayShape) -> int:
        """Count the words of a tile, without an offset row."""
        return -(-shape.segment_rows(self.rows_per_cycle) // (self.rows_per_word // self.rows_per_cycle))

    def pack(self, weight: IntArray, shape: ArrayShape) -> IntArray:
        """Pack stored weights into slots.

        Parameters
        ----------
        weight : ndarray of int64, shape (..., rows, columns)
            Signed stored weights of tiles.
        shape : ArrayShape
            The array, for the width of a slot.

        Returns
        -------
        ndarray of int64, shape (..., words, columns)
            Slots as signed integers of ``slot_bits`` bits.
        """
        if self.rows_per_word == 1:
            return weight[..., ::-1, :]
        tiles, segment = weight.shape[:-2], shape.segment_rows(self.rows_per_cycle)
        cycles = self.rows_per_word // self.rows_per_cycle
        padded = np.zeros((*tiles, self.rows_per_cycle * segment, shape.columns), np.int64)
        padded[..., : shape.rows, :] = weight
        rows = np.zeros((*tiles, self.words(shape) * cycles, self.rows_per_cycle, shape.columns), np.int64)
        by_segment = padded.reshape(*tiles, self.rows_per_cycle, segment, shape.columns)
        rows[..., :segment, :, :] = by_segment[..., ::-1, :].swapaxes(-3, -2)
        fields = rows.reshape(*tiles, self.words(shape), self.rows_per_word, shape.columns)
        width, sign = shape.slot_bits // self.rows_per_word, 1 << (shape.slot_bits - 1)
        shifts = np.arange(self.rows_per_word)[:, None] * width
        slots = ((fields & ((1 << width) - 1)) << shifts).sum(axis=-2)
        return np.asarray((slots ^ sign) - sign)


def weight_format(term: ArrayTerm, shape: ArrayShape) -> WeightFormat:
    """Find the densest format that a term's weights have on the hardware.

    The stored weights include the one that stands for weight zero, which idle lanes need; so no adjusted weight is more
    than one bit wider than a field. A literal range without zero may cost rows in a word for that reason.
    """
    bits = bits_for(*term.stored_limits)
    fitting = [n for n in PACKINGS if n <= shape.weight_packing and bits <= shape.slot_bits // n]
    return WeightFormat.of(max(fitting) if bits <= shape.weight_bits else 1, shape)


def weight_formats(terms: Iterable[ArrayTerm], shape: ArrayShape) -> Mapping[ArrayTerm, WeightFormat]:
    """Find the densest format of every term's weights; see :func:`weight_format`."""
    return {term: weight_format(term, shape) for term in terms}
