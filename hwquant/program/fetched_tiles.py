"""Tiles that fetch their weights from external memory: what they read, stored once, and cut into chunks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.program.array_shape import ArrayShape
from hwquant.program.external import BURST
from hwquant.program.isa import Instruction, Opcode
from hwquant.program.marks import Mark
from hwquant.program.weight_format import WeightFormat

AT_ONCE = ("first", "parameters", "offsets", "source", "layer")
"""Flags of a TILE that are those of the first of repeated tiles."""

COPIES = 8
"""Equal tiles, one behind the other, that are stored and fetched: what more there are reads these again."""


@dataclass(eq=False)
class Tiles:
    """Tiles with one instruction, and what they read.

    Attributes
    ----------
    code : list of Instruction
        REPEAT, if there are several, and TILE.
    start, words : int
        Their weights, as if all passes lay one behind the other; no words for a product.
    parameters : bool
        They read the parameters of their column block.
    """

    code: list[Instruction]
    start: int
    words: int
    parameters: bool


def _tiles(code: Sequence[Instruction | Mark], shape: ArrayShape) -> Iterator[tuple[int, int, int, int, int]]:
    """The tiles of instructions: number of the instruction, count, words of each, words before the first, and start.

    A product's have no words. The start is that of a memory with all passes, one behind the other.
    """
    pointer = mark = 0
    repeat, form = 0, WeightFormat()
    for number, instruction in enumerate(code):
        if not isinstance(instruction, Instruction):
            continue
        values = instruction.values
        if instruction.opcode is Opcode.REPEAT:
            repeat = values["count"]
        elif instruction.opcode is Opcode.FORMAT:
            form = WeightFormat.of(1 << values["packing"], shape)
        elif instruction.opcode is Opcode.TILE:
            if values.get("product"):
                yield number, 1, 0, 0, pointer
                continue
            if values["first"] and values["parameters"]:
                mark = pointer
            elif values["first"]:
                pointer = mark
            words, offsets = form.words(shape), values["offsets"]
            yield number, repeat + 1, words, offsets, pointer
            pointer += (repeat + 1) * words + offsets
            repeat = 0


def passes(code: Sequence[Instruction | Mark], shape: ArrayShape) -> tuple[int, list[list[int]]]:
    """The words of the largest tile; of each column pass, where its tiles begin and where the last one ends."""
    largest, passes = 0, list[list[int]]()
    for number, count, words, offsets, start in _tiles(code, shape):
        if not words:
            continue
        largest = max(largest, words + offsets)
        tile = code[number]
        assert isinstance(tile, Instruction)
        values = tile.values
        if values["first"] and values["parameters"]:
            passes.append([start])
        if start < passes[-1][-1]:
            continue  # another pixel block
        ends = [start + offsets + k * words for k in range(1, count + 1)]
        passes[-1] += ends
    return largest, passes


def repeated(tiles: Sequence[object]) -> Iterator[tuple[int, int]]:
    """Divide tiles into parts: how many tiles each has, and how often these follow each other.

    Tiles are equal where the objects are. Parts that are not repeated are as long as possible.
    """
    following: dict[object, int] = {}
    after = [0] * len(tiles)  # where an equal tile comes next
    for place in reversed(range(len(tiles))):
        after[place] = following.get(tiles[place], len(tiles))
        following[tiles[place]] = place
    begin = place = 0
    while place < len(tiles):
        period = after[place] - place
        part = tiles[place : place + period]
        times = 1
        while tiles[place + times * period : place + (times + 1) * period] == part:
            times += 1
        if times == 1:
            place += 1
            continue
        if begin < place:
            yield place - begin, 1
        yield period, times
        begin = place = place + period * times
    if begin < place:
        yield place - begin, 1


def copies_apart(
    passes: Sequence[Sequence[int]], weights: NDArray[np.int16 | np.int32], beats: int
) -> list[list[int]]:
    """Cut passes such that tiles that follow their equals are passes of their own, of about ``COPIES`` tiles.

    Such are those that scale a tensor that is added to another: where a weight would be too large they come again
    and again, and where they scale all channels alike, in all column blocks. They are apart where they take a whole
    burst, of words of so many ``beats``.
    """
    found = list[list[int]]()
    for tiles in passes:
        contents = [weights[begin:end].tobytes() for begin, end in pairwise(tiles)]
        place, begins = 0, True
        for period, times in repeated(contents):
            count = period * times
            apart = times > 1 and (tiles[place + count] - tiles[place]) * beats >= BURST
            most = period * max(1, COPIES // period) if apart else count
            for some in range(place, place + count, most):
                if apart or begins:
                    found.append([tiles[some]])
                found[-1] += tiles[some + 1 : min(some + most, place + count) + 1]
                begins = apart
            place += count
    return found


def stored_once(
    passes: Sequence[Sequence[int]], weights: NDArray[np.int16 | np.int32]
) -> tuple[list[int], list[int], NDArray[np.int16 | np.int32]]:
    """Where passes begin in order of use, where they are stored, and what is stored: equal ones once."""
    if (passes[-1][-1] if passes else 0) != len(weights):
        raise HwquantError("the tiles of the program do not read all of the weights once")
    places: dict[bytes, int] = {}
    parts, real, end = [], list[int](), 0
    for tiles in passes:
        words = weights[tiles[0] : tiles[-1]]
        key = words.tobytes()
        if key not in places:
            places[key] = end
            parts.append(words)
            end += len(words)
        real.append(places[key])
    return [tiles[0] for tiles in passes], real, np.concatenate(parts) if parts else weights


def chunks(passes: Sequence[Sequence[int]], most: int) -> list[int]:
    """Where chunks begin, in order of use, and the end of the last one: whole tiles, so many words at most."""
    bounds = []
    for tiles in passes:
        begin = tiles[0]
        bounds.append(begin)
        for before, end in pairwise(tiles[1:]):
            if end - begin > most:
                begin = before
                bounds.append(begin)
    return [*bounds, passes[-1][-1]] if passes else bounds


def split(
    code: Sequence[Instruction | Mark], shape: ArrayShape, bounds: Sequence[int]
) -> Iterator[Instruction | Mark | Tiles]:
    """The program with its tiles as objects, those of different chunks apart."""
    found = {number: rest for number, *rest in _tiles(code, shape)}
    repeat: Instruction | None = None
    for number, instruction in enumerate(code):
        if not isinstance(instruction, Instruction):
            yield instruction
        elif instruction.opcode is Opcode.REPEAT:
            repeat = instruction
        elif instruction.opcode is not Opcode.TILE:
            yield instruction
        else:
            count, words, offsets, start = found[number]
            done, step = 0, repeat.values["step"] if repeat else 0
            while done < count:
                begin = start + done * words + (offsets if done else 0)
                some = count
                if words:
                    room = bounds[bisect_right(bounds, begin)] - begin - (0 if done else offsets)
                    some = min(count - done, room // words)
                yield _part(
                    instruction, step, done, some, count, begin, some * words + (0 if done else offsets)
                )
                done += some
            repeat = None


def _part(tile: Instruction, step: int, done: int, some: int, count: int, start: int, words: int) -> Tiles:
    """Some of the tiles of an instruction, behind ``done`` others of it."""
    values = {**tile.values, "address": tile.values["address"] + done * step}
    if done:
        values |= dict.fromkeys(AT_ONCE, 0)
    values["last"] = int(tile.values["last"] and done + some == count)
    code = [replace(tile, values=values)]
    if some > 1:
        code.insert(0, Instruction(Opcode.REPEAT, {"count": some - 1, "step": step}))
    return Tiles(code, start, words, bool(values["parameters"]))
