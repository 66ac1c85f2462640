"""Which words a tile's pixels read, and where a layer's outputs are written, in order: from instructions alone.

It is what :mod:`hwquant.rtl_templates.streamer` and :mod:`hwquant.rtl_templates.writer` do, a step at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hwquant.program.array_shape import ArrayShape
from hwquant.program.isa import LEVELS, Instruction, Opcode
from hwquant.program.weight_format import WeightFormat

Values = Mapping[str, int]


@dataclass(frozen=True)
class Job:
    """A tile with the registers that it takes.

    Attributes
    ----------
    tile : mapping of int
        The fields of its TILE.
    levels : sequence of mapping
        The loops, the innermost first: fields of LEVEL.
    plane : mapping of int
        The tensor that is read: fields of PLANE.
    taps : mapping of int
        Fields of TAPS; empty where there has been none.
    count : int
        Pixels that it streams.
    rows_per_word : int
        Rows of its weights that share a word.
    """

    tile: Values
    levels: Sequence[Values]
    plane: Values
    taps: Values
    count: int
    rows_per_word: int

    def load_cycles(self, shape: ArrayShape) -> int:
        """Cycles from the start of the tile before to its own, at least: those of loading its weights."""
        if self.tile.get("product"):
            return 1
        return WeightFormat.of(self.rows_per_word, shape).load_cycles(shape)

    @property
    def lead(self) -> int:
        """Pixels before the first that is an output's."""
        if self.tile.get("product"):
            return 1
        return self.taps["lead"] if self.tile.get("taps") else 0

    @property
    def delay(self) -> int:
        """Cycles from kernel row to kernel row; of a depthwise tile."""
        return self.taps["delay"]

    @property
    def outputs(self) -> int:
        """Outputs that are complete with it."""
        if not self.tile["last"]:
            return 0
        if self.tile.get("product"):
            return self.count - 1 if self.tile["held"] else self.count // 2
        if self.tile.get("taps"):
            pitch = self.levels[2]["limit"] + 1
            rows, rest = divmod(self.count - self.taps["tail"] - self.lead, pitch)
            return rows * self.taps["width"] + min(rest, self.taps["width"])
        return self.count // self._window

    def step(self, output: int) -> int:
        """The step that completes an output."""
        if self.tile.get("product"):
            return 1 + output if self.tile["held"] else 2 * output + 1
        if self.tile.get("taps"):
            row, column = divmod(output, self.taps["width"])
            return self.lead + row * (self.levels[2]["limit"] + 1) + column
        return (output + 1) * self._window - 1

    @property
    def _window(self) -> int:
        return (self.levels[0]["limit"] + 1) * (self.levels[1]["limit"] + 1)

    def reads(self, shape: ArrayShape, *, alone: bool) -> Iterator[list[tuple[int, int, int]]]:
        """Go through the pixels: the bank, the address and the write groups of what each reads, of all arrays.

        Parameters
        ----------
        shape : ArrayShape
            The arrays.
        alone : bool
            Whether only array 0 computes.
        """
        groups = self._groups(shape)
        for address, y, x, strip in self._pixels(several=shape.arrays > 1):
            banks = self._banks(y, x, strip, 1 if alone else shape.arrays)
            yield [(bank, address, group) for bank in banks for group in groups]

    def _groups(self, shape: ArrayShape) -> list[int]:
        """Write groups of the lanes that it reads."""
        if self.tile.get("product"):
            return list(range(shape.groups))
        pitch = shape.rows if shape.reads_per_word > 1 else shape.columns
        first = self.tile["part"] * pitch
        lanes = range(first, min(first + shape.rows, shape.lanes))
        return sorted({lane // shape.columns for lane in lanes})

    def _banks(self, y: int, x: int, strip: int, arrays: int) -> list[int]:
        """The banks that arrays read, of those whose pixel is inside of the tensor."""
        if not 0 <= x < self.plane["width"]:
            return []
        if "last_strip" not in self.plane:
            return [0] if 0 <= y < self.plane["height"] else []
        last = self.plane["last_strip"]
        strips = range(strip, strip + arrays)
        return [k for k in strips if 0 <= k < last or (k == last and y < self.plane["height"])]

    def _pixels(self, *, several: bool) -> Iterator[tuple[int, int, int, int]]:
        """Go through the pixels: address, row, column and strip."""
        tile, index = self.tile, [0] * (LEVELS - 1)
        address, y, x, strip = tile["address"], tile["y"], tile["x"], tile.get("strip", 0)
        limits = [level["limit"] for level in self.levels]
        for _ in range(self.count):
            yield address, y, x, strip
            level = next((k for k in range(LEVELS - 1) if index[k] < limits[k]), LEVELS - 1)
            step = self.levels[level]
            address, y, x, strip = (
                address + step["step"],
                y + step["y"],
                x + step["x"],
                strip + step.get("strip", 0),
            )
            if several and y >= self.plane["rows"]:
                address, y, strip = address - self.plane["words"], y - self.plane["rows"], strip + 1
            first = 1 if tile.get("held") else 0  # a factor that is held is not read again
            index[first:level] = [0] * (level - first)
            if level < LEVELS - 1:
                index[level] += 1


def starts(jobs: Sequence[Job], first: int, shape: ArrayShape) -> Iterator[int]:
    """When tiles start, at the earliest, one after the other."""
    yield first
    for job, following in pairwise(jobs):
        first += max(job.count, following.load_cycles(shape))
        yield first


@dataclass
class Geometry:
    """The registers that tiles take, as instructions set them.

    Attributes
    ----------
    levels : list of mapping
        The loops, the innermost first: fields of LEVEL.
    plane, taps : mapping of int
        Fields of PLANE and TAPS.
    count : int
        Pixels that a tile streams.
    rows_per_word : int
        Rows of its weights that share a word.
    repeat : mapping of int
        Fields of a REPEAT that the next tile takes; else empty.
    """

    levels: list[Values] = field(default_factory=lambda: [{}] * LEVELS)
    plane: Values = field(default_factory=dict)
    taps: Values = field(default_factory=dict)
    count: int = 0
    rows_per_word: int = 1
    repeat: Values = field(default_factory=dict)

    def set(self, instruction: Instruction) -> None:
        """Execute an instruction; those that say nothing of pixels are passed over."""
        match instruction.opcode:
            case Opcode.LEVEL:
                self.levels[instruction.values["level"]] = instruction.values
            case Opcode.PLANE:
                self.plane = instruction.values
            case Opcode.TAPS:
                self.taps = instruction.values
            case Opcode.COUNT:
                self.count = instruction.values["count"]
            case Opcode.FORMAT:
                self.rows_per_word = 1 << instruction.values["packing"]
            case Opcode.REPEAT:
                self.repeat = instruction.values
            case _:
                pass

    def jobs(self, tile: Values) -> Iterator[Job]:
        """The jobs that a TILE stands for."""
        more = self.repeat.get("count", 0)
        for number in range(more + 1):
            marks = {"address": tile["address"] + number * self.repeat.get("step", 0)}
            if number:
                marks |= dict.fromkeys(("first", "parameters"), 0)
            if number < more:
                marks["last"] = 0
            registers = tuple(self.levels), self.plane, self.taps, self.count, self.rows_per_word
            yield Job({**tile, **marks}, *registers)
        self.repeat = {}


@dataclass(frozen=True)
class Outputs:
    """Where a layer's outputs are written.

    Attributes
    ----------
    write : mapping of int
        The fields of its WRITE.
    shape : ArrayShape
        The arrays.
    count : int
        Outputs of each array, or of the one that works alone.
    """

    write: Values
    shape: ArrayShape
    count: int

    def words(self, number: int) -> list[tuple[int, int, int]]:
        """The words of an output: bank, address and write group."""
        write, arrays = self.write, self.shape.arrays
        block, pixel = divmod(number, write["plane"])
        plane, group = divmod(block, self.shape.groups)
        spread = bool(write.get("spread", 0))
        strip, pixel = divmod(pixel, write["words"]) if spread else (0, pixel)
        address = write["address"] + plane * self._next_plane + self._offset(pixel)
        return [(bank, address, group) for bank in ([strip] if spread else range(arrays))]

    def _offset(self, pixel: int) -> int:
        """From a plane's first address to that of a pixel."""
        if not self.shape.strided_writes:
            return pixel
        row, column = divmod(pixel, self.write["width"])
        return row * self._row + column * self.write["step"]

    @property
    def _row(self) -> int:
        return (self.write["width"] - 1) * self.write["step"] + self.write["jump"]

    @property
    def _next_plane(self) -> int:
        if not self.shape.strided_writes:
            return self.write.get("words", self.write["plane"])
        pixels = self.write["plane"]
        if self.write.get("spread", 0):
            pixels = (pixels - 1) % self.write["words"] + 1
        return self._offset(pixels - 1) + self.write["skip"]
