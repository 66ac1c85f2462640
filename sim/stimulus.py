"""What a simulator's process is given, and what it leaves behind: two .npz files and a counter."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.qgraph import IntArray
from hwquant.sim.recorder import Recorder
from hwquant.sim.trace import NO_STALLS, Log, Offers, Stalls, Write

STIMULUS, RESULTS, PROGRESS = "HWQUANT_STIMULUS", "HWQUANT_RESULTS", "HWQUANT_PROGRESS"
"""Environment variables with the files' paths; the last file holds the number of finished frames."""


@dataclass(frozen=True, eq=False)
class Stimulus:
    """All that a testbench knows about the accelerator in front of it.

    Attributes
    ----------
    frames : ndarray of int64, shape (N, beats, values)
        Input frames.
    expected : ndarray of int64, shape (N, words, lanes)
        Output frames; of a plain run only the shape (0, words, lanes) counts.
    compared : ndarray of bool, shape (words, lanes)
        Lanes of ``expected`` that hold channels.
    bits : int
        Width of a lane.
    patience : int
        Cycles without a word moving after which the hardware counts as stopped.
    linger : int
        Cycles to go on after the last word.
    watch : int, default 0
        Number of frames, from the first on, whose writes are recorded.
    stalls : Stalls, default NO_STALLS
        Pauses of the host; their seed is also that of the scenarios' random choices.
    cycles : int, default 0
        Clock cycles of an inference, as predicted.
    frame_cycles : int, default 0
        Clock cycles from one frame's end to the next one's, as predicted.
    values : Mapping of str to int, optional
        What some of the registers hold from reset on, by name.
    banks : int, default 1
        Banks of the activation memory, whose words are written together.
    ARRAYS : tuple of str
        Names of the attributes that are arrays; a constant of the class.
    """

    frames: IntArray
    expected: IntArray
    compared: NDArray[np.bool_]
    bits: int
    patience: int
    linger: int
    watch: int = 0
    stalls: Stalls = NO_STALLS
    cycles: int = 0
    frame_cycles: int = 0
    values: Mapping[str, int] = field(default_factory=dict)
    banks: int = 1

    ARRAYS: ClassVar = ("frames", "expected", "compared")

    def save(self, path: Path) -> None:
        """Write an .npz: the arrays, and everything else as JSON."""
        arrays = {name: getattr(self, name) for name in self.ARRAYS}
        rest = {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if item.name not in arrays
        }
        rest["stalls"] = dataclasses.asdict(self.stalls)
        np.savez(path, settings=np.array(json.dumps(rest)), **arrays)

    @classmethod
    def load(cls, path: Path) -> Stimulus:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            settings = json.loads(str(file["settings"]))
            arrays = {name: file[name] for name in cls.ARRAYS}
        return cls(**arrays, **{**settings, "stalls": Stalls(**settings["stalls"])})

    @property
    def lanes(self) -> int:
        """Lanes of a word of results."""
        return self.expected.shape[2]

    def to_integers(self, words: IntArray) -> list[int]:
        """Convert words, shape (words, lanes), to unsigned integers, as they appear on the streams."""
        return words_to_integers(words, self.bits)


@dataclass
class Recording:
    """What the testbench sees besides the streams, and how all of it comes back.

    Attributes
    ----------
    counters : list of int
        The hardware's cycle counter, as it stood when the last word of each frame was taken.
    writes : list of tuple of int
        Cycle, address, enabled write groups and data of each write.
    cycles : int, default 0
        Clock cycles from reset to the end of the simulation.
    seconds : float, default 0.0
        Time that the simulation took, in seconds.
    """

    counters: list[int] = field(default_factory=list)
    writes: list[tuple[int, ...]] = field(default_factory=list)
    cycles: int = 0
    seconds: float = 0.0

    def save(
        self,
        path: str | os.PathLike[str],
        stimulus: Stimulus,
        sent: Sequence[tuple[int, int]],
        results: Recorder,
    ) -> None:
        """Write an .npz of all that the testbench has seen.

        Parameters
        ----------
        path : path
            The file.
        stimulus : Stimulus
            What was sent.
        sent : Sequence of tuple of (int, int)
            Cycles in which each input word was first offered and was taken.
        results : Recorder
            The stream of results.
        """
        lanes, bits = stimulus.lanes, stimulus.bits
        np.savez(
            path,
            **vars(results.offers(lanes, bits)),
            sent=np.array(sent, np.int64).reshape(-1, 2),
            counters=np.array(self.counters, np.int64),
            writes=np.array([entry[:3] for entry in self.writes], np.int64).reshape(-1, 3),
            data=integers_to_words([entry[3] for entry in self.writes], stimulus.banks * lanes, bits),
            cycles=np.array(self.cycles),
            seconds=np.array(self.seconds),
        )


def load_log(path: Path, bits: int) -> Log:
    """Read what :meth:`Recording.save` wrote.

    Parameters
    ----------
    path : Path
        The file.
    bits : int
        Bits of a lane.

    Returns
    -------
    Log
        All that the testbench has seen.
    """
    with np.load(path, allow_pickle=False) as file:
        data = words_to_integers(file["data"], bits)
        return Log(
            sent=file["sent"],
            results=Offers(**{item.name: file[item.name] for item in dataclasses.fields(Offers)}),
            counters=tuple(file["counters"].tolist()),
            writes=tuple(
                (cycle, Write(address, enable, word))
                for (cycle, address, enable), word in zip(file["writes"].tolist(), data, strict=True)
            ),
            cycles=int(file["cycles"]),
            seconds=float(file["seconds"]),
        )
