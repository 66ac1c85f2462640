"""What a family's PLL can do: its dividers, their limits, and the frequencies that come of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amaranth.hdl import Instance, Signal

if TYPE_CHECKING:
    from hwquant.boards.families.family import Device

Range = tuple[float, float]
"""Least and greatest frequency in MHz."""


@dataclass(frozen=True)
class PllSettings:
    """The settings of a PLL: ``hertz = input_hz * multiply / divide``.

    That is divided by ``post`` too where the multiplier counts up to the PLL's oscillator, which runs at
    ``hertz * post``.

    Attributes
    ----------
    input_hz : int
        Frequency of the input in Hz.
    divide : int
        Divider of the input.
    multiply : int
        Multiplier.
    post : int
        Divider behind the PLL's oscillator.
    hertz : float
        Frequency of the output in Hz.
    """

    input_hz: int
    divide: int
    multiply: int
    post: int
    hertz: float


PllPins = tuple[Signal, Signal, Signal]
"""Signals of the clock that comes in, the clock that goes out, and whether the PLL is locked."""


@dataclass(frozen=True)
class Pll:
    """A family's PLL.

    Attributes
    ----------
    oscillator : Range
        Frequencies of the PLL's oscillator in MHz.
    detector : Range
        Frequencies of the phase detector in MHz: of the input after its divider.
    output : Range
        Frequencies of the output in MHz.
    divide : int
        Greatest divider of the input.
    multiply : int
        Greatest multiplier.
    posts : tuple of int
        Dividers behind the oscillator, in ascending order.
    internal : bool
        Whether the multiplier counts up to the PLL's oscillator, not to the output.
    instance : callable
        The cell of the PLL, from its settings, the device and its signals.
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
        """All settings within the limits; where several posts give one output, the first of them."""
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
