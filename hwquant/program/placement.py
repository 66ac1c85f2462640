"""Where every tensor lies in the activation memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hwquant.program.array_shape import ArrayShape
from hwquant.program.layout import Lifetime, Placement, allocate
from hwquant.program.mapping import MappedLayer, packings
from hwquant.qgraph import QGraph


@dataclass(frozen=True)
class Placed:
    """The places of all tensors in the activation memory.

    Attributes
    ----------
    tensors : mapping of Placement
        Places by name of tensor, the network's inputs first.
    peak : int
        Words that the memory needs, in each bank.
    """

    tensors: Mapping[str, Placement]
    peak: int


def place(
    mapped: Sequence[MappedLayer], qgraph: QGraph, shape: ArrayShape, strips: Mapping[str, int]
) -> Placed:
    """Give every tensor its address; the inputs lie one after the other, as they arrive as one frame.

    Parameters
    ----------
    mapped : sequence of MappedLayer
        All layers in order of execution.
    qgraph : QGraph
        The network, for the shapes and zero points of tensors.
    shape : ArrayShape
        The array, for the lanes of a word.
    strips : mapping of int
        Rows of a strip, by name of tensor; empty where there is one array.
    """
    frame = [item.name for item in qgraph.inputs]
    packed = packings(mapped)
    places: dict[str, Placement] = {}
    for name in dict.fromkeys([*frame, *(item.layer.tensor for item in mapped)]):
        tensor = qgraph.tensors[name]
        places[name] = Placement(
            name,
            tensor.shape,
            shape.lanes,
            tensor.zero_point,
            packing=packed.get(name),
            strip_rows=strips.get(name, 0),
        )
    produced: dict[str, int] = {}
    for index, item in enumerate(mapped):
        produced.setdefault(item.layer.tensor, index)  # a tensor of several layers begins with the first
    deaths = _deaths(mapped, qgraph, places)
    room = sum(places[name].room for name in frame)
    lifetimes = [Lifetime(frame[0], room, -1, max(deaths[name] for name in frame))]
    lifetimes += [
        Lifetime(name, place.room, produced[name], deaths[name])
        for name, place in places.items()
        if name not in frame
    ]
    addresses, peak = allocate(lifetimes)
    for before, name in pairwise(frame):
        addresses[name] = addresses[before] + places[before].room
    tensors = {name: dataclasses.replace(place, address=addresses[name]) for name, place in places.items()}
    return Placed(tensors, peak)


def _deaths(mapped: Sequence[MappedLayer], qgraph: QGraph, places: Mapping[str, Placement]) -> dict[str, int]:
    """The number of the last layer that reads each tensor; the network's outputs are read after all layers."""
    deaths = dict.fromkeys(places, -1)
    for index, item in enumerate(mapped):
        deaths[item.layer.tensor] = index  # of a tensor that nobody reads
    for index, item in enumerate(mapped):
        deaths |= dict.fromkeys(item.layer.reads, index)
    return deaths | {item.tensor: len(mapped) for item in qgraph.outputs}
