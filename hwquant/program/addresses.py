"""Where tensors and the blocks of groups lie within the halves of the activation memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwquant.program.bands import Band, Tensors, divide
from hwquant.program.layout import Lifetime, allocate_within
from hwquant.program.residency import Chosen
from hwquant.program.workspace import Workspace, arrange, needs

LOWER = 8
"""Heights of a group's bands that are tried, from the one that was chosen on, where some bands are too large."""


@dataclass(frozen=True)
class Layout:
    """Addresses within the halves.

    Attributes
    ----------
    inside : mapping of tuple of int
        Half and address of each tensor that is inside, by name.
    blocks : sequence of tuple of int
        The address of each group's block in both halves.
    bands : sequence of list of Band
        The bands of each group.
    workspaces : sequence of Workspace
        The slots of each group.
    peaks : tuple of int
        Words that each half needs.
    """

    inside: Mapping[str, tuple[int, int]]
    blocks: Sequence[tuple[int, int]]
    bands: Sequence[list[Band]]
    workspaces: Sequence[Workspace]
    peaks: tuple[int, int]


def lay_out(chosen: Sequence[Chosen], tensors: Tensors, halves: tuple[int, int]) -> Layout:
    """Give addresses to the tensors that are inside, and to the groups' blocks."""
    bands, workspaces = [], []
    for item in chosen:
        own, workspace = _settled(item, tensors, halves)
        bands.append(own)
        workspaces.append(workspace)
    where: dict[str, int] = {}
    lives: dict[str, list[int]] = {}
    for number, item in enumerate(chosen):
        for name, half in item.inside.items():
            where[name] = half
            lives.setdefault(name, []).append(number)
    addresses: list[dict[str, int]] = []
    peaks = []
    for half in (0, 1):
        items = [
            Lifetime(f"tensor {name}", tensors.words(name), lives[name][0], lives[name][-1])
            for name in where
            if where[name] == half
        ]
        items += [
            Lifetime(f"block {number}", workspace.sizes[half], number, number)
            for number, workspace in enumerate(workspaces)
        ]
        places, peak = allocate_within(items, halves[half])
        addresses.append(places)
        peaks.append(peak)
    return Layout(
        inside={name: (half, addresses[half][f"tensor {name}"]) for name, half in where.items()},
        blocks=[
            (addresses[0][f"block {number}"], addresses[1][f"block {number}"])
            for number in range(len(chosen))
        ],
        bands=bands,
        workspaces=workspaces,
        peaks=(peaks[0], peaks[1]),
    )


def _settled(item: Chosen, tensors: Tensors, halves: tuple[int, int]) -> tuple[list[Band], Workspace]:
    """A group's bands, and its slots: lower ones where some are larger than those that were looked at."""
    room = list(halves)
    for name, half in item.inside.items():
        room[half] -= tensors.words(name)
    variant = item.variant
    for height in range(variant.height, max(0, variant.height - LOWER), -1):
        bands = divide(variant.group, height)
        need = needs(variant.group, bands)
        workspace = arrange(variant.group, need, item.inside, variant.passing, variant.turns)
        if workspace.sizes[0] <= room[0] and workspace.sizes[1] <= room[1]:
            break
    return bands, workspace
