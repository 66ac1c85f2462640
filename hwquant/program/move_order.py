"""When loads and stores are queued: where what they keep the array from is least.

A load keeps the array from writing to the first half, and a store from reading the second. So one is queued where what
follows does neither as long as it takes: a store, if need be, beside layers of the next band; a load before what comes
between, be it a band of another group. Their order among each other stays but where one need not wait for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, pairwise
from math import inf

from hwquant.program.halves import Span, meets, touched
from hwquant.program.steps import Compute, Load, Piece, Receive, Run, Send, Step, Store

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

    def waits_for(self, moves: _Moves) -> bool:
        """Whether it waits for some moves."""
        if moves.load:
            return self.loads or moves.meet([*self.reads, *self.writes])
        return self.stores or moves.meet(self.writes)


@dataclass(eq=False)
class _Moves:
    """Loads, or stores, that stand together.

    Attributes
    ----------
    steps : sequence of Load or Store
        The moves.
    place : int
        Number of acts before them, as the steps were written.
    first, last : int
        Numbers of acts that may be before them, at least and at most.
    sources : sequence of _Moves
        The stores of what they load.
    """

    steps: Sequence[Load | Store]
    place: int
    first: int
    last: int
    sources: list[_Moves] = field(default_factory=list)

    @cached_property
    def load(self) -> bool:
        """Whether they are loads."""
        return isinstance(self.steps[0], Load)

    @cached_property
    def words(self) -> int:
        """Words that are moved."""
        return sum(step.run.count for step in self.steps)

    def meet(self, spans: Sequence[Span]) -> bool:
        """Whether they are about words of some spans inside."""
        return any(meets(step.run, spans) for step in self.steps)

    def follow(self, others: _Moves) -> bool:
        """Whether they are about words that others are about outside."""
        return any(_alike(one.run, other.run) for one in self.steps for other in others.steps)


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
) -> tuple[list[_Act], list[_Moves]]:
    """What moves, and what does not."""
    acts, moves = list[_Act](), list[_Moves]()
    for kind, some in groupby(steps, key=lambda step: type(step) if isinstance(step, Load | Store) else None):
        if kind:
            together = [step for step in some if isinstance(step, Load | Store)]
            moves.append(_Moves(together, len(acts), len(acts), len(acts)))
            continue
        for step in some:
            assert isinstance(step, Receive | Send | Compute), "steps that wait already"
            reads, writes = touched(step, pieces, lanes)
            acts.append(
                _Act(
                    step,
                    cycles(step) if isinstance(step, Compute) else 0,
                    reads,
                    writes,
                    loads=isinstance(step, Receive) or any(address < half for address, _ in writes),
                    stores=isinstance(step, Receive) or any(sum(span) > half for span in reads),
                )
            )
    return acts, moves


def _limit(moves: Sequence[_Moves], acts: Sequence[_Act]) -> None:
    """Find out where moves may be: a load before what reads it, a store before what writes over it or loads it."""
    stores: dict[str, list[_Moves]] = {}
    for group in moves:
        if not group.load:
            for name in {step.run.tensor for step in group.steps}:
                stores.setdefault(name, []).append(group)
    for group in moves:
        while group.last < min(len(acts), group.place + AHEAD):
            act = acts[group.last]
            if group.meet([*act.reads, *act.writes] if group.load else act.writes):
                break
            group.last += 1
        if not group.load:
            continue
        while group.first > max(0, group.place - AHEAD):
            act = acts[group.first - 1]
            if group.meet([*act.reads, *act.writes]):
                break
            group.first -= 1
        for name in {step.run.tensor for step in group.steps}:
            group.sources += [other for other in stores.get(name, ()) if group.follow(other)]
    for kind in (True, False):
        alike = [group for group in moves if group.load is kind]
        for group, following in pairwise(reversed(alike)):
            following.last = min(following.last, group.last)
        if kind:
            for group in alike:
                for other in group.sources:
                    other.last = min(other.last, group.last)


class _Order:
    """Goes through acts, and says where moves are queued between them.

    Parameters
    ----------
    acts : sequence of _Act
        The acts.
    moves : sequence of _Moves
        The moves, as they were written.
    word : float
        Cycles of the port for a word.
    """

    def __init__(self, acts: Sequence[_Act], moves: Sequence[_Moves], word: float):
        self.acts, self.word = acts, word
        self._left = list(moves)
        self._queued: list[tuple[_Moves, float]] = []  # and when each is over
        self._now = self._free = 0.0
        self._begin = max((k for k, act in enumerate(acts) if isinstance(act.step, Receive)), default=-1)

    def execute(self, *, move: bool) -> tuple[list[Step], float]:
        """The steps, and about what they take from the last input on: with moves where they were, or are better."""
        done, began = list[Step](), 0.0
        for place in range(len(self.acts) + 1):
            while group := self._next(place, move):
                self._left.remove(group)
                self._free = max(self._free, self._now) + group.words * self.word
                self._queued.append((group, self._free))
                done += group.steps
            if place == len(self.acts):
                break
            act = self.acts[place]
            self._queued = [(group, end) for group, end in self._queued if end > self._now]
            ends = [end for group, end in self._queued if act.waits_for(group)]
            self._now = max([self._now, *ends]) + act.cycles
            done.append(act.step)
            if place == self._begin:
                began = self._now
        return done, max(self._now, self._free) - began

    def _next(self, place: int, move: bool) -> _Moves | None:
        """The moves to queue now, if there are any."""
        if not move:
            return self._left[0] if self._left and self._left[0].place <= place else None
        for kind in self._heads():
            ready = kind.first <= place and not any(source in self._left for source in kind.sources)
            if ready and (place <= self._begin or place >= kind.last or self._is_best(kind, place)):
                return kind
        return None

    def _heads(self) -> Iterator[_Moves]:
        """The next loads and the next stores, in the order in which they were written."""
        seen = set[bool]()
        for group in self._left:
            if group.load not in seen:
                seen.add(group.load)
                yield group
            if len(seen) == 2:
                return

    def _is_best(self, group: _Moves, place: int) -> bool:
        """Whether the array waits no less for moves that are queued later."""
        times, conflicts = [self._now], list[bool]()
        for act in self.acts[place : group.last + AHEAD]:
            conflicts.append(act.waits_for(group))
            times.append(times[-1] + act.cycles)
        length, met = group.words * self.word, inf
        waits = list[float]()
        for index in reversed(range(len(conflicts))):
            met = times[index] if conflicts[index] else met
            waits.append(max(0.0, max(self._free, times[index]) + length - met))
        waits = waits[::-1][: group.last - place + 1]
        return not waits or waits[0] <= min(waits)
