"""Widths of the integers that the hardware holds."""

from __future__ import annotations


def bits_for(low: int, high: int) -> int:
    """Width of the narrowest signed integer that holds both bounds."""
    return max((~low if low < 0 else low).bit_length(), (~high if high < 0 else high).bit_length()) + 1


def index_bits(count: int) -> int:
    """Width of an unsigned index below ``count``, at least 1 bit."""
    return max(1, (count - 1).bit_length())
