"""The tables of a network's functions, as pages of the hardware's table memories.

Where a network has a table, every layer's clamped integer is looked up, in the page that the layer names: those of
layers without a function read the page that gives each integer itself. Equal pages are stored once. An address of a
page is the integer in two's complement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwquant.coding import integer_limits
from hwquant.program.layers import ArrayLayer
from hwquant.qgraph import MOST_TABLE_BITS, IntArray, QGraph


@dataclass(frozen=True, eq=False)
class TablePages:
    """The contents of the table memories, and who reads what of them.

    Attributes
    ----------
    image : ndarray of int64, shape (pages, 2^bits)
        The outputs; no page where the array has no tables.
    pages : mapping of int
        The page of each layer, by the layer's name.
    """

    image: IntArray
    pages: Mapping[str, int]


def needed_tables(layers: Sequence[ArrayLayer], qgraph: QGraph, least: int = 0) -> dict[str, int]:
    """How wide a table's address must be, and how many tables there must be: fields of an array, by name.

    Parameters
    ----------
    layers : sequence of ArrayLayer
        The network's layers.
    qgraph : QGraph
        The network; an address is as wide as its widest tensor at least.
    least : int, default 0
        Width of the addresses of hardware that there is already; 0 where it has no tables, or there is none.

    Returns
    -------
    dict of int
        Both are 0 where neither the network nor the hardware has a table.
    """
    tables = [layer.table.bits for layer in layers if layer.table is not None]
    if not tables and not least:
        return {"table_bits": 0, "tables": 0}
    bits = max(*tables, least, *(tensor.bits for tensor in qgraph.tensors.values()))
    return {"table_bits": bits, "tables": len(make_pages(layers, min(bits, MOST_TABLE_BITS)).image)}


def make_pages(layers: Sequence[ArrayLayer], bits: int) -> TablePages:
    """Make the pages that layers need, for addresses of so many bits; none for 0 bits."""
    if not bits:
        return TablePages(np.zeros((0, 0), np.int64), {})
    places: dict[bytes, int] = {}
    found: list[IntArray] = []
    pages = {}
    for layer in layers:
        page = _page(layer, bits)
        number = places.setdefault(page.tobytes(), len(found))
        if number == len(found):
            found.append(page)
        pages[layer.name] = number
    return TablePages(np.stack(found), pages)


def _page(layer: ArrayLayer, bits: int) -> IntArray:
    """A page, from address 0 over the positive integers to the negative ones."""
    low, high = integer_limits(bits)
    integers = np.roll(np.arange(low, high + 1), low)
    return integers if layer.table is None else layer.table(np.clip(integers, *layer.table.limits))
