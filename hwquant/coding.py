"""What the stored codes of weights stand for: the integers that multiply, which are adjusted by an offset.

Method 1 (CN112085154A / US 12,008,467) counts codes up from the least weight, ``q + o``, or down from the greatest,
``o - q``. Where the integers are to lie on both sides of zero without it, such as {-1, 1} or {-3, -1, 1, 3}, the offset
``o`` is a half; what multiplies is then twice that, ``2 q + o`` with an odd ``o``, and the scale is half as large. This
is the one place that knows the differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Anchor = Literal["min", "max"]
"""The end of a range that codes are counted from."""

Step = Literal[1, 2]
"""The distance of neighbouring weights: 2 on a mid-rise grid, which has no zero."""

SIGN: Mapping[Anchor, int] = {"min": 1, "max": -1}
"""The direction in which codes count."""


def integer_limits(bits: int) -> tuple[int, int]:
    """Find the least and the greatest signed integer of ``bits`` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


@dataclass(frozen=True, eq=False)
class Coding:
    """How the codes of a weight tensor become adjusted weights, ``o + step q`` or ``o - step q``, and back.

    Attributes
    ----------
    bits : int
        Bits of a stored code, 1..8; codes are signed.
    anchor : {"min", "max"}
        Whether codes count up from the least weight (``o + step q``) or down from the greatest (``o - step q``).
    offset : ndarray of int64, shape (1,) or (out,)
        The offset ``o``, one for all output channels or one for each; odd where the step is 2.
    step : {1, 2}
        The distance of neighbouring adjusted weights, which are all odd where it is 2.
    """

    bits: int
    anchor: Anchor
    offset: IntArray
    step: Step = 1

    def adjusted(self, codes: NDArray[np.int8]) -> IntArray:
        """Turn codes into the weights that multiply.

        Parameters
        ----------
        codes : ndarray of int8, shape (out, ...)
            Stored codes.

        Returns
        -------
        ndarray of int64, shape (out, ...)
            Adjusted weights.
        """
        return self._along(codes) + self._slope * codes.astype(np.int64)

    def codes(self, adjusted: IntArray) -> NDArray[np.int8]:
        """Turn adjusted weights into codes.

        Parameters
        ----------
        adjusted : ndarray of int64, shape (out, ...)
            Adjusted weights within :attr:`limits`, a whole number of steps from the offset.

        Returns
        -------
        ndarray of int8, shape (out, ...)
            Stored codes.
        """
        return ((adjusted - self._along(adjusted)) // self._slope).astype(np.int8)

    @property
    def limits(self) -> tuple[IntArray, IntArray]:
        """Least and greatest adjusted weight, int64 [1] or [out] each."""
        first, last = (self.offset + self._slope * code for code in integer_limits(self.bits))
        return (first, last) if self.anchor == "min" else (last, first)

    @property
    def _slope(self) -> int:
        """What one more in a code adds to the adjusted weight."""
        return SIGN[self.anchor] * self.step

    def _along(self, weights: NDArray[np.int8] | IntArray) -> IntArray:
        return self.offset.reshape(-1, *[1] * (weights.ndim - 1))
