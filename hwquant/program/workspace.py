"""Where a group of layers keeps its pieces: a block of each half, divided into slots that every band uses again.

What is loaded lies in the first half and what is stored in the second, in two slots by turns where there is room: so
the next band's pieces come, and the last one's go, while one is computed. Pieces that are only passed on have a slot
for the time from what makes them to what reads them last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from hwquant.program.bands import Band, Group, Role
from hwquant.program.layout import Lifetime, allocate

Passing = Literal["second", "first", "across"]
"""The half of pieces that are passed on: one of them, or that in which a layer's first input is not."""

PASSING: tuple[Passing, ...] = get_args(Passing)


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


@dataclass(frozen=True)
class Needs:
    """What the bands of a group need of slots.

    Attributes
    ----------
    sizes : mapping of int
        Words of the largest piece of each tensor, by name.
    kept : collection of str
        Names of the tensors of which some band has the piece of the band before it.
    constant : collection of str
        Names of those of which all bands have one piece.
    """

    sizes: Mapping[str, int]
    kept: Collection[str]
    constant: Collection[str]


def needs(group: Group, bands: Sequence[Band]) -> Needs:
    """Find out what bands need: all of a group, or some that are as large as any."""
    parts: dict[str, list[range | None]] = {}
    for band in bands:
        for name in group.slices:
            parts.setdefault(name, []).append(band.held.get(name))
    sizes = {
        name: max((group.words(name, part) for part in held if part), default=0)
        for name, held in parts.items()
    }
    kept = {name for name, held in parts.items() if any(one == other for one, other in pairwise(held) if one)}
    constant = {name for name, held in parts.items() if len(set(held)) == 1}
    return Needs(sizes, kept, constant)


def arrange(group: Group, need: Needs, inside: Mapping[str, int], passing: Passing, turns: int) -> Workspace:
    """Lay out the slots of a group.

    Parameters
    ----------
    group : Group
        The group.
    need : Needs
        What its bands need.
    inside : mapping of int
        The half of each tensor that is inside, by name.
    passing : {"second", "first", "across"}
        Where pieces lie that are passed on.
    turns : {1, 2}
        Slots of a tensor that is loaded or stored.
    """
    halves = _halves(group, inside, passing)
    last = len(group.layers) - 1
    items: tuple[list[Lifetime], list[Lifetime]] = [], []
    for name, role in group.roles.items():
        if role is Role.INSIDE:
            continue
        size, moved = need.sizes.get(name, 0), role is not Role.PASSING
        first, final = (0, last) if moved or name in need.kept else group.uses[name]
        for turn in range(turns if moved and name not in need.constant else 1):
            items[halves[name]].append(Lifetime(f"{turn}{name}", size, first, final))
    slots: dict[str, tuple[int, ...]] = {}
    sizes = []
    for half in items:
        alike = len({(item.birth, item.death) for item in half}) <= 1
        addresses, size = _side_by_side(half) if alike else allocate(half)
        sizes.append(size)
        for item in half:
            slots[item.name[1:]] = (*slots.get(item.name[1:], ()), addresses[item.name])
    return Workspace(halves, slots, (sizes[0], sizes[1]))


def _side_by_side(items: Sequence[Lifetime]) -> tuple[dict[str, int], int]:
    """Addresses of what is all there at the same time."""
    addresses, address = {}, 0
    for item in items:
        addresses[item.name] = address
        address += item.words
    return addresses, address


def _halves(group: Group, inside: Mapping[str, int], passing: Passing) -> dict[str, int]:
    """The half of every tensor of a group."""
    halves = {name: inside[name] for name in group.names(Role.INSIDE)}
    halves |= dict.fromkeys(group.names(Role.LOADED), 0) | dict.fromkeys(group.names(Role.STORED), 1)
    for layer in group.layers:
        if layer.tensor not in halves:
            across = 1 - halves[layer.reads[0]]
            halves[layer.tensor] = {"second": 1, "first": 0, "across": across}[passing]
    return halves
