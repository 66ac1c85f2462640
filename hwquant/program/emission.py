"""The schedule as instructions, and a peephole that drops what sets a register to the value that it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hwquant.copies import Grid
from hwquant.program.array_shape import ArrayShape
from hwquant.program.isa import REGISTERS, SOURCE, Instruction, Opcode
from hwquant.program.layers import ArrayProduct, ArrayTerm
from hwquant.program.layout import Placement
from hwquant.program.mapping import MappedLayer
from hwquant.program.schedule import LayerSchedule, Sweep
from hwquant.program.taps import tap_levels
from hwquant.program.tiling import runs
from hwquant.program.weight_format import WeightFormat
from hwquant.program.window_sums import revisits_early


def emit(
    schedule: Sequence[LayerSchedule],
    inputs: Sequence[Instruction],
    outputs: Sequence[Instruction],
    shape: ArrayShape,
    formats: Mapping[ArrayTerm, WeightFormat],
    pages: Mapping[str, int],
) -> Iterator[Instruction]:
    """Write the instructions of an inference; every sweep sets all registers that it depends on.

    Parameters
    ----------
    schedule : sequence of LayerSchedule
        All layers in order of execution.
    inputs : sequence of Instruction
        What accepts a frame, from :func:`receive`.
    outputs : sequence of Instruction
        What sends the results, from :func:`send`.
    shape : ArrayShape
        The array, with the format of its weight memory.
    formats : mapping of WeightFormat
        How each term's weights are stored.
    pages : mapping of int
        The page of each layer's table, by the layer's name; empty where there are none.

    Yields
    ------
    Instruction
        The instructions in order, sets that change nothing among them.
    """
    for index, item in enumerate(schedule):
        layer = item.mapped.layer
        settle = item.mapped.summed and shape.settles and revisits_early(layer, shape)
        yield _set(Opcode.WRITE, **_destination(item, shape))
        page = {"table": pages[layer.name]} if pages else {}
        yield _set(Opcode.CLAMP, low=layer.low, high=layer.high, zero=layer.zero_point, **page)
        if layer.product:
            pixel, factor = layer.product.zero_points
            yield _set(Opcode.PRODUCT, pixel=pixel, factor=factor)
        for number, sweep in enumerate(item.sweeps()):
            if sweep.factors:
                yield from _factors(sweep, sweep.factors)
            else:
                yield from _source(item.mapped, sweep, shape, formats)
            yield _set(Opcode.COUNT, count=sweep.streamed)
            if index == number == 0:
                yield from inputs
            if sweep.factors:
                yield _product_tile(sweep, sweep.factors, first=number == 0)
            else:
                yield from _tiles(item.mapped, sweep, shape, first=number == 0, settle=settle)
    yield from outputs
    yield _set(Opcode.END)


def receive(inputs: Sequence[Placement], shape: ArrayShape) -> list[Instruction]:
    """Accept the network's inputs, which lie one after the other, in order."""
    if shape.raw_inputs:
        room = sum(place.room for place in inputs)
        return [_set(Opcode.INPUT, address=inputs[0].address, count=room, early=0)]
    return list(_transfers(Opcode.INPUT, inputs, shape))


def send(outputs: Sequence[Placement], shape: ArrayShape) -> list[Instruction]:
    """Send the network's outputs, in order."""
    return [
        instruction
        for number, place in enumerate(outputs, 1)
        for instruction in _transfers(Opcode.OUTPUT, [place], shape, last=number == len(outputs))
    ]


def _set(opcode: Opcode, **values: int) -> Instruction:
    return Instruction(opcode, values)


def _transfers(
    opcode: Opcode,
    places: Iterable[Placement],
    shape: ArrayShape,
    *,
    last: bool = True,
) -> Iterator[Instruction]:
    """How words of tensors move between host and memory: as many at once as lie behind each other in a bank."""
    everywhere = (1 << shape.arrays) - 1
    moves: list[tuple[int, int, int]] = []
    for place in places:
        for address, count, strip in place.segments():
            # What is a single strip is in all banks.
            banks = everywhere if place.last_strip == 0 and opcode is Opcode.INPUT else 1 << strip
            before = moves[-1] if moves else (0, 0, 0)
            if before[1] and (before[0] + before[1], before[2]) == (address, banks):
                moves[-1] = before[0], before[1] + count, banks
            else:
                moves.append((address, count, banks))
    for number, (address, count, banks) in enumerate(moves, 1):
        ends = (
            {"last": int(last and number == len(moves))} if shape.in_pieces or opcode is Opcode.OUTPUT else {}
        )
        chosen = {"banks": banks} if shape.arrays > 1 else {}
        yield _set(opcode, address=address, count=count, **ends, **chosen)


def _destination(item: LayerSchedule, shape: ArrayShape) -> Mapping[str, int]:
    """Where outputs go: to all pixels of the layer's tensor one after the other, or to a grid of another one."""
    output, layer = item.output, item.mapped.layer
    (rows, columns), width = layer.pixels, output.stored_shape[2]
    # Of several arrays, one alone fills one strip after the other: the last may be lower.
    spread = item.mapped.alone and output.last_strip > 0
    strips = {
        "words": output.plane if spread else rows * columns,
        "alone": int(item.mapped.alone),
        "spread": int(spread),
    }
    several = strips if shape.arrays > 1 else {}
    if shape.overlap:
        several = {"wait": 0, **several}  # until it is known what comes before
    if not shape.strided_writes:
        return {"address": output.address, "plane": rows * columns, **several}
    grid = layer.into.grid if layer.into else Grid((0, 0), (1, 1), layer.pixels)
    (y, x), (sy, sx) = grid.start, grid.step
    across, down = (columns - 1) * sx, ((output.last_rows if spread else rows) - 1) * sy * width
    return {
        "address": output.address + y * width + x,
        "plane": rows * columns,
        "width": columns,
        "step": sx,
        "jump": sy * width - across,
        "skip": output.plane - across - down,
        **several,
    }


def _source(
    mapped: MappedLayer, sweep: Sweep, shape: ArrayShape, formats: Mapping[ArrayTerm, WeightFormat]
) -> Iterator[Instruction]:
    """How the pixels that a term reads are visited, where padding begins, and how its weights are stored."""
    assert isinstance(sweep.term, ArrayTerm)
    weights = formats[sweep.term]
    if mapped.plan:
        plan = mapped.plan
        # On a line every pixel of a pitch is an output's.
        outputs = mapped.layer.pixels[1] if plan.axis is None else plan.pitch
        yield _set(Opcode.TAPS, delay=plan.delay, width=outputs, lead=plan.lead, tail=plan.tail)
    for level, (limit, y, x) in enumerate(_levels(mapped, sweep.term)):
        yield _set(Opcode.LEVEL, level=level, limit=limit, **_distance(sweep.source, y, x))
    yield _plane(sweep.source, sweep.term.pad)
    if shape.offset != "none" and not shape.channel_offsets:
        offset = shape.offset_step(sweep.term.step) * int(sweep.term.offset[0])
        yield _set(Opcode.OFFSET, offset=offset)
    if shape.formatted:
        yield _set(Opcode.FORMAT, packing=weights.rows_per_word.bit_length() - 1, odd=sweep.term.step - 1)


def _distance(place: Placement, y: int, x: int) -> Mapping[str, int]:
    """A step from pixel to pixel: what it adds to the address and to the coordinates."""
    strip, row = place.locate(y)
    number = {"strip": strip} if place.strip_rows else {}
    return {"step": row * place.stored_shape[2] + x, "y": row, "x": x, **number}


def _plane(place: Placement, pad: int) -> Instruction:
    """The bounds of a tensor that is read, and of its strips."""
    width = place.stored_shape[2]
    strips = {"rows": place.strip_rows, "words": place.plane, "last_strip": place.last_strip}
    return _set(
        Opcode.PLANE, height=place.last_rows, width=width, pad=pad, **(strips if place.strip_rows else {})
    )


def _factors(sweep: Sweep, factors: Placement) -> Iterator[Instruction]:
    """How a product's factors and pixels are visited: a factor, then the pixel, or all of them, for which it is held.

    Pixels lie one behind the other. The innermost level leads from a factor to a pixel, the outermost one from there to
    what is next; where tensors lie in strips, the row is counted, too.
    """
    assert isinstance(sweep.term, ArrayProduct)
    pixel, factor = _first_pixel(sweep, sweep.source, sweep.term.first[0]), _first_factor(sweep, factors)
    following = 1 if sweep.term.held else factor + 1 - pixel
    strips = sweep.source.strip_rows > 0
    column = (sweep.source.stored_shape[2] - 1, following) if strips else (0, 0)
    levels = ((1, pixel - factor, 0), (0, 0, 0), (*column, 0), (0, following, int(strips)))
    for level, (limit, step, y) in enumerate(levels):
        number = {"strip": 0} if strips else {}
        yield _set(Opcode.LEVEL, level=level, limit=limit, step=step, y=y, x=0, **number)
    yield _plane(sweep.source, sweep.source.zero_point)


def _first_pixel(sweep: Sweep, place: Placement, first: int) -> int:
    """Address of the first pixel of a product's sweep in a tensor, whose strips may be others, from a row of it on."""
    row = place.locate(first + sweep.pixels.y)[1]
    return place.address + place.offset(sweep.block.plane, 0, sweep.pixels.x) + row * place.stored_shape[2]


def _first_factor(sweep: Sweep, factors: Placement) -> int:
    """Address of the factor that a product's sweep reads first."""
    assert isinstance(sweep.term, ArrayProduct)
    if sweep.term.held:
        return factors.address + sweep.block.plane
    return _first_pixel(sweep, factors, sweep.term.first[1])


def _product_tile(sweep: Sweep, factors: Placement, *, first: bool) -> Instruction:
    """The tile of a product, which has no weights; ``first`` says that it is the first of its layer."""
    assert isinstance(sweep.term, ArrayProduct)
    (tile,) = sweep.tiles
    absent = dict.fromkeys(("offsets", "summed", "taps", "settle"), 0)
    flags = {"first": 1, "last": 1, "parameters": int(sweep.parameters), "source": 1, "layer": int(first)}
    strip, row = sweep.source.locate(sweep.pixels.y)
    place = {"y": row, "strip": strip} if sweep.source.strip_rows else {"y": 0}
    return _set(
        Opcode.TILE,
        address=_first_factor(sweep, factors),
        part=tile.part,
        **place,
        x=0,
        **absent,
        **flags,
        product=1,
        held=int(sweep.term.held),
    )


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
    assert isinstance(term, ArrayTerm)
    y = sweep.pixels.y * layer.window_stride[0] * term.stride[0]
    x = sweep.pixels.x * layer.window_stride[1] * term.stride[1]
    # In strips, the row that a tile begins with says in which one; elsewhere its address does so.
    origin = tensor.address + x + (0 if tensor.strip_rows else y * tensor.stored_shape[2])
    done = sweep.done
    for begin, length, distance in runs(sweep.tiles):
        tile, head = sweep.tiles[begin], begin == 0
        if length > 1:
            yield _set(Opcode.REPEAT, count=length - 1, step=distance)
        yield _set(
            Opcode.TILE,
            **_first(tensor, origin + tile.address, tile.part, y + tile.y, x + tile.x),
            first=int(done == 0),
            last=int(done + length == sweep.count),
            parameters=int(sweep.parameters and head),
            offsets=int(shape.channel_offsets and head),
            source=int(head),
            layer=int(first and head),
            summed=int(mapped.summed),
            taps=int(mapped.plan is not None),
            settle=int(settle and done + length > 1),
            product=0,
            held=0,
        )
        done += length


def _first(place: Placement, address: int, part: int, y: int, x: int) -> Mapping[str, int]:
    """The pixel that a tile begins with; in a strip, the address is yet without what comes of the row."""
    if not place.strip_rows:
        return {"address": address, "part": part, "y": y, "x": x}
    strip, row = place.locate(y)
    return {"address": address + row * place.stored_shape[2], "part": part, "y": row, "x": x, "strip": strip}


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
