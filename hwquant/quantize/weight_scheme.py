"""How weights are to become integers: what :mod:`~hwquant.quantize.weights` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import SIGN, Anchor, Step

Array = NDArray[np.float64]
Rounding = Literal["round", "truncate"]
"""How ``w_min / S`` or ``w_max / S`` becomes the integer offset."""


Grid = Literal["auto", "mid_tread", "mid_rise"]
"""Where 0 is: on the grid, or in the middle between two of its numbers; "auto" looks at the weights."""


@dataclass(frozen=True)
class WeightScheme:
    """How a weight tensor becomes integers.

    Attributes
    ----------
    bits : int, default 8
        Storage bits of a code, 1..8.
    anchor : {"min", "max"}, default "min"
        Which end of the range codes are counted from: ``w = S * (q + o)`` or ``w = S * (o - q)``.
    rounding : {"round", "truncate"}, default "round"
        How the offset becomes an integer.
    symmetric : bool, default False
        The grid is its own mirror image: on "mid_tread" the offset is 0, and codes are within
        ``-(2^(n-1)-1)..2^(n-1)-1``.
    per_channel : bool, default False
        Every output channel has a scale and an offset of its own.
    literal_range : bool, default False
        The range is taken as it is, not stretched to contain 0.
    grid : {"auto", "mid_tread", "mid_rise"}, default "auto"
        Multiples of a scale, 0 among them, or odd multiples of half of it; "auto" is the latter where the weights are
        such already (:mod:`~hwquant.quantize.mid_rise`).
    """

    bits: int = 8
    anchor: Anchor = "min"
    rounding: Rounding = "round"
    symmetric: bool = False
    per_channel: bool = False
    literal_range: bool = False
    grid: Grid = "auto"

    @property
    def step(self) -> Step:
        """What one more in a code changes in the adjusted weight."""
        return 2 if self.grid == "mid_rise" else 1

    @property
    def middle(self) -> float:
        """What the numbers of the grid are off its multiples, in steps."""
        return (self.step - 1) / 2

    @property
    def levels(self) -> int:
        """The greatest unsigned code, ``2^n - 1``."""
        return (1 << self.bits) - 1

    @property
    def half(self) -> int:
        """What an unsigned code loses when it is stored as a signed one."""
        return 1 << (self.bits - 1)

    def rows(self, weight: Array) -> Array:
        """A weight tensor [out, ...] as rows [1 or out, ...] that have a scale and an offset each."""
        return weight.reshape(len(weight) if self.per_channel else 1, -1)

    @property
    def sign(self) -> int:
        """What a step of a code adds to the adjusted weight: 1 with the anchor "min", -1 with "max"."""
        return SIGN[self.anchor]

    def ends(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Order the ends of a range: the one that codes are counted from, and the other one."""
        return (low, high) if self.anchor == "min" else (high, low)
