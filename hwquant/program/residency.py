"""Which tensors are inside, and which layers are computed together in how many bands: what takes the fewest cycles.

The layers are gone through in order. For every choice of the tensors that are inside and still needed, the best way to
get there is kept; from it, groups of the next layers are tried, with every choice of where what they leave is to be.
Tensors stay where they are first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from hwquant.errors import DoesNotFit
from hwquant.program.bands import Along, Band, Group, Role, Tensors, make_group, sample
from hwquant.program.layers import ArrayLayer
from hwquant.program.traffic import Cost, Port, Work, cost
from hwquant.program.workspace import PASSING, Needs, Passing, Workspace, arrange, needs

MOST_LAYERS = 8
"""Layers of a group, at most; more where so many make one tensor."""

MOST_BY_PLANES = 2
"""Layers of a group whose bands are planes, at most."""

MOST_STATES = 12
"""Choices of the tensors inside that are kept from layer to layer: the best ones."""

CHUNK = 16
"""Words that are moved at once, at least, where a tensor comes from the host or goes there."""

LARGE = 1 / 6
"""Share of a half from which on a tensor is large."""

MORE_HEIGHTS = 3
"""Heights of bands that are tried, from the greatest that fits on."""

MOVED = 1 / 32
"""What a cycle of the port counts beside one that passes: of two equal choices the one that moves less is better."""

Inside = tuple[tuple[str, int], ...]
"""Tensors that are inside, by name, and the half of each."""


@dataclass(frozen=True, eq=False)
class Variant:
    """A way to compute a group.

    Attributes
    ----------
    of : Residency
        The choice that it is a part of.
    group : Group
        The group.
    height : int
        Slices of a band, rows or planes.
    passing : {"second", "first", "across"}
        Where pieces lie that are passed on.
    turns : {1, 2}
        Slots of a tensor that is loaded or stored.
    workspace : Workspace
        The slots, for the largest pieces.
    """

    of: Residency
    group: Group
    height: int
    passing: Passing
    turns: int
    workspace: Workspace

    @cached_property
    def cost(self) -> Cost:
        """What it costs."""
        bands, count = self.of.bands(self.group, self.height), self.group.bands(self.height)
        return cost(self.group, bands, count, self.workspace, self.of.work, self.of.port)


@dataclass(frozen=True, eq=False)
class Chosen:
    """A group that is computed.

    Attributes
    ----------
    variant : Variant
        The group, and how it is computed.
    inside : mapping of int
        The tensors that are inside meanwhile, and their halves.
    """

    variant: Variant
    inside: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class _State:
    """The best way to have computed the layers so far, for some tensors inside."""

    cycles: float
    inside: Inside
    before: _State | None = None
    chosen: Chosen | None = None

    def path(self) -> Iterator[Chosen]:
        """The groups that led there, the last first."""
        state: _State | None = self
        while state and state.chosen:
            yield state.chosen
            state = state.before


def too_small(message: str, halves: tuple[int, int]) -> DoesNotFit:
    """The error of an activation memory that is too small."""
    return DoesNotFit(
        message,
        resource="activation_depth",
        needed=sum(halves) + 1,
        available=sum(halves),
        remedy="a larger activation memory",
    )


@dataclass
class Residency:
    """The choice, for one network and array.

    Attributes
    ----------
    layers : sequence of ArrayLayer
        All layers.
    tensors : Tensors
        Their tensors.
    halves : tuple of int
        Words of each half of the activation memory.
    work : Work
        What layers take of the array.
    port : Port
        How fast words come and go.
    """

    layers: Sequence[ArrayLayer]
    tensors: Tensors
    halves: tuple[int, int]
    work: Work
    port: Port
    _first: dict[str, int] = field(default_factory=dict)
    _made: dict[str, int] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=dict)
    _crossing: list[list[str]] = field(default_factory=list)
    _groups: dict[object, Group] = field(default_factory=dict)
    _samples: dict[object, list[Band]] = field(default_factory=dict)
    _sizes: dict[object, Needs] = field(default_factory=dict)
    _tried: dict[Group, list[int]] = field(default_factory=dict)
    _variants: dict[tuple[Group, tuple[int, ...], int, Passing, int], Variant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._first |= dict.fromkeys(self.tensors.inputs, -1)
        for index, layer in enumerate(self.layers):
            self._first.setdefault(layer.tensor, index)
            self._made[layer.tensor] = index
            self._last |= dict.fromkeys(layer.reads, index)
        self._last |= dict.fromkeys(self.tensors.outputs, len(self.layers))
        for border in range(len(self.layers) + 1):
            self._crossing.append(
                [name for name, last in self._last.items() if self._first[name] < border <= last]
            )

    def choose(self) -> list[Chosen]:
        """Choose groups of all layers.

        Raises
        ------
        DoesNotFit
            A layer has rows that are too large for the halves.
        """
        best: list[dict[Inside, _State]] = [{} for _ in range(len(self.layers) + 1)]
        for state in self._starts():
            best[0][state.inside] = state
        for border in range(len(self.layers)):
            kept = sorted(best[border].values(), key=lambda state: state.cycles)[:MOST_STATES]
            if bare := best[border].get(()):
                kept.append(bare)
            for state in dict.fromkeys(kept):
                for stop, reached in self._groups_from(state, border):
                    known = best[stop].get(reached.inside)
                    if known is None or reached.cycles < known.cycles:
                        best[stop][reached.inside] = reached
        ends = [
            (state.cycles + self._sent(state), state) for state in best[-1].values() if self._can_send(state)
        ]
        if not ends:
            self._refuse(max((border for border, states in enumerate(best) if states), default=-1))
        return list(min(ends, key=lambda item: item[0])[1].path())[::-1]

    def _refuse(self, border: int) -> None:
        """Say what does not fit: the layer behind the last border that was come to, or what comes and goes."""
        shown = f"halves of {self.halves[0]} and {self.halves[1]} words of the activation memory"
        if not 0 <= border < len(self.layers):
            raise too_small(
                f"the network's inputs or outputs do not come and go through {shown}", self.halves
            )
        layer = self.layers[border]
        rows = {name: self.tensors.slices["rows"][name].words for name in (*layer.reads, layer.tensor)}
        sizes = ", ".join(f"{name!r} has rows of {words} words" for name, words in rows.items())
        raise too_small(
            f"layer {layer.name!r} cannot be computed in bands: a row of its output, and what it is computed of, do "
            f"not fit into {shown} ({sizes})",
            self.halves,
        )

    def _starts(self) -> Iterator[_State]:
        """Where the network's inputs may be."""
        for halves in product((1, 0, None), repeat=len(self.tensors.inputs)):
            inside = {name: half for name, half in zip(self.tensors.inputs, halves) if half is not None}
            outside = [name for name in self.tensors.inputs if name not in inside]
            if self._fits(inside, (0, self._chunk(outside))):
                words = sum(self.tensors.words(name) for name in outside)
                yield _State(words * self.port.word * (1 + MOVED), tuple(sorted(inside.items())))

    def _chunk(self, outside: Iterable[str]) -> int:
        """Words of a half that are to be free for tensors that come from the host, or go there, chunk by chunk."""
        return min(CHUNK, max((self.tensors.words(name) for name in outside), default=0))

    def _can_send(self, state: _State) -> bool:
        """Whether there is room for the outputs that come in from outside."""
        return self._fits(dict(state.inside), (self._chunk(self._to_send(state)), 0))

    def _to_send(self, state: _State) -> set[str]:
        return set(self.tensors.outputs) - dict(state.inside).keys()

    def _sent(self, state: _State) -> float:
        """Cycles in which outputs come in from outside."""
        words = sum(self.tensors.words(name) for name in self._to_send(state))
        return words * self.port.word * (1 + MOVED)

    def _fits(self, inside: Mapping[str, int], sizes: tuple[int, int]) -> bool:
        return all(size <= room for size, room in zip(sizes, self._room(inside)))

    def _room(self, inside: Mapping[str, int]) -> tuple[int, int]:
        """Words that tensors inside leave in each half."""
        room = list(self.halves)
        for name, half in inside.items():
            room[half] -= self.tensors.words(name)
        return room[0], room[1]

    def _groups_from(self, state: _State, first: int) -> Iterator[tuple[int, _State]]:
        """The groups that may come next, and what is reached with them."""
        inside = dict(state.inside)
        # A tensor that many layers make is outside only where one group has all of them.
        most = max(first + MOST_LAYERS, self._made[self.layers[first].tensor] + 1)
        for stop in range(first + 1, min(most, len(self.layers)) + 1):
            made = dict.fromkeys(layer.tensor for layer in self.layers[first:stop])
            left = [name for name in made if self._last.get(name, -1) >= stop or self._made[name] >= stop]
            if stop > first + 1 and not self._worthwhile(first, stop - 1):
                break
            for halves in self._options(left, inside, first, stop):
                new = {name: half for name, half in zip(left, halves) if half is not None}
                meanwhile = inside | new
                room = self._room(meanwhile)
                if min(room) < 0:
                    continue
                variants = [
                    self._best(self._group(first, stop, meanwhile, left, along), meanwhile, room)
                    for along in self._ways(first, stop)
                ]
                variant = self._cheapest(item for item in variants if item)
                if variant is None:
                    continue
                after = {name: half for name, half in meanwhile.items() if self._last.get(name, -1) >= stop}
                after |= {name: half for name, half in new.items() if self._made[name] >= stop}
                chosen = Chosen(variant, meanwhile)
                cycles = state.cycles + self._spent(variant.cost)
                yield stop, _State(cycles, tuple(sorted(after.items())), state, chosen)

    def _spent(self, cost: Cost) -> float:
        moved = (cost.loaded + cost.stored) * self.port.word + cost.weights * self.port.weights
        return cost.cycles + MOVED * moved

    def _worthwhile(self, first: int, border: int) -> bool:
        """Whether what layers from ``first`` on hand over a border is so large that it is better not whole."""
        handed = (name for name in self._crossing[border] if self._first[name] >= first)
        return max(map(self.tensors.words, handed), default=0) > LARGE * min(self.halves)

    def _ways(self, first: int, stop: int) -> tuple[Along, ...]:
        """What bands of a group may be made of: of a few layers with tensors of their own, also planes."""
        layers = self.layers[first:stop]
        planes = self.tensors.slices["planes"]
        if len(layers) > MOST_BY_PLANES or any(
            layer.into or planes[layer.tensor].count == 1 for layer in layers
        ):
            return ("rows",)
        return "rows", "planes"

    def _options(
        self, left: Sequence[str], inside: Mapping[str, int], first: int, stop: int
    ) -> Iterator[tuple[int | None, ...]]:
        """Halves in which what a group leaves may be; None where it is outside."""
        each: list[tuple[int | None, ...]] = []
        for name in left:
            if self._first[name] < first:  # another group has begun with it
                each.append((inside.get(name),) if name in inside else ())
            elif self._made[name] >= stop:
                each.append((1, 0))
            else:
                each.append((1, 0, None))
        if len(left) <= 2:
            yield from product(*each)
            return
        for choice in (1, 0, None):
            if all(choice in options or len(options) == 1 for options in each):
                yield tuple(choice if choice in options else options[0] for options in each)

    def _group(
        self, first: int, stop: int, inside: Collection[str], left: Sequence[str], along: Along
    ) -> Group:
        names = dict.fromkeys(
            name for layer in self.layers[first:stop] for name in (*layer.reads, layer.tensor)
        )
        key = first, stop, along, tuple(name for name in names if name in inside)
        if key not in self._groups:
            slices = self.tensors.slices[along]
            self._groups[key] = make_group(self.layers, first, stop, inside, left, along, slices)
        return self._groups[key]

    def _best(self, group: Group, inside: Mapping[str, int], room: tuple[int, int]) -> Variant | None:
        """The cheapest way to compute a group with so much room: in bands as high as fit, or a little lower ones."""
        heights = self._heights(group)
        variants: list[Variant] = []
        for turns in (1, 2):
            first = bisect_left(
                heights, True, key=lambda height: any(self._fitting(group, inside, height, room, turns))
            )
            for height in heights[first : first + MORE_HEIGHTS]:
                variants += self._fitting(group, inside, height, room, turns)
            if heights == [group.height] or not group.names(Role.LOADED, Role.STORED):
                break
        return self._cheapest(variants)

    def _cheapest(self, variants: Iterable[Variant]) -> Variant | None:
        return min(variants, key=lambda variant: self._spent(variant.cost), default=None)

    def _fitting(
        self, group: Group, inside: Mapping[str, int], height: int, room: tuple[int, int], turns: int
    ) -> Iterator[Variant]:
        """The variants with so many slices of a band, and slots of a tensor, that fit into a room."""
        need = self._needs(group, height)
        for role, most in ((Role.LOADED, room[0]), (Role.STORED, room[1])):
            names = group.names(role)
            if sum(need.sizes[name] * (1 if name in need.constant else turns) for name in names) > most:
                return
        own = tuple(inside[name] for name in group.names(Role.INSIDE))
        for passing in PASSING if group.names(Role.PASSING) else PASSING[:1]:
            key = group, own, height, passing, turns
            if key not in self._variants:
                workspace = arrange(group, need, inside, passing, turns)
                self._variants[key] = Variant(self, group, height, passing, turns, workspace)
            size = self._variants[key].workspace.sizes
            if size[0] <= room[0] and size[1] <= room[1]:
                yield self._variants[key]

    def _heights(self, group: Group) -> list[int]:
        """Slices of a band to try, the most first."""
        if group not in self._tried:
            counts, count = [], 1 if len(group.layers) == 1 else 2
            while count < group.height:
                counts.append(count)
                count = count + 1 if count < 4 else -(-count * 5 // 4)
            counts.append(group.height)
            if not group.names(Role.LOADED, Role.STORED, Role.PASSING):
                counts = [1]
            self._tried[group] = list(dict.fromkeys(-(-group.height // count) for count in counts))
        return self._tried[group]

    def bands(self, group: Group, height: int) -> list[Band]:
        """Some of a group's bands, which do not depend on what is inside."""
        stop = group.first + len(group.layers)
        key = group.first, stop, group.along, height
        if key not in self._samples:
            plain = self._group(group.first, stop, (), group.left, group.along)
            self._samples[key] = sample(plain, height)
        return self._samples[key]

    def _needs(self, group: Group, height: int) -> Needs:
        key = group.first, group.first + len(group.layers), group.along, height
        if key not in self._sizes:
            self._sizes[key] = needs(group, self.bands(group, height))
        return self._sizes[key]
