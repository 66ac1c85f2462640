"""The compiler's passes as rows of plain values: for a table, and for JSON.

Rows of layers have the key "layer"; those of one layer can be asked for alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hwquant.errors import HwquantError
from hwquant.program.array_shape import ArrayShape
from hwquant.program.compilation import Compilation
from hwquant.program.isa import Opcode
from hwquant.program.layers import ArrayLayer, ArrayTerm
from hwquant.program.layout import WindowPacking
from hwquant.program.listed_bands import band_rows, band_summary
from hwquant.program.mapping import Dense, MappedLayer, Taps
from hwquant.program.schedule import tile_weights
from hwquant.program.tiling import Tile

PassName = Literal[
    "lowered",
    "bands",
    "mapped",
    "divided",
    "placed",
    "schedule",
    "tiles",
    "shape",
    "tables",
    "emitted",
    "images",
    "sized",
]
PASSES: tuple[PassName, ...] = get_args(PassName)

Row = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """The result of a pass as plain values.

    Attributes
    ----------
    summary : mapping
        What is said of all layers together, by title.
    rows : tuple of dict
        Numbers, text and lists of numbers, by title.
    """

    summary: Mapping[str, Any]
    rows: tuple[Row, ...]


def listing(compilation: Compilation, name: PassName, layer: str | None = None) -> Listing:
    """List what a pass of a compilation made; only that pass and those before it run.

    Parameters
    ----------
    compilation : Compilation
        The passes over a network, for an array.
    name : PassName
        The pass. "bands" says what of the network is outside, which layers are computed together and in how many
        bands, and what that moves. "divided" says which rows of its output each of several arrays computes, or one
        alone all of them, and how high the strips are of what the layer reads and writes. "tiles" are the schedule's,
        a row each: the input channels and the place in the kernel whose weights they hold (of a packed input, the
        lanes of its words; depthwise, each column's own channel), what they add to the address and coordinates of a
        block's first pixel, the part of a word that they read, the first of their words in the weight memory, how many
        there are, how many rows each has, and the weights.
    layer : str, optional
        The layer whose rows are listed, by any name that it covers; None lists all.

    Raises
    ------
    HwquantError
        There is no such layer, the pass is not about layers, or the network cannot be compiled so far.
    """
    make, summarize = _PASSES[name]
    rows = make(compilation)
    if layer is not None:
        if name in ("shape", "sized"):
            raise HwquantError(f"the pass {name} is about the array, not about a layer; leave the layer out")
        wanted = _layer(compilation, layer)
        bands = [wanted, *compilation.bands(wanted)]
        if name == "placed":
            tensors = {name for item in bands for name in (item.tensor, *item.reads)}
            rows = (row for row in rows if row["tensor"] in tensors)
        else:
            names = {item.name for item in bands}
            rows = (row for row in rows if row["layer"] in names)
    return Listing(summarize(compilation), tuple(rows))


def _layer(compilation: Compilation, name: str) -> ArrayLayer:
    """The layer on the array that executes a layer of the network."""
    for item in compilation.lowered:
        if name in (item.name, *item.covers):
            return item
    known = ", ".join(item.name for item in compilation.lowered)
    raise HwquantError(f"the array executes no layer {name!r}; there are {known}")


def _lowered(compilation: Compilation) -> Iterator[Row]:
    for layer in compilation.lowered:
        for number, term in enumerate(layer.terms):
            yield {
                "layer": layer.name,
                "covers": ", ".join(layer.covers) if layer.covers != (layer.name,) else None,
                "term": number,
                "reads": term.tensor,
                "weights": list(term.weight.shape),
                "channels": term.channels,
                "stored": _span(*term.stored_limits),
                "offset": _span(int(term.offset.min()), int(term.offset.max())),
                "step": None if term.step == 1 else term.step,
                "stride": _unless(term.stride, 1),
                "padding": _unless(term.padding, 0),
                "dilation": _unless(term.dilation, 1),
                "pixels": list(layer.pixels),
                "window": _unless(layer.window, 1),
                "clamp": _span(layer.low, layer.high),
            }
        if layer.product:
            yield {
                "layer": layer.name,
                "covers": None,
                "term": None,
                "reads": " * ".join(layer.reads),
                "weights": None,
                "channels": len(layer.bias),
                **dict.fromkeys(("stored", "offset", "step", "stride", "padding", "dilation")),
                "pixels": list(layer.pixels),
                "window": None,
                "clamp": _span(layer.low, layer.high),
            }


def _mapped(compilation: Compilation) -> Iterator[Row]:
    for item in compilation.mapped:
        yield {"layer": item.layer.name, **_strategy(item)}


def _strategy(item: MappedLayer) -> Row:
    row: Row = {
        "strategy": type(item.strategy).__name__,
        "kernel": list(item.layer.terms[0].kernel) if item.layer.terms else None,
        "window": list(item.layer.window),
        "input": None,
        "filters": None,
        "plan": None,
    }
    if isinstance(item.strategy, Dense) and item.strategy.packing:
        row["input"] = _packing(item.strategy.packing)
    if isinstance(item.strategy, Taps):
        plan = item.strategy.plan
        row["filters"] = len(plan.filters)
        row["plan"] = f"pitch {plan.pitch}, delay {plan.delay}, lead {plan.lead}, tail {plan.tail}"
    return row


def _packing(packing: WindowPacking) -> str:
    height = f" in {packing.height} rows" if packing.rows > 1 else ""
    rows = f"{packing.rows} rows x " if packing.rows > 1 else ""
    return f"{rows}{packing.kernel} columns in a word, {packing.width} words a row{height}"


def _divided(compilation: Compilation) -> Iterator[Row]:
    strips = compilation.divided.strips
    for whole, item in zip(compilation.mapped, compilation.divided.layers, strict=True):
        yield {
            "layer": item.layer.name,
            "rows": whole.layer.pixels[0],
            "rows of an array": item.layer.pixels[0],
            "alone": "array 0" if item.alone else None,
            "strips read": ", ".join(f"{name}: {strips[name]}" for name in item.layer.reads)
            if strips
            else None,
            "strips written": strips.get(item.layer.tensor),
        }


def _placed(compilation: Compilation) -> Iterator[Row]:
    # From what reads a tensor last on, others may lie in its place.
    last = {name: item.layer.name for item in compilation.mapped for name in item.layer.reads}
    last |= {item.tensor: "host" for item in compilation.qgraph.outputs}
    sent = {item.name: "words" for item in compilation.qgraph.inputs}
    if compilation.raw_inputs:
        sent = dict.fromkeys(sent, f"pixels, {compilation.needed.frame_values} values a beat")
    for name, place in compilation.placed.tensors.items():
        yield {
            "tensor": name,
            "address": place.address,
            "words": place.words,
            "plane": place.plane,
            "strip rows": place.strip_rows or None,
            "shape": list(place.shape),
            "stored": list(place.stored_shape),
            "lanes": place.lanes,
            "zero point": place.zero_point,
            "packing": _packing(place.packing) if place.packing else None,
            "sent as": sent.get(name),
            "read last by": last.get(name),
        }


def _schedule(compilation: Compilation) -> Iterator[Row]:
    for item in compilation.schedule:
        for sweep in item.sweeps():
            yield {
                "layer": item.mapped.layer.name,
                "plane": sweep.block.plane,
                "group": sweep.block.group,
                "channels": _range(sweep.block.channels),
                "y": sweep.pixels.y,
                "x": sweep.pixels.x,
                "accumulators": sweep.pixels.count,
                "streamed": sweep.streamed,
                "reads": sweep.term.tensor,
                "tiles": len(sweep.tiles),
                "done": sweep.done,
                "of": sweep.count,
            }


def _tiles(compilation: Compilation) -> Iterator[Row]:
    shape, address = compilation.shape, 0
    for item in compilation.schedule:
        places = {place.name: place for place in item.inputs}
        for column_pass in item.passes:
            for term_tiles in column_pass.terms:
                if not isinstance(term_tiles.term, ArrayTerm):
                    continue  # a product has no weights to show
                form = compilation.formats[term_tiles.term]
                weights = tile_weights(item.mapped, term_tiles.term, column_pass.block, shape)
                address += int(shape.channel_offsets)
                for tile in term_tiles.tiles:
                    weight = weights[tile.number]
                    yield {
                        "layer": item.mapped.layer.name,
                        "channels": _range(column_pass.block.channels),
                        "reads": term_tiles.term.tensor,
                        "tile": tile.number,
                        **_covered(item.mapped, term_tiles.term, tile, shape),
                        "address": places[term_tiles.term.tensor].address + tile.address,
                        "part": tile.part,
                        "y": tile.y,
                        "x": tile.x,
                        "word": address,
                        "words": form.words(shape),
                        "packed": form.rows_per_word,
                        "nonzero": int((weight != 0).sum()),
                        "weights": _span(int(weight.min()), int(weight.max())),
                    }
                    address += form.words(shape)


def _covered(mapped: MappedLayer, term: ArrayTerm, tile: Tile, shape: ArrayShape) -> Row:
    """The input channels whose weights a tile holds, and where in the kernel they are; depthwise, a column's own."""
    if mapped.plan:
        covered = mapped.plan.filters[tile.number]
        rows, columns = (", ".join(map(str, item)) for item in (covered.rows, covered.columns))
        return {"inputs": "own", "kernel y": rows, "kernel x": columns}
    read, position = divmod(tile.number, term.kernel[0] * term.kernel[1])
    y, x = divmod(position, term.kernel[1])
    channels = range(read * shape.rows, min((read + 1) * shape.rows, term.channels))
    return {"inputs": _range(channels), "kernel y": str(y), "kernel x": str(x)}


def _emitted(compilation: Compilation) -> Iterator[Row]:
    """The instructions, each with the layer of the next tile: what is set before a tile is set for that tile."""
    names = iter(compilation.schedule)
    layer, waiting = "", []
    for address, instruction in enumerate(compilation.emitted):
        waiting.append((address, str(instruction)))
        if instruction.opcode is Opcode.TILE:
            if instruction.values["layer"]:
                layer = next(names).mapped.layer.name
            yield from ({"address": a, "layer": layer, "instruction": text} for a, text in waiting)
            waiting = []
    yield from ({"address": a, "layer": "", "instruction": text} for a, text in waiting)


def _instructions(compilation: Compilation) -> Row:
    """How many there are, and how many of them are inside at a time where they come from external memory."""
    inside = {"inside at a time": compilation.sized.program_depth} if compilation.fetched else {}
    return {"instructions": len(compilation.emitted), **inside}


def _tables(compilation: Compilation) -> Iterator[Row]:
    tables = compilation.tables
    for item in compilation.mapped:
        page = tables.pages.get(item.layer.name)
        values = [] if page is None else tables.image[page].tolist()
        half = len(values) // 2
        yield {
            "layer": item.layer.name,
            "page": page,
            "function": item.layer.table is not None,
            "from": None if page is None else -half,
            "values": [*values[half:], *values[:half]],
        }


def _images(compilation: Compilation) -> Iterator[Row]:
    images, address = compilation.images, 0
    columns = compilation.shape.columns
    for item in compilation.schedule:
        for column_pass in item.passes:
            for column in range(columns):
                channels = column_pass.block.channels
                yield {
                    "address": address,
                    "layer": item.mapped.layer.name,
                    "column": column,
                    "channel": channels[column] if column < len(channels) else None,
                    "bias": int(images.bias[address]),
                    "shift": int(images.shift[address]),
                    "multiplier": int(images.multiplier[address]),
                }
                address += 1


def _shape(compilation: Compilation) -> Iterator[Row]:
    yield from _fields(
        {"offered": compilation.offered, "needed": compilation.needed, "chosen": compilation.shape}
    )


def _sized(compilation: Compilation) -> Iterator[Row]:
    needs = compilation.needs
    for row in _fields({"value": compilation.sized}):
        yield {**row, "needed": needs.get(row["field"])}


def _fields(shapes: Mapping[str, ArrayShape]) -> Iterator[Row]:
    first = next(iter(shapes.values()))
    for name in first.__dataclass_fields__:
        if name == "raw_inputs":  # told with the mapped layers
            continue
        yield {"field": name, **{title: getattr(shape, name) for title, shape in shapes.items()}}


def _span(low: int, high: int) -> str:
    return f"{low}..{high}" if low < high else str(low)


def _unless(values: Sequence[int], usual: int) -> list[int] | None:
    return None if all(value == usual for value in values) else list(values)


def _range(channels: range) -> str:
    return _span(channels.start, channels.stop - 1) if channels else "none"


def _nothing(compilation: Compilation) -> Row:
    return {}


_PASSES: Mapping[PassName, tuple[Callable[[Compilation], Iterator[Row]], Callable[[Compilation], Row]]] = {
    "lowered": (_lowered, lambda item: {"layers": len(item.lowered)}),
    "bands": (band_rows, band_summary),
    "mapped": (_mapped, lambda item: {"layers": len(item.mapped)}),
    "divided": (_divided, lambda item: {"arrays": item.needed.arrays}),
    "placed": (_placed, lambda item: {"peak": item.placed.peak}),
    "schedule": (_schedule, lambda item: {"pixels a block at most": item.needed.accumulator_depth}),
    "tiles": (_tiles, _nothing),
    "shape": (_shape, _nothing),
    "tables": (_tables, lambda item: {"pages": len(item.tables.image), "bits": item.shape.table_bits}),
    "emitted": (_emitted, _instructions),
    "images": (
        _images,
        lambda item: {
            "weight words": len(item.images.weights),
            "least sum": item.images.sums[0],
            "greatest sum": item.images.sums[1],
            "widest": item.images.widest,
        },
    ),
    "sized": (_sized, _nothing),
}
"""How the rows and the summary of every pass are made."""
