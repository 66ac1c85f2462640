"""Weights and parameters from external memory: what is moved, and where in the program.

The image outside has the weights of each column pass once, those of tiles that follow their equals once, then the
parameters in order of use. The weight memory is a buffer of *chunks*, some tiles of a pass: each is fetched when the
program uses it and it is not there, to behind the one fetched before it, or to the beginning where the end is too near;
one that is used longer than those behind it is skipped. So what is used again (by the pixel blocks of a pass, or by a
layer of the same weights) stays as long as nothing else needs the place. The parameter memory is a ring.

A move's place in the program is behind the tiles that used what it overwrites; a WAIT before the first tiles that use
it makes sure that it is complete. What fits before any tiles is fetched before the input. Loads and stores of
activations, which a plan has marked, are queued where they stand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import DoesNotFit
from hwquant.program.array_shape import ArrayShape
from hwquant.program.available import too_few
from hwquant.program.config import LEAST_ADDRESS_BITS, ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.fetched_tiles import Tiles, chunks, copies_apart, passes, split, stored_once
from hwquant.program.isa import Instruction, MoveKind, Opcode
from hwquant.program.marks import ActivationMove, Mark
from hwquant.program.move_queue import Move, MoveQueue, Outside
from hwquant.program.widths import index_bits

BUFFER = 2048
"""Words of a weight memory that nobody limits, where not all weights fit in less."""

RING = 256
"""Words of a parameter memory that nobody limits, where not all parameters fit in less; a power of two."""

SKIPPED = 4
"""Chunks that may be skipped, at most, where those behind them are used no more."""

PARTS = 4
"""Chunks that the weight memory holds at least, where tiles are small enough."""


@dataclass(frozen=True, eq=False)
class Moved:
    """A program whose weights and parameters come from external memory.

    Attributes
    ----------
    code : tuple of Instruction
        All instructions.
    weights : ndarray of int16 or int32, shape (words, columns)
        Words of the weights outside.
    sizes : mapping of int
        ``weight_depth``, ``parameter_depth`` and ``external_address_bits``.
    beats : int
        Beats that weights, parameters and activations take outside.
    """

    code: tuple[Instruction, ...]
    weights: NDArray[np.int16 | np.int32]
    sizes: Mapping[str, int]
    beats: int


@dataclass(eq=False)
class _Chunk:
    """A chunk in the weight memory: where, and the latest tiles that use it."""

    address: int
    count: int
    last: int
    move: int

    def meets(self, address: int, count: int) -> bool:
        """Whether it has one of so many words."""
        return self.address < address + count and address < self.address + self.count


@dataclass(eq=False)
class _Buffer:
    """The weight memory while the program goes on."""

    depth: int
    chunks: dict[tuple[int, int], _Chunk] = field(default_factory=dict)
    end: int = 0

    def place(self, count: int) -> tuple[int, int]:
        """Make room; return where, and the latest tiles that use what was there.

        That is behind the latest chunk, or behind one of the next ones where those before it are used longer.
        """
        start = self.end if self.end + count <= self.depth else 0
        ends = sorted(chunk.address + chunk.count for chunk in self.chunks.values())
        places = [start, *[end for end in ends if start < end <= self.depth - count][:SKIPPED], 0]
        used = [self._last(place, count) for place in places]
        after = min(used)
        address = places[used.index(after)]
        for key in [key for key, chunk in self.chunks.items() if chunk.meets(address, count)]:
            del self.chunks[key]
        self.end = address + count
        return address, after

    def _last(self, address: int, count: int) -> int:
        """The latest tiles that use what is there; -1 for none."""
        return max((chunk.last for chunk in self.chunks.values() if chunk.meets(address, count)), default=-1)


def with_moves(
    code: Sequence[Instruction | Mark],
    weights: NDArray[np.int16 | np.int32],
    parameters: int,
    shape: ArrayShape,
    memory: ExternalMemory,
    *,
    parameter_bits: int,
    limits: Mapping[str, int],
    config: ArrayConfig | None = None,
    activations: int = 0,
) -> Moved:
    """Let a program fetch its weights and parameters from external memory.

    Parameters
    ----------
    code : sequence of Instruction or Mark
        The program, as hardware with all of them inside would have it, and marks where activations move.
    weights : ndarray of int16 or int32, shape (words, columns)
        The weights in order of use.
    parameters : int
        Words of parameters, which are read in order.
    shape : ArrayShape
        The array.
    memory : ExternalMemory
        The memory outside.
    parameter_bits : int
        Width of a word of parameters.
    limits : mapping of int
        The most words of the weight and the parameter memory, ``weight_depth`` and ``parameter_depth``, where they are
        limited.
    config : ArrayConfig, optional
        Hardware that exists: its memories are as deep as they are.
    activations : int, default 0
        Words of activations that are outside at some time.

    Raises
    ------
    DoesNotFit
        A memory is too small for a tile, or the image for the memory outside.
    """
    largest, found = passes(code, shape)
    found = copies_apart(found, weights, shape.word_beats(shape.columns * shape.slot_bits))
    starts, real, unique = stored_once(found, weights)
    deepest = config.weight_depth if config else limits.get("weight_depth", max(2 * largest, BUFFER))
    depth = max(2, min(deepest, len(unique)))
    if largest > deepest:
        raise too_few("weight_depth", largest, deepest, culprit=" for a tile", outside=True)
    ring = min(1 << index_bits(parameters), 1 << (limits.get("parameter_depth", RING).bit_length() - 1))
    ring = config.parameter_depth if config else max(2, ring)
    if shape.columns > ring:
        raise too_few("parameter_depth", shape.columns, ring, culprit=" for a tile", outside=True)
    most = max(largest, depth // PARTS)
    bounds = chunks(found, most)
    items = list(split(code, shape, bounds))
    outside = Outside(
        shape.word_beats(shape.columns * shape.slot_bits),
        shape.word_beats(parameter_bits),
        shape.word_beats(shape.word_bits),
        len(unique),
        parameters,
        activations,
    )
    bits = external_address_bits(outside.beats, memory)
    sizes = {"weight_depth": depth, "parameter_depth": ring, "external_address_bits": bits}
    plan = _Plan(outside, _Buffer(depth), most, ring, shape.columns)
    for number, tiles in enumerate(item for item in items if isinstance(item, Tiles)):
        if tiles.parameters:
            plan.use_parameters(number)
        if tiles.words:
            begin = bounds[bisect_right(bounds, tiles.start) - 1]
            end = bounds[bisect_right(bounds, tiles.start)]
            which = bisect_right(starts, tiles.start) - 1
            shift = real[which] - starts[which]
            plan.use_weights(number, begin + shift, end - begin, tiles.start - begin)
    return Moved(tuple(plan.emit(items)), unique, sizes, outside.beats)


def external_address_bits(beats: int, memory: ExternalMemory, what: str = "") -> int:
    """Width of an address of so many beats outside.

    Parameters
    ----------
    beats : int
        Beats of all that is outside.
    memory : ExternalMemory
        The memory outside.
    what : str, default ""
        What takes beats besides weights, parameters and activations, for the message.

    Raises
    ------
    DoesNotFit
        The memory has fewer.
    """
    size = beats * memory.data_bits // 8
    if size > memory.size:
        raise DoesNotFit(
            f"{what}weights, parameters and activations take {size} bytes of external memory, which has {memory.size}",
            resource="external memory",
            needed=size,
            available=memory.size,
            remedy="fewer or pruned weights",
        )
    return max(LEAST_ADDRESS_BITS, index_bits(beats))


class _Plan:
    """The moves of a program, in order of first use.

    Parameters
    ----------
    outside : Outside
        Where words are outside.
    buffer : _Buffer
        The weight memory.
    most : int
        Words that are fetched at once, behind the input.
    ring : int
        Words of the parameter memory.
    columns : int
        Words of parameters that a column block reads.
    """

    def __init__(self, outside: Outside, buffer: _Buffer, most: int, ring: int, columns: int):
        self.outside = outside
        self.most = most
        self.ring = ring
        self.columns = columns
        self.moves: list[Move] = []
        self.needs: dict[int, int] = {}  # by number of tiles: the latest move that they use
        self.addresses: dict[int, int] = {}  # by number of tiles: where their weights are
        self._buffer = buffer
        self._latest: dict[MoveKind, int] = {}
        self._readers: list[int] = []  # tiles that read parameters
        self._fetched = 0

    def use_parameters(self, number: int) -> None:
        """Tiles read the next parameters."""
        self._readers.append(number)
        begin, total = self._fetched, self.outside.parameters
        if len(self._readers) * self.columns > begin:
            count = min(max(1, self.ring // 2 // self.columns) * self.columns, total - begin)
            over = begin + count - self.ring  # words so far are overwritten
            after = self._readers[(over - 1) // self.columns] if over > 0 else -1
            self._fetched += count
            external = self.outside.first_parameter + begin * self.outside.parameter_beats
            self._move(number, MoveKind.PARAMETERS, external, begin % self.ring, count, after)

    def use_weights(self, number: int, start: int, count: int, offset: int) -> None:
        """Tiles read weights at an offset in a chunk that is stored at ``start``."""
        buffer, key = self._buffer, (start, count)
        if key not in buffer.chunks:
            address, after = buffer.place(count)
            external = start * self.outside.weight_beats
            move = self._move(number, MoveKind.WEIGHTS, external, address, count, after)
            buffer.chunks[key] = _Chunk(address, count, number, move)
        chunk = buffer.chunks[key]
        chunk.last = number
        self.addresses[number] = chunk.address + offset
        self.needs[number] = max(chunk.move, self.needs.get(number, 0))

    def _move(self, number: int, kind: MoveKind, external: int, address: int, count: int, after: int) -> int:
        """Add a move, or let the one before it move more; return which one it is."""
        found = self._latest.get(kind)
        if found is not None and self._joins(self.moves[found], external, address, count, after):
            self.moves[found].count += count
            self.moves[found].after = max(after, self.moves[found].after)
        else:
            found = self._latest[kind] = len(self.moves)
            self.moves.append(Move(kind, external, address, count, after, number))
        self.needs[number] = max(found, self.needs.get(number, 0))
        return found

    def _joins(self, move: Move, external: int, address: int, count: int, after: int) -> bool:
        """Whether words that follow those of a move can be moved with them: before the input, or in few words."""
        beats = {MoveKind.WEIGHTS: self.outside.weight_beats}.get(move.kind, self.outside.parameter_beats)
        follows = (external, address) == (move.external + move.count * beats, move.address + move.count)
        if all(item.after < 0 for item in self.moves) and after < 0:
            return follows
        most = self.most if move.kind is MoveKind.WEIGHTS else self.ring // 2
        return follows and move is self.moves[-1] and move.count + count <= most and after < move.need

    def emit(self, items: Sequence[Instruction | Mark | Tiles]) -> Iterator[Instruction]:
        """The program with moves, and what waits for them."""
        queue = MoveQueue(self.moves, self.outside)
        number, pointer = 0, -1
        yield from queue.begin()
        for item in items:
            if isinstance(item, Tiles):
                yield from queue.need(self.needs.get(number, -1))
                if item.words:
                    if self.addresses[number] != pointer:
                        yield Instruction(Opcode.WEIGHTS, {"address": self.addresses[number]})
                    pointer = self.addresses[number] + item.words
                yield from item.code
                number += 1
                yield from queue.ahead(number)
            elif isinstance(item, ActivationMove):
                yield from queue.activations(item)
            elif isinstance(item, Instruction):
                if item.opcode is Opcode.INPUT:
                    yield from queue.wait(queue.queued - 1)
                yield item
            else:
                yield from queue.await_activations(item.moves)
