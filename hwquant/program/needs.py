"""What a compiled network needs of memories and widths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hwquant.program.array_shape import ArrayShape
from hwquant.program.config import ArrayConfig
from hwquant.program.images import Images
from hwquant.program.isa import Instruction, Opcode
from hwquant.program.layers import ArrayTerm
from hwquant.program.placement import Placed
from hwquant.program.schedule import LayerSchedule
from hwquant.program.widths import bits_for


def measure(
    code: Sequence[Instruction], schedule: Sequence[LayerSchedule], placed: Placed, images: Images
) -> dict[str, int]:
    """Measure what a compiled network needs of each field in ``SIZES`` and ``BIASES``.

    Parameters
    ----------
    code : sequence of Instruction
        The instructions.
    schedule : sequence of LayerSchedule
        All layers in order of execution.
    placed : Placed
        Where tensors lie in the activation memory.
    images : Images
        The contents of the read-only memories.

    Returns
    -------
    dict of int
        Words or bits by name of field.
    """
    coordinates = [
        instruction.values[name]
        for instruction in code
        for name in ("y", "x", "height", "width", "limit", "rows")
        if name in instruction.values
    ]
    strips = [
        instruction.values[name]
        for instruction in code
        for name in ("strip", "last_strip")
        if name in instruction.values
    ]
    counts = (instruction.values["count"] for instruction in code if instruction.opcode is Opcode.COUNT)
    return {
        "activation_depth": placed.peak,
        "weight_depth": len(images.weights),
        "parameter_depth": len(images.bias),
        "program_depth": len(code),
        "accumulator_bits": bits_for(*images.sums),
        "block_steps": max(counts),
        "coordinate_bits": bits_for(min(coordinates), max(*coordinates, _reach(schedule))),
        "bias_bits": bits_for(int(images.bias.min()), int(images.bias.max())) - images.bias_zeros,
        "bias_zeros": images.bias_zeros,
        "strip_bits": bits_for(min(strips), max(*strips, _farthest_strip(schedule))) if strips else 0,
    }


def parameter_bits(shape: ArrayShape, needed: Mapping[str, int], config: ArrayConfig | None) -> int:
    """Width of a word of parameters: of hardware that exists, or as :func:`size` makes it of what is needed."""
    if config:
        return config.parameter_bits
    bias = needed["bias_bits"] if needed["bias_zeros"] else max(8, needed["accumulator_bits"])
    return bias + shape.shift_bits + shape.multiplier_bits


def _reach(schedule: Sequence[LayerSchedule]) -> int:
    """The greatest coordinate that a stream of pixels comes to."""
    reach = 0
    for item in schedule:
        places = {place.name: place for place in item.inputs}
        for term in {term_tiles.term for column_pass in item.passes for term_tiles in column_pass.terms}:
            if not isinstance(term, ArrayTerm):
                continue  # a product reads no padding
            _, height, width = places[term.tensor].stored_shape
            reach = max(reach, height + term.padding[2], width + term.padding[3])
            plan = item.mapped.plan
            if plan and plan.axis is not None:
                first = max(max(part.y, part.x) for part in plan.filters)
                pixels = plan.streamed_line(math.prod(item.mapped.layer.pixels))
                reach = max(reach, first + term.stride[plan.axis] * pixels)
            elif plan:
                # Streams run on below the last row and, at the end of a row, into the next one's padding.
                reach = max(reach, max(height, width) + 2 * plan.pitch)
    return reach


def _farthest_strip(schedule: Sequence[LayerSchedule]) -> int:
    """The greatest number of a strip that a stream of pixels comes to, counted from that of the array."""
    farthest = 0
    for item in schedule:
        layer = item.mapped.layer
        for place in item.inputs:
            rows = place.stored_shape[1]
            for term in (term for term in layer.terms if term.tensor == place.name):
                taken = (layer.pixels[0] - 1) * layer.window_stride[0] + (
                    layer.window[0] - 1
                ) * layer.window_dilation[0]
                if item.mapped.plan:
                    plan = item.mapped.plan
                    longest = max(item.mapped.streamed(block) for block in item.pixel_blocks)
                    first = max(part.y for part in plan.filters)
                    taken += longest if plan.axis is not None else longest // plan.pitch + 1
                    rows = max(rows, first + (taken + 1) * term.stride[0])
                reach = taken * term.stride[0] + (term.kernel[0] - 1) * term.dilation[0]
                rows = max(rows, reach + 1, place.stored_shape[1] + term.padding[2])
            farthest = max(farthest, place.locate(rows)[0] + 1)
    return farthest
