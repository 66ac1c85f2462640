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
from hwquant.sim.trace import NO_STALLS, Run, Stalls, Write

STIMULUS, RESULTS, PROGRESS = "HWQUANT_STIMULUS", "HWQUANT_RESULTS", "HWQUANT_PROGRESS"
"""Environment variables with the files' paths; the last file holds the number of finished frames."""


@dataclass(frozen=True, eq=False)
class Stimulus:
    """All that a testbench knows about the accelerator in front of it.

    Attributes
    ----------
    frames : int64 (N, words, lanes), input frames
    expected : int64 (N, words, lanes), output frames; of a plain run only the shape (0, words, lanes) counts
    compared : bool (words, lanes), the lanes of ``expected`` that hold channels
    bits : width of a lane
    patience : cycles without a word moving after which the hardware counts as stopped
    watch : number of frames whose writes are recorded
    stalls : pauses of the host; their seed is also that of the scenarios' random choices
    cycles, frame_cycles : of an inference, as predicted
    addresses : of the registers, by name
    values : what some of the registers hold from reset on, by name
    """

    frames: IntArray
    expected: IntArray
    compared: NDArray[np.bool_]
    bits: int
    patience: int
    watch: int = 0
    stalls: Stalls = NO_STALLS
    cycles: int = 0
    frame_cycles: int = 0
    addresses: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)

    ARRAYS: ClassVar = ("frames", "expected", "compared")

    def save(self, path: Path) -> None:
        """Writes an .npz: the arrays, and everything else as JSON."""
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
        """Reads what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            settings = json.loads(str(file["settings"]))
            arrays = {name: file[name] for name in cls.ARRAYS}
        return cls(**arrays, **{**settings, "stalls": Stalls(**settings["stalls"])})

    @property
    def lanes(self) -> int:
        """Lanes of a word."""
        return self.frames.shape[2]

    def to_integers(self, words: IntArray) -> list[int]:
        """(words, lanes) to unsigned integers, as they appear on the streams."""
        return words_to_integers(words, self.bits)


@dataclass
class Recording:
    """What the testbench sees, frame by frame."""

    words: list[list[int]] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    periods: list[int] = field(default_factory=list)
    writes: list[tuple[int, int, int, int]] = field(default_factory=list)  # frame, address, enable, data
    seconds: float = 0.0

    def save(self, path: str | os.PathLike[str], stimulus: Stimulus) -> None:
        """Writes an .npz."""
        lanes, bits = stimulus.lanes, stimulus.bits
        words = [integers_to_words(frame, lanes, bits) for frame in self.words]
        np.savez(
            path,
            words=np.array(words, np.int64).reshape(len(words), *stimulus.expected.shape[1:]),
            cycles=np.array(self.cycles, np.int64),
            periods=np.array(self.periods, np.int64),
            writes=np.array([entry[:3] for entry in self.writes], np.int64).reshape(-1, 3),
            data=integers_to_words([entry[3] for entry in self.writes], lanes, bits),
            seconds=np.array(self.seconds),
        )


def load_run(path: Path, watch: int, bits: int) -> Run:
    """Reads what :meth:`Recording.save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        writes: list[list[Write]] = [[] for _ in range(watch)]
        data: Sequence[int] = words_to_integers(file["data"], bits)
        for (frame, address, enable), word in zip(file["writes"].tolist(), data, strict=True):
            writes[frame].append(Write(address, enable, word))
        return Run(
            words=file["words"],
            cycles=tuple(file["cycles"].tolist()),
            writes=tuple(tuple(frame) for frame in writes),
            periods=tuple(file["periods"].tolist()),
            seconds=float(file["seconds"]),
        )
