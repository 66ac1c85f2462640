"""A band of a layer: some rows of its output, as a layer of its own on pieces of the tensors that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwquant.copies import Grid
from hwquant.program.layers import ArrayLayer, ArrayProduct, ArrayTerm, Destination


@dataclass(frozen=True)
class Held:
    """A tensor as the activation memory has it, or some of its rows.

    Attributes
    ----------
    name : str
        Name under which layers find it.
    rows : range
        The tensor's rows that are there.
    """

    name: str
    rows: range


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


def _term(layer: ArrayLayer, term: ArrayTerm, own: range, source: Held) -> ArrayTerm:
    """The term on what there is of its tensor, whose first row is as much less padding as it is further down."""
    top, left, bottom, right = term.padding
    top += source.rows.start - own.start * layer.window_stride[0] * term.stride[0]
    return replace(term, tensor=source.name, padding=(top, left, bottom, right))


def _product(product: ArrayProduct, own: range, sources: Mapping[str, Held]) -> ArrayProduct:
    pixels, factors = sources[product.tensor], sources[product.factors]
    row = 0 if product.held else own.start - factors.rows.start
    return replace(
        product,
        tensor=pixels.name,
        factors=factors.name,
        first=(own.start - pixels.rows.start, row),
    )


def _into(layer: ArrayLayer, own: range, output: Held) -> Destination | None:
    """Where the band's outputs go; None where they fill what there is of the tensor."""
    if layer.into is None:
        if own == output.rows:
            return None
        start = own.start - output.rows.start, 0
        return Destination(output.name, Grid(start, (1, 1), (len(own), layer.pixels[1])))
    grid = layer.into.grid
    start = grid.start[0] + own.start * grid.step[0] - output.rows.start, grid.start[1]
    return Destination(output.name, Grid(start, grid.step, (len(own), grid.size[1])))
