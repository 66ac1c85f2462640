"""How tensors are held as integers: scales whose powers of two stay exact, and what goes with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwquant.coding import integer_limits
from hwquant.given import Rounding
from hwquant.qgraph import Tensor
from hwquant.quantize.plans import Plan


@dataclass(frozen=True, eq=False)
class Scale:
    """A real scale ``mantissa * 2^exponent``: ratios of powers of two stay exact.

    Attributes
    ----------
    mantissa : float
        In [1, 2).
    exponent : int
        The power of two.
    """

    mantissa: float
    exponent: int

    @classmethod
    def of(cls, value: float) -> Scale:
        """Split a positive number into mantissa and exponent."""
        mantissa, exponent = math.frexp(value)
        return cls(2 * mantissa, exponent - 1)

    @property
    def value(self) -> float:
        """The scale as a single number."""
        return math.ldexp(self.mantissa, self.exponent)


@dataclass(frozen=True, eq=False)
class TensorFormat:
    """The integer format of the tensors of a group, and the range that it was chosen for.

    Attributes
    ----------
    scale : Scale
        The real value of one step.
    zero_point : int
        The integer that stands for 0.0.
    bits : int
        Bits of the signed integers.
    low, high : float
        The real values that were to be represented; with clipping not all of them are.
    rounding : {"half_up", "half_even", "down", "sign"}, default "half_up"
        What becomes of numbers between two integers; "sign" where nothing else is asked of them, and the scale is any.
    """

    scale: Scale
    zero_point: int
    bits: int
    low: float
    high: float
    rounding: Rounding | Literal["sign"] = "half_up"

    def clamp(self, low: float, high: float) -> tuple[int, int]:
        """The integers that real bounds, perhaps infinite, are clamped to."""
        limits = integer_limits(self.bits)
        least, greatest = (
            int(np.clip(np.floor(bound / self.scale.value + 0.5) + self.zero_point, *limits))
            for bound in (low, high)
        )
        return least, greatest

    def tensor(self, name: str, shape: tuple[int, int, int]) -> Tensor:
        """A tensor of this format in an integer network."""
        return Tensor(name, shape, self.scale.value, self.zero_point, self.bits)


Formats = Mapping[str, TensorFormat]
"""The formats of all tensors, by name."""


def integer_tensors(plan: Plan, formats: Formats) -> dict[str, Tensor]:
    """The tensors of a plan as those of an integer network."""
    return {name: formats[name].tensor(name, plan.graph.shapes[name]) for name in plan.tensors}


def zero_points(formats: Formats) -> dict[str, int]:
    """The zero points of all tensors, by name."""
    return {name: item.zero_point for name, item in formats.items()}
