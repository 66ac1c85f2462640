"""The weight loader against a list of rows and a pointer."""

from dataclasses import dataclass

import numpy as np
import pytest
from hwquant_testing.clocked import interact

from hwquant.program.config import ArrayConfig
from hwquant.program.latencies import FEED_LATENCY
from hwquant.program.layout import words_to_integers
from hwquant.program.weight_format import WeightFormat
from hwquant.rtl_templates.ports import EntryPort
from hwquant.rtl_templates.weights import WeightLoader

MODES = {
    "none": {"offset": "none"},
    "edge": {"offset": "edge"},
    "edge, channel offsets": {"offset": "edge", "channel_offsets": True},
    "sum": {"offset": "sum"},
    "sum, channel offsets": {"offset": "sum", "channel_offsets": True},
}


PACKED = {
    "two in a word and in a cycle": {"weight_packing": 2, "load_rows": 2},
    "two in a word": {"weight_packing": 2},
    "eight in a word, two in a cycle": {"weight_packing": 8, "load_rows": 2},
    "four in a word and in a cycle, wide slots": {
        "weight_packing": 4,
        "load_rows": 4,
        "weight_slot_bits": 13,
    },
}


@dataclass
class Load:
    """A tile to load, and what is expected of it."""

    first: bool
    mark: bool
    offsets: bool
    offset: int
    wait: int
    form: WeightFormat
    odd: bool = False
    rewind: bool = False


def random_loads(rng, config, depth, wait):
    """Loads that use up the memory's words at least twice, block by block, with a rewind in between."""
    loads, pointer, marked, inference = [], 0, 0, 0
    while inference < 2:
        mark = pointer == 0 or rng.random() < 0.4
        if not mark:
            pointer = marked
        begin = pointer
        tiles = []
        for number in range(int(rng.integers(1, 5))):
            offsets = config.channel_offsets and (number == 0 or rng.random() < 0.3)
            form = WeightFormat.of(1 << int(rng.integers(config.weight_packing.bit_length())), config)
            if pointer + form.words(config) + offsets > depth:
                break
            pointer += form.words(config) + offsets
            offset = 0 if config.offset == "none" else int(rng.integers(-256, 256))
            odd = config.odd_weights == "some" and bool(rng.random() < 0.5)
            tiles.append(Load(number == 0, number == 0 and mark, offsets, offset, wait(rng), form, odd))
        if not tiles:
            # The memory is used up: a new inference.
            inference, pointer = inference + 1, 0
            loads[-1].rewind = True
            continue
        if mark:
            marked = begin
        loads += tiles
    return loads


def field(slots, width, index):
    """Field ``index`` of every column's slot, signed."""
    values = (slots >> (width * index)) & ((1 << width) - 1)
    return np.where(values >> (width - 1), values - (1 << width), values)


def rows_of(slots, config, form):
    """What leaves in each cycle: the row of every segment, as words of the memory say."""
    together = form.rows_per_word // form.rows_per_cycle
    for n in range(config.segment_rows(form.rows_per_cycle)):
        word = slots[n // together]
        if form.rows_per_word == 1:
            yield [field(word, config.weight_bits, 0)]
        else:
            first, width = n % together * form.rows_per_cycle, config.slot_bits // form.rows_per_word
            yield [field(word, width, first + part) for part in range(form.rows_per_cycle)]


def expected(config, slots, loads, takes, cycles):
    """What leaves the loader in every cycle: ``load``, and the weights at each row where some may enter.

    None stands for a row where no weights enter in that cycle.
    """
    load = [0] * cycles
    entering = {row: [None] * cycles for row in (0, *config.entries)}
    pointer = marked = 0
    offset_row = None
    for item, take in zip(loads, takes):
        if item.first:
            if item.mark:
                marked = pointer
            else:
                pointer = marked
        cycle, shifted = take + 1 + FEED_LATENCY, 0
        if item.offsets:
            offset_row = field(slots[pointer], config.weight_bits, 0) << item.odd
            pointer += 1
            if config.offset == "sum":
                shifted = 1
                load[cycle] |= 1
                entering[0][cycle] = offset_row.tolist()
            cycle += 1
        segment = config.segment_rows(item.form.rows_per_cycle)
        words = slots[pointer : pointer + item.form.words(config)]
        pointer += item.form.words(config)
        for n, rows in enumerate(rows_of(words, config, item.form)):
            for part, word in enumerate(rows):
                word = (word << item.odd) | item.odd
                top = part * segment
                if top >= config.rows:
                    continue
                if config.offset == "edge":
                    word = word + (offset_row if config.channel_offsets else item.offset)
                entering[top][cycle + top + n] = word.tolist()
                # A segment's rows begin one after the other, and stop together.
                below = min(segment, config.rows - top) if item.form.rows_per_cycle > 1 else len(load)
                load[cycle + top + n] |= ((1 << min(n + 1 + shifted, below)) - 1) << top
        if item.rewind:
            pointer = 0
    return load, entering


def run(config, slots, loads, seed):
    """Takes the loads as they become ready; returns when, and what left in every cycle."""
    rng = np.random.default_rng(seed)
    loader = WeightLoader(config, words_to_integers(slots, config.slot_bits))
    takes, busy = [], []
    state = {"next": 0, "wait": loads[0].wait, "offset": 0, "rewind": False, "tail": 12}

    def step(cycle, seen):
        job = {name: int(rng.integers(0, 2)) for name in ("offsets", "first", "parameters")}
        # The offset of a tile is there from the cycle after it was taken until the next one is.
        inputs = {"tile.job": job, "tile.start": 0, "rewind": 0, "offset": state["offset"]}
        if not seen["tile.ready"] or cycle == 0:
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
        busy.append(load.form.load_cycles(config) + load.offsets)
        state["next"] += 1
        state["offset"], state["rewind"] = load.offset, load.rewind
        state["wait"] = loads[state["next"]].wait if state["next"] < len(loads) else 0
        job = {"offsets": load.offsets, "first": load.first, "parameters": load.mark}
        if config.formatted:
            job["format"] = {"packing": load.form.rows_per_word.bit_length() - 1}
        if config.odd_weights == "some":
            job["format"]["odd"] = int(load.odd)
        return inputs | {"tile.start": 1, "tile.job": job}

    entries = [f"weights.entries.{name}" for name in EntryPort(config).members]
    outputs = ("tile.ready", "weights.weight", "weights.load", *entries)
    history = interact(loader, step, outputs)
    assert len(takes) == len(loads)
    return takes, busy, history


def check(config, depth, seed, wait):
    rng = np.random.default_rng(seed)
    low, high = -(1 << (config.slot_bits - 1)), 1 << (config.slot_bits - 1)
    slots = rng.integers(low, high, (depth, config.columns))
    loads = random_loads(rng, config, depth, wait)
    takes, busy, history = run(config, slots, loads, seed)
    load, entering = expected(config, slots, loads, takes, len(history) + 20 + config.rows)
    for cycle, seen in enumerate(history):
        where = f"seed {seed}, cycle {cycle}"
        assert seen["weights.load"] == load[cycle], where
        if entering[0][cycle]:
            assert seen["weights.weight"] == entering[0][cycle], where
        for index, row in enumerate(config.entries):
            weights, enter = entering[row][cycle], seen["weights.entries.enter"] >> index & 1
            if seen["weights.load"] >> row & 1:
                assert enter == (weights is not None), where
            if weights:
                # Random fields with random offsets may be wider than those that a compiler packs.
                mask = (1 << min(config.field_bits(part) for _, part in config.entries[row])) - 1
                assert [w & mask for w in seen[f"weights.entries.weight{row}"]] == [
                    w & mask for w in weights
                ], where
    return loads, takes, busy, history


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (3, 2), (4, 4), (7, 2)])
def test_rows_come_in_order_adjusted_and_with_the_thermometer(rows, columns, mode):
    config = ArrayConfig(rows, columns, weight_depth=64, adjusted_bits=10, offset_bits=10, **mode)
    for seed, wait in enumerate([lambda rng: 0, lambda rng: int(rng.integers(0, 4))]):
        check(config, 64, seed, wait)


@pytest.mark.parametrize("packed", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize(("rows", "columns"), [(4, 3), (7, 2), (16, 2)])
def test_rows_of_narrow_weights_come_to_all_segments(rows, columns, packed):
    for seed, name in enumerate(MODES):
        if name == "sum, channel offsets" and packed.get("load_rows"):
            continue
        config = ArrayConfig(
            rows, columns, weight_depth=64, adjusted_bits=10, offset_bits=10, **MODES[name], **packed
        )
        check(config, 64, seed, lambda rng: 0)
        check(config, 64, seed + 10, lambda rng: int(rng.integers(0, 4)))


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("packed", [{}, *PACKED.values()], ids=["one in a word", *PACKED])
def test_a_1_is_appended_to_odd_weights_and_a_0_to_their_offsets(mode, packed):
    if mode == MODES["sum, channel offsets"] and packed.get("load_rows"):
        return
    options = {"weight_depth": 64, "adjusted_bits": 11, "offset_bits": 10, "odd_weights": "some"}
    config = ArrayConfig(7, 2, **options, **mode, **packed)
    loads, *_ = check(config, 64, 1, lambda rng: int(rng.integers(0, 3)))
    assert {load.odd for load in loads} == {False, True}


@pytest.mark.parametrize("depth", [8, 16, 17, 31, 32])
def test_a_memory_may_be_used_to_its_last_row(depth):
    """Also where its depth is a power of two, so that the pointer wraps at its end."""
    config = ArrayConfig(4, 2, weight_depth=depth, offset="none")
    loads, *_ = check(config, depth, 0, lambda rng: 0)
    assert sum(load.rewind for load in loads) == 2


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("rows", [2, 4, 6])
def test_the_loader_is_ready_from_the_last_cycle_of_a_load_on_and_not_before(rows, mode):
    config = ArrayConfig(rows, 2, weight_depth=64, adjusted_bits=10, offset_bits=10, **mode)
    _, takes, busy, history = check(config, 64, 5, lambda rng: 3 if rng.random() < 0.5 else 0)
    for take, length in zip(takes, busy):
        assert [history[take + n]["tile.ready"] for n in range(1, length + 1)] == [0] * (length - 1) + [1]
    assert any(b - a == n for a, b, n in zip(takes, takes[1:], busy)), "loads without a pause between them"


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_weights_are_signed_whatever_their_width(bits):
    config = ArrayConfig(2, 3, weight_bits=bits, weight_depth=32, offset_bits=10, adjusted_bits=11)
    check(config, 32, bits, lambda rng: 0)
