"""The activation memory against a dictionary, and the selection of lanes against slices."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.program.config import ArrayConfig
from hwquant.program.layout import words_to_integers
from hwquant.rtl_templates import banks
from hwquant.rtl_templates.activations import ActivationFeed, ActivationMemory

SHAPES = [(4, 4), (8, 3), (5, 2), (2, 7), (3, 7), (2, 2)]


@pytest.mark.parametrize("bank", [banks.BANK, 4])  # one memory, and up to three
@pytest.mark.parametrize("depth", [2, 8, 11])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_memory_remembers_each_group_of_lanes(rows, columns, depth, bank, monkeypatch):
    monkeypatch.setattr(banks, "BANK", bank)
    config = ArrayConfig(rows, columns, activation_bits=3, activation_depth=depth)
    rng = np.random.default_rng((rows, columns, depth))
    stored = np.zeros((depth, config.lanes), np.int64)
    first = second = None
    stimulus, expected = [], []
    for _ in range(600):
        write, read = (int(value) for value in rng.integers(0, depth, 2))
        enable = int(rng.integers(0, 1 << config.groups))
        if write == read:
            enable = 0  # what is read while it is written is not defined
        lanes = rng.integers(-4, 4, (1, config.lanes))
        advance = rng.random() < 0.7
        stimulus.append(
            {
                "read.address": read,
                "read.advance": advance,
                "write.address": write,
                "write.data": words_to_integers(lanes, 3)[0],
                "write.enable": enable,
            }
        )
        expected.append(second)
        if advance:
            first, second = words_to_integers(stored[read : read + 1], 3)[0], first
        for group in range(config.groups):
            if enable >> group & 1:
                own = config.group_lanes(group)
                stored[write, own.start : own.stop] = lanes[0, own.start : own.stop]
    seen = [row["data"] for row in trace(ActivationMemory(config), stimulus, ["data"])]
    for cycle, (got, wanted) in enumerate(zip(seen, expected)):
        assert wanted is None or got == wanted, f"cycle {cycle}"
    assert sum(wanted is not None for wanted in expected) > 500


@pytest.mark.parametrize("bank", [banks.BANK, 8])
@pytest.mark.parametrize(("half", "depth"), [(8, 16), (16, 21), (24, 32), (32, 61)])
def test_halves_are_read_and_written_from_both_sides(half, depth, bank, monkeypatch):
    monkeypatch.setattr(banks, "BANK", bank)
    monkeypatch.setattr("hwquant.program.config.HALF_STEP", bank)
    port = {"external_bits": 16, "external_address_bits": 9}
    config = ArrayConfig(2, 3, activation_bits=3, activation_depth=depth, half_depth=half, **port)
    rng = np.random.default_rng((half, depth))
    stored = np.zeros((depth, config.lanes), np.int64)
    ways = {"array": [None, None], "mover": [None, None]}
    stimulus, expected = [], []
    for _ in range(800):
        storing, loading = rng.random() < 0.4, rng.random() < 0.4
        written = int(rng.integers(half if loading else 0, depth))
        read = int(rng.integers(0, half if storing else depth))
        loaded, taken = int(rng.integers(0, half)), int(rng.integers(half, depth))
        lanes, words = rng.integers(-4, 4, (1, config.lanes)), rng.integers(-4, 4, (1, config.lanes))
        enable = int(rng.integers(0, 1 << config.groups))
        writes = {written} | ({loaded} if loading else set())
        if writes & {read, taken}:
            enable = loading = 0
        advance, moves_on = rng.random() < 0.7, rng.random() < 0.7
        stimulus.append(
            {
                "read.address": read,
                "read.advance": advance,
                "write.address": written,
                "write.data": words_to_integers(lanes, 3)[0],
                "write.enable": enable,
                "load.enable": loading,
                "load.address": loaded,
                "load.data": words_to_integers(words, 3)[0],
                "storing": storing,
                "store.address": taken,
                "store.advance": moves_on,
            }
        )
        # What is known of a side is what it alone has moved.
        expected.append((ways["array"][1], ways["mover"][1]))
        if advance:
            ways["array"] = [words_to_integers(stored[read : read + 1], 3)[0], ways["array"][0]]
        if storing and moves_on:
            ways["mover"] = [words_to_integers(stored[taken : taken + 1], 3)[0], ways["mover"][0]]
        if not storing:
            ways["mover"] = [None, None]
        if storing:
            # The second half's registers are the mover's: the array has nothing of it on its way.
            ways["array"] = [
                word if known else None for word, known in zip(ways["array"], _first_half(stimulus, half))
            ]
        for group in range(config.groups):
            own = config.group_lanes(group)
            if enable >> group & 1:
                stored[written, own.start : own.stop] = lanes[0, own.start : own.stop]
        if loading:
            stored[loaded] = words[0]
    seen = trace(ActivationMemory(config), stimulus, ["data", "stored"])
    known = [0, 0]
    for cycle, (row, wanted) in enumerate(zip(seen, expected)):
        for side, name in enumerate(("data", "stored")):
            if wanted[side] is not None:
                known[side] += 1
                assert row[name] == wanted[side], f"cycle {cycle}, {name}"
    assert min(known) > 50


def _first_half(stimulus, half):
    """Whether each of the two latest addresses that the array moved is one of the first half."""
    moved = [row["read.address"] < half for row in stimulus if row["read.advance"]]
    return [*reversed(moved[-2:]), False, False][:2]


def test_read_data_is_as_late_as_the_configuration_says():
    config = ArrayConfig(2, 2, activation_depth=4)
    write = {"write.address": 3, "write.data": 0x1234, "write.enable": 1, "read.advance": 1}
    stimulus = [write, {"write.enable": 0, "read.address": 3}, {"read.address": 0}, {}, {}, {}]
    seen = [row["data"] for row in trace(ActivationMemory(config), stimulus, ["data"])]
    assert [cycle for cycle, value in enumerate(seen) if value == 0x1234] == [1 + ActivationMemory.latency]


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_feed_selects_the_part_or_inserts_the_padding_value(rows, columns):
    config = ArrayConfig(rows, columns, activation_bits=4)
    rng = np.random.default_rng((rows, columns))
    count = 300
    words = rng.integers(-8, 8, (count, config.lanes))
    part = rng.integers(0, config.reads_per_word, count)
    outside = rng.random(count) < 0.3
    pad = rng.integers(-8, 8, count)
    stimulus = [
        {
            # The word of an address comes ActivationMemory.latency cycles after what belongs to it.
            "data": words_to_integers(
                words[n - ActivationMemory.latency : n - ActivationMemory.latency + 1], 4
            )[0]
            if n >= ActivationMemory.latency
            else 0,
            "selection.part": int(part[n]),
            "selection.outside": int(outside[n]),
            "selection.pad": int(pad[n]),
        }
        for n in range(count)
    ]
    seen = [row["x"] for row in trace(ActivationFeed(config), stimulus, ["x"])]
    for n in range(count - ActivationMemory.latency - 1):
        lanes = words[n, part[n] * rows : (part[n] + 1) * rows]
        expected = [int(pad[n])] * rows if outside[n] else lanes.tolist()
        assert seen[n + ActivationMemory.latency + 1] == expected, f"word {n}"
