"""What the stored codes of weights stand for: the integers that multiply, which are adjusted by an offset.

Method 1 (CN112085154A / US 12,008,467) counts codes up from the least weight, ``q + o``, or down from the greatest,
``o - q``. This is the one place that knows the difference.
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

SIGN: Mapping[Anchor, int] = {"min": 1, "max": -1}
"""What one step of a code adds to the adjusted weight."""


def integer_limits(bits: int) -> tuple[int, int]:
    """Find the least and the greatest signed integer of ``bits`` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


@dataclass(frozen=True, eq=False)
class Coding:
    """How the codes of a weight tensor become adjusted weights, ``q + o`` or ``o - q``, and back.

    Attributes
    ----------
    bits : int
        Bits of a stored code, 1..8; codes are signed.
    anchor : {"min", "max"}
        Whether codes count up from the least weight (``q + o``) or down from the greatest (``o - q``).
    offset : ndarray of int64, shape (1,) or (out,)
        The offset ``o``, one for all output channels or one for each.
    """

    bits: int
    anchor: Anchor
    offset: IntArray

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
        return self._along(codes) + SIGN[self.anchor] * codes.astype(np.int64)

    def codes(self, adjusted: IntArray) -> NDArray[np.int8]:
        """Turn adjusted weights into codes.

        Parameters
        ----------
        adjusted : ndarray of int64, shape (out, ...)
            Adjusted weights within :attr:`limits`.

        Returns
        -------
        ndarray of int8, shape (out, ...)
            Stored codes.
        """
        return (SIGN[self.anchor] * (adjusted - self._along(adjusted))).astype(np.int8)

    @property
    def limits(self) -> tuple[IntArray, IntArray]:
        """Least and greatest adjusted weight, int64 [1] or [out] each."""
        first, last = (self.offset + SIGN[self.anchor] * code for code in integer_limits(self.bits))
        return (first, last) if self.anchor == "min" else (last, first)

    def _along(self, weights: NDArray[np.int8] | IntArray) -> IntArray:
        return self.offset.reshape(-1, *[1] * (weights.ndim - 1))
