"""Terms that are shifted left, as fewer terms with larger weights.

:mod:`~hwquant.program.lowering` repeats a term whose shifted weights exceed a weight: ``2**n`` times, with what is left
of the shift in the weights. The same sum takes fewer terms where weights are as large as they can be: 1024 is 16 times
64, but also 8 times 114 and once 112. Only layers of a network that does not fit inside are rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from hwquant.program.layers import ArrayLayer, ArrayTerm

GREATEST = 127
"""The greatest magnitude of a weight that 8 bits hold, whatever its sign."""


def with_fewer_terms(layer: ArrayLayer) -> ArrayLayer:
    """The same layer, with as few terms as give the same sums.

    Parameters
    ----------
    layer : ArrayLayer
        A lowered layer. Terms that repeat each other are one object; those with offsets, or with odd weights, stay.
    """
    terms = tuple(item for term, count in _counted(layer.terms) for item in _fewer(term, count))
    return layer if len(terms) == len(layer.terms) else replace(layer, terms=terms)


def _counted(terms: Sequence[ArrayTerm]) -> Iterator[tuple[ArrayTerm, int]]:
    """Terms, and how often each comes."""
    begin = 0
    for place in range(1, len(terms) + 1):
        if place == len(terms) or terms[place] is not terms[begin]:
            yield terms[begin], place - begin
            begin = place


def _fewer(term: ArrayTerm, count: int) -> list[ArrayTerm]:
    """The fewest terms with the sum of ``count`` equal ones: all but the last are equal."""
    whole = term.weight * count
    fewest = max(1, -(-int(np.abs(whole).max(initial=0)) // GREATEST))
    if fewest >= count or term.offset.any() or term.step != 1:
        return [term] * count
    part = np.sign(whole) * -(-np.abs(whole) // fewest)  # no rest is larger than a part
    rest = replace(term, weight=whole - (fewest - 1) * part)
    return [*[replace(term, weight=part)] * (fewest - 1), rest]
