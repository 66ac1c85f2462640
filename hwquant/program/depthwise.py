"""Layers whose channels do not mix: as filters along the columns, or as sums over windows.

A depthwise tile covers up to ``tap_lines`` x TAP_COLUMNS kernel positions at once. Pixels are streamed row by
row; row ``TAP_COLUMNS * line + k`` of the array multiplies the stream of kernel row ``line``, which is
``delay`` cycles older than that of the next one. With a row pitch of ``pitch`` pixels, an output's taps meet
its sum where ``delay = pitch - TAP_COLUMNS``. Padding columns at the end of a row and at the beginning of the
next are one and the same where both exist.

A stride splits the kernel by the parity of its positions: each part is a filter of stride 1 on every
``stride``-th pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwquant.program.config import ACCUMULATE_HAZARD, MIN_TAP_DELAY, TAP_COLUMNS, ArrayConfig, bits_for
from hwquant.program.layout import Placement
from hwquant.program.lowering import ArrayLayer, ArrayTerm
from hwquant.program.tiling import ColumnBlock, TermTiles, Tile, pixel_blocks
from hwquant.program.weight_format import weight_format
from hwquant.qgraph import Tensor

MAX_LINES = 3
"""Kernel rows of a depthwise tile at most: 3x3 is the kernel that networks have."""


@dataclass(frozen=True)
class Filter:
    """A part of the kernel that one tile covers: kernel rows ``rows`` and columns ``columns``.

    ``y``, ``x``: where the first tap of output (0, 0) reads.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    y: int
    x: int


@dataclass(frozen=True)
class TapPlan:
    """How a depthwise step is streamed; all its tiles alike.

    Attributes
    ----------
    filters : the tiles of a column block
    pitch : steps of a row; delay : cycles from one kernel row's stream to the next one's
    lead : steps before the first output; tail : steps after the last
    """

    filters: tuple[Filter, ...]
    pitch: int
    delay: int
    lead: int
    tail: int

    def steps(self, rows: int, width: int) -> int:
        """Steps of a tile that makes this many rows of outputs."""
        return self.lead + (rows - 1) * self.pitch + width + self.tail


def separate(term: ArrayTerm) -> bool:
    """Whether each output channel reads the input channel of its own number, and no other."""
    return term.structure.shape[0] == term.structure.shape[1] and bool(
        np.array_equal(term.structure, np.eye(len(term.structure), dtype=bool))
    )


def sum_over_window(step: ArrayLayer) -> ArrayLayer | None:
    """The step with its kernel as a window to sum over, where all kernel positions weigh the same."""
    if len(step.terms) != 1 or step.pooled:
        return None
    (term,) = step.terms
    corner = term.weight[:, :, :1, :1]
    kernel = term.weight.shape[2:]
    if kernel == (1, 1) or not np.array_equal(term.weight, np.broadcast_to(corner, term.weight.shape)):
        return None
    return replace(
        step,
        terms=(replace(term, weight=corner, stride=(1, 1), dilation=(1, 1)),),
        window=kernel,
        window_stride=term.stride,
        window_dilation=term.dilation,
        summed=True,
    )


def plan_taps(step: ArrayLayer, tensor: Placement, lines: int, depth: int) -> TapPlan | None:
    """How the step runs as depthwise tiles on an array with that many lines; None where it cannot.

    ``depth`` is that of the accumulators, which must hold a row of outputs.
    """
    if len(step.terms) != 1 or step.pooled or not lines:
        return None
    (term,) = step.terms
    kernel, width = term.weight.shape[2:], step.pixels[1]
    if not separate(term) or kernel == (1, 1) or term.dilation != (1, 1) or width > depth:
        return None
    rows = list(_parts(kernel[0], term.stride[0], term.padding[0], lines))
    columns = list(_parts(kernel[1], term.stride[1], term.padding[1], TAP_COLUMNS))
    filters = tuple(Filter(ky, kx, y, x) for y, ky in rows for x, kx in columns)
    size = tensor.stored_shape[2]
    pitch = max(
        TAP_COLUMNS + MIN_TAP_DELAY, *(_pitch(x, len(kx), width, term.stride[1], size) for x, kx in columns)
    )
    delay = pitch - TAP_COLUMNS
    lead = (lines - 1) * delay
    # The streams of a tile must outlast its last output's last tap.
    last = max((len(ky) - 1) * pitch + len(kx) for _, ky in rows for _, kx in columns)
    return TapPlan(filters, pitch, delay, lead, max(0, last - lead - 1))


def _parts(kernel: int, stride: int, before: int, most: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Splits a kernel axis into runs of at most ``most`` positions that are ``stride`` apart.

    Yields the coordinate that the first of them reads for output 0, and the positions.
    """
    for phase in range(min(stride, kernel)):
        positions = range(phase, kernel, stride)
        for start in range(0, len(positions), most):
            part = tuple(positions[start : start + most])
            yield part[0] - before, part


def _pitch(first: int, taps: int, width: int, stride: int, size: int) -> int:
    """Steps of a row such that what the last outputs read beyond it is padding, as the next row's beginning is."""
    reads = [first + stride * i for i in range(width + taps - 1)]
    before = sum(1 for x in reads if x < 0)
    after = sum(1 for x in reads if x >= size)
    return len(reads) - min(before, after, taps - 1)


def tap_tiles(
    term: ArrayTerm, plan: TapPlan, block: ColumnBlock, tensor: Placement, config: ArrayConfig
) -> TermTiles:
    """The tiles of one column block that are not zero."""
    _, height, width = tensor.stored_shape
    channels = np.array(block.channels)
    weight = term.weight[channels, channels]  # channels, kernel height, kernel width
    tiles = []
    for item in plan.filters:
        tile = np.zeros((config.rows, config.columns), np.int64)
        for line, ky in enumerate(item.rows):
            for k, kx in enumerate(item.columns):
                tile[TAP_COLUMNS * line + k, : len(channels)] = weight[:, ky, kx]
        if tile.any():
            address = block.plane * height * width + item.y * width + item.x
            tiles.append(Tile(tile, address, block.group, item.y, item.x))
    return TermTiles(term, tuple(tiles), len(plan.filters))


def tap_levels(plan: TapPlan, stride: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Loop levels (last index, what a step adds to y and to x) of a depthwise step."""
    sy, sx = stride
    return [(0, 0, 0), (0, 0, 0), (plan.pitch - 1, 0, sx), (0, sy, -(plan.pitch - 1) * sx)]


def choose(step: ArrayLayer, tensor: Placement, config: ArrayConfig) -> tuple[ArrayLayer, TapPlan | None]:
    """The cheapest way to execute a step that the hardware has: dense tiles, window sums, or depthwise tiles."""
    plan = plan_taps(step, tensor, config.tap_lines, config.accumulator_depth)
    if plan and (plan.delay > config.tap_depth or not _stores_zero(step.terms[0], config)):
        plan = None
    summed = sum_over_window(step) if config.window_sums else None
    if summed and revisits_early(summed, config) and not config.settles:
        summed = None
    if summed and (plan is None or _sum_cost(summed) <= _tap_cost(plan, step)):
        return summed, None
    return step, plan


def _stores_zero(term: ArrayTerm, config: ArrayConfig) -> bool:
    """Whether the rows of the array that a filter does not use can hold weight zero."""
    return bits_for(int(-term.offset.max()), int(-term.offset.min())) <= config.weight_bits


def revisits_early(step: ArrayLayer, config: ArrayConfig) -> bool:
    """Whether an accumulator that a window of a sum has just left is visited again too soon by the next tile.

    There is no next tile where a column block reads one word and its channels do not mix.
    """
    if separate(step.terms[0]) and config.reads_per_word == 1:
        return False
    area = step.window[0] * step.window[1]
    fewest = min(block.count for block in pixel_blocks(step, config.accumulator_depth))
    least = weight_format(step.terms[0], config).load_cycles(config)
    return max(fewest * area, least) - area + 1 < ACCUMULATE_HAZARD


def _sum_cost(step: ArrayLayer) -> int:
    return step.pixels[0] * step.pixels[1] * step.window[0] * step.window[1]


def _tap_cost(plan: TapPlan, step: ArrayLayer) -> int:
    return len(plan.filters) * plan.steps(*step.pixels)


def features(steps: Sequence[ArrayLayer], tensors: Mapping[str, Tensor], config: ArrayConfig) -> ArrayConfig:
    """The configuration with the window sums and depthwise lines that the steps have use for."""
    lines = min(MAX_LINES, config.rows // TAP_COLUMNS)
    if config.columns > config.rows or config.offset == "sum":
        lines = 0
    # A trial with everything there is shows what is used.
    trial = replace(config, window_sums=True, tap_lines=lines, tap_depth=1 << 16)
    summed, delays = False, []
    for step in steps:
        tensor = tensors[step.terms[0].tensor]
        place = Placement(tensor.name, tensor.shape, config.lanes, tensor.zero_point)
        chosen, plan = choose(step, place, trial)
        summed |= chosen.summed
        if plan:
            delays.append(plan.delay)
    return replace(
        config,
        window_sums=summed,
        tap_lines=lines if delays else 0,
        tap_depth=max([MIN_TAP_DELAY, *delays]),
    )
