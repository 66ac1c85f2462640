"""Whether the first layer may begin while the packer still writes what follows the last beat of a frame.

Padding below and beside the picture belongs to windows that are written after the last pixel has come. The first tile
reads from the top, so that it mostly comes to their words long after they are there.
"""

from __future__ import annotations

from hwquant.program.array_shape import ArrayShape
from hwquant.program.layers import ArrayTerm
from hwquant.program.layout import Placement
from hwquant.program.mapping import Dense, WindowSums
from hwquant.program.schedule import LayerSchedule, Sweep


def begins_early(first: LayerSchedule, inputs: tuple[Placement, ...], shape: ArrayShape) -> bool:
    """Whether no word is read before it is written, and none of the layer's is written before all of these are.

    It is judged by bounds: a tile reads a pixel a cycle at most, and the next one begins when it has ended.

    Parameters
    ----------
    first : LayerSchedule
        The first layer.
    inputs : tuple of Placement
        The places of the network's inputs, in the order of the frame.
    shape : ArrayShape
        The array, with the inputs that its packer lays out.
    """
    tail = shape.raw_inputs[-1].tail(shape.lanes)
    sweep = next(iter(first.sweeps()))
    one = sweep.count == 1
    if not isinstance(first.mapped.strategy, Dense | WindowSums) or sweep.streamed < tail:
        return False
    if one and tail > shape.load_cycles + shape.write_latency:
        return False
    return sweep.source.name != inputs[-1].name or _lowest_row(first, sweep, tail) < _written_late(shape)


def _lowest_row(first: LayerSchedule, sweep: Sweep, cycles: int) -> int:
    """The lowest row of its tensor that the first tile reads in so many cycles: of several arrays, the last one."""
    layer, term = first.mapped.layer, sweep.term
    assert isinstance(term, ArrayTerm)
    (height, width), dilation = layer.window, layer.window_dilation[0]
    outputs = (cycles - 1) // (layer.pixels[1] * height * width)
    row = outputs * layer.window_stride[0] + (height - 1) * dilation
    strips = 0 if first.mapped.alone else sweep.source.last_strip * sweep.source.strip_rows
    return strips + row * term.stride[0] + (term.kernel[0] - 1) * term.dilation[0] - term.padding[0]


def _written_late(shape: ArrayShape) -> int:
    """The first row of the last input's words of which some are written after the last beat."""
    item = shape.raw_inputs[-1]
    width = item.packing.packed_shape[2]
    return (item.packing.packed_shape[1] * width - item.late_windows) // width
