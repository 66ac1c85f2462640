"""How weights are to become integers: what :mod:`~hwquant.quantize.weights` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import SIGN, Anchor

Array = NDArray[np.float64]
Rounding = Literal["round", "truncate"]
"""How ``w_min / S`` or ``w_max / S`` becomes the integer offset."""


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
        The offset is 0, and codes are within ``-(2^(n-1)-1)..2^(n-1)-1``.
    per_channel : bool, default False
        Every output channel has a scale and an offset of its own.
    literal_range : bool, default False
        The range is taken as it is, not stretched to contain 0.
    """

    bits: int = 8
    anchor: Anchor = "min"
    rounding: Rounding = "round"
    symmetric: bool = False
    per_channel: bool = False
    literal_range: bool = False

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
