"""A network on an array of a board, in numbers: what it takes, how fast it is, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from hwquant.boards.clock_estimate import ClockEstimate
from hwquant.boards.needs import Need, shortage, worst
from hwquant.errors import DoesNotFit
from hwquant.link.rate import LinkTime
from hwquant.program.external import ExternalMemory
from hwquant.program.sides import Array, array_name, short_array
from hwquant.report import ExternalReport


@dataclass(frozen=True)
class MemoryUse:
    """What a network has of the board's memory.

    Attributes
    ----------
    memory : ExternalMemory
        The memory.
    moved_bytes : int
        Bytes that one inference moves.
    in_use : float
        Share of the cycles in which data move, 0..1.
    stalled : int
        Cycles of one inference in which the array waits for it, as slow as it may be.
    least_cycles : int
        Cycles of one inference with the memory as quick as it may be.
    """

    memory: ExternalMemory
    moved_bytes: int
    in_use: float
    stalled: int
    least_cycles: int

    @classmethod
    def of(cls, report: ExternalReport | None) -> MemoryUse | None:
        """The numbers of a report that has some."""
        if report is None:
            return None
        moved, stalled = sum(report.moved.values()), sum(report.stalled.values())
        return cls(report.memory, moved, report.in_use, stalled, report.least_cycles)


@dataclass(frozen=True)
class Candidate:
    """A network on an array.

    Attributes
    ----------
    arrays : int
        Arrays that share instructions and weights.
    rows, columns : int
        Shape of each.
    offset : str
        Where integer offsets are added: "edge" or "sum".
    cycles : int
        Clock cycles of one inference.
    frame_cycles : int
        Clock cycles from the beginning of one inference to that of the next, host transfers included.
    utilization : float
        Multiplications of use, divided by ``arrays * rows * columns * cycles``.
    clock : ClockEstimate
        The clock that routing is estimated to find.
    link : LinkTime
        What one inference takes on the board's host link.
    largest_memory : str
        Name of the accelerator's largest memory, mostly "weight" or "activation".
    needs : tuple of Need
        What it takes of the device, one for each resource.
    outside : MemoryUse, optional
        What it has of the board's memory, where that takes part; its cycles are then the most.
    """

    arrays: int
    rows: int
    columns: int
    offset: str
    cycles: int
    frame_cycles: int
    utilization: float
    clock: ClockEstimate
    link: LinkTime
    largest_memory: str
    needs: tuple[Need, ...]
    outside: MemoryUse | None = None

    @property
    def worst(self) -> Need:
        """The scarcest resource."""
        return worst(self.needs)

    @property
    def fits(self) -> bool:
        """Whether every resource is enough."""
        return self.worst.excess <= 1

    @property
    def milliseconds(self) -> float:
        """Time of one inference in ms, at the estimated clock."""
        return self.cycles / (self.clock.megahertz * 1e3)

    @property
    def array(self) -> Array:
        """The array, as the compiler has it."""
        return short_array(self.arrays, self.rows, self.columns)

    @property
    def shape(self) -> str:
        """The array as the command line has it, such as 8x8."""
        return array_name(self.array)


@dataclass(frozen=True)
class Fit:
    """Which array a network gets on a board.

    Attributes
    ----------
    board : str
        Name of the board.
    device : str
        Name of its device.
    link : str
        The board's host link.
    chosen : Candidate
        The fastest array that fits; where none does, the one that is closest to it, or the one asked for.
    runner_up : Candidate or None
        The array that would be faster and is closest to fitting, if there is one.
    compiled : int
        Number of arrays that were compiled.
    fitting : int
        Number of compiled arrays that fit.
    shapes : int
        Number of arrays that there are.
    memory : str, default ""
        Name of the board's memory; empty where it has none.
    ddr : str, default ""
        What DDR memory the board has that hwquant has no controller for.
    refused : str, default ""
        Why the network does not fit with that memory either; empty where nobody tried.
    """

    board: str
    device: str
    link: str
    chosen: Candidate
    runner_up: Candidate | None
    compiled: int
    fitting: int
    shapes: int
    memory: str = ""
    ddr: str = ""
    refused: str = ""

    @property
    def fits(self) -> bool:
        """Whether the network fits."""
        return self.chosen.fits

    @property
    def clock_mhz(self) -> float:
        """The estimated clock in MHz; what routing reaches is known after ``hwquant build``."""
        return self.chosen.clock.megahertz

    @property
    def core_frames_per_second(self) -> float:
        """Inferences in a second at the estimated clock, where input is always there and output taken at once."""
        return self.clock_mhz * 1e6 / self.chosen.frame_cycles

    @property
    def frames_per_second(self) -> float:
        """Inferences in a second that a host gets at most through the board's link, at the estimated clock."""
        return self.chosen.link.frames_per_second(self.milliseconds / 1e3)

    @property
    def link_share(self) -> float:
        """Share of an inference's time, 0 to 1, that the host link takes."""
        return self.chosen.link.share(self.milliseconds / 1e3)

    @property
    def milliseconds(self) -> float:
        """Time of one inference in ms, at the estimated clock."""
        return self.chosen.milliseconds

    def shortfall(self) -> DoesNotFit:
        """The error for a caller that cannot go on where the network does not fit."""
        worst = self.chosen.worst
        return DoesNotFit(
            self.reason,
            resource=worst.resource,
            needed=worst.needed,
            available=worst.allowed,
            remedy=self._advice,
        )

    @property
    def _advice(self) -> str:
        """What would make the network fit."""
        text = _advice(self.chosen)
        if self.refused:
            text += f"; nor does it fit with the board's {self.memory}: {self.refused}"
        elif self.memory and not self.chosen.outside and self.chosen.arrays == 1:
            text += f", or let the board's {self.memory} take part (hwquant compile --external auto)"
        elif self.ddr and self.chosen.arrays == 1:
            text += f", or put a core (hwquant core --bus axi) behind a controller of the board's {self.ddr}"
        return text

    @property
    def reason(self) -> str:
        """Why this array was chosen, or why none fits, in one line."""
        chosen, runner_up = self.chosen, self.runner_up
        if not self.fits:
            return (
                f"{chosen.shape} does not fit {self.device}: it needs {shortage(chosen.needs)}; "
                + ("leave out --array for the fastest one that fits, or else: " if self.shapes == 1 else "")
                + self._advice
            )
        if chosen.outside:
            bits = chosen.outside.memory.data_bits
            return f"{chosen.shape} fits {self.device} with the board's memory ({bits} bits)"
        if self.shapes == 1:
            return f"{chosen.shape} fits {self.device}"
        text = f"{chosen.shape} is the fastest of {self.shapes} shapes: {self.fitting} of {self.compiled} compiled fit"
        if runner_up:
            lacking = shortage(runner_up.needs)
            text += f"; {runner_up.shape} would take {runner_up.milliseconds:.3f} ms, but needs {lacking}"
        return text


SMALLER = {
    "weight": "weights of fewer bits or pruned tiles need less memory (hwquant quantize --bits 4, hwquant prune)",
    "activation": "a smaller input or activations of fewer bits need less memory",
}
"""What helps where RAM is scarce, by the memory that takes most of it."""

ADVICE = {
    "lut": "weights and activations of fewer bits, or without offsets, need fewer LUTs",
    "cell": "weights and activations of fewer bits, or without offsets, need fewer LUTs and flip-flops",
    "ff": "weights and activations of fewer bits need fewer flip-flops",
    "dsp": "shift-only scales need no multiplier besides those of the array",
}
"""What helps where something else is scarce."""


def _advice(candidate: Candidate) -> str:
    remedy = ADVICE.get(candidate.worst.resource) or SMALLER.get(candidate.largest_memory)
    return f"{remedy}, or take a larger board" if remedy else "take a larger board"
