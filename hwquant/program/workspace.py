"""Where a group of layers keeps its pieces: a block of each half, divided into slots that every band uses again.

What is loaded lies in the first half and what is stored in the second, in two slots by turns where there is room: so
the next band's pieces come, and the last one's go, while one is computed. Pieces that are only passed on have a slot
for the time from what makes them to what reads them last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from hwquant.program.bands import Band, Group, Role
from hwquant.program.layout import Lifetime, allocate

Passing = Literal["second", "first", "across"]
"""The half of pieces that are passed on: one of them, or that in which a layer's first input is not."""

PASSING: tuple[Passing, ...] = get_args(Passing)

Words = Callable[[str, int], int]
"""Words of so many rows of a tensor, by its name."""


@dataclass(frozen=True)
class Workspace:
    """The slots of a group.

    Attributes
    ----------
    halves : mapping of int
        The half, 0 or 1, of each tensor that the group reads or makes, by name.
    slots : mapping of tuple of int
        By name of those that are not inside: where in the half's block slots begin that their pieces take by turns.
    sizes : tuple of int
        Words of the block in each half.
    """

    halves: Mapping[str, int]
    slots: Mapping[str, tuple[int, ...]]
    sizes: tuple[int, int]


def arrange(
    group: Group, bands: Sequence[Band], inside: Mapping[str, int], words: Words, passing: Passing, turns: int
) -> Workspace:
    """Lay out the slots of a group.

    Parameters
    ----------
    group : Group
        The group.
    bands : sequence of Band
        Its bands, or some that are as large as any.
    inside : mapping of int
        The half of each tensor that is inside, by name.
    words : callable
        Words of so many rows of a tensor.
    passing : {"second", "first", "across"}
        Where pieces lie that are passed on.
    turns : {1, 2}
        Slots of a tensor that is loaded or stored.
    """
    halves = _halves(group, inside, passing)
    last = len(group.layers) - 1
    items: tuple[list[Lifetime], list[Lifetime]] = [], []
    for name in group.names(Role.LOADED, Role.STORED, Role.PASSING):
        size = max((words(name, len(band.held[name])) for band in bands if name in band.held), default=0)
        moved = group.roles[name] is not Role.PASSING
        kept = any(
            name in one.held and one.held[name] == other.held.get(name)
            for one, other in zip(bands, bands[1:])
        )
        first, final = (0, last) if moved or kept else _used(group, name)
        for turn in range(turns if moved and len(bands) > 1 else 1):
            items[halves[name]].append(Lifetime(f"{turn}{name}", size, first, final))
    slots: dict[str, tuple[int, ...]] = {}
    sizes = []
    for half in items:
        addresses, size = allocate(half)
        sizes.append(size)
        for item in half:
            slots[item.name[1:]] = (*slots.get(item.name[1:], ()), addresses[item.name])
    return Workspace(halves, slots, (sizes[0], sizes[1]))


def _halves(group: Group, inside: Mapping[str, int], passing: Passing) -> dict[str, int]:
    """The half of every tensor of a group."""
    halves = {name: inside[name] for name in group.names(Role.INSIDE)}
    halves |= dict.fromkeys(group.names(Role.LOADED), 0) | dict.fromkeys(group.names(Role.STORED), 1)
    for layer in group.layers:
        if layer.tensor not in halves:
            across = 1 - halves[layer.reads[0]]
            halves[layer.tensor] = {"second": 1, "first": 0, "across": across}[passing]
    return halves


def _used(group: Group, name: str) -> tuple[int, int]:
    """Numbers of the first layer of a group that makes a tensor, and of the last that reads it."""
    made = [index for index, layer in enumerate(group.layers) if layer.tensor == name]
    read = [index for index, layer in enumerate(group.layers) if name in layer.reads]
    return made[0], max(made[-1], *read, made[0])
