"""A band of a layer: some rows of its output, as a layer of its own on pieces of the tensors that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwquant.copies import Grid
from hwquant.program.layers import ArrayLayer, ArrayProduct, ArrayTerm, Destination
from hwquant.qgraph import IntArray


@dataclass(frozen=True)
class Held:
    """A tensor as the activation memory has it, or a part of it.

    Attributes
    ----------
    name : str
        Name under which layers find it.
    part : range
        The tensor's rows, or planes, that are there.
    """

    name: str
    part: range


def hull(one: range | None, other: range) -> range:
    """The rows from the first to the last of two ranges."""
    if one is None:
        return other
    return range(min(one.start, other.start), max(one.stop, other.stop))


def own_rows(layer: ArrayLayer, written: range) -> range:
    """The rows of a layer's output that become some rows of its tensor; perhaps none."""
    if layer.into is None:
        return written
    first, step = layer.into.grid.start[0], layer.into.grid.step[0]
    start = max(0, -(-(written.start - first) // step))
    stop = min(layer.pixels[0], -(-(written.stop - first) // step))
    return range(start, max(start, stop))


def read_rows(layer: ArrayLayer, own: range, heights: Mapping[str, int]) -> dict[str, range]:
    """From the first to the last row of each tensor that some rows of a layer's output are computed of.

    Where that is padding alone, it is the row that is next to it.

    Parameters
    ----------
    layer : ArrayLayer
        The layer.
    own : range
        Rows of its output, at least one.
    heights : mapping of int
        Rows of each tensor, by name.
    """
    if layer.product:
        product = layer.product
        factors = range(heights[product.factors]) if product.held else own
        found = {product.tensor: own}
        found[product.factors] = hull(found.get(product.factors), factors)
        return found
    found = {}
    for term in layer.terms:
        start, stop = _span(layer, term, own)
        height = heights[term.tensor]
        start = min(max(start, 0), height - 1)
        found[term.tensor] = hull(found.get(term.tensor), range(start, max(start + 1, min(stop, height))))
    return found


def read_planes(layer: ArrayLayer, own: range, counts: Mapping[str, int]) -> dict[str, range]:
    """From the first to the last plane of each tensor that some planes of a layer's output are computed of.

    Parameters
    ----------
    layer : ArrayLayer
        The layer, which writes to a tensor of its own.
    own : range
        Planes of its output, at least one.
    counts : mapping of int
        Planes of each tensor, by name.
    """
    found: dict[str, range] = {}
    if layer.product:
        return dict.fromkeys(layer.reads, own)
    for term in layer.terms:
        read = own if term.separate else range(counts[term.tensor])
        found[term.tensor] = hull(found.get(term.tensor), read)
    return found


def _span(layer: ArrayLayer, term: ArrayTerm, own: range) -> tuple[int, int]:
    """The first row that a term reads, and the one behind the last, padding among them."""
    within = (layer.window[0] - 1) * layer.window_dilation[0]
    visited = (own.start * layer.window_stride[0], (own.stop - 1) * layer.window_stride[0] + within)
    first, last = sorted(row * term.stride[0] for row in visited)
    return first - term.padding[0], last - term.padding[0] + (term.kernel[0] - 1) * term.dilation[0] + 1


def band(layer: ArrayLayer, own: range, sources: Mapping[str, Held], output: Held) -> ArrayLayer:
    """Make a layer of some rows of a layer's output.

    Parameters
    ----------
    layer : ArrayLayer
        The layer.
    own : range
        Rows of its output, at least one.
    sources : mapping of Held
        Where the tensors that it reads are, by their names: at least the rows of :func:`read_rows`.
    output : Held
        Where the tensor is to be that it writes.
    """
    rows, columns = layer.pixels
    into = _into(layer, own, output)
    whole = len(own) == rows

    def part(count: int) -> int:
        return count * own.stop // rows - count * own.start // rows

    return replace(
        layer,
        name=output.name
        if into is None
        else layer.name
        if whole
        else f"{layer.name}[{own.start}:{own.stop}]",
        terms=tuple(_term(layer, term, own, sources[term.tensor]) for term in layer.terms),
        product=_product(layer.product, own, sources) if layer.product else None,
        macs=part(layer.macs),
        useful_macs=part(layer.useful_macs),
        pixels=(len(own), columns),
        into=into,
    )


def plane_band(
    layer: ArrayLayer, own: range, lanes: int, sources: Mapping[str, Held], output: Held
) -> ArrayLayer:
    """Make a layer of some planes of a layer's output: of the channels that these hold.

    Parameters
    ----------
    layer : ArrayLayer
        The layer, which writes to a tensor of its own.
    own : range
        Planes of its output, at least one.
    lanes : int
        Channels in a word.
    sources : mapping of Held
        Where the tensors that it reads are, by their names: the planes of :func:`read_planes`.
    output : Held
        Where the planes are to be.
    """
    total = len(layer.bias)
    outputs = slice(own.start * lanes, min(own.stop * lanes, total))

    def of_each(values: IntArray) -> IntArray:
        return values[outputs] if len(values) > 1 else values

    terms = []
    for term in layer.terms:
        source, reads, channels = sources[term.tensor], term.reads[outputs], term.channels
        if term.separate:
            first = source.part.start * lanes
            reads, channels = reads - first, min(source.part.stop * lanes, channels) - first
        terms.append(
            replace(
                term,
                tensor=source.name,
                channels=channels,
                weight=term.weight[outputs],
                reads=reads,
                offset=of_each(term.offset),
            )
        )
    product = layer.product
    if product:
        product = replace(product, tensor=sources[product.tensor].name, factors=sources[product.factors].name)
    return replace(
        layer,
        name=output.name,
        terms=tuple(terms),
        product=product,
        bias=layer.bias[outputs],
        shift=of_each(layer.shift),
        multiplier=None if layer.multiplier is None else of_each(layer.multiplier),
        macs=layer.macs * outputs.stop // total - layer.macs * outputs.start // total,
        useful_macs=layer.useful_macs * outputs.stop // total - layer.useful_macs * outputs.start // total,
    )


def _term(layer: ArrayLayer, term: ArrayTerm, own: range, source: Held) -> ArrayTerm:
    """The term on what there is of its tensor, whose first row is as much less padding as it is further down."""
    top, left, bottom, right = term.padding
    top += source.part.start - own.start * layer.window_stride[0] * term.stride[0]
    return replace(term, tensor=source.name, padding=(top, left, bottom, right))


def _product(product: ArrayProduct, own: range, sources: Mapping[str, Held]) -> ArrayProduct:
    pixels, factors = sources[product.tensor], sources[product.factors]
    row = 0 if product.held else own.start - factors.part.start
    return replace(
        product,
        tensor=pixels.name,
        factors=factors.name,
        first=(own.start - pixels.part.start, row),
    )


def _into(layer: ArrayLayer, own: range, output: Held) -> Destination | None:
    """Where the band's outputs go; None where they fill what there is of the tensor."""
    if layer.into is None:
        if own == output.part:
            return None
        start = own.start - output.part.start, 0
        return Destination(output.name, Grid(start, (1, 1), (len(own), layer.pixels[1])))
    grid = layer.into.grid
    start = grid.start[0] + own.start * grid.step[0] - output.part.start, grid.start[1]
    return Destination(output.name, Grid(start, grid.step, (len(own), grid.size[1])))
