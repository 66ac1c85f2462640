"""The systolic array against matrix products, with tiles as close to each other as is allowed."""

from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.hdl import Fragment
from hwquant_testing.clocked import trace
from hwquant_testing.seeds import nightly

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.array import SystolicArray

SHAPES = [(2, 2), (4, 4), (2, 7), (7, 2), (5, 3), (3, 5)]
MODES = {
    "none": {"offset": "none"},
    "edge": {"offset": "edge"},
    "edge, channel offsets": {"offset": "edge", "channel_offsets": True},
    "sum": {"offset": "sum"},
    "sum, channel offsets": {"offset": "sum", "channel_offsets": True},
}


def integers(rng, bits, size):
    """Any integers of that many bits, the extremes often."""
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    return np.where(rng.random(size) < 0.25, rng.choice([low, high - 1], size), rng.integers(low, high, size))


@dataclass
class Tile:
    """Weights (rows, columns), offsets (columns) and pixels (count, rows), and when they come."""

    weight: np.ndarray
    offset: np.ndarray
    offset_row: bool
    x: np.ndarray
    load: int
    start: int
    parallel: int = 1


def random_tiles(rng, config, count, gap, fixed=None):
    """Tiles whose load begins with the tile before, and which start once it is loaded; ``gap``: later, at random."""
    tiles, offset = [], None
    by_row = config.offset == "sum" and config.channel_offsets
    load = start = 3
    for number in range(count):
        pixels = int(rng.integers(1, 12)) if fixed is None else fixed
        # An offset row that is not loaded again keeps its values.
        offset_row = by_row and (offset is None or bool(rng.random() < 0.4))
        if config.offset != "sum":
            offset = np.zeros(config.columns, np.int64)
        elif by_row:
            if offset_row:
                offset = integers(rng, config.weight_bits, config.columns)
                offset = offset * (2 if config.odd_weights == "all" else 1)
        else:
            offset = np.repeat(integers(rng, config.offset_bits, 1), config.columns)
        parallel = 1 << int(rng.integers(config.load_rows.bit_length()))
        bits = config.operand_bits if parallel == 1 else config.field_bits(parallel - 1)
        weight = integers(rng, bits, (config.rows, config.columns))
        if config.odd_weights == "all":
            weight |= 1
        if config.ternary:
            weight = np.maximum(weight, -1)
        x = integers(rng, config.activation_bits, (pixels, config.rows))
        cycles = config.rows + offset_row
        if parallel > 1:
            cycles = max(config.segment_rows(parallel), ACCUMULATE_HAZARD)
        if number:
            load = start + gap(rng)
            start = max(start + len(tiles[-1].x), load + cycles) + gap(rng)
        else:
            start = load + cycles
        tiles.append(Tile(weight, offset, offset_row, x, load, start, parallel))
    return tiles


def stimulus(rng, config, array, tiles):
    """The inputs of every cycle; what nobody should look at is garbage."""
    end = tiles[-1].start + len(tiles[-1].x) + config.rows + config.columns + config.element_latency + 2
    cycles = [
        {
            "x": integers(rng, config.activation_bits, config.rows).tolist(),
            "weights.weight": integers(rng, config.carried_bits, config.columns).tolist(),
            "offset": int(integers(rng, config.offset_bits, 1)[0]),
            "swap": 0,
            "weights.load": 0,
            **{
                f"weights.entries.weight{row}": integers(rng, config.entry_bits(row), config.columns).tolist()
                for row in config.entries
            },
            **({"weights.entries.enter": 0} if config.entries else {}),
        }
        for _ in range(end)
    ]
    entries = list(config.entries)
    for tile in tiles:
        # The bottom of the array comes first; row r shifts from the r-th word on.
        words = [*([tile.offset] if tile.offset_row else []), *tile.weight[::-1]]
        words = [word >> (config.operand_bits - config.carried_bits) for word in words]
        segment = len(words) if tile.parallel == 1 else config.segment_rows(tile.parallel)
        for top in range(0, len(words), segment):
            # What enters further down is as late as the swap mark is there.
            length = min(segment, len(words) - top)
            for n in range(segment):
                cycle = cycles[tile.load + top + n]
                cycle["weights.load"] |= ((1 << min(n + 1, length)) - 1) << top
                if n >= segment - length:
                    word = words[len(words) - top - segment + n]
                    cycle[f"weights.entries.weight{top}" if top else "weights.weight"] = word.tolist()
                if top:
                    cycle["weights.entries.enter"] |= 1 << entries.index(top)
        for n, x in enumerate(tile.x):
            cycles[tile.start + n]["x"] = x.tolist()
        cycles[tile.start]["swap"] = 1
        if config.offset == "sum" and not config.channel_offsets:
            cycles[tile.start]["offset"] = int(tile.offset[0])
    return cycles


def check(config, tiles, rng):
    array = SystolicArray(config)
    seen = [row["sums"] for row in trace(array, stimulus(rng, config, array, tiles), ["sums"])]
    for number, tile in enumerate(tiles):
        expected = tile.x @ tile.weight + np.outer(tile.x.sum(axis=1), tile.offset)
        for n, row in enumerate(expected.tolist()):
            got = [seen[tile.start + n + array.latency + c][c] for c in range(config.columns)]
            assert got == row, f"tile {number}, pixel {n}"


@pytest.mark.one_in(3)
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_sums_are_those_of_the_matrix_product(rows, columns, mode):
    config = ArrayConfig(rows, columns, **mode)
    rng = np.random.default_rng((rows, columns))
    check(config, random_tiles(rng, config, 25, lambda rng: 0), rng)
    check(config, random_tiles(rng, config, 12, lambda rng: int(rng.integers(0, 4))), rng)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("bits", [2, 9])
def test_sums_of_odd_weights_are_those_of_the_matrix_product(bits, mode):
    """The array carries all but their lowest bit where it has no others, and appends a 0 to channels' offsets."""
    config = ArrayConfig(5, 3, weight_bits=bits - 1, adjusted_bits=bits, odd_weights="all", **mode)
    rng = np.random.default_rng(bits)
    check(config, random_tiles(rng, config, 15, lambda rng: 0), rng)


@pytest.mark.parametrize("rows", [2, 7])
@pytest.mark.parametrize(
    ("mode", "odd_weights", "bits"),
    [("none", "none", 1), ("edge", "none", 2), ("sum", "some", 2), ("sum", "all", 2)],
)
def test_sums_without_multipliers_are_those_of_the_matrix_product(rows, mode, odd_weights, bits):
    config = ArrayConfig(
        rows, 3, weight_bits=bits, adjusted_bits=bits, odd_weights=odd_weights, ternary=True, **MODES[mode]
    )
    rng = np.random.default_rng((rows, bits))
    check(config, random_tiles(rng, config, 25, lambda rng: 0), rng)
    extreme = random_tiles(rng, config, 4, lambda rng: 0, fixed=5)
    for tile in extreme:
        tile.x[:], tile.weight[:] = -128, rng.choice([-1, -1 if bits == 1 else 1])
    check(config, extreme, rng)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("mode", ["none", "edge", "edge, channel offsets", "sum"])
@pytest.mark.parametrize(
    ("rows", "columns", "load_rows"), [(8, 3, 2), (7, 3, 4), (9, 2, 8), *nightly([(2, 2, 2), (16, 2, 4)])]
)
def test_sums_are_those_of_the_matrix_product_when_several_rows_are_loaded_at_once(
    rows, columns, load_rows, mode
):
    config = ArrayConfig(
        rows,
        columns,
        weight_slot_bits=16,
        weight_packing=load_rows,
        load_rows=load_rows,
        **MODES[mode],
    )
    rng = np.random.default_rng((rows, columns))
    tiles = random_tiles(rng, config, 30, lambda rng: 0, fixed=1)
    assert {tile.parallel for tile in tiles} == {1 << n for n in range(load_rows.bit_length())}
    check(config, tiles, rng)
    check(config, random_tiles(rng, config, 25, lambda rng: 0), rng)
    check(config, random_tiles(rng, config, 12, lambda rng: int(rng.integers(0, 4))), rng)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("pixels", [1, 4, 5])
def test_tiles_of_any_number_of_pixels_follow_each_other_at_the_highest_rate(pixels, mode):
    config = ArrayConfig(4, 3, activation_bits=4, weight_bits=3, adjusted_bits=5, offset_bits=4, **mode)
    rng = np.random.default_rng(pixels)
    tiles = random_tiles(rng, config, 20, lambda rng: 0, fixed=pixels)
    starts = np.diff([tile.start for tile in tiles if not tile.offset_row])
    if "sum" not in mode.values() or not mode.get("channel_offsets"):
        assert set(starts.tolist()) == {max(pixels, 4)}
    check(config, tiles, rng)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_no_sum_of_extremes_wraps(mode):
    config = ArrayConfig(8, 2, offset_bits=9, adjusted_bits=9, **mode)
    low_weight = -(1 << (config.operand_bits - 1))
    offset = -(1 << ((config.weight_bits if config.channel_offsets else config.offset_bits) - 1))
    tiles = []
    for number, (weight, x) in enumerate([(low_weight, -128), (~low_weight, -128), (low_weight, 127)]):
        columns = np.full(2, offset if config.offset == "sum" else 0)
        row = config.offset == "sum" and config.channel_offsets
        tiles.append(
            Tile(np.full((8, 2), weight), columns, row, np.full((3, 8), x), 20 * number, 20 * number + 10)
        )
    check(config, tiles, np.random.default_rng(0))


def test_the_configuration_knows_the_arrays_latency():
    """What the rest of the pipeline counts on."""
    for mode in MODES.values():
        config = ArrayConfig(5, 3, **mode)
        below = config.rows - 1 + config.element_latency + (config.offset == "sum")
        assert config.array_latency - below == 3  # memory, register, padding
        array = SystolicArray(config)
        assert array.latency == below
        Fragment.get(array, None)  # a component that is made must be used
