"""TensorFlow Lite's operators that reshape, take, join and surround elements, as nodes of ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hwquant.frontends.tflite_call import TO_CHANNELS_FIRST, Image, Made, TfliteCall

_ALL = (1 << 31) - 1
"""An end behind any axis."""


def _list(call: TfliteCall, numbers: Any) -> str:
    return call.write.constant(np.array(numbers, np.int64))


def _axis(call: TfliteCall, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise call.invalid(f"axis {axis} of a tensor of {rank} dimensions does not exist")
    return axis % rank


def _data(call: TfliteCall, *positions: int) -> tuple[list[str], tuple[int, ...], Callable[[str], Made]]:
    """Inputs, their axes in ONNX's order by those in the file's, and what a result becomes: images are kept images.

    What surrounds or joins channels is read far better where channels come first.
    """
    rank = len(call.shape(positions[0]))
    if rank == 4 and all(len(call.shape(position)) == 4 for position in positions):
        return [call.image(position) for position in positions], TO_CHANNELS_FIRST, Image
    return [call.real(position) for position in positions], tuple(range(rank)), str


def concatenation(call: TfliteCall) -> Made:
    """CONCATENATION; uint8 of several scales is rounded, int8 has one."""
    result = call.file.tensors[call.operation.outputs[0]]
    for position in range(len(call.operation.inputs)):
        meaning = call.quantization(position)
        if result.kind == "INT8" and meaning is not None and not meaning.equals(result.quantization):
            raise call.invalid("it joins int8 of several scales")
    names, order, made = _data(call, *range(len(call.operation.inputs)))
    axis = order.index(_axis(call, call.options["Axis"], len(order)))
    return made(call.write.node("Concat", *names, axis=axis))


def reshape(call: TfliteCall) -> str:
    """RESHAPE, to an input's numbers or else to the option's."""
    shape = call.integers(1) if call.given(1) else list(call.options.get("NewShape", ()))
    if not call.given(1) and shape == [0]:  # how old files write a shape without dimensions
        shape = []
    have, known = math.prod(call.shape(0)), math.prod(size for size in shape if size != -1)
    if shape.count(-1) > 1 or known < 1 or have % known or (-1 not in shape and have != known):
        raise call.invalid(f"a tensor of shape {call.shape(0)} does not fit into {shape}")
    return call.write.node("Reshape", call.real(0), _list(call, shape))


def squeeze(call: TfliteCall) -> str:
    """SQUEEZE, of all axes of size 1 where none is named."""
    axes, sizes = call.options["SqueezeDims"], call.shape(0)
    axes = [_axis(call, axis, len(sizes)) for axis in axes]
    axes = axes or [axis for axis, size in enumerate(sizes) if size == 1]
    return call.write.node("Squeeze", call.real(0), _list(call, axes)) if axes else call.real(0)


def expand_dims(call: TfliteCall) -> str:
    """EXPAND_DIMS."""
    return call.write.node("Unsqueeze", call.real(0), _list(call, [call.integer(1)]))


def transpose(call: TfliteCall) -> str:
    """TRANSPOSE."""
    rank = len(call.shape(0))
    order = [_axis(call, axis, rank) for axis in call.integers(1)]
    if sorted(order) != list(range(rank)) or call.shape(1) != (rank,):
        raise call.invalid(f"its order {order} is none of {rank} axes")
    return call.write.node("Transpose", call.real(0), perm=order)


def _pads(call: TfliteCall, position: int = 1) -> list[int]:
    """A constant of the elements before and behind each axis."""
    pads = call.integers(position)
    if len(pads) != 2 * len(call.shape(0)) or min(pads, default=0) < 0:
        raise call.invalid(f"its paddings {pads} do not fit a tensor of shape {call.shape(0)}")
    return pads


def _padded(call: TfliteCall, fill: list[str], mode: str) -> Made:
    pads = _pads(call)
    names, order, made = _data(call, 0)
    both = [pads[2 * axis] for axis in order] + [pads[2 * axis + 1] for axis in order]
    return made(call.write.node("Pad", *names, _list(call, both), *fill, mode=mode))


def pad(call: TfliteCall) -> Made:
    """PAD with zeros, and PADV2 with a number; around integers that is what stands for it."""
    fill = []
    if call.given(2):
        found = call.stored(2)
        value = found.array.ravel().astype(np.float32)
        if value.size != 1 or found.array.dtype.kind not in "fiu":
            raise call.invalid("what it pads with is not one number")
        meaning = found.quantization
        if (meaning is None) != (call.quantization(0) is None):
            raise call.invalid("what it pads with is of another type")
        if meaning is not None:
            if not meaning.equals(call.quantization(0)):
                raise call.refuse("what it pads with has a scale of its own")
            value = (value - meaning.zero_points) * meaning.scales
        fill = [call.write.constant(np.asarray(value, np.float32).reshape(()))]
    return _padded(call, fill, "constant")


def mirror_pad(call: TfliteCall) -> Made:
    """MIRROR_PAD: the border is left out (REFLECT), or repeated (SYMMETRIC), which ONNX has no mode for."""
    pads, symmetric, sizes = _pads(call), call.options["Mode"] == 1, call.shape(0)
    if any(max(pads[2 * axis : 2 * axis + 2]) > size - (not symmetric) for axis, size in enumerate(sizes)):
        raise call.invalid(f"it surrounds a tensor of shape {sizes} with {pads} elements of it")
    if not symmetric:
        return _padded(call, [], "reflect")
    (name,), order, made = _data(call, 0)
    for axis, size in enumerate(sizes):
        around = (pads[2 * axis], pads[2 * axis + 1])
        if any(around):
            places = _list(call, np.pad(np.arange(size), around, mode="symmetric"))
            name = call.write.node("Gather", name, places, axis=order.index(axis))
    return made(name)


def _sliced(call: TfliteCall, starts: list[int], ends: list[int], steps: list[int]) -> Made:
    names, order, made = _data(call, 0)
    axes = [order.index(axis) for axis in range(len(starts))]
    return made(
        call.write.node("Slice", *names, *(_list(call, item) for item in (starts, ends, axes, steps)))
    )


def slice_(call: TfliteCall) -> Made:
    """SLICE: where it begins, and how many; -1 for all that are left."""
    starts, counts, sizes = call.integers(1), call.integers(2), call.shape(0)
    ends = [_ALL if count == -1 else start + count for start, count in zip(starts, counts)]
    fits = len(starts) == len(counts) == len(sizes) and all(
        start >= 0 and (count == -1 or count > 0) and (end <= size or count == -1)
        for start, count, end, size in zip(starts, counts, ends, sizes)
    )
    if not fits:
        raise call.invalid(f"from {starts} on, {counts} elements do not fit a tensor of shape {sizes}")
    return _sliced(call, starts, ends, [1] * len(starts))


def strided_slice(call: TfliteCall) -> Made:
    """STRIDED_SLICE; bits of a mask say which ends are left open, and which axes go."""
    starts, ends, steps = call.integers(1), call.integers(2), call.integers(3)
    sizes = call.shape(0)
    if not len(starts) == len(ends) == len(steps) <= len(sizes) or 0 in steps:
        raise call.invalid(f"its bounds {starts}, {ends} and {steps} do not fit a tensor of shape {sizes}")
    gone = [axis for axis in range(len(starts)) if call.options["ShrinkAxisMask"] >> axis & 1]
    for axis, size in enumerate(sizes[: len(starts)]):
        first = None if call.options["BeginMask"] >> axis & 1 else starts[axis]
        last = None if call.options["EndMask"] >> axis & 1 else ends[axis]
        if axis in gone:
            begin = 0 if first is None else first
            if steps[axis] != 1 or not -size <= begin < size:
                raise call.invalid(f"it takes element {begin} of {size} in steps of {steps[axis]}")
            first, last = begin % size, begin % size + 1
        starts[axis], ends[axis], _ = slice(first, last, steps[axis]).indices(size)
        if ends[axis] < 0:  # before the first element, which a negative number does not mean
            ends[axis] = -size - 1
    if not gone:
        return _sliced(call, starts, ends, steps) if starts else call.real(0)
    bounds = (_list(call, item) for item in (starts, ends, range(len(starts)), steps))
    return call.write.node("Squeeze", call.write.node("Slice", call.real(0), *bounds), _list(call, gone))


def _split(call: TfliteCall, position: int, axis: int, sizes: list[int]) -> list[Made]:
    names, order, made = _data(call, position)
    attributes = {"axis": order.index(_axis(call, axis, len(order)))}
    inputs = (*names, _list(call, sizes))
    if len(sizes) != len(call.operation.outputs) or min(sizes) < 1:
        raise call.invalid(f"it makes {len(call.operation.outputs)} tensors, of {sizes} elements")
    return [made(name) for name in call.write.nodes_of("Split", inputs, len(sizes), attributes)]


def split(call: TfliteCall) -> list[Made]:
    """SPLIT into equal parts; the axis is its first input."""
    sizes, count = call.shape(1), int(call.options["NumSplits"])
    axis = _axis(call, call.integer(0), len(sizes))
    if count < 1 or count != len(call.operation.outputs) or sizes[axis] % count:
        raise call.invalid(f"it splits {sizes[axis]} elements into {count} equal parts")
    return _split(call, 1, axis, [sizes[axis] // count] * count)


def split_v(call: TfliteCall) -> list[Made]:
    """SPLIT_V into parts of given sizes, of which one may be what is left (-1)."""
    sizes, counts = call.shape(0), call.integers(1)
    axis = _axis(call, call.integer(2), len(sizes))
    if counts.count(-1) > 1:
        raise call.invalid(f"its sizes are {counts}")
    rest = sizes[axis] - sum(count for count in counts if count != -1)
    return _split(call, 0, axis, [rest if count == -1 else count for count in counts])


def pack(call: TfliteCall) -> str:
    """PACK: tensors along a new axis."""
    positions = range(len(call.operation.inputs))
    axis = _axis(call, call.options["Axis"], len(call.shape(0)) + 1)
    parts = [call.write.node("Unsqueeze", call.real(position), _list(call, [axis])) for position in positions]
    return call.write.node("Concat", *parts, axis=axis)


def unpack(call: TfliteCall) -> list[Made]:
    """UNPACK: the tensors along an axis, each without it."""
    axis, name = _axis(call, call.options["Axis"], len(call.shape(0))), call.real(0)
    size = call.shape(0)[axis]
    if size != len(call.operation.outputs):
        raise call.invalid(f"it makes {len(call.operation.outputs)} tensors of {size}")
    parts = call.write.nodes_of("Split", (name, _list(call, [1] * size)), size, {"axis": axis})
    return [call.write.node("Squeeze", part, _list(call, [axis])) for part in parts]


def gather(call: TfliteCall) -> str:
    """GATHER along an axis."""
    axis = _axis(call, call.options["Axis"], len(call.shape(0)))
    found = call.state.stored.get(call.number(1))
    size = call.shape(0)[axis]
    if found is not None and found.array.size and not 0 <= found.array.min() <= found.array.max() < size:
        raise call.invalid(f"not all of its places are among {size}")
    return call.write.node("Gather", call.real(0), call.real(1), axis=axis)


def tile(call: TfliteCall) -> str:
    """TILE."""
    return call.write.node("Tile", call.real(0), _list(call, call.integers(1)))


def resize(mode: str) -> Callable[[TfliteCall], Image]:
    """RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR."""

    def translate(call: TfliteCall) -> Image:
        image, sizes = call.image(0), call.integers(1)
        corners, centers = call.options["AlignCorners"], call.options["HalfPixelCenters"]
        if len(sizes) != 2 or min(sizes) < 1 or (corners and centers):
            raise call.invalid(f"it resizes to {sizes}")
        place = "align_corners" if corners else "half_pixel" if centers else "asymmetric"
        target = [*call.write.shape(image)[:2], *sizes]
        return Image(
            call.write.node(
                "Resize",
                image,
                "",
                "",
                _list(call, target),
                mode=mode,
                coordinate_transformation_mode=place,
                nearest_mode="round_prefer_ceil" if corners or centers else "floor",
            )
        )

    return translate


def blocks(operator: str) -> Callable[[TfliteCall], Image]:
    """DEPTH_TO_SPACE and SPACE_TO_DEPTH: channels are the inner part of blocks in both."""

    def translate(call: TfliteCall) -> Image:
        size = int(call.options["BlockSize"])
        if size < 1:
            raise call.invalid(f"its BlockSize is {size}")
        return Image(call.write.node(operator, call.image(0), blocksize=size))

    return translate


def space_to_batch(call: TfliteCall) -> Made:
    """SPACE_TO_BATCH_ND: only padded here, and what follows until BATCH_TO_SPACE_ND is dilated."""
    sizes, block, pads = call.shape(0), call.integers(1), call.integers(2)
    if len(sizes) != 4 or len(block) != 2 or len(pads) != 4:
        raise call.refuse("only images are put into blocks, of their height and width")
    padded = [size + sum(pads[2 * axis : 2 * axis + 2]) for axis, size in enumerate(sizes[1:3])]
    if min(block) < 1 or min(pads) < 0 or any(size % step for size, step in zip(padded, block)):
        raise call.invalid(f"{padded} pixels are no multiple of {block}")
    call.state.blocks[call.operation.outputs[0]] = (block[0], block[1])
    around = [0, 0, pads[0], pads[2], 0, 0, pads[1], pads[3]]
    return Image(call.write.node("Pad", call.image(0), _list(call, around)))


def batch_to_space(call: TfliteCall) -> Made:
    """BATCH_TO_SPACE_ND: only cropped here."""
    block, crops = call.integers(1), call.integers(2)
    if call.state.blocks.get(call.number(0)) != tuple(block):
        raise call.refuse("it is not the end of what a SPACE_TO_BATCH_ND with the same blocks began")
    del call.state.blocks[call.operation.outputs[0]]
    height, width = call.shape(0)[1:3]
    if len(crops) != 4 or min(crops) < 0 or crops[0] + crops[1] >= height or crops[2] + crops[3] >= width:
        raise call.invalid(f"it crops {height} x {width} pixels by {crops}")
    ends = [_ALL, height - crops[1], width - crops[3]]
    return _sliced(call, [0, crops[0], crops[2]], ends, [1] * 3)
