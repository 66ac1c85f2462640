"""Where tensors live in the activation memory, and how a pixel's channels become a word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwquant.graph import Shape
from hwquant.qgraph import IntArray


@dataclass(frozen=True)
class WindowPacking:
    """Positions of a kernel in one word: ``rows`` x ``kernel`` of them, of a tensor that has few channels.

    Channel ``(j * kernel + k) * channels + c`` of the packed tensor at row ``y`` and column ``x`` is channel ``c`` of
    the original at row ``y * row_stride + j * row_dilation - top`` and column ``x * stride + k * dilation - left``, or
    the zero point outside of it.

    Attributes
    ----------
    shape : tuple of int
        Channels, height and width of the original tensor.
    kernel : int
        Pixels of a row that a word holds.
    stride : int
        Columns from one word to the next.
    dilation : int
        Columns from one pixel of a word to the next.
    left : int
        Columns of padding before the first.
    width : int
        Columns of the packed tensor.
    rows : int, default 1
        Rows whose pixels a word holds.
    row_stride : int, default 1
        Rows from one word to the next below.
    row_dilation : int, default 1
        Rows from one pixel of a word to the next below.
    top : int, default 0
        Rows of padding before the first.
    height : int, default 0
        Rows of the packed tensor; 0 for those of the original.
    """

    shape: Shape
    kernel: int
    stride: int
    dilation: int
    left: int
    width: int
    rows: int = 1
    row_stride: int = 1
    row_dilation: int = 1
    top: int = 0
    height: int = 0

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> WindowPacking:
        """Make an object of its fields by name, as a file has kept them."""
        return cls(**{**item, "shape": tuple(item["shape"])})

    @property
    def packed_shape(self) -> Shape:
        """Channels, height and width of the packed tensor."""
        channels, height, _ = self.shape
        return channels * self.rows * self.kernel, self.height or height, self.width

    def pack(self, q: IntArray, zero_point: int) -> IntArray:
        """Pack integers (N, C, H, W) to (N, rows * kernel * C, height, width); ``zero_point`` is what is outside."""
        _, height, width = self.packed_shape
        ys = (
            np.arange(height) * self.row_stride - self.top + np.arange(self.rows)[:, None] * self.row_dilation
        )
        xs = np.arange(width) * self.stride - self.left + np.arange(self.kernel)[:, None] * self.dilation
        inside_y, inside_x = (ys >= 0) & (ys < self.shape[1]), (xs >= 0) & (xs < self.shape[2])
        ys, xs = np.clip(ys, 0, self.shape[1] - 1), np.clip(xs, 0, self.shape[2] - 1)
        taken = q[:, :, ys[:, :, None, None], xs]  # N C rows height kernel width
        taken = np.where(inside_y[:, :, None, None] & inside_x, taken, zero_point)
        return taken.transpose(0, 2, 4, 1, 3, 5).reshape(len(q), *self.packed_shape)


@dataclass(frozen=True)
class Placement:
    """A tensor in the activation memory: planes of pixels, a word for ``lanes`` channels of one pixel.

    Word ``address + plane * height * width + y * width + x`` holds channels ``plane * lanes ...`` of pixel (y, x).

    Where several arrays have a bank of the memory each, a picture is cut into strips of ``strip_rows`` rows. Strip
    ``k`` is in bank ``k``, as if it were a picture of its own, at the same address as all others.

    Attributes
    ----------
    name : str
        Name of the tensor.
    shape : tuple of int
        Channels, height and width of the tensor, as the network has it.
    lanes : int
        Channels in a word.
    zero_point : int
        Zero point of the tensor, which lanes without a channel hold.
    address : int, default 0
        Address of the first word.
    packing : WindowPacking, optional
        How positions of a kernel share words; None where a word holds channels of one pixel.
    strip_rows : int, default 0
        Rows of a strip; 0 where there is one bank, which has all rows.
    """

    name: str
    shape: Shape
    lanes: int
    zero_point: int
    address: int = 0
    packing: WindowPacking | None = None
    strip_rows: int = 0

    @property
    def stored_shape(self) -> Shape:
        """Channels, height and width of the tensor, as the memory holds it."""
        return self.packing.packed_shape if self.packing else self.shape

    @property
    def planes(self) -> int:
        """Planes of words."""
        return -(-self.stored_shape[0] // self.lanes)

    @property
    def plane(self) -> int:
        """Addresses that one plane takes."""
        return (self.strip_rows or self.stored_shape[1]) * self.stored_shape[2]

    @property
    def room(self) -> int:
        """Addresses that all planes take."""
        return self.planes * self.plane

    @property
    def words(self) -> int:
        """Words of all planes, as the host has them."""
        return self.planes * self.stored_shape[1] * self.stored_shape[2]

    @property
    def last_strip(self) -> int:
        """Number of the last strip that has rows; that of the only one is 0."""
        return (self.stored_shape[1] - 1) // self.strip_rows if self.strip_rows else 0

    @property
    def last_rows(self) -> int:
        """Rows of the last strip."""
        return self.stored_shape[1] - self.last_strip * self.strip_rows

    def locate(self, y: int) -> tuple[int, int]:
        """Find a row of the picture, or of what is around it: the number of its strip, and its row there."""
        return divmod(y, self.strip_rows) if self.strip_rows else (0, y)

    def offset(self, plane: int, y: int, x: int) -> int:
        """What is added to the first address for a pixel of a plane; in a strip without what comes of ``y``."""
        return plane * self.plane + (0 if self.strip_rows else y * self.stored_shape[2]) + x

    def segments(self) -> Iterator[tuple[int, int, int]]:
        """Where the words lie, in the order in which the host has them.

        Yields
        ------
        address : int
            Address of the first word of a segment.
        count : int
            Words that lie behind each other.
        strip : int
            Number of the strip that they are in.
        """
        width = self.stored_shape[2]
        for plane in range(self.planes):
            for strip in range(self.last_strip + 1):
                rows = self.last_rows if strip == self.last_strip else self.strip_rows
                yield self.address + plane * self.plane, rows * width, strip

    def to_words(self, q: IntArray) -> IntArray:
        """Lay out integers (N, C, H, W) as words (N, words, lanes); lanes without a channel hold the zero point."""
        if self.packing:
            q = self.packing.pack(q, self.zero_point)
        empty = self.planes * self.lanes - self.stored_shape[0]
        padded = np.pad(q, ((0, 0), (0, empty), (0, 0), (0, 0)), constant_values=self.zero_point)
        lanes = padded.reshape(len(q), self.planes, self.lanes, -1)
        return lanes.transpose(0, 1, 3, 2).reshape(len(q), self.words, self.lanes)

    def from_words(self, words: IntArray) -> IntArray:
        """Read integers (N, C, H, W) from words (N, words, lanes); of a packed tensor they stay packed."""
        channels, height, width = self.stored_shape
        planes = words.reshape(len(words), -1, height * width, self.lanes).transpose(0, 1, 3, 2)
        return planes.reshape(len(words), -1, height, width)[:, :channels]


def words_to_integers(words: IntArray, bits: int) -> list[int]:
    """Join signed values (words, lanes) to one unsigned integer a word, lane 0 in the low bits.

    Parameters
    ----------
    words : ndarray of int64, shape (words, lanes)
        Signed values of ``bits`` bits.
    bits : int
        Width of a lane.
    """
    mask = (1 << bits) - 1
    result = []
    for row in words.tolist():
        value = 0
        for lane in reversed(row):
            value = value << bits | (lane & mask)
        result.append(value)
    return result


def integers_to_words(values: Sequence[int], lanes: int, bits: int) -> IntArray:
    """Split unsigned integers into signed values: what :func:`words_to_integers` joined.

    Parameters
    ----------
    values : sequence of int
        One unsigned integer a word, lane 0 in the low bits.
    lanes : int
        Values in a word.
    bits : int
        Width of a lane.

    Returns
    -------
    ndarray of int64, shape (words, lanes)
        The signed values.
    """
    mask, sign = (1 << bits) - 1, 1 << (bits - 1)
    rows = [[(((value >> (bits * lane)) & mask) ^ sign) - sign for lane in range(lanes)] for value in values]
    return np.array(rows, np.int64).reshape(len(values), lanes)


MOST_ORDERS = 50
"""Orders that are tried to find addresses within a room."""


@dataclass(frozen=True)
class Lifetime:
    """From which layer to which a tensor must be kept.

    Attributes
    ----------
    name : str
        Name of the tensor.
    words : int
        Addresses that the tensor takes.
    birth : int
        Number of the layer that produces it; -1 for the network's inputs.
    death : int
        Number of the last layer that reads it.
    """

    name: str
    words: int
    birth: int
    death: int


def allocate(lifetimes: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    """Choose addresses such that tensors that live at the same time do not overlap.

    The first address that is free, in several orders of the tensors; the best order is kept.

    Returns
    -------
    addresses : dict of int
        Address by name of tensor.
    words : int
        Words that the memory needs.
    """
    orders = (
        lambda item: (-item.words, item.birth),
        lambda item: (item.birth, -item.words),
        lambda item: (item.birth - item.death, -item.words),
        lambda item: (-item.words * (item.death - item.birth + 1), item.birth),
    )
    births = {item.birth for item in lifetimes}
    least = max(
        (sum(item.words for item in lifetimes if item.birth <= time <= item.death) for time in births),
        default=0,
    )
    found = []
    for order in orders:
        found.append(_first_fit(sorted(lifetimes, key=order)))
        if found[-1][1] == least:
            break
    return min(found, key=lambda entry: entry[1])


def allocate_within(lifetimes: Sequence[Lifetime], room: int) -> tuple[dict[str, int], int]:
    """Choose addresses as :func:`allocate` does and, where that takes more than a room has, try on.

    What was put beyond the room goes before all others, again and again.
    """
    addresses, peak = allocate(lifetimes)
    order = sorted(lifetimes, key=lambda item: (-item.words, item.birth))
    for _ in range(MOST_ORDERS):
        if peak <= room:
            break
        others, needed = _first_fit(order)
        if needed < peak:
            addresses, peak = others, needed
        beyond = [item for item in order if others[item.name] + item.words > room]
        order = [*beyond, *(item for item in order if item not in beyond)]
    return addresses, peak


def _first_fit(lifetimes: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    """Give each tensor in turn the first address that is free; and count the words that this takes."""
    placed: list[tuple[Lifetime, int]] = []
    for item in lifetimes:
        busy = sorted(
            (address, address + other.words)
            for other, address in placed
            if other.birth <= item.death and item.birth <= other.death
        )
        address = 0
        for begin, end in busy:
            if address + item.words <= begin:
                break
            address = max(address, end)
        placed.append((item, address))
    peak = max((address + item.words for item, address in placed), default=0)
    return {item.name: address for item, address in placed}, peak
