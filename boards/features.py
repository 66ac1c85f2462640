"""What the RTL is made of, in bits: the features of the resource model, module by module as ``rtl_templates`` has them.

LUT features count adders, multiplexers and comparators by their width; what a bit of each costs is a family's
coefficient (:mod:`hwquant.boards.resources`). FF features count registers; their coefficients are near 1.

Above 400 lines, since it has a function for each module of the hardware, and they are read beside each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwquant.boards.contents import (
    Contents,
    accumulator_memories,
    activation_memories,
    line_memories,
    link_memories,
    parameter_memory,
    program_memory,
    used_columns,
    weight_memory,
)
from hwquant.boards.families.family import Family
from hwquant.boards.memories import Memory, mapped
from hwquant.link.protocol import word_bytes
from hwquant.program.config import PACKINGS, TAP_COLUMNS, ArrayConfig, index_bits
from hwquant.program.isa import LEVELS, Opcode, fields
from hwquant.rtl_templates.activations import BANK
from hwquant.rtl_templates.dsp import blocks_of


def soft_products(config: ArrayConfig, family: Family, multipliers: int) -> list[tuple[int, int, int]]:
    """Products that are made of LUTs: (how many, bits of x, bits of the weight)."""
    elements = config.rows * config.columns
    found = []
    blocks = multipliers if blocks_of(family.dsp, config.activation_bits, config.operand_bits) else 0
    if blocks < elements:
        found.append((elements - blocks, config.activation_bits, config.operand_bits))
    if config.offset == "sum" and config.channel_offsets:
        rest = max(0, multipliers - elements)
        if not blocks_of(family.dsp, config.input_sum_bits, config.operand_bits):
            rest = 0
        if rest < config.columns:
            found.append((config.columns - rest, config.input_sum_bits, config.operand_bits))
    return found


def adder_tree_bits(x_bits: int, weight_bits: int) -> int:
    """Bits of the adders of a product that is made of LUTs."""
    digits = weight_bits // 2 + 1
    return (digits - 1) * (x_bits + 3) + max(0, digits - 2) * 2


@dataclass(frozen=True)
class Part:
    """Features of one part of the hierarchy; those in ``known`` are resources themselves."""

    lut: Mapping[str, float]
    ff: Mapping[str, float]


def part_named(path: str) -> str:
    """The part of the model to which a part of the hierarchy belongs, as synthesis names it."""
    first = path.split(".")[0]
    if path in ("array.pe", "collector.accumulator", "collector.requantize"):
        return path
    if first in ("link", "deframer", "framer", "receiver", "transmitter", "request", "response"):
        return "link"
    return first if first in CORE_PARTS else "top"


def features(
    config: ArrayConfig, family: Family, multipliers: int, *, link: bool, contents: Contents, loadable: bool
) -> dict[str, Part]:
    """By part of the hierarchy.

    Parameters
    ----------
    multipliers : processing elements with a DSP block; see :func:`hwquant.rtl_templates.dsp.array_multipliers`
    loadable : the host loads the weights
    """
    size = Sizes.of(config, family, multipliers, contents, loadable)
    parts = {
        "array.pe": _elements(size),
        "array": _edges(size),
        "collector.accumulator": _accumulators(size),
        "collector.requantize": _requantizers(size),
        "collector": _collector(size),
        "weights": _weights(size),
        "memory": _activations(size),
        "feed": _feed(size),
        "streamer": _streamer(size),
        "sequencer": _sequencer(size),
        "dispatcher": _dispatcher(size),
        "parameter_reader": _parameters(size),
        "writer": _writer(size),
        "host": _host(size),
        "registers": Part({"one": 1, "loadable": loadable}, {"one": 1, "loadable": loadable}),
        "top": _core(size),
    }
    if link:
        parts["link"] = _link(size)
    return parts


CORE_PARTS = (
    *("array", "collector", "weights", "memory", "feed", "streamer", "sequencer", "dispatcher"),
    *("parameter_reader", "writer", "host", "registers"),
)


@dataclass(frozen=True)
class Sizes:
    """What several parts need: short names of a configuration's numbers.

    Attributes
    ----------
    used : columns whose accumulators synthesis keeps; outputs : those whose results are written
    bits, weight : operands of a processing element
    address, coordinate : bits of addresses of activations, and of coordinates
    formats : bits of the instructions' operands
    soft : products made of LUTs: (how many, bits of x, bits of the weight)
    """

    config: ArrayConfig
    family: Family
    rows: int
    columns: int
    used: int
    outputs: int
    bits: int
    weight: int
    address: int
    coordinate: int
    formats: Mapping[Opcode, int]
    contents: Contents
    loadable: bool
    soft: Sequence[tuple[int, int, int]]

    @classmethod
    def of(
        cls, config: ArrayConfig, family: Family, multipliers: int, contents: Contents, loadable: bool
    ) -> Sizes:
        return cls(
            config=config,
            family=family,
            rows=config.rows,
            columns=config.columns,
            used=used_columns(config),
            outputs=min(config.columns, config.lanes),
            bits=config.activation_bits,
            weight=config.operand_bits,
            address=config.activation_address_bits,
            coordinate=config.coordinate_bits,
            formats={opcode: sum(field.width for field in items) for opcode, items in fields(config).items()},
            contents=contents,
            loadable=loadable,
            soft=soft_products(config, family, multipliers),
        )

    @property
    def summed(self) -> bool:
        return self.config.offset == "sum"

    @property
    def shifted(self) -> int:
        """Width of what requantization shifts."""
        return self.config.accumulator_bits + self.config.multiplier_bits

    @property
    def job(self) -> int:
        """Bits of a job."""
        packed = self.formats[Opcode.FORMAT] if self.config.weight_packing > 1 else 0
        return self.formats[Opcode.TILE] + self.config.count_bits + self.config.offset_bits + packed

    @property
    def geometry(self) -> int:
        """Bits of the geometry registers."""
        taps = self.formats[Opcode.TAPS] if self.config.tap_lines else 0
        return LEVELS * (self.formats[Opcode.LEVEL] - 2) + self.formats[Opcode.PLANE] + taps

    @property
    def tapped(self) -> int:
        """Bits of the multiplexers before the rows that a depthwise tile uses."""
        rows = min(TAP_COLUMNS * self.config.tap_lines, self.rows)
        return rows * self.columns * self.bits

    @property
    def entries(self) -> int:
        """Bits of the weights that enter at inner rows."""
        return self.columns * sum(self.config.entry_bits(row) for row in self.config.entries)

    @property
    def part_bits(self) -> list[int]:
        return [self.config.field_bits(part) for part in range(self.config.load_rows)]

    def shift_registers(self, width: int, lengths: Sequence[int]) -> dict[str, float]:
        """Registers of delays that nothing else reads, without those that become LUTs."""
        luts = self.family.shift_registers
        return {"delays": width * sum(length for length in lengths if not luts or length < luts.least)}

    def shift_luts(self, width: int, lengths: Sequence[int]) -> dict[str, float]:
        """LUTs of delays that become shift registers."""
        luts = self.family.shift_registers
        if luts is None:
            return {}
        return {"delays": width * sum(-(-length // luts.bits) for length in lengths if length >= luts.least)}

    def memory(self, memories: Sequence[Memory]) -> tuple[dict[str, float], dict[str, float]]:
        """LUT and FF features of memories."""
        found = [mapped(memory, self.family) for memory in memories]
        return (
            {
                "known": sum(item.luts for item in found),
                "chosen": sum(item.chosen_bits for item in found),
                "tables": sum(item.table_bits for item in found),
                "registers": sum(item.register_bits for item in found),
                "emulated": sum(item.emulated_bits for item in found),
            },
            {
                "outputs": sum(item.output_bits + item.address_bits for item in found),
                "registers": sum(item.register_bits for item in found),
                "emulated": sum(item.emulated_bits for item in found),
                "emulated addresses": sum(
                    index_bits(memory.depth) for item, memory in zip(found, memories) if item.emulated_bits
                ),
            },
        )


def _elements(size: Sizes) -> Part:
    config, rows, columns, bits, weight = size.config, size.rows, size.columns, size.bits, size.weight
    offset_row = size.summed and config.channel_offsets
    softs = sum(count for count, *_ in size.soft)
    blocks = (rows + offset_row) * columns - softs
    # Blocks go to the first rows; some families' have the adder of the sum as well, and its register.
    widths = [config.sum_bits(row + 1) for row in range(rows)] + [config.column_bits] * offset_row
    sums = [width for width in widths for _ in range(columns)]
    return Part(
        {
            "sums": sum(sums[max(blocks, columns) :]),
            "block sums": sum(sums[columns:blocks]),
            "rows of products": sum(count * (w // 2 + 1) * (x + 1) for count, x, w in size.soft),
            "sums of products": sum(count * adder_tree_bits(x, w) for count, x, w in size.soft),
            "digits": sum(count * (w // 2 + 1) for count, x, w in size.soft),
            "taps": size.tapped,
            "entries": size.entries,
        },
        {
            "x": rows * columns * bits + offset_row * columns * config.input_sum_bits,
            "weights": (rows + offset_row) * columns * (weight + 1),
            "block weights": blocks * weight,
            "block products": blocks * (bits + weight),
            "products": sum(count * (2 * (w // 2 + 1) + x + w) for count, x, w in size.soft),
            "sums": sum(sums[blocks:]),
            "block sums": sum(sums[:blocks]),
        },
    )


def _edges(size: Sizes) -> Part:
    config, rows, columns, bits = size.config, size.rows, size.columns, size.bits
    chain = rows + (size.summed and config.channel_offsets)
    one_offset = size.summed and not config.channel_offsets
    lines, line_ffs = size.memory(line_memories(config))
    depth = index_bits(config.tap_depth)
    columns_late, rows_late = list(range(columns)), list(range(rows))
    ffs = Counter(line_ffs)
    ffs.update(size.shift_registers(size.weight, columns_late))
    ffs.update(size.shift_registers(bits, rows_late))
    luts = Counter(lines)
    luts.update(size.shift_luts(size.weight, columns_late))
    luts.update(size.shift_luts(bits, rows_late))
    for row in config.entries:
        ffs.update(size.shift_registers(config.entry_bits(row), columns_late))
        luts.update(size.shift_luts(config.entry_bits(row), columns_late))
    return Part(
        {
            **luts,
            "loads": chain * columns,
            "input sum": size.summed * rows * config.input_sum_bits,
            "offset": one_offset * columns * config.column_bits,
            "entries": size.entries,
            "lines": max(0, config.tap_lines - 1) * 2 * depth,
            "taps": size.tapped,
        },
        {
            **ffs,
            "loads": chain * columns + chain,
            "input sum": size.summed * rows * config.input_sum_bits,
            "offset": one_offset
            * (columns * 2 * config.column_bits + 3 * config.offset_bits + config.input_sum_bits),
            "enter": len(config.entries) * columns,
            "taps": min(TAP_COLUMNS * config.tap_lines, rows) * columns,
            "lines": max(0, config.tap_lines - 1) * (columns * bits + 2 * depth),
        },
    )


def _accumulators(size: Sizes) -> Part:
    config = size.config
    total = size.used * config.accumulator_bits
    luts, ffs = size.memory(accumulator_memories(config))
    return Part(
        {**luts, "total": total, "hold": config.window_sums * total},
        {**ffs, "total": 2 * total},
    )


def _requantizers(size: Sizes) -> Part:
    config, columns, bits = size.config, size.outputs, size.bits
    scaled = config.multiplier_bits > 0
    blocks = blocks_of(size.family.dsp, config.accumulator_bits, config.multiplier_bits) if scaled else 0.0
    wide = bits + 2 * scaled
    return Part(
        {
            "columns": columns,
            "shifted": columns * size.shifted,
            "coarse": columns * size.shifted * (size.contents.shift >> 3).bit_count(),
            "fine": columns * size.shifted * (size.contents.shift & 7).bit_count(),
            "clamp": columns * bits,
            "rounded": scaled * columns * wide,
            "multiplied": scaled * size.used * config.accumulator_bits,
            "split": size.used * size.shifted * (blocks > 1),
        },
        {
            "shifted": columns * size.shifted,
            "narrow": columns * (wide + bits + 3),
            "products": scaled * size.used * size.shifted,
            "multiply": scaled * columns * (size.shifted + 2 * config.shift_bits + wide),
        },
    )


def _collector(size: Sizes) -> Part:
    config, columns, bits = size.config, size.outputs, size.bits
    tags = columns + 4 + config.requantize_latency
    early = config.array_latency - 4
    late = list(range(columns))
    return Part(
        {
            "one": 1,
            "columns": columns,
            "maximum": columns * bits,
            "address": index_bits(config.accumulator_depth),
            **size.shift_luts(bits, late),
        },
        {
            "own": size.used * (config.accumulator_bits + config.multiplier_bits)
            + columns * (config.shift_bits + bits),
            "bus": config.parameter_bits + config.shift_bits + config.multiplier_bits,
            "tags": tags * 6 + early * (7 + config.window_sums),
            "addresses": (columns + 3) * index_bits(config.accumulator_depth),
            **size.shift_registers(bits, late),
        },
    )


def _weights(size: Sizes) -> Part:
    config, columns = size.config, size.columns
    packings = [packing for packing in PACKINGS[1:] if packing <= config.weight_packing]
    shifts = sum(packing > config.load_rows for packing in packings)
    depth = index_bits(config.weight_depth)
    luts, ffs = size.memory([] if size.loadable else [weight_memory(config, size.contents)])
    segments = config.rows * config.load_rows.bit_length() if config.entries else 0
    lines = sum(
        columns
        * config.field_bits(part)
        * max(row for row, marks in config.entries.items() for _, p in marks if p == part)
        for part in range(1, config.load_rows)
        if any(p == part for marks in config.entries.values() for _, p in marks)
    )
    return Part(
        {
            **luts,
            "one": 1,
            "pointer": depth,
            "rows": config.rows,
            "adjust": (config.offset == "edge") * columns * sum(size.part_bits),
            "fields": columns * sum(size.part_bits) * len(packings),
            "shifts": columns * config.slot_bits * shifts,
            "segments": segments,
            "entries": columns
            * sum(config.entry_bits(row) * (len(marks) - 1) for row, marks in config.entries.items()),
            "loadable": size.loadable * (columns * config.slot_bits + depth),
        },
        {
            **ffs,
            "one": 1,
            "pointer": 2 * depth,
            "data": columns * config.slot_bits,
            "adjusted": columns * sum(size.part_bits),
            "offsets": (config.channel_offsets and config.offset == "edge") * columns * config.weight_bits
            + (not config.channel_offsets and config.offset == "edge") * 2 * config.offset_bits,
            "rows": config.rows,
            "segments": segments,
            "lines": lines,
            "loadable": size.loadable * depth,
        },
    )


def _activations(size: Sizes) -> Part:
    config = size.config
    banks = -(-config.activation_depth // BANK)
    luts, ffs = size.memory(activation_memories(config))
    return Part(
        {**luts, "one": 1, "banks": config.word_bits * (banks - 1), "groups": config.groups * banks},
        {**ffs, "data": config.word_bits * banks, "chosen": 2 * (banks - 1).bit_length()},
    )


def _feed(size: Sizes) -> Part:
    config = size.config
    x = size.rows * size.bits
    return Part(
        {"pad": x, "select": x * (config.selections - 1)},
        {"x": x, "early": 2 * (1 + size.bits + (config.selections > 1) * index_bits(config.selections))},
    )


def _streamer(size: Sizes) -> Part:
    config = size.config
    taps = config.tap_lines > 0
    return Part(
        {
            "one": 1,
            "address": size.address,
            "coordinates": size.coordinate,
            "steps": config.count_bits,
            "taps": taps * 3 * size.coordinate,
        },
        {
            "geometry": size.geometry,
            "job": size.job,
            "counters": size.address + 5 * size.coordinate + config.count_bits + taps * 2 * size.coordinate,
        },
    )


def _sequencer(size: Sizes) -> Part:
    config = size.config
    luts, ffs = size.memory([program_memory(config, size.contents)])
    return Part(
        {
            **luts,
            "one": 1,
            "address": size.address,
            "program": index_bits(config.program_depth),
            "tile": size.formats[Opcode.TILE],
        },
        {
            **ffs,
            "one": 1,
            "word": size.contents.program,
            "program": index_bits(config.program_depth),
            "repeat": 2 * size.address,
        },
    )


def _dispatcher(size: Sizes) -> Part:
    return Part({"one": 1, "job": size.job}, {"one": 1, "jobs": 2 * size.job})


def _parameters(size: Sizes) -> Part:
    config = size.config
    luts, ffs = size.memory([parameter_memory(config, size.contents)])
    return Part(
        {**luts, "one": 1, "pointer": index_bits(config.parameter_depth)},
        {**ffs, "one": 1, "pointer": index_bits(config.parameter_depth), "bus": size.contents.parameters},
    )


def _writer(size: Sizes) -> Part:
    several = size.config.groups > 1
    return Part(
        {
            "address": size.address,
            "groups": several * (3 * size.address),
            "enables": several * size.config.groups,
        },
        {"address": size.address, "groups": several * (3 * size.address + size.config.groups)},
    )


def _host(size: Sizes) -> Part:
    return Part({"one": 1, "address": size.address}, {"one": 1, "address": 2 * size.address})


def _core(size: Sizes) -> Part:
    config = size.config
    clamp = (3 if config.multiplier_bits else 2) * size.bits
    return Part(
        {"one": 1, "word": config.word_bits, "address": size.address, "geometry": size.geometry},
        {
            "one": 1,
            "clamp": 2 * clamp,
            "geometry": size.geometry,
            "write": size.formats[Opcode.WRITE] if config.groups > 1 else size.address,
            "offset": config.offset_bits + config.count_bits,
        },
    )


def _link(size: Sizes) -> Part:
    luts, ffs = size.memory(link_memories(True))
    word = 8 * word_bytes(size.config.word_bits)
    load = 8 * word_bytes(size.config.columns * size.config.slot_bits) * size.loadable
    return Part(
        {**luts, "one": 1, "word": word, "loadable": size.loadable, "load": load},
        {**ffs, "one": 1, "word": word, "loadable": size.loadable, "load": load},
    )
