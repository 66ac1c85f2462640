"""What a simulation is given and what it brings back, whatever the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.qgraph import IntArray

Pattern = NDArray[np.bool_]
"""Pauses of the host, shape (PATTERN,): whether it pauses in a cycle."""

PATTERN = 1021
"""Cycles after which the host's pauses repeat: a prime, so that they never keep step with a frame."""


@dataclass(frozen=True)
class Stalls:
    """Random pauses of the host, the same in every simulator.

    Attributes
    ----------
    idle : float, default 0.0
        Chance, in each cycle, that the host does not begin to offer its next input word; 0 <= idle < 1.
    busy : float, default 0.0
        Chance, in each cycle, that the host does not accept an output word; 0 <= busy < 1.
    seed : int, default 0
        Seed of the random choices: the same seed gives the same pauses.

    Raises
    ------
    HwquantError
        A chance is out of its range.
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

    def idle_cycles(self) -> Pattern:
        """Whether no new word is offered in cycle ``c`` after reset: entry ``c % PATTERN``."""
        return self._pattern(self.idle, 0)

    def busy_cycles(self) -> Pattern:
        """Whether output words are refused in cycle ``c`` after reset: entry ``c % PATTERN``."""
        return self._pattern(self.busy, 1)

    def _pattern(self, chance: float, stream: int) -> Pattern:
        pattern = np.random.default_rng((self.seed, stream)).random(PATTERN) < chance
        pattern[0] &= not pattern.all()  # a host that never moves proves nothing
        return pattern


NO_STALLS = Stalls()
"""A host that never waits."""


class Write(NamedTuple):
    """One write of a layer's output to the activation memory.

    Attributes
    ----------
    address : int
        Address of the word.
    enable : int
        Write groups that are written, a bit for each; of several arrays, then the banks.
    data : int
        The words of all banks, that of the first in the low bits.
    """

    address: int
    enable: int
    data: int


@dataclass(frozen=True, eq=False)
class Offers:
    """A stream as its receiver sees it: an entry for each word, with the cycles of its offer.

    A word that changes or is withdrawn before it is taken ends its entry, so nothing that the stream does is lost.

    Attributes
    ----------
    words : ndarray of int64, shape (offers, lanes)
        The words.
    last : ndarray of bool, shape (offers,)
        Whether the word has the mark of a frame's last one.
    first : ndarray of int64, shape (offers,)
        First cycle after reset in which the word was offered.
    end : ndarray of int64, shape (offers,)
        Last cycle after reset in which the word was offered.
    taken : ndarray of bool, shape (offers,)
        Whether the word moved, in cycle ``end``.
    """

    words: IntArray
    last: NDArray[np.bool_]
    first: IntArray
    end: IntArray
    taken: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Log:
    """All that a testbench has seen; :func:`hwquant.sim.contract.judge` says what it is worth.

    Attributes
    ----------
    sent : ndarray of int64, shape (words, 2)
        Cycles in which each input word was first offered and was taken.
    results : Offers
        The stream of results.
    counters : tuple of int
        The hardware's cycle counter, as it stood when the last word of each frame was taken.
    writes : tuple of (int, Write)
        Every write until the watched frames had left, with its cycle.
    cycles : int
        Clock cycles from reset to the end of the simulation.
    seconds : float, default 0.0
        Time that the simulation took, in seconds, without building the simulator.
    """

    sent: IntArray
    results: Offers
    counters: tuple[int, ...]
    writes: tuple[tuple[int, Write], ...]
    cycles: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Breach:
    """A rule of the streams that the hardware broke while the result of a frame was due.

    Attributes
    ----------
    sample : int
        Number of the frame.
    rule : str
        What the hardware did, as the end of a sentence.
    """

    sample: int
    rule: str

    def __str__(self) -> str:
        return f"frame {self.sample}: {self.rule}"


@dataclass(frozen=True, eq=False)
class Run:
    """Results of N frames; of fewer, if the hardware stopped or broke a rule of the streams.

    Attributes
    ----------
    words : ndarray of int64, shape (N, words, lanes)
        The output frames.
    cycles : tuple of int
        The hardware's cycle counter, after each frame.
    writes : tuple of tuple of Write
        Every write of the first frames that were watched, in order, by frame.
    periods : tuple of int, optional
        Clock cycles from the last word of the frame before (or from reset) to each frame's last word.
    seconds : float, default 0.0
        Time that the simulation took, in seconds, without building the simulator.
    breach : Breach or None, default None
        The first rule that was broken; frames from there on are left out.
    patience : int, default 0
        Cycles without a word moving after which the hardware counts as stopped.
    """

    words: IntArray
    cycles: tuple[int, ...]
    writes: tuple[tuple[Write, ...], ...]
    periods: tuple[int, ...] = ()
    seconds: float = 0.0
    breach: Breach | None = None
    patience: int = 0
