"""How soon a layer may begin after the one before it, whose outputs are still on their way to the memory.

The sums of a layer's last pixels come out of the array, are requantized and written while the next layer's first pixels
already enter. That layer waits for no more than what it depends on:

- words that its first pixels read, of all layers before;
- bounds of outputs, which change for all columns at once;
- parameters, which come to a block of columns one after the other;
- the line memories of depthwise tiles, where their delay is another;
- and all outputs before, where one of two neighbours is a product.

Time is counted as if a tile waited for nothing but pixels and weights: then what was written before is as near as it
can be. So a layer may wait longer than it has to, and never too short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hwquant.program.array_shape import ArrayShape
from hwquant.program.isa import LAYER, Instruction, Opcode
from hwquant.program.pixel_order import Geometry, Job, Outputs, starts

Values = Mapping[str, int]
Word = tuple[int, int, int]
"""Bank, address and write group of a part of a word."""


def with_waits(code: Iterable[Instruction], shape: ArrayShape) -> Iterator[Instruction]:
    """Have each layer's WRITE say how long its first tile waits.

    Parameters
    ----------
    code : iterable of Instruction
        A program in which each layer begins with its WRITE, and sets all registers that it depends on.
    shape : ArrayShape
        The array, in which layers overlap.

    Yields
    ------
    Instruction
        The same instructions; each WRITE with its ``wait``.
    """
    timeline, layer = _Timeline(shape), list[Instruction]()
    for instruction in code:
        if instruction.opcode in (Opcode.WRITE, Opcode.OUTPUT) and layer:
            yield from timeline.append(layer)
            layer = []
        if layer or instruction.opcode is Opcode.WRITE:
            layer.append(instruction)
        else:
            yield instruction


@dataclass
class _Layer:
    """What the instructions of a layer say.

    Attributes
    ----------
    jobs : list of Job
        Its tiles, repeated ones written out.
    settings : dict of mapping
        Values of its WRITE and CLAMP.
    """

    jobs: list[Job] = field(default_factory=list)
    settings: dict[Opcode, Values] = field(default_factory=dict)

    @property
    def multiplies(self) -> bool:
        """Whether it is a product."""
        return bool(self.jobs[0].tile.get("product"))


@dataclass
class _Timeline:
    """Layers one after the other, and what of them is on its way.

    Attributes
    ----------
    shape : ArrayShape
        The array.
    geometry : Geometry
        How pixels are visited, as instructions have said up to here.
    now : int
        When the latest pixel has left.
    written : dict of int
        When the latest words are written, later than ``now``.
    before : _Layer or None
        The latest layer.
    delay, lines : int
        Delay of the latest depthwise tiles, and when they ended.
    parameters : int
        When the latest block of columns asked for its parameters.
    """

    shape: ArrayShape
    geometry: Geometry = field(default_factory=Geometry)
    now: int = 0
    written: dict[Word, int] = field(default_factory=dict)
    before: _Layer | None = None
    delay: int = -1
    lines: int = 0
    parameters: int = 0

    def append(self, code: list[Instruction]) -> Iterator[Instruction]:
        """Add a layer; return its instructions, with how long it waits."""
        layer = self._read(code)
        wait = self._wait(layer)
        wait += wait == 1  # which hardware cannot
        self._execute(layer, wait)
        write, *others = code
        return iter((Instruction(write.opcode, {**write.values, "wait": wait}), *others))

    def _read(self, code: list[Instruction]) -> _Layer:
        layer = _Layer()
        for instruction in code:
            if instruction.opcode is Opcode.TILE:
                layer.jobs.extend(self.geometry.jobs(instruction.values))
            elif instruction.opcode in LAYER:
                layer.settings[instruction.opcode] = instruction.values
            else:
                self.geometry.set(instruction)
        return layer

    def _wait(self, layer: _Layer) -> int:
        """How long a layer has to wait."""
        shape, first, before = self.shape, layer.jobs[0], self.before
        if before is None:
            return 0  # nothing is on its way
        if layer.multiplies or before.multiplies:
            return shape.drain_latency - 1
        waits = [0, self.parameters + shape.columns - self.now - first.lead]
        if _bounds(layer, shape) != _bounds(before, shape):
            waits.append(shape.columns - 1 + (shape.multiplier_bits > 0) + (shape.tables > 0))
        if first.tile.get("taps") and first.delay != self.delay:
            waits.append(self.lines + shape.drain_latency - 1 - self.now)
        waits.extend(ready - read for ready, read in self._reads(layer))
        return max(waits)

    def _reads(self, layer: _Layer) -> Iterator[tuple[int, int]]:
        """When words that are on their way can be read, and when they would be if the layer did not wait."""
        last = max(self.written.values(), default=0)
        alone = layer.settings[Opcode.WRITE].get("alone", 0)
        for job, start in zip(layer.jobs, starts(layer.jobs, self.now, self.shape)):
            for time, words in enumerate(job.reads(self.shape, alone=bool(alone)), start + 1):
                if time > last:
                    break
                yield from ((self.written[word] + 1, time) for word in words if word in self.written)
            if start >= last:
                return

    def _execute(self, layer: _Layer, wait: int) -> None:
        """Let the layer's pixels leave."""
        times = list(starts(layer.jobs, self.now + wait, self.shape))
        end = times[-1] + layer.jobs[-1].count
        asks = [start + job.lead for job, start in zip(layer.jobs, times) if job.tile["parameters"]]
        self.parameters = max([self.parameters, *asks])
        self.written = {word: time for word, time in self.written.items() if time > end}
        latency = self.shape.write_latency
        if layer.multiplies:
            latency += self.shape.product_latency - self.shape.array_latency
        outputs = Outputs(layer.settings[Opcode.WRITE], self.shape, sum(job.outputs for job in layer.jobs))
        number = outputs.count
        for job, start in zip(reversed(layer.jobs), reversed(times)):
            if start + job.count + latency <= end:
                break
            for output in reversed(range(job.outputs)):
                number -= 1
                time = start + 1 + job.step(output) + latency
                if time <= end:
                    break
                for word in outputs.words(number):
                    self.written.setdefault(word, time)
                    self.written[word] = max(self.written[word], time)
        if layer.jobs[0].tile.get("taps"):
            self.delay, self.lines = layer.jobs[0].delay, end
        self.now, self.before = end, layer


def _bounds(layer: _Layer, shape: ArrayShape) -> Values:
    """What a layer's sums are clamped to; the zero point only where it is added there."""
    values = layer.settings[Opcode.CLAMP]
    return {name: value for name, value in values.items() if name != "zero" or shape.multiplier_bits}
