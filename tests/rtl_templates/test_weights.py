"""The weight loader against a list of rows and a pointer."""

from dataclasses import dataclass

import numpy as np
import pytest
from hwquant_testing.clocked import interact

from hwquant.program.config import FEED_LATENCY, ArrayConfig
from hwquant.program.layout import words_to_integers
from hwquant.rtl_templates.weights import WeightLoader

MODES = {
    "none": {"offset": "none"},
    "edge": {"offset": "edge"},
    "edge, channel offsets": {"offset": "edge", "channel_offsets": True},
    "sum": {"offset": "sum"},
    "sum, channel offsets": {"offset": "sum", "channel_offsets": True},
}


@dataclass
class Load:
    """A tile to load, and what is expected of it."""

    first: bool
    mark: bool
    offsets: bool
    offset: int
    wait: int
    rewind: bool = False


def random_loads(rng, config, depth, wait):
    """Loads that use up the memory's rows at least twice, block by block, with a rewind in between."""
    loads, pointer, marked, inference = [], 0, 0, 0
    while inference < 2:
        mark = pointer == 0 or rng.random() < 0.4
        if not mark:
            pointer = marked
        begin = pointer
        tiles = []
        for number in range(int(rng.integers(1, 5))):
            offsets = config.channel_offsets and (number == 0 or rng.random() < 0.3)
            if pointer + config.rows + offsets > depth:
                break
            pointer += config.rows + offsets
            offset = 0 if config.offset == "none" else int(rng.integers(-256, 256))
            tiles.append(Load(number == 0, number == 0 and mark, offsets, offset, wait(rng)))
        if not tiles:
            # The memory is used up: a new inference.
            inference, pointer = inference + 1, 0
            loads[-1].rewind = True
            continue
        if mark:
            marked = begin
        loads += tiles
    return loads


def expected(config, rows, loads, takes, cycles):
    """(load, weight or None where nobody looks) of every cycle."""
    result = [(0, None)] * cycles
    pointer = marked = 0
    offset_row = None
    for load, take in zip(loads, takes):
        if load.first:
            if load.mark:
                marked = pointer
            else:
                pointer = marked
        cycle, shifted = take + 1 + FEED_LATENCY, 0
        if load.offsets:
            offset_row = rows[pointer]
            pointer += 1
            if config.offset == "sum":
                shifted = 1
                result[cycle] = (1, offset_row.tolist())
            cycle += 1
        for n in range(config.rows):
            word = rows[pointer]
            pointer += 1
            if config.offset == "edge":
                word = word + (offset_row if config.channel_offsets else load.offset)
            shifted += 1
            result[cycle + n] = ((1 << shifted) - 1, word.tolist())
        if load.rewind:
            pointer = 0
    return result


def run(config, rows, loads, seed):
    """Takes the loads as they become ready; returns when, and what left in every cycle."""
    rng = np.random.default_rng(seed)
    bits = config.weight_bits
    loader = WeightLoader(config, words_to_integers(rows, bits))
    takes, busy = [], []
    state = {"next": 0, "wait": loads[0].wait, "offset": 0, "rewind": False, "tail": 12}

    def step(cycle, seen):
        inputs = {name: int(rng.integers(0, 2)) for name in ("offsets", "first", "mark")}
        # The offset of a tile is there from the cycle after it was taken until the next one is.
        inputs |= {"take": 0, "rewind": 0, "offset": state["offset"]}
        if not seen["ready"] or cycle == 0:
            return inputs
        if state["rewind"]:
            state["rewind"] = False
            return inputs | {"rewind": 1}
        if state["next"] == len(loads):
            state["tail"] -= 1
            return inputs if state["tail"] else None
        if state["wait"]:
            state["wait"] -= 1
            return inputs
        load = loads[state["next"]]
        takes.append(cycle)
        busy.append(config.load_cycles + load.offsets)
        state["next"] += 1
        state["offset"], state["rewind"] = load.offset, load.rewind
        state["wait"] = loads[state["next"]].wait if state["next"] < len(loads) else 0
        return inputs | {"take": 1, "offsets": load.offsets, "first": load.first, "mark": load.mark}

    outputs = ("ready", "weight", "load")
    history = interact(loader, step, outputs)
    assert len(takes) == len(loads)
    return takes, busy, history


def check(config, depth, seed, wait):
    rng = np.random.default_rng(seed)
    low, high = -(1 << (config.weight_bits - 1)), 1 << (config.weight_bits - 1)
    rows = rng.integers(low, high, (depth, config.columns))
    loads = random_loads(rng, config, depth, wait)
    takes, busy, history = run(config, rows, loads, seed)
    for cycle, ((load, weight), seen) in enumerate(
        zip(expected(config, rows, loads, takes, len(history) + 20), history)
    ):
        assert seen["load"] == load, f"seed {seed}, cycle {cycle}"
        if load:
            assert seen["weight"] == weight, f"seed {seed}, cycle {cycle}"
    return loads, takes, busy, history


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (3, 2), (4, 4), (7, 2)])
def test_rows_come_in_order_adjusted_and_with_the_thermometer(rows, columns, mode):
    config = ArrayConfig(rows, columns, weight_depth=64, adjusted_bits=10, offset_bits=10, **mode)
    for seed, wait in enumerate([lambda rng: 0, lambda rng: int(rng.integers(0, 4))]):
        check(config, 64, seed, wait)


@pytest.mark.parametrize("depth", [8, 16, 17, 31, 32])
def test_a_memory_may_be_used_to_its_last_row(depth):
    """Also where its depth is a power of two, so that the pointer wraps at its end."""
    config = ArrayConfig(4, 2, weight_depth=depth, offset="none")
    loads, *_ = check(config, depth, 0, lambda rng: 0)
    assert sum(load.rewind for load in loads) == 2


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("rows", [2, 4, 6])
def test_ready_from_the_last_cycle_of_a_load_on_and_not_before(rows, mode):
    config = ArrayConfig(rows, 2, weight_depth=64, adjusted_bits=10, offset_bits=10, **mode)
    _, takes, busy, history = check(config, 64, 5, lambda rng: 3 if rng.random() < 0.5 else 0)
    for take, length in zip(takes, busy):
        assert [history[take + n]["ready"] for n in range(1, length + 1)] == [0] * (length - 1) + [1]
    assert any(b - a == n for a, b, n in zip(takes, takes[1:], busy)), "loads without a pause between them"


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_weights_are_signed_whatever_their_width(bits):
    config = ArrayConfig(2, 3, weight_bits=bits, weight_depth=32, offset_bits=10, adjusted_bits=11)
    check(config, 32, bits, lambda rng: 0)
