"""Weights as the operand of ConvInteger: uint8 with a zero point, and what no zero point can express."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwquant.qgraph import IntArray, Term


@dataclass(frozen=True, eq=False)
class WeightOperand:
    """A weight tensor as ConvInteger reads it: ``adjusted weight = factor (stored - zero_point) + offset``.

    Attributes
    ----------
    stored : ndarray of uint8
        In the shape of the codes: ``w_q + 128``, or ``127 - w_q`` with the anchor "max"; twice the codes on a mid-rise
        grid of at most 7 bits.
    zero_point : int
        The zero point of the operand, 0..255.
    offset : ndarray of int64, shape (1,) or (out,), or None
        What is left of the integer offset; None where the zero point is all of it.
    factor : int, default 1
        What the sum of products has to be multiplied by: 2 on a mid-rise grid that 8 bits do not hold, else 1.
    """

    stored: NDArray[np.uint8]
    zero_point: int
    offset: IntArray | None
    factor: int = 1

    @classmethod
    def of(cls, term: Term) -> WeightOperand:
        """The operand of a term: its offset goes into the zero point where it is one number and fits."""
        factor = term.step if term.bits == 8 else 1
        codes = term.codes.astype(np.int64) * (term.step // factor)
        stored, centre = (127 - codes, 127) if term.anchor == "max" else (codes + 128, 128)
        zero_point = centre - term.offset
        whole = bool((zero_point == zero_point[0]).all() and 0 <= zero_point[0] <= 255)
        if whole and factor == 1:
            return cls(stored.astype(np.uint8), int(zero_point[0]), None)
        return cls(stored.astype(np.uint8), centre, term.offset, factor)

    @property
    def window(self) -> int:
        """The number of products in one sum."""
        return self.stored[0].size

    def sum_bound(self, largest: int) -> int:
        """A bound on every sum that ConvInteger makes of inputs up to ``largest`` in absolute value."""
        weights = np.abs(self.stored.astype(np.int64) - self.zero_point).reshape(len(self.stored), -1)
        windows = 0 if self.offset is None else self.window
        return max(int(weights.sum(axis=1).max()), windows) * largest

    def bound(self, largest: int) -> int:
        """A bound on everything on the way to the term, before its left shift."""
        windows = 0 if self.offset is None else int(np.abs(self.offset).max()) * self.window * largest
        return self.factor * self.sum_bound(largest) + windows
