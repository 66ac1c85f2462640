"""When loads and stores are queued: where what they keep the array from is least.

A load keeps the array from writing to the first half, and a store from reading the second. So one is queued where what
follows does neither as long as it takes: a store, if need be, beside layers of the next band; a load before what comes
between, be it a band of another group. Their order among each other stays but where one need not wait for the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import inf

from hwquant.program.halves import Span, meets, touched
from hwquant.program.steps import Compute, Load, Piece, Receive, Run, Send, Step, Store, Wait

AHEAD = 24
"""Steps that are looked at for a better place of a move."""


@dataclass(frozen=True)
class _Act:
    """A step that moves nothing, and what it is kept from.

    Attributes
    ----------
    step : Receive or Send or Compute
        The step.
    cycles : float
        Cycles that it takes.
    reads, writes : sequence of tuple of int
        The words that it reads and writes.
    loads, stores : bool
        Whether it waits for all loads, and for all stores.
    """

    step: Receive | Send | Compute
    cycles: float
    reads: Sequence[Span]
    writes: Sequence[Span]
    loads: bool
    stores: bool

    def waits_for(self, move: _Move) -> bool:
        """Whether it waits for a move."""
        if move.load:
            return self.loads or meets(move.step.run, [*self.reads, *self.writes])
        return self.stores or meets(move.step.run, self.writes)


@dataclass(eq=False)
class _Move:
    """A load or a store.

    Attributes
    ----------
    step : Load or Store
        The step.
    place : int
        Number of acts before it, as the steps were written.
    first, last : int
        Numbers of acts that may be before it, at least and at most.
    sources : sequence of _Move
        The stores of what it loads.
    """

    step: Load | Store
    place: int
    first: int
    last: int
    sources: list[_Move] = field(default_factory=list)

    @cached_property
    def load(self) -> bool:
        """Whether it is a load."""
        return isinstance(self.step, Load)


def _alike(one: Run, other: Run) -> bool:
    return (
        one.tensor == other.tensor
        and one.first < other.first + other.count
        and other.first < one.first + one.count
    )


def in_time(
    steps: Iterable[Step],
    pieces: Mapping[str, Piece],
    lanes: int,
    half: int,
    cycles: Callable[[Compute], float],
    word: float,
) -> list[Step]:
    """Put loads and stores where they hold up the array least.

    Parameters
    ----------
    steps : iterable of Step
        Steps without waits.
    pieces : mapping of Piece
        All that lies in the activation memory, by name.
    lanes : int
        Channels in a word.
    half : int
        Address of the second half's first word.
    cycles : callable
        Cycles that the array takes to compute.
    word : float
        Cycles of the port for a word of activations.

    Returns
    -------
    list of Step
        The same steps; as they were where a new order saves nothing.
    """
    acts, moves = _divided(steps, pieces, lanes, half, cycles)
    _limit(moves, acts)
    written, before = _Order(acts, moves, word).execute(move=False)
    found, after = _Order(acts, moves, word).execute(move=True)
    return found if after < before else written


def _divided(
    steps: Iterable[Step],
    pieces: Mapping[str, Piece],
    lanes: int,
    half: int,
    cycles: Callable[[Compute], float],
) -> tuple[list[_Act], list[_Move]]:
    """What moves, and what does not."""
    acts, moves = list[_Act](), list[_Move]()
    for step in steps:
        if isinstance(step, Load | Store):
            moves.append(_Move(step, len(acts), len(acts), len(acts)))
            continue
        assert not isinstance(step, Wait), "steps that wait already"
        reads, writes = touched(step, pieces, lanes)
        everything = isinstance(step, Receive)
        acts.append(
            _Act(
                step,
                cycles(step) if isinstance(step, Compute) else 0,
                reads,
                writes,
                loads=everything or any(address < half for address, _ in writes),
                stores=everything or any(sum(span) > half for span in reads),
            )
        )
    return acts, moves


def _limit(moves: Sequence[_Move], acts: Sequence[_Act]) -> None:
    """Find out where moves may be: a load before what reads it, a store before what writes over it or loads it."""
    stores: dict[str, list[_Move]] = {}
    for move in moves:
        run = move.step.run
        if not move.load:
            stores.setdefault(run.tensor, []).append(move)
        while move.last < min(len(acts), move.place + AHEAD):
            act = acts[move.last]
            if meets(run, [*act.reads, *act.writes] if move.load else act.writes):
                break
            move.last += 1
        if not move.load:
            continue
        while move.first > max(0, move.place - AHEAD):
            act = acts[move.first - 1]
            if meets(run, [*act.reads, *act.writes]):
                break
            move.first -= 1
        move.sources += [other for other in stores.get(run.tensor, ()) if _alike(run, other.step.run)]
    for kind in (True, False):
        alike = [move for move in moves if move.load is kind]
        for move, before in pairwise(reversed(alike)):
            before.last = min(before.last, move.last)
        for move in alike:
            for source in move.sources:
                source.last = min(source.last, move.last)


class _Order:
    """Goes through acts, and says where moves are queued between them.

    Parameters
    ----------
    acts : sequence of _Act
        The acts.
    moves : sequence of _Move
        The moves, as they were written.
    word : float
        Cycles of the port for a word.
    """

    def __init__(self, acts: Sequence[_Act], moves: Sequence[_Move], word: float):
        self.acts, self.word = acts, word
        self._left = {kind: deque(move for move in moves if move.load is kind) for kind in (True, False)}
        self._number = {move: number for number, move in enumerate(moves)}
        self._queued: dict[_Move, float] = {}  # when each is over
        self._under_way: list[_Move] = []
        self._now = self._free = 0.0
        self._begin = max((k for k, act in enumerate(acts) if isinstance(act.step, Receive)), default=-1)

    def execute(self, *, move: bool) -> tuple[list[Step], float]:
        """The steps, and about what they take from the last input on: with moves where they were, or are better."""
        done, began = list[Step](), 0.0
        for place in range(len(self.acts) + 1):
            while found := self._next(place, move):
                self._left[found.load].popleft()
                self._free = max(self._free, self._now) + found.step.run.count * self.word
                self._queued[found] = self._free
                self._under_way.append(found)
                done.append(found.step)
            if place == len(self.acts):
                break
            act = self.acts[place]
            self._under_way = [item for item in self._under_way if self._queued[item] > self._now]
            ends = [self._queued[item] for item in self._under_way if act.waits_for(item)]
            self._now = max([self._now, *ends]) + act.cycles
            done.append(act.step)
            if place == self._begin:
                began = self._now
        return done, max(self._now, self._free) - began

    def _next(self, place: int, move: bool) -> _Move | None:
        """The move to queue now, if there is one."""
        heads = sorted((left[0] for left in self._left.values() if left), key=self._number.__getitem__)
        for head in heads if move else heads[:1]:
            if not move:
                return head if head.place <= place else None
            ready = head.first <= place and all(source in self._queued for source in head.sources)
            if ready and (place <= self._begin or place >= head.last or self._is_best(head, place)):
                return head
        return None

    def _is_best(self, move: _Move, place: int) -> bool:
        """Whether the array waits no less for a move that is queued later."""
        times, conflicts = [self._now], list[bool]()
        for act in self.acts[place : move.last + AHEAD]:
            conflicts.append(act.waits_for(move))
            times.append(times[-1] + act.cycles)
        length, met = move.step.run.count * self.word, inf
        waits = list[float]()
        for index in reversed(range(len(conflicts))):
            met = times[index] if conflicts[index] else met
            waits.append(max(0.0, max(self._free, times[index]) + length - met))
        waits = waits[::-1][: move.last - place + 1]
        return not waits or waits[0] <= min(waits)
