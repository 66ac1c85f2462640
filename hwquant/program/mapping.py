"""The mapping: how each layer uses the array, decided once, from its geometry.

Of a layer's weights it looks at whether the positions of a kernel all weigh the same and, where an input is packed, at
whether zero is stored in as few bits as they are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hwquant.program.array_shape import TAP_COLUMNS, ArrayShape
from hwquant.program.input_packing import input_packings, packed_term
from hwquant.program.layers import ArrayLayer
from hwquant.program.layout import WindowPacking
from hwquant.program.limits import MIN_TAP_DELAY
from hwquant.program.odd_weights import fill_lanes, without_odd
from hwquant.program.sequence_taps import plan_sequence_taps
from hwquant.program.taps import MAX_LINES, TapPlan, plan_taps
from hwquant.program.tiling import PixelBlock
from hwquant.program.widths import bits_for
from hwquant.program.window_sums import revisits_early, sum_over_window
from hwquant.qgraph import QGraph

NO_PIECES: Mapping[str, str] = {}
"""By name of each piece of a tensor, the tensor's: where all tensors are whole."""

LONGEST_DELAY = 1 << 16
"""Pixels by which a line memory can delay at most."""


@dataclass(frozen=True)
class Dense:
    """Dense tiles: one for each kernel position and each ``rows`` channels.

    Attributes
    ----------
    packing : WindowPacking, optional
        How words of the network's input that the layer reads hold positions of the kernel; None where they do not.
    """

    packing: WindowPacking | None = None


@dataclass(frozen=True)
class WindowSums:
    """Tiles for a window whose pixels weigh the same: one for each ``rows`` channels; accumulators sum over pixels."""


@dataclass(frozen=True)
class Taps:
    """Depthwise tiles, each of several kernel positions.

    Attributes
    ----------
    plan : TapPlan
        What the tiles cover, and how pixels are streamed through them.
    """

    plan: TapPlan


@dataclass(frozen=True)
class Products:
    """Tiles without weights: both factors come from the activation memory, to multipliers below the array.

    Attributes
    ----------
    held : bool
        Whether a factor is read once a tile, before its pixels; otherwise one before each pixel.
    """

    held: bool


Strategy = Dense | WindowSums | Taps | Products


@dataclass(frozen=True, eq=False)
class MappedLayer:
    """A layer as the array executes it.

    Attributes
    ----------
    layer : ArrayLayer
        The layer, with terms and window as the strategy has them: where the input is packed, positions of the kernel
        have become channels; where windows are summed, the kernel has become the window.
    strategy : Dense, WindowSums, Taps or Products
        How the layer uses the array.
    alone : bool, default False
        Whether one of several arrays computes all of the layer (:mod:`hwquant.program.strips`).
    """

    layer: ArrayLayer
    strategy: Strategy
    alone: bool = False

    @property
    def summed(self) -> bool:
        """Whether accumulators sum over windows."""
        return isinstance(self.strategy, WindowSums)

    @property
    def plan(self) -> TapPlan | None:
        """The plan of depthwise tiles; None where the layer has none."""
        return self.strategy.plan if isinstance(self.strategy, Taps) else None

    @property
    def visits(self) -> int:
        """How often a tile adds to an accumulator."""
        return self.layer.window[0] * self.layer.window[1] if self.summed else 1

    def streamed(self, block: PixelBlock) -> int:
        """Pixels that a tile streams to make a block's outputs."""
        width = self.layer.pixels[1]
        if self.plan and self.plan.axis is not None:
            return self.plan.streamed_line(block.count)
        if self.plan:
            return self.plan.streamed(block.count // width, width)
        if isinstance(self.strategy, Products):
            return block.count + 1 if self.strategy.held else 2 * block.count
        return block.count * self.visits


def map_layers(
    layers: Sequence[ArrayLayer],
    qgraph: QGraph,
    shape: ArrayShape,
    *,
    raw: bool = False,
    whole: Mapping[str, str] = NO_PIECES,
) -> tuple[MappedLayer, ...]:
    """Map each layer to the cheapest way to execute it that the hardware has.

    Parameters
    ----------
    layers : sequence of ArrayLayer
        The network's layers, from :func:`hwquant.program.lowering.lower`.
    qgraph : QGraph
        The network, for the shapes of tensors, and which of them are inputs and outputs.
    shape : ArrayShape
        The array with the modes that it has or, where the hardware is still to be made, could have
        (:func:`all_modes`).
    raw : bool, default False
        Whether the host sends the network's inputs as they are, and the hardware makes words of them.
    whole : mapping of str, optional
        By name of each piece of a tensor, the name of the tensor (:mod:`hwquant.program.steps`).
    """
    # What reads these tensors cannot leave out lanes without a channel, which odd weights would fill.
    full = {
        whole.get(term.tensor, term.tensor)
        for layer in layers
        for term in layer.terms
        if term.step == 1 and bits_for(*term.zero_limits) > bits_for(*term.weight_limits)
    }
    for layer in reversed(layers):  # what a lane without a channel holds is multiplied, too
        if layer.product and whole.get(layer.tensor, layer.tensor) in full:
            full |= {whole.get(name, name) for name in layer.reads}
    mapped = [
        _map_layer(
            without_odd(layer)
            if whole.get(layer.tensor, layer.tensor) in full
            and qgraph.tensors[layer.tensor].shape[0] % shape.lanes
            else layer,
            qgraph,
            shape,
        )
        for layer in layers
    ]
    inputs = {item.name for item in qgraph.inputs}
    shapes = {name: qgraph.tensors[name].shape for name in inputs}
    plans = input_packings(
        _packable(mapped, inputs - {item.tensor for item in qgraph.outputs}), shapes, shape, raw=raw
    )
    if shape.raw_inputs:  # hardware lays out inputs in the one way that it was made for
        has = {item.name: raw.packing for item, raw in zip(qgraph.inputs, shape.raw_inputs)}
        plans = {name: plan for name, plan in plans.items() if has.get(name) == plan}
    return tuple(_packed(item, plans, shape, inputs) for item in mapped)


def _packable(mapped: Sequence[MappedLayer], inputs: Iterable[str]) -> dict[str, list[ArrayLayer]]:
    """The layers that read each input of which all readers have one term, and dense tiles."""
    found: dict[str, list[ArrayLayer]] = {}
    for name in inputs:
        readers = [item for item in mapped if name in item.layer.reads]
        if readers and all(
            isinstance(item.strategy, Dense) and len(item.layer.terms) == 1 for item in readers
        ):
            found[name] = [item.layer for item in readers]
    return found


def _packed(
    item: MappedLayer, plans: Mapping[str, WindowPacking], shape: ArrayShape, inputs: Collection[str]
) -> MappedLayer:
    """A layer with dense tiles, its input packed as planned."""
    if not isinstance(item.strategy, Dense):
        return item
    layer, packing = item.layer, plans.get(item.layer.terms[0].tensor)
    if packing:
        layer = replace(layer, terms=(packed_term(layer.terms[0], packing),))
    return MappedLayer(fill_lanes(layer, shape, inputs), Dense(packing))


def _map_layer(layer: ArrayLayer, qgraph: QGraph, shape: ArrayShape) -> MappedLayer:
    """Map one layer, its input as it is."""
    if layer.product:
        return MappedLayer(layer, Products(layer.product.held))
    name = layer.terms[0].tensor
    inputs = {item.name for item in qgraph.inputs}
    plain = layer
    stored = qgraph.tensors[name].shape
    plan = plan_sequence_taps(layer, stored, shape.tap_lines)
    plan = plan or plan_taps(layer, stored, shape.tap_lines, shape.accumulator_depth)
    if plan:
        plain = without_odd(layer)
    if plan and (plan.delay > shape.tap_depth or not _stores_zero(plain, shape)):
        plan = None
    summed = sum_over_window(layer) if shape.window_sums else None
    if summed:
        summed = fill_lanes(summed, shape, inputs)
        summed = summed if len(summed.terms) == 1 else None
    if summed and revisits_early(summed, shape) and not shape.settles:
        summed = None
    if summed and (plan is None or _sum_cost(summed) <= _tap_cost(plan, layer)):
        return MappedLayer(summed, WindowSums())
    if plan:
        return MappedLayer(plain, Taps(plan))
    return MappedLayer(layer, Dense())


def _stores_zero(layer: ArrayLayer, shape: ArrayShape) -> bool:
    """Whether the rows of the array that a filter does not use can hold weight zero."""
    return len(layer.terms) == 1 and bits_for(*layer.terms[0].zero_limits) <= shape.weight_bits


def _sum_cost(layer: ArrayLayer) -> int:
    return layer.pixels[0] * layer.pixels[1] * layer.window[0] * layer.window[1]


def _tap_cost(plan: TapPlan, layer: ArrayLayer) -> int:
    line = plan.axis is not None
    pixels = plan.streamed_line(math.prod(layer.pixels)) if line else plan.streamed(*layer.pixels)
    return len(plan.filters) * pixels


def all_modes(shape: ArrayShape) -> ArrayShape:
    """Give an array every mode that mapping may choose: window sums, and depthwise lines as far as rows allow.

    Odd weights are not among them: where a network has some, the array has them.
    """
    lines = min(MAX_LINES, shape.rows // TAP_COLUMNS)
    if shape.columns > shape.rows or shape.offset == "sum":
        lines = 0
    return replace(shape, window_sums=True, tap_lines=lines, tap_depth=LONGEST_DELAY)


def used_modes(shape: ArrayShape, mapped: Iterable[MappedLayer]) -> ArrayShape:
    """Leave an array only the modes that the mapped layers use."""
    layers = list(mapped)
    delays = [layer.plan.delay for layer in layers if layer.plan]
    return replace(
        shape,
        window_sums=any(layer.summed for layer in layers),
        tap_lines=shape.tap_lines if delays else 0,
        tap_depth=max([MIN_TAP_DELAY, *delays]),
    )


def packings(mapped: Iterable[MappedLayer]) -> Mapping[str, WindowPacking]:
    """Collect how the network's inputs are packed, by their names; inputs that are not packed are left out."""
    return {
        item.layer.terms[0].tensor: item.strategy.packing
        for item in mapped
        if isinstance(item.strategy, Dense) and item.strategy.packing
    }
