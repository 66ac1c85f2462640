"""The compiler: steps and tensors to instructions and memory images.

Loop order: column blocks, within them pixel blocks, within them terms and tiles. So a layer's outputs appear
in the order of their addresses, and a column block's parameters are read once.

Above 400 lines, since placing, emitting and building images share one builder's state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from hwquant.errors import Unsupported, check_type
from hwquant.program.config import ArrayConfig, bits_for
from hwquant.program.depthwise import TapPlan, choose, revisits_early, tap_levels, tap_tiles
from hwquant.program.input_packing import input_packings, packed_term
from hwquant.program.isa import Instruction, Opcode, encode, fields
from hwquant.program.layout import Lifetime, Placement, allocate
from hwquant.program.lowering import ArrayLayer, ArrayTerm, lower
from hwquant.program.overflow import sum_range
from hwquant.program.program import LayerInfo, Program
from hwquant.program.sizing import DSP_OPERAND_BITS, Requirements, size
from hwquant.program.tiling import (
    ColumnBlock,
    PixelBlock,
    TermTiles,
    column_blocks,
    pixel_blocks,
    runs,
    term_tiles,
)
from hwquant.program.weight_format import TermLoad, choose_packing, weight_format
from hwquant.qgraph import IntArray, QGraph


def compile_network(
    qgraph: QGraph,
    array: tuple[int, int],
    *,
    offset: str = "auto",
    limits: Mapping[str, int] | None = None,
    config: ArrayConfig | None = None,
    operand_bits: int = DSP_OPERAND_BITS,
) -> Program:
    """Compiles an integer network for an array of (rows, columns).

    Parameters
    ----------
    offset : "edge", "sum", or "auto": "none" where every offset is zero, else "edge" where adjusted weights have
        at most ``operand_bits``
    limits : greatest allowed values of ArrayConfig's depths and accumulator_bits; what is not named is chosen
        as small as the network allows
    config : existing hardware to compile for, instead of choosing one; ``array`` must be its shape
    operand_bits : widest weight that a multiplier takes; of a device: its ``operand_bits``

    Raises
    ------
    HwquantError : the network does not fit (by how much, and what would make it fit), an accumulator could
        overflow, or an operator cannot be mapped
    """
    check_type("qgraph", qgraph, QGraph, hint="hwquant.quantize_network makes one of a float network")
    if not _is_shape(array):
        raise TypeError(f"array must be (rows, columns), such as (8, 8), not {array!r}")
    steps = lower(qgraph)
    if not steps:
        raise Unsupported(f"network {qgraph.name!r} has no layer to execute", where=qgraph.name)
    requirements = Requirements(array, offset, dict(limits or {}), config, operand_bits)
    shape = requirements.shape(steps, qgraph)
    builder = _Builder(qgraph, list(steps), shape)
    builder.build()
    packed = shape if config else choose_packing(list(builder.loads.values()), shape)
    if packed != shape:
        builder = _Builder(qgraph, list(steps), packed)
        builder.build()
    final = size(packed, builder.measured(), requirements, builder.worst, qgraph.name)
    formats = fields(final)
    words = tuple(encode(instruction, formats) for instruction in builder.instructions)
    return Program(
        name=qgraph.name,
        config=final,
        words=words,
        weights=np.concatenate(builder.weights).astype(np.int16),
        bias=np.concatenate(builder.bias),
        shift=np.concatenate(builder.shift),
        multiplier=np.concatenate(builder.multiplier),
        layers=tuple(builder.layers),
        inputs=tuple(builder.placements[item.name] for item in qgraph.inputs),
        outputs=tuple(builder.placements[item.tensor] for item in qgraph.outputs),
        tensors={name: place for name, place in builder.placements.items() if not place.packing},
    )


def _is_shape(array: object) -> bool:
    sides = array if isinstance(array, tuple | list) else ()
    return len(sides) == 2 and all(isinstance(side, int | np.integer) for side in sides)


@dataclass
class _Builder:
    """Accumulates instructions and images; ``config`` fixes the shape of the array, not yet its depths."""

    qgraph: QGraph
    steps: list[ArrayLayer]
    config: ArrayConfig
    instructions: list[Instruction] = field(default_factory=list)
    weights: list[IntArray] = field(default_factory=list)
    bias: list[IntArray] = field(default_factory=list)
    shift: list[IntArray] = field(default_factory=list)
    multiplier: list[IntArray] = field(default_factory=list)
    layers: list[LayerInfo] = field(default_factory=list)
    loads: dict[ArrayTerm, TermLoad] = field(default_factory=dict)
    placements: dict[str, Placement] = field(default_factory=dict)
    peak: int = 0
    sums: tuple[int, int] = (0, 0)
    worst: str = ""
    reach: int = 0
    _set: dict[object, Instruction] = field(default_factory=dict)

    def build(self) -> None:
        self._place()
        for index, step in enumerate(self.steps):
            chosen, plan = choose(step, self.placements[step.terms[0].tensor], self.config)
            self._step(chosen, plan, first=index == 0)
        for index, item in enumerate(self.qgraph.outputs, 1):
            place = self.placements[item.tensor]
            last = int(index == len(self.qgraph.outputs))
            self._emit(Opcode.OUTPUT, address=place.address, count=place.words, last=last)
        self._emit(Opcode.END)

    def measured(self) -> dict[str, int]:
        """What the network needs of each memory."""
        formats = [instruction.values for instruction in self.instructions]
        coordinates = [
            values[name]
            for values in formats
            for name in ("y", "x", "height", "width", "limit")
            if name in values
        ]
        return {
            "activation_depth": self.peak,
            "weight_depth": sum(len(rows) for rows in self.weights),
            "parameter_depth": sum(len(values) for values in self.bias),
            "program_depth": len(self.instructions),
            "accumulator_bits": bits_for(*self.sums),
            "block_steps": max(
                instruction.values["count"]
                for instruction in self.instructions
                if instruction.opcode is Opcode.COUNT
            ),
            "coordinate_bits": bits_for(min(coordinates), max(*coordinates, self.reach)),
        }

    # Memory ---------------------------------------------------------------------------------------------

    def _place(self) -> None:
        """Packs the inputs, and gives every tensor its address."""
        lanes, tensors = self.config.lanes, self.qgraph.tensors
        inputs = {item.name for item in self.qgraph.inputs}
        outputs = {item.tensor for item in self.qgraph.outputs}
        readers: dict[str, list[int]] = {}
        for index, step in enumerate(self.steps):
            for term in step.terms:
                readers.setdefault(term.tensor, []).append(index)
        places = {}
        for name in [*inputs, *(step.name for step in self.steps)]:
            tensor = tensors[name]
            places[name] = Placement(name, tensor.shape, lanes, tensor.zero_point)
        for index, packing in input_packings(self.qgraph, self.steps, places, self.config).items():
            (term,) = self.steps[index].terms
            places[term.tensor] = dataclasses.replace(places[term.tensor], packing=packing)
            self.steps[index] = dataclasses.replace(self.steps[index], terms=(packed_term(term),))
        produced = {step.name: index for index, step in enumerate(self.steps)}
        end = len(self.steps)
        deaths = {
            name: end if name in outputs else max(readers.get(name, [produced.get(name, -1)]))
            for name in places
        }
        # The inputs arrive as one frame, so they lie one after the other.
        frame = [item.name for item in self.qgraph.inputs]
        words = sum(places[name].words for name in frame)
        lifetimes = [Lifetime(frame[0], words, -1, max(deaths[name] for name in frame))]
        lifetimes += [
            Lifetime(name, place.words, produced[name], deaths[name])
            for name, place in places.items()
            if name not in frame
        ]
        addresses, self.peak = allocate(lifetimes)
        for before, name in pairwise(frame):
            addresses[name] = addresses[before] + places[before].words
        self.placements = {
            name: dataclasses.replace(place, address=addresses[name]) for name, place in places.items()
        }

    # Instructions ---------------------------------------------------------------------------------------

    def _emit(self, opcode: Opcode, **values: int) -> None:
        self.instructions.append(Instruction(opcode, values))

    def _register(self, key: object, opcode: Opcode, **values: int) -> None:
        """Emits an instruction that sets a register, unless the register holds that value already."""
        instruction = Instruction(opcode, values)
        if self._set.get(key) != instruction:
            self._set[key] = instruction
            self.instructions.append(instruction)

    def _step(self, step: ArrayLayer, plan: TapPlan | None, first: bool) -> None:
        config = self.config
        output = self.placements[step.name]
        complete = self._needs_full_words(step.name)
        if complete and output.shape[0] % config.lanes and not step.low <= step.zero_point <= step.high:
            raise Unsupported(
                f"layer {step.name!r} is clamped to values above or below zero, so that lanes without a channel "
                "cannot hold zero, and a layer that reads it has no weight zero to leave them out; quantize it "
                "without the literal range",
                where=step.name,
            )
        blocks = column_blocks(output.shape[0], config, complete)
        pixels = pixel_blocks(step, config.accumulator_depth)
        self._register("write", Opcode.WRITE, address=output.address, plane=output.plane)
        self._register("clamp", Opcode.CLAMP, low=step.low, high=step.high, zero=step.zero_point)
        layer_start, source = True, None
        formats = {term: weight_format(term, config) for term in step.terms}
        dense = skipped = jobs = ideal = 0
        words = sum(len(rows) for rows in self.weights)
        settle = step.summed and config.settles and revisits_early(step, config)
        for block in blocks:
            terms = [self._term_tiles(term, plan, block) for term in step.terms]
            dense += sum(item.dense for item in terms)
            skipped += sum(item.dense - len(item.tiles) for item in terms)
            terms = [item for item in terms if item.tiles] or [self._empty(step, plan, block)]
            self._images(step, block, terms)
            for number, pixel_block in enumerate(pixels):
                count = sum(len(item.tiles) for item in terms)
                jobs += count
                steps = self._steps(step, plan, pixel_block)
                done = 0
                for item in terms:
                    ideal += len(item.tiles) * max(steps, formats[item.term].load_cycles(config))
                    streams = self.loads[item.term].streams
                    streams[steps] = streams.get(steps, 0) + len(item.tiles)
                    changed = False
                    if source is not item.term:
                        changed = self._source(step, plan, item.term)
                        source = item.term
                    self._register("count", Opcode.COUNT, count=steps)
                    if layer_start and first:
                        frame = [self.placements[item_in.name] for item_in in self.qgraph.inputs]
                        total = sum(place.words for place in frame)
                        self._emit(Opcode.INPUT, address=frame[0].address, count=total)
                    done = self._tiles(
                        step,
                        item,
                        pixel_block,
                        flags={
                            "parameters": number == 0,
                            "offsets": config.channel_offsets,
                            "source": changed,
                            "layer": layer_start,
                            "summed": step.summed,
                            "taps": plan is not None,
                            "settle": settle,
                        },
                        done=done,
                        count=count,
                    )
                    layer_start = False
        self.layers.append(
            LayerInfo(
                step.name,
                step.covers,
                step.macs,
                step.useful_macs,
                dense,
                skipped,
                jobs,
                ideal,
                weight_words=sum(len(rows) for rows in self.weights) - words,
                rows_per_word=min(item.packing for item in formats.values()),
                rows_per_cycle=min(item.parallel for item in formats.values()),
            )
        )

    def _term_tiles(self, term: ArrayTerm, plan: TapPlan | None, block: ColumnBlock) -> TermTiles:
        tensor = self.placements[term.tensor]
        if plan:
            return tap_tiles(term, plan, block, tensor, self.config)
        return term_tiles(term, block, tensor, self.config)

    def _steps(self, step: ArrayLayer, plan: TapPlan | None, block: PixelBlock) -> int:
        """Steps that a tile streams to make a block's outputs."""
        if plan:
            return plan.steps(block.count // step.pixels[1], step.pixels[1])
        return block.count * (step.window[0] * step.window[1] if step.summed else 1)

    def _source(self, step: ArrayLayer, plan: TapPlan | None, term: ArrayTerm) -> bool:
        """The geometry of a term: how its input's pixels are visited, and where padding begins.

        Whether it differs from the one before.
        """
        before = len(self.instructions)
        tensor = self.placements[term.tensor]
        _, height, width = tensor.stored_shape
        (wh, ww), (qy, qx), (dy, dx) = step.window, step.window_stride, step.window_dilation
        sy, sx = term.stride
        back_x, back_y = (ww - 1) * dx, (wh - 1) * dy
        levels = [  # last index, and what a step adds to y and x
            (ww - 1, 0, dx * sx),
            (wh - 1, dy * sy, -back_x * sx),
            (step.pixels[1] - 1, -back_y * sy, (qx - back_x) * sx),
            (0, (qy - back_y) * sy, -((step.pixels[1] - 1) * qx + back_x) * sx),
        ]
        if plan:
            levels = tap_levels(plan, term.stride)
            self._register(
                "taps",
                Opcode.TAPS,
                delay=plan.delay,
                width=step.pixels[1],
                lead=plan.lead,
                tail=plan.tail,
            )
            # Streams run on below the last row and, at the end of a row, into the next one's padding.
            self.reach = max(self.reach, height + 2 * plan.pitch, width + 2 * plan.pitch)
        for level, (limit, y, x) in enumerate(levels):
            self._register(
                level,
                Opcode.LEVEL,
                level=level,
                limit=limit,
                step=y * width + x,
                y=y,
                x=x,
            )
        self.reach = max(self.reach, height + term.padding[2], width + term.padding[3])
        self._register("plane", Opcode.PLANE, height=height, width=width, pad=term.pad)
        changed = len(self.instructions) > before
        if self.config.offset != "none" and not self.config.channel_offsets:
            self._register("offset", Opcode.OFFSET, offset=int(term.offset[0]))
        if self.config.weight_packing > 1:
            packing = weight_format(term, self.config).packing
            self._register("format", Opcode.FORMAT, packing=packing.bit_length() - 1)
        return changed

    def _tiles(
        self,
        step: ArrayLayer,
        item: TermTiles,
        block: PixelBlock,
        flags: dict[str, bool],
        done: int,
        count: int,
    ) -> int:
        term, tensor = item.term, self.placements[item.term.tensor]
        width = tensor.stored_shape[2]
        y = block.y * step.window_stride[0] * term.stride[0]
        x = block.x * step.window_stride[1] * term.stride[1]
        for begin, length, stride in runs(item.tiles):
            tile = item.tiles[begin]
            if length > 1:
                self._emit(Opcode.REPEAT, count=length - 1, step=stride)
            head = begin == 0
            self._emit(
                Opcode.TILE,
                address=tensor.address + y * width + x + tile.address,
                part=tile.part,
                y=y + tile.y,
                x=x + tile.x,
                first=int(done == 0),
                last=int(done + length == count),
                parameters=int(flags["parameters"] and done == 0),
                offsets=int(flags["offsets"] and head),
                source=int(flags["source"] and head),
                layer=int(flags["layer"] and head),
                summed=int(flags["summed"]),
                taps=int(flags["taps"]),
                settle=int(flags["settle"] and done + length > 1),
            )
            done += length
        return done

    # Images ---------------------------------------------------------------------------------------------

    def _empty(self, step: ArrayLayer, plan: TapPlan | None, block: ColumnBlock) -> TermTiles:
        """One zero tile, for a column block whose weights are all zero: its outputs still have to appear."""
        term = step.terms[0]
        ones = dataclasses.replace(term, weight=np.ones_like(term.weight))
        tile = self._term_tiles(ones, plan, block).tiles[0]
        return TermTiles(term, (dataclasses.replace(tile, weight=np.zeros_like(tile.weight)),), dense=0)

    def _images(self, step: ArrayLayer, block: ColumnBlock, terms: list[TermTiles]) -> None:
        """Weight rows and parameters of one column block."""
        config, count = self.config, len(block.channels)
        least, greatest = -(1 << (config.weight_bits - 1)), (1 << (config.weight_bits - 1)) - 1
        channels = slice(block.channels.start, block.channels.stop)
        bias = np.zeros(config.columns, np.int64)
        bias[:count] = step.bias[channels]
        shift = np.broadcast_to(step.shift, step.bias.shape)
        shift = np.concatenate([shift[channels], np.zeros(config.columns - count, np.int64)])
        low, high = np.zeros(config.columns, np.int64), np.zeros(config.columns, np.int64)
        visits = step.window[0] * step.window[1] if step.summed else 1
        for item in terms:
            tensor = self.qgraph.tensors[item.term.tensor]
            form = weight_format(item.term, config)
            load = self.loads.setdefault(item.term, TermLoad(item.term))
            load.tiles += len(item.tiles)
            load.offset_rows += int(config.channel_offsets)
            offset = np.zeros(config.columns, np.int64)
            if config.channel_offsets:
                offset[:count] = np.broadcast_to(item.term.offset, step.bias.shape)[channels]
                self.weights.append(offset.reshape(1, -1))
            else:
                offset[:] = item.term.offset[0]
            for tile in item.tiles:
                # A zero that no stored weight can express is left to lanes that always hold the zero point.
                stored = np.clip(tile.weight - offset, least, greatest)
                actual = stored + offset
                self.weights.append(form.pack(stored, config))
                bias -= visits * tensor.zero_point * actual.sum(axis=0)
                tile_low, tile_high = sum_range(actual, tensor.limits)
                low, high = low + visits * tile_low, high + visits * tile_high
        multiplier = np.zeros(config.columns, np.int64)
        if not config.multiplier_bits:
            bias += np.where(shift > 0, 1 << np.maximum(shift - 1, 0), 0) + (step.zero_point << shift)
        else:
            factors = np.ones(1, np.int64) if step.multiplier is None else step.multiplier
            multiplier[:count] = np.broadcast_to(factors, step.bias.shape)[channels]
            # The hardware rounds after shifting by one less; what is not shifted at all is doubled first.
            multiplier = np.where(shift == 0, 2 * multiplier, multiplier)
            shift = np.maximum(shift - 1, 0)
        span = (int((bias + low).min()), int((bias + high).max()))
        if bits_for(*span) > bits_for(*self.sums):
            self.worst = step.name
        self.sums = (min(span[0], self.sums[0]), max(span[1], self.sums[1]))
        self.bias.append(bias)
        self.shift.append(shift)
        self.multiplier.append(multiplier)

    def _needs_full_words(self, tensor: str) -> bool:
        """Whether a reader cannot give weight zero to the lanes that hold no channel."""
        bits = self.config.weight_bits
        return any(
            term.tensor == tensor and bits_for(int(-term.offset.max()), int(-term.offset.min())) > bits
            for step in self.steps
            for term in step.terms
        )
