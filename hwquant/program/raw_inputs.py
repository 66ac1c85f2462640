"""Inputs that the host sends as they are, pixel by pixel: the hardware's packer lays them out as words.

A beat of such a frame holds some channels of one pixel; a pixel is so many beats one behind the other, and pixels come
row by row, inputs in their order. Padding, positions of a kernel side by side and lanes without a channel are made
where the words are written (:mod:`hwquant.rtl_templates.packer`), and are not sent.

The packer goes over the rows and columns of the picture with its padding, a position a cycle (where there is a pixel:
a beat a cycle), and pauses while it writes the words of a window that is complete, all planes of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from typing import Any

import numpy as np

from hwquant.errors import HwquantError
from hwquant.program.layout import Placement, WindowPacking
from hwquant.qgraph import IntArray

LINE_COLUMNS = 3
"""Columns that a line memory has at least: one is written while the word of another is on its way out."""

MOST_BITS = 4096
"""Bits of a window that a packer keeps in registers, and of a word of its line memory, at most."""


@dataclass(frozen=True)
class RawInput:
    """An input as the packer receives it, and lays it out.

    Attributes
    ----------
    packing : WindowPacking
        What of the input a word holds: a window of it, or a single pixel.
    zero_point : int
        The integer outside of the input, and in lanes without a channel.
    strip_rows : int, default 0
        Rows of words of a strip, each in a bank of its own; 0 where there is one bank, which has all of them.
    """

    packing: WindowPacking
    zero_point: int
    strip_rows: int = 0

    @classmethod
    def of(cls, place: Placement) -> RawInput:
        """Make what becomes of an input that the host sends as it is."""
        packing = place.packing or single_pixels(place.shape)
        # Of Python's type: what a network's file or a calculation left may be numpy's.
        channels, height, width = map(int, packing.shape)
        numbers = (int(getattr(packing, field.name)) for field in fields(packing)[1:])
        window = WindowPacking((channels, height, width), *numbers)
        return cls(window, int(place.zero_point), int(place.strip_rows))

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as a file holds them."""
        item = asdict(self)
        item["packing"]["shape"] = list(self.packing.shape)
        if not self.strip_rows:
            del item["strip_rows"]
        return item

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> RawInput:
        """Make the object that :meth:`to_json` made plain."""
        return cls(**{**item, "packing": WindowPacking.from_json(item["packing"])})

    def __post_init__(self) -> None:
        packing = self.packing
        across = packing.kernel, packing.stride, packing.dilation, packing.width
        numbers = (*packing.shape, *across, packing.rows, packing.row_stride, packing.row_dilation)
        others = (packing.left, packing.top, packing.height, self.strip_rows)
        if not all(type(number) is int for number in (*numbers, *others, self.zero_point)):
            raise HwquantError(f"an input of the packer must have integers, not {self}")
        if len(packing.shape) != 3 or min(numbers) < 1 or min(others) < 0:
            raise HwquantError(f"an input of the packer must have positive sizes, not {packing}")

    @property
    def key(self) -> tuple[Any, ...]:
        """The fields' values, hashable; strips only where there are any."""
        return (astuple(self.packing), self.zero_point, *([self.strip_rows] if self.strip_rows else []))

    @property
    def positions(self) -> int:
        """Values of a window: channels of a pixel of the packed tensor."""
        return self.packing.packed_shape[0]

    @property
    def last_window(self) -> tuple[int, int]:
        """Row and column, with padding, of the position that completes the last window."""
        packing, (_, height, width) = self.packing, self.packing.packed_shape
        return (
            (height - 1) * packing.row_stride + (packing.rows - 1) * packing.row_dilation,
            (width - 1) * packing.stride + (packing.kernel - 1) * packing.dilation,
        )

    @property
    def last_pixel(self) -> tuple[int, int]:
        """Row and column, with padding, of the input's last pixel."""
        _, height, width = self.packing.shape
        return self.packing.top + height - 1, self.packing.left + width - 1

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns that the packer goes over: those of all windows, and of all pixels."""
        rows, columns = (1 + max(ends) for ends in zip(self.last_window, self.last_pixel))
        return rows, max(columns, LINE_COLUMNS) if self.packing.rows > 1 else columns

    @property
    def window_pixels(self) -> int:
        """Pixels that the packer keeps in registers, all rows of a window as far as it reaches."""
        return self.packing.rows * ((self.packing.kernel - 1) * self.packing.dilation + 1)

    @property
    def line_pixels(self) -> int:
        """Pixels above one another that the packer keeps in a word of its line memory; 0 where it has none."""
        return (self.packing.rows - 1) * self.packing.row_dilation

    @property
    def strips(self) -> int:
        """Strips that have rows of words."""
        return -(-self.packing.packed_shape[1] // self.strip_rows) if self.strip_rows else 1

    @property
    def plane(self) -> int:
        """Addresses that one plane of words takes."""
        _, height, width = self.packing.packed_shape
        return (self.strip_rows or height) * width

    def planes(self, lanes: int) -> int:
        """Words of a window."""
        return -(-self.positions // lanes)

    def beats(self, values: int) -> int:
        """Beats of the input in a frame."""
        return math.prod(self.packing.shape) // values

    def cycles(self, values: int, lanes: int) -> int:
        """Cycles from the first position to the last word, both included, of a host that keeps up."""
        pixels, windows = math.prod(self.packing.shape[1:]), math.prod(self.packing.packed_shape[1:])
        waiting = self.beats(values) - pixels
        return math.prod(self.grid) + waiting + windows * (self.planes(lanes) - 1) + 1

    @property
    def late_windows(self) -> int:
        """Windows that the last pixel, or padding behind it, completes: the last ones."""
        packing, (_, height, width) = self.packing, self.packing.packed_shape
        (y, x), columns = self.last_pixel, self.grid[1]
        ends_y = np.arange(height) * packing.row_stride + (packing.rows - 1) * packing.row_dilation
        ends_x = np.arange(width) * packing.stride + (packing.kernel - 1) * packing.dilation
        return int(np.count_nonzero(ends_y[:, None] * columns + ends_x >= y * columns + x))

    def tail(self, lanes: int) -> int:
        """Cycles from the last beat to the last word."""
        (y, x), (rows, columns) = self.last_pixel, self.grid
        positions = rows * columns - 1 - (y * columns + x)
        return positions + self.late_windows * (self.planes(lanes) - 1) + 1

    def late_words(self, lanes: int) -> Iterator[tuple[int, int, int]]:
        """Go through the words that are written after the last beat.

        Yields
        ------
        window : int
            Number of the word's window.
        plane : int
            Number of its plane.
        cycles : int
            Cycles from the last beat to it.
        """
        packing, (_, height, width) = self.packing, self.packing.packed_shape
        (last_y, last_x), columns, planes = self.last_pixel, self.grid[1], self.planes(lanes)
        count = self.late_windows
        for number, window in enumerate(range(height * width - count, height * width)):
            y, x = divmod(window, width)
            row = y * packing.row_stride + (packing.rows - 1) * packing.row_dilation
            column = x * packing.stride + (packing.kernel - 1) * packing.dilation
            positions = row * columns + column - (last_y * columns + last_x)
            for plane in range(planes):
                yield window, plane, positions + number * (planes - 1) + 1 + plane


def whole(inputs: Sequence[RawInput]) -> tuple[RawInput, ...]:
    """Inputs as they are laid out in one bank."""
    return tuple(replace(item, strip_rows=0) for item in inputs)


def single_pixels(shape: tuple[int, int, int]) -> WindowPacking:
    """The packing of a tensor whose words hold channels of one pixel."""
    return WindowPacking(shape, kernel=1, stride=1, dilation=1, left=0, width=shape[2])


def beat_values(inputs: Sequence[RawInput], lanes: int) -> int:
    """Values of a beat: as many as divide the channels of every input, and fit a word."""
    channels = math.gcd(*(item.packing.shape[0] for item in inputs))
    return max(values for values in range(1, min(channels, lanes) + 1) if channels % values == 0)


def to_beats(q: IntArray, values: int) -> IntArray:
    """Lay out an input's integers (N, C, H, W) as beats (N, beats, values)."""
    return np.ascontiguousarray(q.transpose(0, 2, 3, 1)).reshape(len(q), -1, values)


def is_packable(item: RawInput, bits: int) -> bool:
    """Whether a window, and the lines above it, are small enough for the registers and the memory of a packer."""
    channels = item.packing.shape[0]
    return max(item.window_pixels, item.line_pixels) * channels * bits <= MOST_BITS
