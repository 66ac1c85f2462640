"""What a simulation is given and what it brings back, whatever the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwquant.errors import HwquantError
from hwquant.qgraph import IntArray


@dataclass(frozen=True)
class Stalls:
    """Random pauses of the host.

    Attributes
    ----------
    idle : chance, in each cycle, that the host does not yet offer its next input word; 0 <= idle < 1
    busy : chance, in each cycle, that the host does not accept an output word; 0 <= busy < 1
    seed : the same seed gives the same pauses
    """

    idle: float = 0.0
    busy: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("idle", "busy"):
            if not 0 <= getattr(self, name) < 1:
                raise HwquantError(
                    f"the chance {name} of a stall must be 0 or more and below 1, not {getattr(self, name)}"
                )

    def idle_cycles(self) -> Iterator[bool]:
        """For each cycle in which a word could be offered: whether it is withheld."""
        return _pattern(self.idle, self.seed, 0)

    def busy_cycles(self) -> Iterator[bool]:
        """For each cycle: whether output words are refused."""
        return _pattern(self.busy, self.seed, 1)


NO_STALLS = Stalls()
"""A host that never waits."""


def _pattern(chance: float, seed: int, stream: int) -> Iterator[bool]:
    rng = np.random.default_rng((seed, stream))
    while True:
        yield from (rng.random(1024) < chance).tolist()


class Write(NamedTuple):
    """One write of a layer's output to the activation memory; ``enable`` has one bit a write group."""

    address: int
    enable: int
    data: int


@dataclass(frozen=True, eq=False)
class Run:
    """Results of N frames; of fewer, if the hardware stopped (no word moved while two could be inferred).

    Attributes
    ----------
    words : int64 (N, words, lanes), the output frames
    cycles : the hardware's cycle counter, after each frame
    writes : every write of the first frames that were watched, in order
    periods : clock cycles from the last word of the frame before (or from reset) to each frame's last word
    seconds : how long it took, without building the simulator
    """

    words: IntArray
    cycles: tuple[int, ...]
    writes: tuple[tuple[Write, ...], ...]
    periods: tuple[int, ...] = ()
    seconds: float = 0.0
