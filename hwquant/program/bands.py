"""Consecutive layers computed band by band: which rows of every tensor a band makes and reads.

A *group* of layers is computed in bands: in each, all its layers make some rows. What the group is to leave behind is
shared out to the bands, row by row; what a layer reads follows from its geometry, so that a band also makes, again,
the rows that it shares with the band before. Tensors that only the group reads are nowhere whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from hwquant.program.band import hull, own_rows, read_rows
from hwquant.program.layers import ArrayLayer


class Role(Enum):
    """What a tensor is to a group."""

    INSIDE = "inside"
    """It is inside, whole; if the group makes it, then row after row."""

    LOADED = "loaded"
    """It is outside, and comes in piece by piece."""

    STORED = "stored"
    """The group makes it, and it goes outside piece by piece."""

    PASSING = "passing"
    """The group makes it and reads it, piece by piece, and nobody else does."""


@dataclass(frozen=True, eq=False)
class Group:
    """Consecutive layers that are computed band by band.

    Attributes
    ----------
    first : int
        Number of the first layer.
    layers : tuple of ArrayLayer
        The layers.
    roles : mapping of Role
        By name, what the tensors are that the layers read or write.
    heights : mapping of int
        Rows of these tensors.
    left : tuple of str
        Names of the tensors that the group makes for others.
    """

    first: int
    layers: tuple[ArrayLayer, ...]
    roles: Mapping[str, Role]
    heights: Mapping[str, int]
    left: tuple[str, ...]

    @cached_property
    def height(self) -> int:
        """Rows of the highest tensor that is left: those that bands share, each as many but for the last."""
        return max((self.heights[name] for name in self.left), default=1)

    def bands(self, rows: int) -> int:
        """Number of bands of so many rows of the highest tensor that is left."""
        return -(-self.height // rows)

    @cached_property
    def uses(self) -> Mapping[str, tuple[int, int]]:
        """By name of each tensor: numbers of the first and the last of the group's layers that make or read it."""
        uses: dict[str, tuple[int, int]] = {}
        for index, layer in enumerate(self.layers):
            for name in (*layer.reads, layer.tensor):
                uses[name] = uses.get(name, (index, index))[0], index
        return uses

    def names(self, *roles: Role) -> list[str]:
        """Names of the tensors that have one of some roles."""
        return [name for name, role in self.roles.items() if role in roles]


@dataclass(frozen=True, eq=False)
class Band:
    """What a band of a group makes.

    Attributes
    ----------
    made : mapping of range
        Rows of the layers' outputs, by their numbers in the group; layers that make nothing are left out.
    held : mapping of range
        By name of each tensor that is not inside: the rows that the band needs or makes.
    share : mapping of range
        By name of each tensor that is left: the rows that are the band's own share.
    """

    made: Mapping[int, range]
    held: Mapping[str, range]
    share: Mapping[str, range]


def make_group(
    layers: Sequence[ArrayLayer],
    first: int,
    stop: int,
    inside: Collection[str],
    left: Collection[str],
    heights: Mapping[str, int],
) -> Group:
    """Make a group of the layers ``first`` to ``stop - 1``.

    Parameters
    ----------
    layers : sequence of ArrayLayer
        All layers.
    first, stop : int
        Numbers of the first layer of the group, and of the one behind the last.
    inside : collection of str
        Names of the tensors that are inside.
    left : collection of str
        Names of the tensors that the group makes for others.
    heights : mapping of int
        Rows of all tensors, by name.
    """
    members = tuple(layers[first:stop])
    made = {layer.tensor for layer in members}
    names = dict.fromkeys(name for layer in members for name in (*layer.reads, layer.tensor))
    roles = {}
    for name in names:
        if name in inside:
            roles[name] = Role.INSIDE
        elif name not in made:
            roles[name] = Role.LOADED
        else:
            roles[name] = Role.STORED if name in left else Role.PASSING
    return Group(first, members, roles, {name: heights[name] for name in names}, tuple(left))


def divide(group: Group, rows: int) -> list[Band]:
    """Divide what a group makes into bands of so many rows, and find out what each of them makes and reads."""
    done = dict.fromkeys(group.names(Role.INSIDE), 0)
    return [_band(group, number, rows, done) for number in range(group.bands(rows))]


def sample(group: Group, rows: int) -> list[Band]:
    """The first band, the last, and two of those between them: about of the sizes that all bands have."""
    count = group.bands(rows)
    numbers = {0, count // 2, min(count // 2 + 1, count - 1), count - 1}
    return [_band(group, number, rows, {}) for number in sorted(numbers)]


def _band(group: Group, number: int, rows: int, done: dict[str, int]) -> Band:
    """One band; ``done`` says which rows of tensors inside there are before it, and is brought up to date."""
    begin, end = (min(place * rows, group.height) for place in (number, number + 1))
    share = {
        name: range(group.heights[name] * begin // group.height, group.heights[name] * end // group.height)
        for name in group.left
    }
    needed = {name: part for name, part in share.items() if part}
    made: dict[int, range] = {}
    for index in reversed(range(len(group.layers))):
        layer = group.layers[index]
        wanted = needed.get(layer.tensor)
        if wanted is None:
            continue
        if group.roles[layer.tensor] is Role.INSIDE:
            wanted = range(done.get(layer.tensor, wanted.start), wanted.stop)
        own = own_rows(layer, wanted)
        if not own:
            continue
        made[index] = own
        for name, read in read_rows(layer, own, group.heights).items():
            needed[name] = hull(needed.get(name), read)
    for layer in group.layers:
        if group.roles[layer.tensor] is Role.INSIDE and layer.tensor in needed:
            done[layer.tensor] = max(done.get(layer.tensor, 0), needed[layer.tensor].stop)
    held = {name: part for name, part in needed.items() if group.roles[name] is not Role.INSIDE}
    return Band(dict(sorted(made.items())), held, share)
