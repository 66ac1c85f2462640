"""A program that comes from external memory itself, half by half.

The program memory has two halves, around which the addresses of words count. At the beginning of each half the program
has the MOVE of the words behind it, into the other half, whose words have all been executed; and as late as it may be,
before any of them is fetched, a WAIT for that move. The first half is there before an inference begins: the hardware
fetches it (:class:`hwquant.rtl_templates.sequencer.Sequencer`).

No such WAIT can last for ever: a move of the program waits, as all others do, only for the moves and for the tiles
before it in the program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hwquant.program.external import whole_bursts
from hwquant.program.isa import QUEUE, Instruction, MoveKind, Opcode

FETCHED = 1
"""Words that have been fetched behind the one that is executed; where it waits, the next one is not fetched yet."""


@dataclass(frozen=True, eq=False)
class FetchedProgram:
    """A program with the moves that fetch it.

    Attributes
    ----------
    code : tuple of Instruction
        All instructions; where they name an address outside, it is counted from the end of the program.
    half : int
        Words of a half of the program memory.
    own : mapping of int
        By the number of an EXTERNAL, whose MOVE is one of the program: the number of the first word that it moves.
    """

    code: tuple[Instruction, ...]
    half: int
    own: Mapping[int, int]

    def beats(self, word_beats: int) -> int:
        """Beats that the program takes outside, where a word takes so many: whole bursts, and one half at least."""
        return whole_bursts(max(len(self.code), self.half) * word_beats)

    def placed(self, word_beats: int) -> tuple[Instruction, ...]:
        """The instructions for a program that lies outside from the first beat on, and all else behind it."""
        return tuple(self._placed(word_beats))

    def _placed(self, word_beats: int) -> Iterator[Instruction]:
        behind = self.beats(word_beats)
        for number, instruction in enumerate(self.code):
            if number in self.own:
                yield Instruction(Opcode.EXTERNAL, {"address": self.own[number] * word_beats})
            elif number - 1 in self.own:
                count = min(self.half, len(self.code) - self.own[number - 1])
                yield Instruction(Opcode.MOVE, {**instruction.values, "count": count})
            elif instruction.opcode is Opcode.EXTERNAL:
                yield Instruction(Opcode.EXTERNAL, {"address": instruction.values["address"] + behind})
            else:
                yield instruction


def fetch_program(code: Sequence[Instruction], half: int) -> FetchedProgram:
    """Let a program fetch itself.

    Parameters
    ----------
    code : sequence of Instruction
        The program, with moves of all other kinds.
    half : int
        Words of a half of the program memory, :data:`~hwquant.program.config.LEAST_HALF` or more.
    """
    writer = _Writer(half)
    for number, instruction in enumerate(code):
        writer.add(instruction, len(code) - number)
    return FetchedProgram(tuple(writer.code), half, writer.own)


class _Writer:
    """The program as far as it is written.

    Parameters
    ----------
    half : int
        Words of a half of the program memory.
    """

    def __init__(self, half: int):
        self.half = half
        self.code: list[Instruction] = []
        self.own: dict[int, int] = {}
        self._fetched = 0  # the latest half that is fetched
        self._latest = -1  # number of the move that does, among all moves
        self._queued = 0
        self._known = 0  # so many moves are complete for sure
        self._numbers: list[int] = []  # of the moves that were there: number among all moves

    def add(self, instruction: Instruction, left: int) -> None:
        """Write an instruction, the first of those that are left, behind what has to be before it."""
        while more := self._before(instruction, left):
            self.code += more
        if instruction.opcode is Opcode.MOVE:
            self._numbers.append(self._queued)
            self._queue()
        elif instruction.opcode is Opcode.WAIT:
            number = self._numbers[-1 - instruction.values["moves"]]
            # What is complete for sure needs no WAIT any more; it stays, so that it is known how much is left.
            instruction = Instruction(Opcode.WAIT, {"moves": min(self._queued - 1 - number, QUEUE)})
            self._known = max(self._known, number + 1)
        self.code.append(instruction)

    def _before(self, instruction: Instruction, left: int) -> list[Instruction]:
        """What has to stand before an instruction next, if anything."""
        number, place = divmod(len(self.code), self.half)
        # The address outside that an EXTERNAL has set is taken by the MOVE behind it.
        between = bool(self.code) and self.code[-1].opcode is Opcode.EXTERNAL
        if self._fetched == number and left > self.half - place and not between:
            return self._fetch()
        if place == self.half - 1 - FETCHED and self._latest >= self._known:
            return [self._wait(self._latest)]
        # Nobody knows how long an input takes: nothing may be under way.
        if instruction.opcode is Opcode.INPUT and self._queued > self._known:
            return [self._wait(self._queued - 1)]
        return []

    def _fetch(self) -> list[Instruction]:
        self._fetched += 1
        self._latest = self._queued
        self.own[len(self.code)] = self._fetched * self.half
        self._queue()
        place = {"address": self._fetched % 2 * self.half, "count": self.half}
        return [
            Instruction(Opcode.EXTERNAL, {"address": 0}),
            Instruction(Opcode.MOVE, {"kind": int(MoveKind.PROGRAM), **place}),
        ]

    def _wait(self, number: int) -> Instruction:
        self._known = number + 1
        return Instruction(Opcode.WAIT, {"moves": self._queued - 1 - number})

    def _queue(self) -> None:
        self._queued += 1
        self._known = max(self._known, self._queued - QUEUE)
