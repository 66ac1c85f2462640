"""Consecutive layers computed band by band: which part of every tensor a band makes and reads.

A *group* of layers is computed in bands: in each, all its layers make some rows. What the group is to leave behind is
shared out to the bands, row by row; what a layer reads follows from its geometry, so that a band also makes, again,
the rows that it shares with the band before. Tensors that only the group reads are nowhere whole.

Or a band makes some planes of words, all rows of some channels: where channels do not mix it reads no more than those,
so that windows may be as high as the picture; and each weight is used in one band alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import prod
from typing import Literal

from hwquant.program.band import hull, own_rows, read_planes, read_rows
from hwquant.program.layers import ArrayLayer

Along = Literal["rows", "planes"]
"""What bands are made of: *slices* of a tensor that lie one behind the other."""


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


@dataclass(frozen=True)
class Slices:
    """The rows, or the planes, of a tensor.

    Attributes
    ----------
    count : int
        How many there are.
    words : int
        Words of each.
    """

    count: int
    words: int


@dataclass(frozen=True)
class Tensors:
    """What the choice must know of the network's tensors.

    Attributes
    ----------
    sizes : mapping of tuple of int
        Planes, rows and columns, by name.
    inputs, outputs : tuple of str
        Names of the network's inputs and outputs.
    """

    sizes: Mapping[str, tuple[int, int, int]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def slices(self) -> Mapping[Along, Mapping[str, Slices]]:
        """Rows and planes of all tensors, by name."""
        rows = {name: Slices(height, planes * width) for name, (planes, height, width) in self.sizes.items()}
        planes = {
            name: Slices(planes, height * width) for name, (planes, height, width) in self.sizes.items()
        }
        return {"rows": rows, "planes": planes}

    def words(self, name: str) -> int:
        """Words of a tensor."""
        return prod(self.sizes[name])


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
    along : {"rows", "planes"}
        What its bands are made of.
    slices : mapping of Slices
        How many of these the tensors have, and how large they are.
    left : tuple of str
        Names of the tensors that the group makes for others.
    """

    first: int
    layers: tuple[ArrayLayer, ...]
    roles: Mapping[str, Role]
    along: Along
    slices: Mapping[str, Slices]
    left: tuple[str, ...]

    @cached_property
    def height(self) -> int:
        """The most slices of a tensor that is left: those that bands share, each as many but for the last."""
        return max((self.slices[name].count for name in self.left), default=1)

    def bands(self, height: int) -> int:
        """Number of bands of so many slices of the tensor that has the most."""
        return -(-self.height // height)

    def words(self, name: str, part: range) -> int:
        """Words of some slices of a tensor."""
        return self.slices[name].words * len(part)

    @cached_property
    def uses(self) -> Mapping[str, tuple[int, int]]:
        """By name of each tensor: numbers of the first and the last of the group's layers that make or read it."""
        uses: dict[str, tuple[int, int]] = {}
        for index, layer in enumerate(self.layers):
            for name in (*layer.reads, layer.tensor):
                uses[name] = uses.get(name, (index, index))[0], index
        return uses

    @cached_property
    def _names(self) -> Mapping[Role, tuple[str, ...]]:
        return {role: tuple(name for name, own in self.roles.items() if own is role) for role in Role}

    def names(self, *roles: Role) -> tuple[str, ...]:
        """Names of the tensors that have one of some roles."""
        return sum((self._names[role] for role in roles), ())


@dataclass(frozen=True, eq=False)
class Band:
    """What a band of a group makes.

    Attributes
    ----------
    made : mapping of range
        Slices of the layers' outputs, by their numbers in the group; layers that make nothing are left out.
    held : mapping of range
        By name of each tensor that is not inside: the slices that the band needs or makes.
    share : mapping of range
        By name of each tensor that is left: the slices that are the band's own share.
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
    along: Along,
    slices: Mapping[str, Slices],
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
    along : {"rows", "planes"}
        What bands are made of.
    slices : mapping of Slices
        Rows, or planes, of all tensors, by name.
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
    return Group(first, members, roles, along, {name: slices[name] for name in names}, tuple(left))


def divide(group: Group, height: int) -> list[Band]:
    """Divide what a group makes into bands of so many slices, and find out what each of them makes and reads."""
    done = dict.fromkeys(group.names(Role.INSIDE), 0)
    return [_band(group, number, height, done) for number in range(group.bands(height))]


def sample(group: Group, height: int) -> list[Band]:
    """The first band, the last, and two of those between them: about of the sizes that all bands have."""
    count = group.bands(height)
    numbers = {0, count // 2, min(count // 2 + 1, count - 1), count - 1}
    return [_band(group, number, height, {}) for number in sorted(numbers)]


def _band(group: Group, number: int, height: int, done: dict[str, int]) -> Band:
    """One band; ``done`` says which slices of tensors inside there are before it, and is brought up to date."""
    begin, end = (min(place * height, group.height) for place in (number, number + 1))
    counts = {name: slices.count for name, slices in group.slices.items()}
    share = {
        name: range(counts[name] * begin // group.height, counts[name] * end // group.height)
        for name in group.left
    }
    reads = read_rows if group.along == "rows" else read_planes
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
        for name, read in reads(layer, own, counts).items():
            needed[name] = hull(needed.get(name), read)
    for layer in group.layers:
        if group.roles[layer.tensor] is Role.INSIDE and layer.tensor in needed:
            done[layer.tensor] = max(done.get(layer.tensor, 0), needed[layer.tensor].stop)
    held = {name: part for name, part in needed.items() if group.roles[name] is not Role.INSIDE}
    return Band(dict(sorted(made.items())), held, share)
