"""When the mover does what: the recurrences of :class:`hwquant.rtl_templates.mover.Mover` and of a memory, exact."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

from hwquant.program.config import ArrayConfig
from hwquant.program.external import BURST, MemoryTiming
from hwquant.program.isa import QUEUE, MoveKind, moved_bits

LONG_AGO = -(1 << 40)


def bursts(address: int, beats: int) -> Iterator[tuple[int, int]]:
    """Addresses and beats of the bursts of a move that begins somewhere: none goes over a multiple of ``BURST``."""
    while beats:
        length = min(beats, BURST - address % BURST)
        yield address, length
        address, beats = address + length, beats - length


def move_beats(config: ArrayConfig, kind: int, count: int) -> int:
    """Beats of a move of so many words."""
    return count * config.word_beats(moved_bits(config)[MoveKind(kind)])


@dataclass
class MoverModel:
    """The state of mover and memory between two moves; times are cycles, whatever they count from.

    Attributes
    ----------
    config : ArrayConfig
        The array.
    memory : MemoryTiming
        When the memory serves bursts.
    origin : int
        The cycle from which refreshes count.
    complete : list of int
        When each of the moves so far is complete.
    kinds : list of int
        What each of them moves.
    """

    config: ArrayConfig
    memory: MemoryTiming
    origin: int = 1 << 40
    complete: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    _accepted: int = LONG_AGO  # the last address
    _end: int = LONG_AGO  # the last beat
    _served: list[int] = field(default_factory=list)  # when each of the latest bursts was complete
    _stores: bool = False  # the latest move was a store
    _latest: tuple[int, bool] | None = None  # address of the latest burst, and whether it was written

    def shift(self, cycles: int) -> None:
        """Count time from so many cycles later on."""
        self.origin -= cycles
        self.complete = [time - cycles for time in self.complete]
        self._served = [time - cycles for time in self._served]
        self._accepted -= cycles
        self._end -= cycles

    def room(self) -> int:
        """The first cycle in which the queue has room for a move."""
        return self.complete[-QUEUE] + 1 if len(self.complete) >= QUEUE else LONG_AGO

    def waited(self, moves: int) -> int:
        """The first cycle in which at most so many moves are not complete."""
        return self.complete[-1 - moves] + 1 if len(self.complete) > moves else LONG_AGO

    def between(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Go through the kinds of the moves that one waits for between two cycles, each with its share of them."""
        number = bisect_left(self.complete, begin)
        while begin < end:
            until = min(end, self.complete[number] + 1)
            yield self.kinds[number], until - begin
            begin, number = until, number + 1

    def move(self, queued: int, finished: int, kind: int, address: int, count: int) -> None:
        """Execute a move.

        Parameters
        ----------
        queued : int
            The cycle in which it is queued.
        finished : int
            The cycle in which the last tile before it is finished.
        kind, address, count : int
            What is moved, address in external memory, and number of words.
        """
        begin = max(queued + 1, finished + 1, self._accepted + 1)
        before = self.complete[-1] + 1 if self.complete else LONG_AGO
        store = kind == MoveKind.STORE
        if store:
            begin = max(begin, queued + 2, before)
        elif self._stores:
            begin = max(begin, before)
        offered, data, served = begin + 2, begin + 4, LONG_AGO
        for first, length in bursts(address, move_beats(self.config, kind, count)):
            served = self._burst(offered, data, first, length, store)
            offered = self._accepted + 2
        self.complete.append(served + 1)
        self.kinds.append(kind)
        self._stores = store

    def _burst(self, offered: int, data: int, address: int, length: int, store: bool) -> int:
        """Serve a burst; return when it is complete."""
        memory = self.memory
        if len(self._served) >= memory.outstanding:
            offered = max(offered, self._served[-memory.outstanding] + 1)
        self._accepted = offered
        earliest = max(offered + 1, data) if store else offered + memory.latency
        earliest = max(earliest, self._end + self._gap(address, store) + 1)
        self._latest = address, store
        self._end = self.origin + memory.last(earliest - self.origin, length)
        served = self._end + (memory.latency if store else 0)
        self._served = (
            [*self._served[1 - memory.outstanding :], served] if memory.outstanding > 1 else [served]
        )
        return served

    def _gap(self, address: int, store: bool) -> int:
        """Cycles without a beat before a burst."""
        if self._latest is None or self._latest[1] != store:
            return self.memory.gap
        return 0 if (self._latest[0] ^ address) < self.memory.row else self.memory.gap
