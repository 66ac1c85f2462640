"""What a simulation brings back, whatever the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hwquant.qgraph import IntArray


class Write(NamedTuple):
    """One write of a layer's output to the activation memory; ``enable`` has one bit a write group."""

    address: int
    enable: int
    data: int


@dataclass(frozen=True, eq=False)
class Run:
    """Results of N frames.

    Attributes
    ----------
    words : int64 (N, words, lanes), the output frames
    cycles : the hardware's cycle counter, after each frame
    writes : every write of the first frames that were watched, in order
    """

    words: IntArray
    cycles: tuple[int, ...]
    writes: tuple[tuple[Write, ...], ...]
