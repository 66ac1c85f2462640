"""The steps of a plan, written out: what moves, and what is computed, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from hwquant.program.addresses import Layout
from hwquant.program.band import Held, band, plane_band, read_planes
from hwquant.program.bands import Along, Band, Group, Role, Tensors
from hwquant.program.halves import Span, touched, with_waits
from hwquant.program.move_order import in_time
from hwquant.program.residency import Chosen, too_small
from hwquant.program.steps import Compute, Load, Piece, Plan, Planned, Receive, Run, Send, Step, Store
from hwquant.program.traffic import Port, Work
from hwquant.qgraph import Tensor


@dataclass(frozen=True)
class Network:
    """What the plan must know of a network beside its layers.

    Attributes
    ----------
    name : str
        Its name.
    tensors : mapping of Tensor
        Its tensors by name, with shapes as the memories have them.
    inputs, outputs : tuple of str
        Names of its inputs and outputs, in the order of their frames.
    """

    name: str
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class Writer:
    """Writes the steps of an inference.

    Attributes
    ----------
    network : Network
        The network's tensors, inputs and outputs.
    lanes : int
        Channels in a word.
    tensors : Tensors
        How large its tensors are.
    halves : tuple of int
        Words of each half of the activation memory.
    chosen : sequence of Chosen
        The groups, in order.
    layout : Layout
        Where tensors and blocks lie.
    work : Work
        What layers take of the array.
    port : Port
        How fast words come and go.
    """

    network: Network
    lanes: int
    tensors: Tensors
    halves: tuple[int, int]
    chosen: Sequence[Chosen]
    layout: Layout
    work: Work
    port: Port
    _cycles: dict[Compute, float] = field(default_factory=dict)
    _used: list[Span] = field(default_factory=list)  # by the band that was written last
    _pieces: dict[str, Piece] = field(default_factory=dict)
    _outside: dict[str, int] = field(default_factory=dict)
    _outside_words: int = 0

    def plan(self, groups: tuple[Planned, ...]) -> Plan:
        """All steps, and what they are about."""
        for name, (half, address) in self.layout.inside.items():
            self._piece(name, name, "rows", self._all(name, "rows"), half * self.halves[0] + address)
        steps: list[Step] = [*self._inputs(), *self._groups(), *self._outputs()]
        steps = in_time(
            steps, self._pieces, self.lanes, self.halves[0], self._cycles.__getitem__, self.port.word
        )
        waiting = with_waits(steps, self._pieces, self.lanes, self.halves[0])
        peak = max((self._end(piece) for piece in self._pieces.values()), default=0)
        runs = [step.run for step in steps if isinstance(step, Receive | Send | Load | Store)]
        peak = max([peak, self.halves[0] + 1, *(run.address + run.count for run in runs)])
        return Plan(
            groups, tuple(waiting), self._pieces, self._outside, self.halves[0], peak, self._outside_words
        )

    def _end(self, piece: Piece) -> int:
        return piece.address + len(piece.planes) * prod(piece.shape[1:])

    def _all(self, name: str, along: Along) -> range:
        """All rows, or planes, of a tensor."""
        return range(self.tensors.slices[along][name].count)

    def _piece(self, name: str, tensor: str, along: Along, part: range, address: int) -> Piece:
        """A piece, under a name that no other has."""
        channels, height, width = self.network.tensors[tensor].shape
        while name in self._pieces:
            name += "'"
        rows, planes = self._all(tensor, "rows"), self._all(tensor, "planes")
        if along == "rows":
            rows, height = part, len(part)
        else:
            planes, channels = part, min(part.stop * self.lanes, channels) - part.start * self.lanes
        self._pieces[name] = Piece(name, tensor, rows, planes, (channels, height, width), address)
        return self._pieces[name]

    def _place(self, name: str) -> int:
        """The number of a tensor's first word outside."""
        if name not in self._outside:
            self._outside[name] = self._outside_words
            self._outside_words += self.tensors.words(name)
        return self._outside[name]

    def _runs(self, piece: Piece, along: Along, part: range) -> Iterator[Run]:
        """Words of some rows, or planes, of a piece: a run for each plane, or one where all rows of it are moved."""
        self._place(piece.tensor)
        _, height, width = self.network.tensors[piece.tensor].shape
        rows, planes = (part, piece.planes) if along == "rows" else (piece.rows, part)
        if len(rows) == height:
            first = (planes.start - piece.planes.start) * height * width
            yield Run(
                piece.tensor,
                planes.start * height * width,
                piece.address + first,
                len(planes) * height * width,
            )
            return
        for plane in planes:
            row = (plane - piece.planes.start) * len(piece.rows) + rows.start - piece.rows.start
            yield Run(
                piece.tensor,
                (plane * height + rows.start) * width,
                piece.address + row * width,
                len(rows) * width,
            )

    # --- the host

    def _inputs(self) -> Iterator[Step]:
        """The frame, input by input; what is outside goes there chunk by chunk, through the second half."""
        inside = self.chosen[0].inside if self.chosen else {}
        steps: list[Step] = []
        for name in self.tensors.inputs:
            if name in inside:
                steps.append(Receive(Run(name, 0, self._pieces[name].address, self._words(name)), last=False))
                continue
            self._place(name)
            address, room = self._free(1, inside)
            for first in range(0, self._words(name), room):
                run = Run(name, first, address, min(room, self._words(name) - first))
                steps += [Receive(run, last=False), Store(run)]
        final = max(index for index, step in enumerate(steps) if isinstance(step, Receive))
        for index, step in enumerate(steps):
            yield replace(step, last=True) if isinstance(step, Receive) and index == final else step

    def _outputs(self) -> Iterator[Step]:
        """The network's outputs; what is outside comes in chunk by chunk, through the first half."""
        inside = {
            name: half
            for name, half in (self.chosen[-1].inside if self.chosen else {}).items()
            if name in self.tensors.outputs
        }
        names = self.network.outputs
        for number, name in enumerate(names, 1):
            last = number == len(names)
            if name in inside:
                yield Send(Run(name, 0, self._pieces[name].address, self._words(name)), last)
                continue
            address, room = self._free(0, inside)
            for first in range(0, self._words(name), room):
                run = Run(name, first, address, min(room, self._words(name) - first))
                yield Load(run)
                yield Send(run, last and first + room >= self._words(name))

    def _words(self, name: str) -> int:
        return self.tensors.words(name)

    def _free(self, half: int, inside: Mapping[str, int]) -> tuple[int, int]:
        """The largest part of a half that tensors inside leave free: its address, and its words."""
        taken = sorted(
            (self.layout.inside[name][1], self.layout.inside[name][1] + self._words(name))
            for name in inside
            if inside[name] == half
        )
        gaps, before = [], 0
        for begin, end in [*taken, (self.halves[half], self.halves[half])]:
            gaps.append((begin - before, before))
            before = end
        room, address = max(gaps)
        if room <= 0:
            raise too_small(
                f"the inputs or outputs of network {self.network.name!r} leave no room to move those that lie outside",
                self.halves,
            )
        return half * self.halves[0] + address, room

    # --- groups

    def _groups(self) -> Iterator[Step]:
        for number in range(len(self.chosen)):
            yield from self._group(number)

    def _group(self, number: int) -> Iterator[Step]:
        """A group's bands, one after the other; a band's loads come while the one before is computed."""
        group = self.chosen[number].variant.group
        workspace, bands = self.layout.workspaces[number], self.layout.bands[number]
        turn = dict.fromkeys(workspace.slots, self._first_turn(number, bands[0]))
        held: dict[str, Piece] = {}
        loaded = self._loads(number, bands[0], None, turn)
        yield from _moves(loaded)
        for index, own in enumerate(bands):
            before = bands[index - 1] if index else None
            fresh = {name for name in own.held if before is None or own.held[name] != before.held.get(name)}
            held |= {piece.tensor: piece for piece, _ in loaded}
            self._used = []
            made = [
                layer
                for layer in own.made
                if group.roles[group.layers[layer].tensor] is Role.INSIDE
                or group.layers[layer].tensor in fresh
            ]
            loaded, position = [], 0
            if index + 1 < len(bands):
                loaded = self._loads(number, bands[index + 1], own, turn)
                position = self._loading_from(number, made, loaded)
            following = loaded
            finals = {group.layers[layer].tensor: layer for layer in made}
            for layer in made:
                if following and layer >= position:
                    yield from _moves(following)
                    following = []
                yield self._compute(number, layer, own, held, turn)
                tensor = group.layers[layer].tensor
                if group.roles[tensor] is Role.STORED and finals[tensor] == layer and own.share[tensor]:
                    yield from self._stores(group, held[tensor], own)
            for name in group.names(Role.STORED):  # made with a band before, which had the same rows
                if name not in finals and own.share.get(name):
                    yield from self._stores(group, held[name], own)
            yield from _moves(following)

    def _loads(
        self, number: int, own: Band, before: Band | None, turn: dict[str, int]
    ) -> list[tuple[Piece, list[Run]]]:
        """The pieces that a band needs from outside, and did not have in the band before."""
        group, found = self.chosen[number].variant.group, []
        for name in group.names(Role.LOADED):
            if name not in own.held or (before and own.held[name] == before.held.get(name)):
                continue
            piece = self._new(number, name, own.held[name], turn)
            found.append((piece, list(self._runs(piece, group.along, own.held[name]))))
        return found

    def _first_turn(self, number: int, own: Band) -> int:
        """The slots with which a group's loads begin: those that the band before uses less, so that they come early."""
        group, slots = self.chosen[number].variant.group, self.layout.workspaces[number].slots
        block, names = self.layout.blocks[number][0], [*own.held.keys() & set(group.names(Role.LOADED))]

        def used(turn: int) -> int:
            begins = {name: block + slots[name][turn % len(slots[name])] for name in names}
            spans = [(begin, begin + group.words(name, own.held[name])) for name, begin in begins.items()]
            return sum(
                max(0, min(end, address + count) - max(begin, address))
                for begin, end in spans
                for address, count in self._used
            )

        return min((0, 1), key=used)

    def _stores(self, group: Group, piece: Piece, own: Band) -> Iterator[Store]:
        """A band's share of a piece goes outside."""
        for run in self._runs(piece, group.along, own.share[piece.tensor]):
            yield Store(run)

    def _loading_from(
        self, number: int, made: Sequence[int], loaded: Sequence[tuple[Piece, list[Run]]]
    ) -> int:
        """Number of the layer before which the next band's loads may begin, in a band of some layers."""
        group, workspace = self.chosen[number].variant.group, self.layout.workspaces[number]
        position = 0
        names = {piece.tensor for piece, _ in loaded if len(workspace.slots[piece.tensor]) == 1}
        for index in made:
            layer = group.layers[index]
            if workspace.halves[layer.tensor] == 0 or names & set(layer.reads):
                position = index + 1
        return position

    def _new(self, number: int, name: str, part: range, turn: dict[str, int]) -> Piece:
        """A piece in the next slot of its tensor."""
        workspace, along = self.layout.workspaces[number], self.chosen[number].variant.group.along
        half, slots = workspace.halves[name], workspace.slots[name]
        slot = slots[turn[name] % len(slots)]
        turn[name] += 1
        address = half * self.halves[0] + self.layout.blocks[number][half] + slot
        return self._piece(self._title(name, along, part), name, along, part, address)

    def _title(self, name: str, along: Along, part: range) -> str:
        if part == self._all(name, along):
            return name
        return f"{name}[{part.start}:{part.stop}]" if along == "rows" else f"{name}/{part.start}:{part.stop}"

    def _compute(
        self, number: int, index: int, own: Band, held: dict[str, Piece], turn: dict[str, int]
    ) -> Compute:
        """One layer of a band."""
        group = self.chosen[number].variant.group
        layer = group.layers[index]
        makers = [other for other in own.made if group.layers[other].tensor == layer.tensor]
        if group.roles[layer.tensor] is not Role.INSIDE and index == makers[0]:
            held[layer.tensor] = self._new(number, layer.tensor, own.held[layer.tensor], turn)
        made = own.made[index]
        if group.along == "rows":
            sources = {name: self._held(name, held) for name in layer.reads}
            computed = band(layer, made, sources, self._held(layer.tensor, held))
        else:
            reads = read_planes(layer, made, {name: item.count for name, item in group.slices.items()})
            sources = {name: self._planes(name, held, reads[name]) for name in layer.reads}
            output = self._planes(layer.tensor, held, made)
            computed = plane_band(layer, made, self.lanes, sources, output)
        step = Compute(computed, group.first + index)
        self._cycles[step] = self.work.cycles(group, index, made)
        read, written = touched(step, self._pieces, self.lanes)
        self._used += [*read, *written]
        return step

    def _held(self, name: str, held: Mapping[str, Piece]) -> Held:
        piece = held.get(name) or self._pieces[name]
        return Held(piece.name, piece.rows)

    def _planes(self, name: str, held: Mapping[str, Piece], part: range) -> Held:
        """Some planes of a tensor: of one that is inside, or of a larger piece, they become a piece of their own."""
        piece = held.get(name) or self._pieces[name]
        if part == piece.planes:
            return Held(piece.name, part)
        _, height, width = piece.shape
        address = piece.address + (part.start - piece.planes.start) * height * width
        title = self._title(name, "planes", part)
        known = self._pieces.get(title)
        if known is None or known.address != address:
            known = self._piece(title, name, "planes", part, address)
        return Held(known.name, part)


def _moves(loaded: Sequence[tuple[Piece, list[Run]]]) -> Iterator[Load]:
    for _, runs in loaded:
        yield from (Load(run) for run in runs)
