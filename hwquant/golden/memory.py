"""Where the fast path's arrays are: side by side, in turns where they can, and kept from run to run.

The operating system's price for fresh memory is a good part of what a small network costs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Block = NDArray[np.floating[Any]]

REGION = 1 << 23
"""Bytes asked for at a time: numpy asks for large pages then."""

LINE = 64
"""Arrays begin at a cache line."""

KEPT = 1 << 27
"""Most bytes that are kept for the next run."""


class Arena:
    """Memory from which arrays are handed out, which are valid until :meth:`reset`."""

    def __init__(self) -> None:
        self._regions: list[NDArray[np.uint8]] = []
        self.reset()

    def reset(self) -> None:
        """Take all memory back."""
        self._region, self._used = 0, 0
        self._shared: dict[str, NDArray[np.uint8]] = {}

    @property
    def size(self) -> int:
        """The size of the memory in bytes."""
        return sum(len(region) for region in self._regions)

    def zeros(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> Block:
        """Hand out an array whose memory no other array shares, 0 everywhere."""
        array = self._bytes(math.prod(shape) * np.dtype(dtype).itemsize).view(dtype).reshape(shape)
        array.fill(0)
        return array

    def shared(self, role: str, least: int, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> Block:
        """Hand out an array whose memory those of the same role share, so that it stays in the cache.

        Its contents are what another array left there.

        Parameters
        ----------
        role : str
            What the array is for.
        least : int
            Bytes that are put aside for the role when it is first asked for.
        shape : tuple of int
            The array's shape.
        dtype : dtype, default float32
            The array's type.

        Returns
        -------
        Block
            The array.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if role not in self._shared or len(self._shared[role]) < size:
            self._shared[role] = self._bytes(max(least, size))
        return self._shared[role][:size].view(dtype).reshape(shape)

    def _bytes(self, size: int) -> NDArray[np.uint8]:
        start = -(-self._used // LINE) * LINE
        while self._region < len(self._regions) and start + size > len(self._regions[self._region]):
            self._region, start = self._region + 1, 0
        if self._region == len(self._regions):
            self._regions.append(np.empty(max(REGION, size), np.uint8))
        self._used = start + size
        return self._regions[self._region][start : self._used]


_idle: list[Arena] = []
_lock = threading.Lock()


@contextmanager
def borrowed() -> Iterator[Arena]:
    """Lend an arena for the time of a run: that of an earlier run where one is idle."""
    with _lock:
        arena = _idle.pop() if _idle else Arena()
    arena.reset()
    try:
        yield arena
    finally:
        with _lock:
            if sum(other.size for other in _idle) + arena.size <= KEPT:
                _idle.append(arena)
