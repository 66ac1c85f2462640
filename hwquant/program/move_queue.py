"""Moves of weights and parameters, and the queue that they and those of activations go through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hwquant.program.external import whole_bursts
from hwquant.program.isa import QUEUE, Instruction, MoveKind, Opcode
from hwquant.program.marks import ActivationMove


@dataclass(frozen=True)
class Outside:
    """What is outside, in beats: weights from 0, or from the end of a program on, then parameters, then activations.

    Attributes
    ----------
    weight_beats, parameter_beats, activation_beats : int
        Beats of a word.
    weights, parameters, activations : int
        Words.
    """

    weight_beats: int
    parameter_beats: int
    activation_beats: int
    weights: int
    parameters: int
    activations: int

    @property
    def first_parameter(self) -> int:
        """Where the parameters begin: at a whole burst."""
        return whole_bursts(self.weights * self.weight_beats)

    @property
    def first_activation(self) -> int:
        """Where activations begin: at a whole burst."""
        return whole_bursts(self.first_parameter + self.parameters * self.parameter_beats)

    @property
    def beats(self) -> int:
        """Beats in all."""
        return self.first_activation + self.activations * self.activation_beats


@dataclass(eq=False)
class Move:
    """A move.

    Attributes
    ----------
    kind : MoveKind
        What is moved.
    external, address, count : int
        Beat outside, address inside, and number of words.
    after : int
        The last tiles that use what it overwrites; -1 for none.
    need : int
        The first tiles that use it.
    """

    kind: MoveKind
    external: int
    address: int
    count: int
    after: int
    need: int


class MoveQueue:
    """The queue of moves while the program goes on, as far as it is known.

    Parameters
    ----------
    moves : sequence of Move
        The moves of weights and parameters.
    outside : Outside
        Where words are outside.

    Attributes
    ----------
    queued : int
        Moves of all kinds that have been queued.
    """

    def __init__(self, moves: Sequence[Move], outside: Outside):
        self.moves, self.outside = moves, outside
        self.queued = 0
        self._known = 0  # so many moves are complete for sure
        self._order: list[int] = []  # of weights and parameters: number among all moves
        self._activations: list[int] = []  # likewise

    def begin(self) -> Iterator[Instruction]:
        """Queue what overwrites nothing: all of it, as the input waits for it anyway."""
        for move in self.moves:
            if move.after >= 0:
                return
            yield from self._fetch()

    def ahead(self, tiles: int) -> Iterator[Instruction]:
        """Queue what may be behind so many tiles: not much, as it has room inside already."""
        moves = self.moves
        while len(self._order) < len(moves) and moves[len(self._order)].after < tiles:
            yield from self._fetch()

    def need(self, move: int) -> Iterator[Instruction]:
        """Make sure that a move of weights or parameters is complete."""
        while len(self._order) <= move:
            yield from self._fetch()
        if move >= 0:
            yield from self.wait(self._order[move])

    def activations(self, mark: ActivationMove) -> Iterator[Instruction]:
        """Queue a load or a store."""
        outside = self.outside
        external = outside.first_activation + mark.first * outside.activation_beats
        self._activations.append(self.queued)
        yield from self._queue(mark.kind, external, mark.address, mark.count)

    def await_activations(self, moves: int) -> Iterator[Instruction]:
        """Make sure that so many loads and stores are complete."""
        if moves:
            yield from self.wait(self._activations[moves - 1])

    def wait(self, number: int) -> Iterator[Instruction]:
        """Make sure that a move, and all before it, are complete."""
        if number >= self._known:
            yield Instruction(Opcode.WAIT, {"moves": self.queued - 1 - number})
            self._known = number + 1

    def _fetch(self) -> Iterator[Instruction]:
        move = self.moves[len(self._order)]
        self._order.append(self.queued)
        yield from self._queue(move.kind, move.external, move.address, move.count)

    def _queue(self, kind: MoveKind, external: int, address: int, count: int) -> Iterator[Instruction]:
        yield Instruction(Opcode.EXTERNAL, {"address": external})
        yield Instruction(Opcode.MOVE, {"kind": int(kind), "address": address, "count": count})
        self.queued += 1
        self._known = max(self._known, self.queued - QUEUE)
