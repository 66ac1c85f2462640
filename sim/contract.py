"""The rules of a testbench, once for all simulators.

A simulator's testbench plays the host, writes down what it sees (:class:`~hwquant.sim.trace.Log`) and judges
nothing; :func:`judge` judges, after the run. The host:

- begins to offer a word in cycle ``c`` after reset unless its pattern of pauses says that it is idle then, one
  frame behind the other, and keeps it until it is taken;
- accepts a word in cycle ``c`` unless its pattern says that it is busy then;
- stops :data:`LINGER` cycles after the last word that it waits for, or when no word has moved in either
  direction for :attr:`Task.patience` cycles.

The hardware must not change or withdraw a word that it offers, marks the last word of each frame and no other,
begins a result only when its whole frame was taken, and offers nothing beyond the last frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwquant.program.cycles import timing
from hwquant.program.external import MemoryTiming
from hwquant.program.layout import words_to_integers
from hwquant.program.program import Program
from hwquant.program.registers import Register
from hwquant.qgraph import IntArray
from hwquant.sim.trace import NO_STALLS, PATTERN, Breach, Log, Offers, Pattern, Run, Stalls, Write

LINGER = 64
"""Cycles that are simulated after the last word that is due; a word too many comes within a few."""

COUNTER = Register.CYCLES
"""The register that the host reads all the time."""


@dataclass(frozen=True, eq=False)
class Task:
    """What a testbench does with a program's hardware.

    Attributes
    ----------
    program : Program
        What the hardware's memories hold.
    frames : ndarray of int64, shape (N, beats, values)
        Input frames, sent back to back.
    watch : int, default 0
        Number of frames, from the first on, whose writes are recorded.
    stalls : Stalls, default NO_STALLS
        Pauses of the host.
    memory : MemoryTiming or None, default None
        When external memory serves bursts.
    memory_pauses : int, default 0
        In how many of 256 cycles each of its channels pauses.
    """

    program: Program
    frames: IntArray
    watch: int = 0
    stalls: Stalls = NO_STALLS
    memory: MemoryTiming | None = None
    memory_pauses: int = 0

    @cached_property
    def patience(self) -> int:
        """Cycles without a word moving after which the hardware counts as stopped.

        They are those of two frames and of two of the host's longest pauses; of more frames where the memory pauses.
        """
        slower = 1 + self.memory_pauses * 8 // (256 - self.memory_pauses)
        return 2 * (slower * timing(self.program, self.memory).frame_cycles + PATTERN)

    @property
    def words_in(self) -> int:
        """Beats of an input frame."""
        return self.frames.shape[1]

    @cached_property
    def words_out(self) -> int:
        """Words of an output frame."""
        return sum(item.words for item in self.program.outputs)

    @property
    def results(self) -> int:
        """Words that should come back."""
        return len(self.frames) * self.words_out

    @property
    def lanes(self) -> int:
        """Values in a word of results."""
        return self.program.config.lanes

    @property
    def bits(self) -> int:
        """Bits of a value."""
        return self.program.config.activation_bits

    @cached_property
    def idle(self) -> Pattern:
        """Pauses of the sender; see :meth:`~hwquant.sim.trace.Stalls.idle_cycles`."""
        return self.stalls.idle_cycles()

    @cached_property
    def busy(self) -> Pattern:
        """Pauses of the receiver; see :meth:`~hwquant.sim.trace.Stalls.busy_cycles`."""
        return self.stalls.busy_cycles()

    def payloads(self) -> list[int]:
        """Beats of all frames as they are on the stream: the mark of the last one above the data."""
        config = self.program.config
        mark = 1 << config.frame_bits
        words = words_to_integers(self.frames.reshape(-1, config.frame_values), self.bits)
        return [word | mark * (index % self.words_in == 0) for index, word in enumerate(words, 1)]


def judge(log: Log, task: Task) -> Run:
    """Judge a log by the rules.

    Parameters
    ----------
    log : Log
        What a testbench has seen.
    task : Task
        What it had to do.

    Returns
    -------
    Run
        Whole frames that came before a rule was broken, and the breach if one was.
    """
    breach = next(breaches(log, task), None)
    taken = np.flatnonzero(log.results.taken)
    frames = min(len(taken), task.results) // task.words_out
    if breach is not None:
        frames = min(frames, breach.sample)
    moved = taken[: frames * task.words_out]
    ends = log.results.end[moved].reshape(frames, task.words_out)[:, -1]
    return Run(
        words=log.results.words[moved].reshape(frames, task.words_out, task.lanes),
        cycles=log.counters[:frames],
        writes=_writes_by_frame(log, task),
        periods=tuple(np.diff(ends, prepend=-1).tolist()),
        seconds=log.seconds,
        breach=breach,
        patience=task.patience,
    )


def breaches(log: Log, task: Task) -> Iterator[Breach]:
    """Find the rules that were broken, in the order of the words that broke them.

    Parameters
    ----------
    log : Log
        What a testbench has seen.
    task : Task
        What it had to do.

    Yields
    ------
    Breach
        A rule, and the frame that was due.
    """
    offers, moved = log.results, 0
    for index, (last, first, taken) in enumerate(
        zip(offers.last.tolist(), offers.first.tolist(), offers.taken.tolist())
    ):
        frame, word = divmod(moved, task.words_out)
        if frame >= len(task.frames):
            yield Breach(len(task.frames) - 1, "a word comes after its last one, where nothing is due")
            return
        rules = [
            unstable(offers, index, log.cycles, task.bits),
            None
            if word or first > _received(log, task, frame)
            else "its result comes before all of it was taken",
            misplaced(word, task.words_out, last) if taken else None,
        ]
        yield from (Breach(frame, rule) for rule in rules if rule)
        moved += taken


def unstable(offers: Offers, index: int, cycles: int, bits: int) -> str | None:
    """Tell how an offered word did not wait until it was taken.

    Parameters
    ----------
    offers : Offers
        All words that were offered.
    index : int
        Number of the word among them.
    cycles : int
        Clock cycles of the log.
    bits : int
        Bits of a lane.

    Returns
    -------
    str or None
        What the word did in place of waiting; None where it waited.
    """
    end = int(offers.end[index])
    if offers.taken[index] or end + 1 >= cycles:
        return None
    text = _hexadecimal(offers, index, bits)
    if index + 1 < len(offers.end) and offers.first[index + 1] == end + 1:
        return f"the offered word changed from {text} to {_hexadecimal(offers, index + 1, bits)}"
    return f"the offered word {text} was withdrawn"


def misplaced(word: int, words: int, last: bool) -> str | None:
    """Tell what is wrong with the mark of the last word.

    Parameters
    ----------
    word : int
        Number of a word in its frame.
    words : int
        Number of words of the frame.
    last : bool
        Whether the word has the mark.

    Returns
    -------
    str or None
        What is wrong; None where the mark is right.
    """
    if last == (word == words - 1):
        return None
    return f"word {word} comes {'with' if last else 'without'} the mark of the last one"


def _received(log: Log, task: Task, frame: int) -> float:
    """The cycle in which the last word of a frame was taken; infinite if it was not."""
    index = (frame + 1) * task.words_in - 1
    return int(log.sent[index, 1]) if index < len(log.sent) else float("inf")


def _hexadecimal(offers: Offers, index: int, bits: int) -> str:
    """An offered word as it was on the stream, in hexadecimal."""
    (word,) = words_to_integers(offers.words[index : index + 1], bits)
    return hex(word | int(offers.last[index]) << bits * offers.words.shape[1])


def _writes_by_frame(log: Log, task: Task) -> tuple[tuple[Write, ...], ...]:
    """Sort writes by frame.

    A write belongs to the first frame whose last word was not yet taken before its cycle.
    """
    ends = log.results.end[log.results.taken][task.words_out - 1 :: task.words_out]
    frames: list[list[Write]] = [[] for _ in range(task.watch)]
    owners = np.searchsorted(ends, [cycle for cycle, _ in log.writes])
    for owner, (_, write) in zip(owners.tolist(), log.writes):
        if owner < task.watch:
            frames[owner].append(write)
    return tuple(tuple(frame) for frame in frames)
