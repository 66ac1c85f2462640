"""What a family's PLL can do: its dividers, their limits, and the frequencies that come of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amaranth.hdl import Instance, Signal

if TYPE_CHECKING:
    from hwquant.boards.families.family import Device

Range = tuple[float, float]
"""Least and greatest frequency, in MHz."""


@dataclass(frozen=True)
class PllSettings:
    """``hertz = input_hz * multiply / divide``, and divided by ``post`` where the PLL multiplies up to its oscillator.

    The oscillator runs at ``hertz * post``.
    """

    input_hz: int
    divide: int
    multiply: int
    post: int
    hertz: float


PllPins = tuple[Signal, Signal, Signal]
"""The clock that comes in, the clock that goes out, and whether the PLL is locked."""


@dataclass(frozen=True)
class Pll:
    """A family's PLL.

    Attributes
    ----------
    oscillator : Range
        Of the PLL, in MHz.
    detector : Range
        Of the phase detector: of the input after its divider.
    output : Range
        Of the output.
    divide : int
        Greatest divider of the input.
    multiply : int
        Greatest multiplier.
    posts : tuple[int, ...]
        Dividers behind the oscillator, in ascending order.
    internal : bool
        The multiplier counts up to the oscillator, not to the output.
    instance : Callable
        The PLL as a cell, from its settings, the device and its pins.
    """

    oscillator: Range
    detector: Range
    output: Range
    divide: int
    multiply: int
    posts: tuple[int, ...]
    internal: bool
    instance: Callable[[PllSettings, Device, PllPins], Instance]

    def candidates(self, input_hz: int) -> Iterator[PllSettings]:
        """All settings within the limits; of those with the same output, where posts make no difference, the first."""
        (low, high), (least, greatest), (slowest, fastest) = self.oscillator, self.detector, self.output
        for divide in range(1, self.divide + 1):
            if not least <= input_hz / divide / 1e6 <= greatest:
                continue
            for multiply in range(1, self.multiply + 1):
                for post in self.posts:
                    output = input_hz * multiply / divide / (post if self.internal else 1)
                    if low <= output * post / 1e6 <= high and slowest <= output / 1e6 <= fastest:
                        yield PllSettings(input_hz, divide, multiply, post, output)
                        if not self.internal:
                            break
