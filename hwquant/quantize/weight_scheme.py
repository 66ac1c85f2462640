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
    """How a weight tensor becomes integers; the attributes are those of ``QuantizeOptions``."""

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
        """What a step of a code adds to the adjusted weight: 1 from the least weight up, -1 from the greatest down."""
        return SIGN[self.anchor]

    def ends(self, low: Array, high: Array) -> tuple[Array, Array]:
        """The end of a range that codes are counted from, and the other one."""
        return (low, high) if self.anchor == "min" else (high, low)
