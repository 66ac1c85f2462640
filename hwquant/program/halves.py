"""Where steps wait for loads and stores: as late as the two halves of the activation memory allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from hwquant.program.steps import Compute, Load, Piece, Receive, Run, Send, Step, Store, Wait

Span = tuple[int, int]
"""The address of words in the activation memory, and how many they are."""


@dataclass
class _Moves:
    """The loads and stores so far, and how many of them are certainly over."""

    loads: list[tuple[int, Run]] = field(default_factory=list)
    stores: list[tuple[int, Run]] = field(default_factory=list)
    issued: int = 0
    over: int = 0

    def issue(self, step: Load | Store) -> None:
        self.issued += 1
        (self.loads if isinstance(step, Load) else self.stores).append((self.issued, step.run))

    def wait(self, count: int) -> Iterator[Wait]:
        """Wait for the first ``count``, where they are not over already."""
        if count > self.over:
            self.over = count
            self.loads = [item for item in self.loads if item[0] > count]
            self.stores = [item for item in self.stores if item[0] > count]
            yield Wait(count)


def with_waits(steps: Iterable[Step], pieces: Mapping[str, Piece], lanes: int, half: int) -> Iterator[Step]:
    """Put waits between steps, such that none reads or writes what a move still does, or the half that moves need.

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
    """
    moves = _Moves()
    for step in steps:
        match step:
            case Load() | Store():
                moves.issue(step)
            case Receive():
                yield from moves.wait(moves.issued)
            case Send() | Compute():
                yield from moves.wait(_needed(moves, *touched(step, pieces, lanes), half))
            case Wait():
                raise AssertionError("steps that wait already")
        yield step


def touched(
    step: Receive | Send | Compute, pieces: Mapping[str, Piece], lanes: int
) -> tuple[list[Span], list[Span]]:
    """What a step reads and writes in the activation memory."""
    if isinstance(step, Compute):
        reads = [_span(pieces[name], lanes) for name in dict.fromkeys(step.layer.reads)]
        return reads, [_span(pieces[step.layer.tensor], lanes)]
    spans = [(step.run.address, step.run.count)]
    return (spans, []) if isinstance(step, Send) else ([], spans)


def _span(piece: Piece, lanes: int) -> Span:
    """The first address of a piece, and its words."""
    channels, *size = piece.shape
    return piece.address, -(-channels // lanes) * prod(size)


def _needed(moves: _Moves, reads: list[Span], writes: list[Span], half: int) -> int:
    """How many moves must be over before the array reads and writes what it does."""
    needed = [0]
    everywhere = reads + writes
    needed += [number for number, run in moves.loads if meets(run, everywhere)]
    needed += [number for number, run in moves.stores if meets(run, writes)]
    if any(address < half for address, _ in writes):
        needed += [number for number, _ in moves.loads]
    if any(address + count > half for address, count in reads):
        needed += [number for number, _ in moves.stores]
    return max(needed)


def meets(run: Run, spans: Iterable[Span]) -> bool:
    """Whether a move reads or writes a word of some spans."""
    return any(
        run.address < address + count and address < run.address + run.count for address, count in spans
    )
