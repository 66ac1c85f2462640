"""What a group of layers costs, band by band: cycles of the array, and of the port to external memory.

Estimates to choose by; what a program takes exactly is :mod:`hwquant.program.cycles`' to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hwquant.program.array_shape import ArrayShape
from hwquant.program.bands import Band, Group, Role
from hwquant.program.external import BURST, ExternalMemory
from hwquant.program.fetched_tiles import COPIES, repeated
from hwquant.program.mapping import MappedLayer
from hwquant.program.schedule import tile_weights
from hwquant.program.tiling import column_blocks, pixel_blocks
from hwquant.program.workspace import Workspace

BETWEEN_LAYERS = 40
"""Cycles from a layer's last pixel to the next one's first, about."""


@dataclass(frozen=True)
class Port:
    """How fast words come and go.

    Attributes
    ----------
    word : float
        Cycles of an activation word.
    weights : float
        Cycles of a word of weights.
    room : int or None
        Words of the weight memory; None where it holds any group's.
    """

    word: float
    weights: float
    room: int | None = None

    @classmethod
    def of(cls, memory: ExternalMemory, shape: ArrayShape, room: int) -> Port:
        """The port of an array to a memory, in long bursts one after the other."""
        timing = memory.timing
        beat = 1 + timing.gap / max(timing.row, BURST)
        if timing.refresh_interval:
            beat *= timing.refresh_interval / (timing.refresh_interval - timing.refresh_cycles)
        word, weights = shape.word_bits, shape.columns * shape.slot_bits
        return cls(beat * shape.word_beats(word), beat * shape.word_beats(weights), room)

    def slower(self, factor: float) -> Port:
        """A port through which words take longer."""
        return Port(self.word * factor, self.weights * factor, self.room)


@dataclass(frozen=True)
class Cost:
    """What a group, or a part of it, costs.

    Attributes
    ----------
    cycles : float
        Cycles in all, with what of the moves the array waits for.
    computed : float
        Cycles of the array.
    loaded, stored : int
        Words of activations that come in, and that go out.
    weights : int
        Words of weights that come in.
    again : int
        How often they do.
    """

    cycles: float
    computed: float
    loaded: int
    stored: int
    weights: int
    again: int


@dataclass
class Work:
    """What layers take of the array, whatever their rows.

    Attributes
    ----------
    mapped : sequence of MappedLayer
        All layers, as the array executes them whole.
    shape : ArrayShape
        The array.
    """

    mapped: Sequence[MappedLayer]
    shape: ArrayShape
    _tiles: dict[int, tuple[int, int]] = field(default_factory=dict)
    _cycles: dict[tuple[int, int], int] = field(default_factory=dict)

    def tiles(self, number: int) -> int:
        """Tiles of a layer that are not zero, for each block of pixels."""
        return self._counted(number)[0]

    def weights(self, number: int) -> int:
        """Words of a layer's weights that are fetched, each once."""
        return self._counted(number)[1] * self.shape.rows

    def _counted(self, number: int) -> tuple[int, int]:
        """Tiles of a layer, and how many of them are fetched."""
        if number not in self._tiles:
            item = self.mapped[number]
            blocks = column_blocks(len(item.layer.bias), self.shape, False)
            count = fetched = 0
            for block in () if item.layer.product else blocks:
                cut = (tile_weights(item, term, block, self.shape) for term in item.layer.terms)
                tiles = [tile.tobytes() for tiles in cut for tile in tiles if tile.any()]
                count += len(tiles)
                fetched += sum(
                    period * min(times, max(1, COPIES // period)) for period, times in repeated(tiles)
                )
            self._tiles[number] = (len(blocks), 0) if item.layer.product else (count, fetched)
        return self._tiles[number]

    def whole(self, number: int) -> int:
        """Cycles that a layer takes, all of its rows."""
        return self._row_cycles(number, self.mapped[number].layer.pixels[0])

    def cycles(self, group: Group, index: int, made: range) -> float:
        """Cycles that some slices of the output of a group's layer take."""
        layer = group.layers[index]
        if group.along == "rows":
            return self._row_cycles(group.first + index, len(made))
        whole = self._row_cycles(group.first + index, layer.pixels[0]) - BETWEEN_LAYERS
        return whole * len(made) / group.slices[layer.tensor].count + BETWEEN_LAYERS

    def _row_cycles(self, number: int, rows: int) -> int:
        if (number, rows) not in self._cycles:
            item = self.mapped[number]
            part = replace(item, layer=replace(item.layer, pixels=(rows, item.layer.pixels[1])))
            blocks = pixel_blocks(part.layer, self.shape.accumulator_depth, summed=item.summed)
            least = 1 if item.layer.product else self.shape.rows
            each = sum(max(part.streamed(block), least) for block in blocks)
            self._cycles[number, rows] = self.tiles(number) * each + BETWEEN_LAYERS
        return self._cycles[number, rows]


def writes_first(group: Group, workspace: Workspace, band: Band) -> int:
    """Number of the first layer of a band from which on none writes to the first half."""
    last = [index for index in band.made if workspace.halves[group.layers[index].tensor] == 0]
    return max(last, default=-1) + 1


def cost(
    group: Group,
    bands: Sequence[Band],
    count: int,
    workspace: Workspace,
    work: Work,
    port: Port,
) -> Cost:
    """Estimate what ``count`` bands cost, of which some are given.

    A band takes as long as the array, or as the port, takes for it; and longer where loads wait for what writes to the
    first half, or stores for what reads the second.
    """
    computed = loaded = stored = 0.0
    per_band = 0.0
    total = sum(work.weights(group.first + index) for index in range(len(group.layers)))
    again = count if group.along == "rows" and port.room is not None and total > port.room else 1
    weights = total * again / count
    for number, band in enumerate(bands):
        share = _share(number, len(bands), count)
        cycles = {index: work.cycles(group, index, made) for index, made in band.made.items()}
        busy = sum(cycles.values())
        names = group.names(Role.LOADED)
        fresh = [name for name in names if name in band.held and not _same(bands, number, name)]
        comes = sum(group.words(name, band.held[name]) for name in fresh)
        goes = sum(group.words(name, band.share[name]) for name in group.names(Role.STORED))
        load, store = comes * port.word, goes * port.word
        first = writes_first(group, workspace, band)
        turns = max((len(workspace.slots[name]) for name in fresh), default=1)
        early = {index for index in cycles if index < first or (turns == 1 and fresh)}
        late = {
            index
            for index in cycles
            if any(workspace.halves[name] == 1 for name in group.layers[index].reads)
        }
        blocked, reading, both = (
            sum(cycles[index] for index in some) for some in (early, late, early & late)
        )
        moved = load + store + weights * port.weights
        waits = [busy, moved, both + load + store]
        waits += [blocked + load] if load else []
        waits += [reading + store] if store else []
        per_band += share * max(waits)
        computed, loaded, stored = computed + share * busy, loaded + share * comes, stored + share * goes
        if number == 0:
            per_band += load
        if number == len(bands) - 1:
            per_band += store
    return Cost(per_band, computed, round(loaded), round(stored), total * again, again)


def _share(number: int, given: int, count: int) -> float:
    """How many bands one of those given stands for: those between the first and the last are alike."""
    return 1.0 if number in (0, given - 1) else (count - 2) / (given - 2)


def _same(bands: Sequence[Band], number: int, name: str) -> bool:
    """Whether a band reads the same rows of a tensor as the one before it."""
    return number > 0 and bands[number].held[name] == bands[number - 1].held.get(name)
