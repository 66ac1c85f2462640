"""The highest clock that a design bears on a board: routed at clock after clock, without synthesizing it again.

A routing says which clock it would have borne. So the next one asks for that: higher as long as what was asked for is
reached, and lower where nothing has been reached yet. Another seed of the placement then begins above the best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Effort = Literal["quick", "normal", "high"]
MARGIN = 0.98
"""Share of the clock that was reached which the next routing asks for, where it was less than asked for."""


@dataclass(frozen=True)
class Limits:
    """How long a clock is searched for.

    Attributes
    ----------
    routings : int
        Routings in all, at most.
    seeds : int
        Seeds of the placement; 0 to stop at the first clock that is reached.
    """

    routings: int
    seeds: int


EFFORTS: Mapping[Effort, Limits] = {
    "quick": Limits(routings=3, seeds=0),
    "normal": Limits(routings=5, seeds=1),
    "high": Limits(routings=24, seeds=8),
}


@dataclass(frozen=True)
class Routing:
    """One routing.

    Attributes
    ----------
    hertz : float
        Clock that was asked for, in Hz.
    seed : int
        Seed of the placement.
    fmax_hz : float
        Clock that was reached, in Hz.
    """

    hertz: float
    seed: int
    fmax_hz: float

    @property
    def met(self) -> bool:
        """Whether the clock was reached."""
        return self.fmax_hz >= self.hertz


def search(
    route: Callable[[float, int], float], possible: Sequence[float], wanted: float, seed: int, limits: Limits
) -> list[Routing]:
    """Search for the highest clock.

    Parameters
    ----------
    route : callable
        Routes the design at a clock in Hz with a seed, and says in Hz which clock was reached.
    possible : sequence of float
        The clocks in Hz that there are, in ascending order.
    wanted : float
        The one to begin with.
    seed : int
        The first seed; the others follow it.
    limits : Limits
        How long to search.

    Returns
    -------
    list of Routing
        All routings, in order; none of them is met where no clock was reached.
    """
    done: list[Routing] = []
    clock: float | None = wanted
    for number in range(seed, seed + max(limits.seeds, 1)):
        while clock is not None and len(done) < limits.routings:
            routing = Routing(clock, number, route(clock, number))
            done.append(routing)
            if routing.met and not limits.seeds:
                return done
            best, tried = highest(done), {item.hertz for item in done if item.seed == number}
            better = [item for item in possible if item not in tried and (best is None or item > best.hertz)]
            safe = [item for item in better if item <= routing.fmax_hz * (1 if routing.met else MARGIN)]
            near = [item for item in better if item <= routing.fmax_hz]
            clock = max(safe or near, default=None)
        best = highest(done)
        if best is None:  # no clock is as low as what was reached, or there was no time for one
            break
        clock = next((item for item in possible if item > best.hertz), None)
    return done


def highest(routings: Sequence[Routing]) -> Routing | None:
    """The routing at the highest clock that was reached; None where none was."""
    return max((item for item in routings if item.met), key=lambda item: item.hertz, default=None)
