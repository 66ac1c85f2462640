"""Which copies of rectangles of pixels a view of tensors is, element by element.

Rows of the view that read the same channels and columns are alike, but for the row that they read; so are columns.
Among alike rows those at equal distances are found that also read rows at equal distances, and so are columns: a pair
of both is one target. What is found is checked against the view, so that hashes of rows may serve to compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwquant.copies import Copy, Grid, element_index
from hwquant.graph import Shape

Index = NDArray[np.int64]

MOST = 64
"""Most targets: each is a layer on the array, which waits for the one before."""

_CANDIDATES = 64
"""Second members of a progression that are tried."""


class _Elements(NamedTuple):
    """What each element of a view is, arrays of the view's shape: its tensor, channel, row and column; -1 for zero."""

    part: Index
    channel: Index
    row: Index
    column: Index


class _Progression(NamedTuple):
    """Numbers at equal distances: rows or columns of a view."""

    first: int
    step: int
    length: int


def find_copies(index: Index, shapes: Sequence[Shape]) -> tuple[Copy, ...] | None:
    """Find the copies that a view is.

    Parameters
    ----------
    index : ndarray of int64, shape (C, H, W)
        Elements of the tensors, one tensor after the other; what is behind the last is zero.
    shapes : sequence of tuple of int
        Channels, height and width of each tensor.

    Returns
    -------
    tuple of Copy, or None
        The copies; None where there are more targets than a node has, or nothing is read.
    """
    elements = _elements(index, shapes)
    rows = _progressions((elements.part, elements.channel, elements.column), elements.row, 1)
    columns = _progressions((elements.part, elements.channel, elements.row), elements.column, 2)
    if len(rows) * len(columns) > MOST:
        return None
    copies = [copy for row in rows for column in columns for copy in _copies(elements, row, column)]
    shape = (index.shape[0], index.shape[1], index.shape[2])
    found = copies and np.array_equal(element_index(shape, shapes, copies), index)
    return tuple(copies) if found else None


def _elements(index: Index, shapes: Sequence[Shape]) -> _Elements:
    starts = np.cumsum([0, *(channels * height * width for channels, height, width in shapes)])
    part = np.searchsorted(starts, index, "right") - 1
    zero = part == len(shapes)
    part[zero] = 0
    planes = np.array([height * width for _, height, width in shapes])[part]
    channel, pixel = np.divmod(index - starts[part], planes)
    row, column = np.divmod(pixel, np.array([width for _, _, width in shapes])[part])
    return _Elements(*(np.where(zero, -1, values) for values in (part, channel, row, column)))


def _progressions(alike: Sequence[Index], moving: Index, axis: int) -> list[_Progression]:
    """Divide the lines of an axis into progressions in which ``alike`` stays and ``moving`` grows evenly."""
    others = tuple(number for number in range(3) if number != axis)
    generator = np.random.default_rng(0)
    sides = tuple(moving.shape[number] for number in others)

    def hashed(values: Index) -> Index:
        factors = generator.integers(-(1 << 62), 1 << 62, sides, dtype=np.int64)
        return (values * np.expand_dims(factors, axis)).sum(axis=others)

    with np.errstate(over="ignore"):
        keys = np.stack([hashed(values) for values in alike])
        # Sums of products wrap around, and stay linear: lines at equal distances have hashes at equal distances.
        places = hashed(moving)
    classes: dict[tuple[int, ...], list[int]] = {}
    for line, key in enumerate(keys.T.tolist()):
        classes.setdefault(tuple(key), []).append(line)
    found: list[_Progression] = []
    for lines in classes.values():
        place = dict(zip(lines, places[lines].tolist()))
        while place and len(found) <= MOST:
            longest = _longest(place)
            found.append(longest)
            for number in range(longest.length):
                del place[longest.first + number * longest.step]
    return found


def _longest(place: dict[int, int]) -> _Progression:
    """The longest progression that begins with the first of the lines that are left."""
    first, *others = place
    best = _Progression(first, 1, 1)
    for second in others[:_CANDIDATES]:
        step, distance = second - first, (place[second] - place[first]) % (1 << 64)
        count = 2
        while (place.get(first + count * step, place[first] - 1) - place[first]) % (1 << 64) == (
            count * distance
        ) % (1 << 64) and first + count * step in place:
            count += 1
        if count > best.length:
            best = _Progression(first, step, count)
    return best


def _copies(elements: _Elements, rows: _Progression, columns: _Progression) -> list[Copy]:
    """The copies to one target: a copy for all channels that read the same pixels of the same tensor."""
    y, x = rows.first, columns.first
    below = y + rows.step if rows.length > 1 else y
    right = x + columns.step if columns.length > 1 else x
    corner = np.stack([elements.part[:, y, x], elements.row[:, y, x], elements.column[:, y, x]])
    down = elements.row[:, below, x] - elements.row[:, y, x]
    across = elements.column[:, y, right] - elements.column[:, y, x]
    target = Grid((y, x), (rows.step, columns.step), (rows.length, columns.length))
    kinds = np.concatenate([corner, down[None], across[None]]).T
    copies = []
    for kind in np.unique(kinds, axis=0):
        part, top, left, dy, dx = kind.tolist()
        own = (kinds == kind).all(axis=1)
        if part < 0:
            continue
        channels = np.where(own, elements.channel[:, y, x], -1)
        copies.append(Copy(part, channels, (top, left), (dy, dx), target))
    if not copies:  # a target of zeros: of a tensor that is there, no channel
        copies.append(Copy(0, np.full(len(kinds), -1, np.int64), (0, 0), (0, 0), target))
    return copies
