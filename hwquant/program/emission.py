"""The schedule as instructions, and a peephole that drops what sets a register to the value that it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hwquant.copies import Grid
from hwquant.program.array_shape import ArrayShape
from hwquant.program.isa import REGISTERS, SOURCE, Instruction, Opcode
from hwquant.program.layers import ArrayTerm
from hwquant.program.layout import Placement
from hwquant.program.mapping import MappedLayer
from hwquant.program.schedule import LayerSchedule, Sweep
from hwquant.program.taps import tap_levels
from hwquant.program.tiling import runs
from hwquant.program.weight_format import WeightFormat
from hwquant.program.window_sums import revisits_early


def emit(
    schedule: Sequence[LayerSchedule],
    inputs: Sequence[Placement],
    outputs: Sequence[Placement],
    shape: ArrayShape,
    formats: Mapping[ArrayTerm, WeightFormat],
) -> Iterator[Instruction]:
    """Write the instructions of an inference; every sweep sets all registers that it depends on.

    Parameters
    ----------
    schedule : sequence of LayerSchedule
        All layers in order of execution.
    inputs : sequence of Placement
        Where the network's inputs lie: one after the other, in order.
    outputs : sequence of Placement
        Where the network's outputs lie, in order.
    shape : ArrayShape
        The array, with the format of its weight memory.
    formats : mapping of WeightFormat
        How each term's weights are stored.

    Yields
    ------
    Instruction
        The instructions in order, sets that change nothing among them.
    """
    for index, item in enumerate(schedule):
        layer = item.mapped.layer
        settle = item.mapped.summed and shape.settles and revisits_early(layer, shape)
        yield _set(Opcode.WRITE, **_destination(item, shape))
        yield _set(Opcode.CLAMP, low=layer.low, high=layer.high, zero=layer.zero_point)
        for number, sweep in enumerate(item.sweeps()):
            yield from _source(item.mapped, sweep, shape, formats[sweep.term])
            yield _set(Opcode.COUNT, count=sweep.streamed)
            if index == number == 0:
                words = sum(place.words for place in inputs)
                yield _set(Opcode.INPUT, address=inputs[0].address, count=words)
            yield from _tiles(item.mapped, sweep, shape, first=number == 0, settle=settle)
    for number, place in enumerate(outputs, 1):
        yield _set(Opcode.OUTPUT, address=place.address, count=place.words, last=int(number == len(outputs)))
    yield _set(Opcode.END)


def _set(opcode: Opcode, **values: int) -> Instruction:
    return Instruction(opcode, values)


def _destination(item: LayerSchedule, shape: ArrayShape) -> Mapping[str, int]:
    """Where outputs go: to all pixels of the layer's tensor one after the other, or to a grid of another one."""
    output, into = item.output, item.mapped.layer.into
    if not shape.strided_writes:
        return {"address": output.address, "plane": output.plane}
    _, height, width = output.stored_shape
    grid = into.grid if into else Grid((0, 0), (1, 1), (height, width))
    (y, x), (sy, sx), (rows, columns) = grid.start, grid.step, grid.size
    across, down = (columns - 1) * sx, (rows - 1) * sy * width
    return {
        "address": output.address + y * width + x,
        "plane": rows * columns,
        "width": columns,
        "step": sx,
        "jump": sy * width - across,
        "skip": output.plane - across - down,
    }


def _source(
    mapped: MappedLayer, sweep: Sweep, shape: ArrayShape, weights: WeightFormat
) -> Iterator[Instruction]:
    """How the pixels that a term reads are visited, where padding begins, and how its weights are stored."""
    _, height, width = sweep.source.stored_shape
    if mapped.plan:
        plan = mapped.plan
        yield _set(
            Opcode.TAPS, delay=plan.delay, width=mapped.layer.pixels[1], lead=plan.lead, tail=plan.tail
        )
    for level, (limit, y, x) in enumerate(_levels(mapped, sweep.term)):
        yield _set(Opcode.LEVEL, level=level, limit=limit, step=y * width + x, y=y, x=x)
    yield _set(Opcode.PLANE, height=height, width=width, pad=sweep.term.pad)
    if shape.offset != "none" and not shape.channel_offsets:
        offset = shape.offset_step(sweep.term.step) * int(sweep.term.offset[0])
        yield _set(Opcode.OFFSET, offset=offset)
    if shape.formatted:
        yield _set(Opcode.FORMAT, packing=weights.rows_per_word.bit_length() - 1, odd=sweep.term.step - 1)


def _levels(mapped: MappedLayer, term: ArrayTerm) -> list[tuple[int, int, int]]:
    """Loop levels, the innermost first: the last index, and what the next pixel adds to y and to x."""
    if mapped.plan:
        return tap_levels(mapped.plan, term.stride)
    layer = mapped.layer
    (wh, ww), (qy, qx), (dy, dx) = layer.window, layer.window_stride, layer.window_dilation
    sy, sx = term.stride
    back_x, back_y = (ww - 1) * dx, (wh - 1) * dy
    return [
        (ww - 1, 0, dx * sx),
        (wh - 1, dy * sy, -back_x * sx),
        (layer.pixels[1] - 1, -back_y * sy, (qx - back_x) * sx),
        (0, (qy - back_y) * sy, -((layer.pixels[1] - 1) * qx + back_x) * sx),
    ]


def _tiles(
    mapped: MappedLayer, sweep: Sweep, shape: ArrayShape, *, first: bool, settle: bool
) -> Iterator[Instruction]:
    """The tiles of a sweep; ``first`` says that the sweep is the first of its layer."""
    layer, term, tensor = mapped.layer, sweep.term, sweep.source
    y = sweep.pixels.y * layer.window_stride[0] * term.stride[0]
    x = sweep.pixels.x * layer.window_stride[1] * term.stride[1]
    origin = tensor.address + y * tensor.stored_shape[2] + x
    done = sweep.done
    for begin, length, distance in runs(sweep.tiles):
        tile, head = sweep.tiles[begin], begin == 0
        if length > 1:
            yield _set(Opcode.REPEAT, count=length - 1, step=distance)
        yield _set(
            Opcode.TILE,
            address=origin + tile.address,
            part=tile.part,
            y=y + tile.y,
            x=x + tile.x,
            first=int(done == 0),
            last=int(done + length == sweep.count),
            parameters=int(sweep.parameters and head),
            offsets=int(shape.channel_offsets and head),
            source=int(head),
            layer=int(first and head),
            summed=int(mapped.summed),
            taps=int(mapped.plan is not None),
            settle=int(settle and done + length > 1),
        )
        done += length


def drop_redundant_sets(code: Iterable[Instruction]) -> Iterator[Instruction]:
    """Leave out what sets a register to the value that it holds already.

    Where a tile reads its input as the tile before read its own, the geometry stays: ``source`` is cleared.
    """
    held: dict[tuple[Opcode, int], Instruction] = {}
    changed = False
    for instruction in code:
        opcode, values = instruction.opcode, instruction.values
        if opcode in REGISTERS:
            register = opcode, values.get("level", 0)
            if held.get(register) == instruction:
                continue
            held[register] = instruction
            changed |= opcode in SOURCE
        elif opcode is Opcode.TILE and values["source"]:
            if not changed:
                instruction = Instruction(opcode, {**values, "source": 0})
            changed = False
        yield instruction
