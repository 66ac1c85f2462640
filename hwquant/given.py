"""What a network that is quantized already says of its integers: formats of tensors, and grids of weights.

A float network carries them beside its float weights, which are exactly ``scale * integer``: whoever ignores them has
an ordinary float network. What reads them is the quantizer (:mod:`hwquant.quantize.kept`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwquant.coding import IntArray, Step, integer_limits

Array = NDArray[np.float64]

_SAME = 1e-6
"""Share by which scales differ that are the same: both were rounded to float32."""
_ON_GRID = 1e-5
"""How far a weight may be from a number of its grid, in steps: it was multiplied with float64 numbers once or twice."""

Rounding = Literal["half_up", "half_even", "down"]
"""To the nearest integer, of two that are as near to the greater or to the even one; or to the one below."""


@dataclass(frozen=True)
class GivenFormat:
    """The integers that a tensor has where the network comes from: ``scale * (q - zero_point)``.

    Attributes
    ----------
    scale : float
        Real value of a step.
    zero_point : int
        The integer that stands for 0, as hwquant counts: signed, so that it is 128 less for uint8.
    bits : int, default 8
        Width of an integer.
    reach : (int, int) or None, optional
        Least and greatest integer that there can be; None where these are all of that width.
    rounding : {"half_up", "half_even", "down"}, default "half_up"
        What becomes of numbers between two integers where the network comes from.
    """

    scale: float
    zero_point: int
    bits: int = 8
    reach: tuple[int, int] | None = None
    rounding: Rounding = "half_up"

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest integer that there can be."""
        return self.reach or integer_limits(self.bits)

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest real number that the integers stand for."""
        low, high = self.limits
        return self.scale * (low - self.zero_point), self.scale * (high - self.zero_point)

    def same(self, other: GivenFormat) -> bool:
        """Whether the integers of another format are the same: scales differ by the rounding of float32 at most."""
        alike = abs(self.scale / other.scale - 1) < _SAME
        return alike and (self.zero_point, self.bits) == (other.zero_point, other.bits)

    def holds(self, other: GivenFormat) -> bool:
        """Whether integers of another format are this one's as they are, none beyond its limits."""
        (low, high), (least, greatest) = self.limits, other.limits
        return self.same(other) and low <= least and greatest <= high


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """The grid that a convolution's weights lie on: ``scale * integer``, channel by channel.

    Attributes
    ----------
    scale : ndarray of float64, shape (out,)
        Real value of the integer 1, positive.
    least : ndarray of int64, shape (out,)
        The least integer that a weight can be.
    bits : int, default 8
        A weight is one of ``2^bits`` integers.
    step : {1, 2}
        How far these are apart; 2 where they are odd: +1 and -1 with one bit.
    """

    scale: Array
    least: IntArray
    bits: int = 8
    step: Step = 1

    def integers(self, weight: Array) -> IntArray | None:
        """The integers of weights (out, ...), int64 in their shape; None where some are not on the grid."""
        rows = (-1, *[1] * (weight.ndim - 1))
        exact = weight / self.scale.reshape(rows)
        if not (np.abs(exact) < 1 << 31).all():
            return None
        found = np.round(exact).astype(np.int64)
        codes = (found - self.least.reshape(rows)) / self.step
        on_grid = (np.abs(exact - found) <= _ON_GRID) & (codes >= 0) & (codes < 1 << self.bits)
        return found if (on_grid & (codes % 1 == 0)).all() else None


@dataclass(frozen=True, eq=False)
class Source:
    """Where a tensor of integers is in the network that they come from.

    Attributes
    ----------
    tensor : str
        The tensor here.
    format : GivenFormat
        What its integers are there.
    order : ndarray of int64, shape (elements,), optional
        The tensor's elements in the order of the source's, sample by sample; None where that is the same.
    """

    tensor: str
    format: GivenFormat
    order: IntArray | None = None

    def real(self, integers: NDArray[Any]) -> Array:
        """The real numbers (N, elements) of the tensor, in its own order, from the source's integers (N, ...)."""
        middle = (1 << (self.format.bits - 1)) if integers.dtype.kind == "u" else 0
        flat = integers.reshape(len(integers), -1).astype(np.int64) - middle
        if self.order is not None:
            moved = np.zeros_like(flat)
            moved[:, self.order] = flat
            flat = moved
        return self.format.scale * (flat - self.format.zero_point).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Given:
    """All that a network says of its integers.

    Attributes
    ----------
    formats : mapping of GivenFormat
        The formats of tensors, by name.
    weights : mapping of GivenWeights
        The grids of the weights of convolutions, by the name of the node.
    lost : tuple of str
        Convolutions whose weights were on a grid where the network comes from, and are not any more: constants were
        multiplied into them.
    ranges : mapping of (float, float)
        Least and greatest real number of tensors whose integers are not kept.
    sources : mapping of Source
        Tensors whose integers are given, by the names that they have where the network comes from.
    """

    formats: Mapping[str, GivenFormat] = field(default_factory=dict)
    weights: Mapping[str, GivenWeights] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.formats or self.weights)

    def ranges_only(self) -> Given:
        """What is left of it for a network that gets other integers."""
        return Given(ranges={**self.ranges, **{name: form.range for name, form in self.formats.items()}})


def regrid(grid: GivenWeights, before: Array, after: Array) -> GivenWeights | None:
    """The grid of weights (out, ...) that were multiplied with one number a channel; None for any others.

    Where that number is negative, the integers are, too; those that have no counterpart there begin elsewhere.
    """
    if before.shape != after.shape or len(before) != len(grid.scale):
        return None
    old, new = (array.reshape(len(array), -1) for array in (before, after))
    largest = np.abs(old).argmax(axis=1)[:, None]
    top, now = (np.take_along_axis(array, largest, axis=1)[:, 0] for array in (old, new))
    factor = np.where((top != 0) & (now != 0), now / np.where(top != 0, top, 1.0), 1.0)
    if not np.isfinite(factor).all():
        return None
    made = replace(grid, scale=grid.scale * np.abs(factor))
    greatest = grid.least + grid.step * ((1 << grid.bits) - 1)
    turned = replace(made, least=np.where(factor < 0, -greatest, grid.least))
    return next((item for item in (made, turned) if item.integers(after) is not None), None)
