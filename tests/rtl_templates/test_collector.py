"""The collector against sums, a formula and a maximum; everything that has a fixed delay comes exactly then."""

from dataclasses import dataclass

import numpy as np
import pytest
from hwquant_testing.clocked import trace
from hwquant_testing.seeds import nightly

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.collector import Collector
from hwquant.rtl_templates.parameters import ParameterReader

WIDTHS = {"accumulator_bits": 24, "accumulator_depth": 32, "shift_bits": 5}
CONFIGS = {
    "2x2": ArrayConfig(2, 2, **WIDTHS),
    "3x5, narrow": ArrayConfig(3, 5, activation_bits=4, weight_bits=3, adjusted_bits=4, **WIDTHS),
    "6x3, sum": ArrayConfig(6, 3, offset="sum", **WIDTHS),
    "3x5, tables": ArrayConfig(3, 5, table_bits=9, tables=5, **WIDTHS),
    "4x4, multiplier, table": ArrayConfig(
        4, 4, multiplier_bits=9, activation_bits=5, table_bits=7, tables=1, **WIDTHS
    ),
    "4x4, multiplier": ArrayConfig(4, 4, multiplier_bits=9, **WIDTHS),
    "2x9, multiplier, sum": ArrayConfig(2, 9, multiplier_bits=9, offset="sum", **WIDTHS),
}


@dataclass
class Tile:
    """A tile's first cycle, its sums (pixels, columns), and its marks."""

    start: int
    sums: np.ndarray
    first: bool
    last: bool
    parameters: list | None
    clamp: dict
    layer: bool
    area: int


def spread(config):
    """Bits of the sums to draw, so that they fit and the shifts bring them to the width of an activation."""
    return min(13, config.column_bits)


def random_parameters(rng, config):
    half = 2 << spread(config)
    bias = rng.integers(-half, half, config.columns).tolist()
    least = spread(config) - config.requantized_bits
    shift = rng.integers(least, least + 5, config.columns).tolist()
    rows = [{"bias": b, "shift": s} for b, s in zip(bias, shift)]
    if config.multiplier_bits:
        for row in rows:
            row["multiplier"] = int(rng.integers(1, 1 << (config.multiplier_bits - 1)))
            row["shift"] += config.multiplier_bits - 3
    return rows


def random_tiles(rng, config):
    """A few layers of blocks of tiles, mostly as close to each other as the dispatcher and a change of clamps allow."""
    cycle, tiles, parameters_start = 2, [], -100
    bits, half = config.requantized_bits, 1 << (spread(config) - 1)
    for _ in range(4):
        low, high = sorted(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), 2).tolist())
        clamp = {"low": low, "high": high, "zero": int(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1)))}
        if config.tables:
            clamp["table"] = int(rng.integers(config.tables))
        if tiles:
            # A layer begins when the one before it has its clamp, and that one's last pixel has used it in all columns.
            apart = config.columns - 1 + (config.multiplier_bits > 0) + (config.tables > 0)
            begun = next(tile.start for tile in reversed(tiles) if tile.layer) + config.write_latency
            cycle = max(tiles[-1].start + len(tiles[-1].sums) + apart, begun)
        area = int(rng.choice([1, 1, 2, 4]))
        for _ in range(4):
            windows = int(rng.integers(1, 32 // area + 1)) if rng.random() < 0.6 else 1
            count = int(rng.integers(1, 4))
            new = rng.random() < 0.6 or not tiles or tiles[-1].clamp is not clamp
            for number in range(count):
                if number == 0 and new:
                    cycle = max(cycle, parameters_start + config.columns)
                    parameters_start = cycle
                tiles.append(
                    Tile(
                        start=cycle,
                        sums=rng.integers(-half, half, (windows * area, config.columns)),
                        first=number == 0,
                        last=number == count - 1,
                        parameters=random_parameters(rng, config) if number == 0 and new else None,
                        clamp=clamp,
                        layer=not tiles or tiles[-1].clamp is not clamp,
                        area=area,
                    )
                )
                cycle += max(len(tiles[-1].sums), config.load_cycles) + int(rng.choice([0, 0, 3]))
    return tiles


def requantize(total, parameters, clamp, config):
    if config.multiplier_bits:
        # The shift in the parameter memory is one less than the one that is meant.
        shift = parameters["shift"] + 1
        value = ((total * parameters["multiplier"] + (1 << (shift - 1))) >> shift) + clamp["zero"]
    else:
        value = total >> parameters["shift"]
    return min(max(value, clamp["low"]), clamp["high"])


def random_table(rng, config):
    """The words of a table memory."""
    return rng.integers(0, 1 << config.activation_bits, config.table_depth).tolist()


def look_up(value, clamp, table, config):
    """The signed word at an integer's place in the page of a layer."""
    if not config.tables:
        return value
    word = table[(clamp["table"] << config.table_bits) + value % (1 << config.table_bits)]
    half = 1 << (config.activation_bits - 1)
    return (word ^ half) - half


def expected(tiles, config, table):
    """Output words by the cycle in which they are valid."""
    words, parameters, totals = {}, None, None
    for tile in tiles:
        parameters = tile.parameters or parameters
        bias = [row["bias"] for row in parameters]
        totals = tile.sums + (bias if tile.first else totals)
        if not tile.last:
            continue
        values = [
            [
                look_up(requantize(int(t), p, tile.clamp, config), tile.clamp, table, config)
                for t, p in zip(row, parameters)
            ]
            for row in totals
        ]
        for end in range(tile.area - 1, len(values), tile.area):
            window = values[end - tile.area + 1 : end + 1]
            words[tile.start + end + config.write_latency] = [max(column) for column in zip(*window)]
    return words


def stimulus(rng, tiles, config):
    """Inputs of every cycle: marks as addresses leave, sums and parameters when they arrive; garbage between."""
    end = tiles[-1].start + len(tiles[-1].sums) + config.write_latency + 3
    width, shift = config.column_bits, 1 << config.shift_bits
    noise = rng.integers(-(1 << (width - 1)), 1 << (width - 1), (end, config.columns))
    marks = ("valid", "start", "first", "last", "parameters", "layer", "pool_first", "pool_last")
    cycles = []
    for row in noise.tolist():
        # Only a valid pixel starts a tile or brings parameters; its other marks may be anything.
        pixel = {name: int(rng.integers(0, 2)) for name in marks} | {"valid": 0, "start": 0, "parameters": 0}
        bus = {"bias": row[0], "shift": int(rng.integers(0, shift))}
        cycles.append({"pixel": pixel, "sums": row, "parameters.bus": bus, "clamp": tiles[0].clamp})
    for tile in tiles:
        for n, sums in enumerate(tile.sums.tolist()):
            cycles[tile.start + n]["pixel"] = {
                "valid": 1,
                "start": int(n == 0),
                "first": int(tile.first),
                "last": int(tile.last),
                "parameters": int(n == 0 and tile.parameters is not None),
                "layer": int(n == 0 and tile.layer),
                "pool_first": int(n % tile.area == 0),
                "pool_last": int(n % tile.area == tile.area - 1),
            }
            for c in range(config.columns):
                cycles[tile.start + n + config.array_latency + c]["sums"][c] = sums[c]
        for cycle in range(tile.start, end):
            cycles[cycle]["clamp"] = tile.clamp
    return cycles


@pytest.mark.one_in(2)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("seed", [0, 1, *nightly([2, 3])])
def test_finished_words_come_when_they_must_and_are_right(config, seed):
    rng = np.random.default_rng(seed)
    tiles = random_tiles(rng, config)
    cycles = stimulus(rng, tiles, config)
    # A parameter reader answers so many cycles after it was told to start.
    table = random_table(rng, config)
    collector = Collector(config, table)
    requests = [
        cycle
        for cycle, row in enumerate(trace(collector, cycles, ["parameters.start"]))
        if row["parameters.start"]
    ]
    wanted = [tile.parameters for tile in tiles if tile.parameters]
    assert len(requests) == len(wanted)
    for request, rows in zip(requests, wanted):
        for c, row in enumerate(rows):
            cycles[request + ParameterReader.latency + c]["parameters.bus"] = row
    history = trace(Collector(config, table), cycles, ["results.valid", "results.channels", "begins"])
    begins = [tile.start + config.write_latency - 1 for tile in tiles if tile.layer]
    assert [cycle for cycle, row in enumerate(history) if row["begins"]] == begins
    words = {cycle: row["results.channels"] for cycle, row in enumerate(history) if row["results.valid"]}
    assert words == expected(tiles, config, table)
    assert len({value for word in words.values() for value in word}) > 5
