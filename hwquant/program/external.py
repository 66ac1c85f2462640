"""External memory: what hardware may have of it, and when it serves a burst.

The array reads weights and parameters of a memory outside of it through small ones inside, which the *mover* fills: it
executes *moves*, instructions of the program, strictly in order. Program order is all that keeps moves and tiles apart:
a move begins when the tiles before it are finished, and a WAIT holds what comes after it until moves are complete.

A word takes as many beats as it needs, least significant bits first, the last one filled up with zeros.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwquant.errors import HwquantError
from hwquant.program.limits import EXTERNAL_BITS

BURST = 64
"""Most beats of a burst: it ends where the address in beats is a multiple, so that none leaves a page of 4 KiB."""

PAGE = 4096
"""Bytes of a page, as AXI has it: no burst goes beyond the end of one."""


def whole_bursts(beats: int) -> int:
    """So many beats, or more, up to the end of a burst."""
    return -(-beats // BURST) * BURST


@dataclass(frozen=True)
class MemoryTiming:
    """When a memory serves bursts: one after the other, in the order in which it accepted their addresses.

    The first beat of a burst that was accepted in cycle ``a`` moves in cycle ``max(a + latency, e + gap + 1)`` at the
    earliest, where ``e`` is the cycle of the last beat before it, and then a beat in each cycle; where the burst is
    written, in ``max(a + 1, e + gap + 1)``, and its response comes ``latency`` cycles after its last beat. There is no
    gap between two bursts of the same row in the same direction.

    No beat moves in a refresh: the first ``refresh_cycles`` of each ``refresh_interval`` but the first one. That begins
    in the cycle after the last beat of an input frame. A burst that a refresh comes into goes on after it.

    Attributes
    ----------
    latency : int, default 24
        Cycles from an address to the first beat, and from the last beat that is written to the response, 1..4096.
    gap : int, default 2
        Cycles from a burst to the next one in which no beat moves, 0..8: what it takes to open another row, or to turn
        the data bus round.
    outstanding : int, default 4
        Bursts that are accepted and not complete, at most, 1..64.
    refresh_interval : int, default 0
        Cycles from a refresh to the next one; 0 where there is none.
    refresh_cycles : int, default 0
        Cycles of a refresh: so many that the longest burst would fit between two of them.
    row : int, default 0
        Beats of a row that stays open, a power of two, 64..4096; 0: each burst opens its own.

    Raises
    ------
    HwquantError
        A value is out of range.
    """

    latency: int = 24
    gap: int = 2
    outstanding: int = 4
    refresh_interval: int = 0
    refresh_cycles: int = 0
    row: int = 0

    def __post_init__(self) -> None:
        limits = {"latency": (1, 4096), "gap": (0, 8), "outstanding": (1, 64)}
        if self.refresh_interval:
            limits["refresh_interval"] = BURST + 1, 1 << 24
            limits["refresh_cycles"] = 1, self.refresh_interval - BURST
        else:
            limits["refresh_interval"] = limits["refresh_cycles"] = 0, 0
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise HwquantError(
                    f"{name} of a memory must be {low}..{high}, not {getattr(self, name)} "
                    f"(refresh_interval is {self.refresh_interval})"
                )
        if type(self.row) is not int or (
            self.row and not (BURST <= self.row <= 1 << 12 and self.row & (self.row - 1) == 0)
        ):
            raise HwquantError(
                f"row of a memory must be 0, or a power of two of {BURST}..4096 beats, not {self.row!r}"
            )

    def __str__(self) -> str:
        names = ["latency", "gap", "outstanding"]
        names += ["refresh_interval", "refresh_cycles"] if self.refresh_interval else []
        names += ["row"] if self.row else []
        return ",".join(f"{name}={getattr(self, name)}" for name in names)

    def last(self, earliest: int, beats: int) -> int:
        """The cycle of a burst's last beat, whose first one could move in ``earliest`` but for refreshes."""
        end = earliest + beats - 1
        if not self.refresh_interval:
            return end
        refresh = earliest // self.refresh_interval * self.refresh_interval
        if refresh > 0 and earliest < refresh + self.refresh_cycles:
            end += refresh + self.refresh_cycles - earliest
        following = max(refresh, 0) + self.refresh_interval
        return end if end < following else end + self.refresh_cycles


QUICKEST = MemoryTiming(latency=1, gap=0, outstanding=64)
"""A memory that never lets the port wait: no other takes fewer cycles."""


@dataclass(frozen=True)
class ExternalMemory:
    """The memory that a network may use beside the array's own.

    When a memory serves bursts is often known between bounds alone: by the controller's choice of rows and refreshes,
    or by others at the same memory. An inference takes as many cycles as it does with ``timing`` at most, and with
    ``quickest`` at least; where both are the same, exactly so many.

    Attributes
    ----------
    data_bits : {16, 32, 64, 128}
        Width of the port.
    size : int
        Bytes that there are.
    timing : MemoryTiming
        When it serves bursts at the latest: what the compiler's choices, and predicted cycles, go by.
    quickest : MemoryTiming
        When it serves them at the earliest.

    Raises
    ------
    HwquantError
        A value is out of range.
    """

    data_bits: int = 64
    size: int = 1 << 28
    timing: MemoryTiming = field(default_factory=MemoryTiming)
    quickest: MemoryTiming = QUICKEST

    def __post_init__(self) -> None:
        if self.data_bits not in EXTERNAL_BITS:
            raise HwquantError(
                f"the port of an external memory has {', '.join(map(str, EXTERNAL_BITS))} bits, not {self.data_bits}"
            )
        if not PAGE <= self.size <= 1 << 32:
            raise HwquantError(f"an external memory has {PAGE}..{1 << 32} bytes, not {self.size}")

    @property
    def exact(self) -> bool:
        """Whether it is known when it serves bursts."""
        return self.timing == self.quickest

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ExternalMemory:
        """Make the object that :meth:`to_json` made plain."""
        timings = {name: MemoryTiming(**values[name]) for name in ("timing", "quickest")}
        return cls(**{**values, **timings})
