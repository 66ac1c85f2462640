"""The host port between two streams that stall at random and a memory."""

from itertools import pairwise

import numpy as np
import pytest
from hwquant_testing.clocked import interact

from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.host import HostPort

CONFIG = ArrayConfig(2, 2, activation_bits=8, activation_depth=200)
WORDS = 1 << CONFIG.word_bits
OUTPUTS = (
    "transfer.done",
    "events.received",
    "events.dropped",
    "frames.valid",
    "frames.ready",
    "results.valid",
    "results.ready",
    "results.payload",
    "writing",
    "write.address",
    "write.data",
    "write.enable",
    "reading",
    "read.address",
    "read.advance",
)


class Surroundings:
    """Executes transfers in order: (kind, address, count, last); streams words in, collects words."""

    def __init__(self, transfers, sent, idle, busy):
        self.transfers, self.sent = list(transfers), list(sent)
        self.idle, self.busy = idle, busy
        self.memory = np.arange(256, dtype=np.int64) * 251 % WORDS
        self.stages = [0] * HostPort.read_latency  # what the memory holds on its way to read_data
        self.received, self.ended, self.moved = [], [], []
        self.begun, self.framing = [], 0
        self.offering, self.current, self.tail = False, None, 5

    def step(self, cycle, seen):
        values = {"transfer.receive": 0, "transfer.send": 0, "data": int(self.stages[-1])}
        if self.current and seen["transfer.done"]:
            self.ended.append((cycle, self.current[0], seen["events.received"]))
            self.current = None
        elif seen["transfer.done"] or seen["events.received"]:
            raise AssertionError(f"cycle {cycle}: the end of nothing")
        if not self.current:
            if not self.transfers:
                self.tail -= 1
                if not self.tail:
                    return None
            else:
                # Also in the cycle in which the one before is reported to be done.
                self.current = self.transfers.pop(0)
                kind, address, count, last = self.current
                self.begun.append(cycle)
                transfer = {"address": address, "count": count, "last": last}
                start = "transfer.receive" if kind == "input" else "transfer.send"
                values |= {start: 1, "transfer.words": transfer}
        self.offering = bool(self.sent) and (self.offering or not self.idle())
        word = self.sent[0] if self.offering else {"data": 0, "last": 0}
        return values | {
            "frames.valid": int(self.offering),
            "frames.payload": word,
            "results.ready": int(not self.busy()),
        }

    def after(self, cycle, seen):
        assert not (seen["writing"] and seen["reading"])
        if seen["read.advance"] and seen["reading"]:
            self.stages = [self.memory[seen["read.address"]], *self.stages[:-1]]
        if seen["write.enable"]:
            assert seen["writing"]
            self.memory[seen["write.address"]] = seen["write.data"]
        if seen["frames.valid"] and seen["frames.ready"]:
            assert self.current[0] == "input", "a word is taken only during an input"
            self.sent.pop(0)
            self.offering = False
            self.moved.append(cycle)
        self.framing += seen["events.dropped"]
        if seen["results.valid"]:
            assert self.current[0] == "output"
            if seen["results.ready"]:
                self.received.append(seen["results.payload"])
                self.moved.append(cycle)


def frame(rng, length):
    words = rng.integers(0, WORDS, length).tolist()
    return [{"data": word, "last": int(n == length - 1)} for n, word in enumerate(words)]


def run(transfers, sent, idle=lambda: False, busy=lambda: False):
    surroundings = Surroundings(transfers, sent, idle, busy)
    history = interact(HostPort(CONFIG), surroundings.step, OUTPUTS, surroundings.after)
    return surroundings, history


def chances(seed, chance):
    rng = np.random.default_rng(seed)
    return lambda: bool(rng.random() < chance)


def random_transfers(rng, number):
    """Inputs and outputs, and frames for the inputs: good ones, with early and late ones before them."""
    transfers, sent, wrong = [], [], 0
    memory = np.arange(256, dtype=np.int64) * 251 % WORDS
    expected = []
    for _ in range(number):
        count = int(rng.choice([1, 2, 3, 20]))
        address = int(rng.integers(0, 200 - count))
        kind = "input" if rng.random() < 0.5 else "output"
        last = int(rng.integers(2)) if kind == "output" else 0
        transfers.append((kind, address, count, last))
        if kind == "input":
            while rng.random() < 0.5:
                length = int(
                    rng.choice([n for n in (1, count - 1, count + 1, 2 * count + 1) if n not in (0, count)])
                )
                sent += frame(rng, length)
                wrong += 1
            good = frame(rng, count)
            sent += good
            memory[address : address + count] = [word["data"] for word in good]
        else:
            words = memory[address : address + count].tolist()
            expected += [{"data": word, "last": int(last and n == count - 1)} for n, word in enumerate(words)]
    return transfers, sent, wrong, memory, expected


@pytest.mark.parametrize(("idle", "busy"), [(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.3), (0.05, 0.9), (0.9, 0.05)])
@pytest.mark.parametrize("seed", range(3))
def test_every_word_moves_exactly_once_and_wrong_frames_leave_nothing(seed, idle, busy):
    rng = np.random.default_rng((seed, 10))
    transfers, sent, wrong, memory, expected = random_transfers(rng, 40)
    surroundings, _ = run(transfers, sent, chances((seed, 1), idle), chances((seed, 2), busy))
    assert surroundings.received == expected
    assert surroundings.sent == []
    assert surroundings.framing == wrong > 3
    assert [kind for _, kind, _ in surroundings.ended] == [kind for kind, *_ in transfers]
    assert all(bool(flag) == (kind == "input") for _, kind, flag in surroundings.ended)
    kept = np.ones(256, bool)
    for kind, address, count, _ in transfers:
        if kind == "input":  # a frame that was dropped may have left its words there, and nowhere else
            kept[address : address + count] = False
    np.testing.assert_array_equal(surroundings.memory[kept], memory[kept])
    last = {}
    for kind, address, count, _ in transfers:
        if kind == "input":
            last |= dict.fromkeys(range(address, address + count), (address, count))
    assert all(surroundings.memory[place] == memory[place] for place in last)


def test_results_stay_while_they_are_not_accepted():
    rng = np.random.default_rng(3)
    transfers = [("output", int(rng.integers(0, 100)), 9, 1) for _ in range(10)]
    _, history = run(transfers, [], busy=chances(4, 0.7))
    stalls = 0
    for row, following in pairwise(history):
        if row["results.valid"] and not row["results.ready"]:
            stalls += 1
            assert following["results.valid"]
            assert following["results.payload"] == row["results.payload"]
    assert stalls > 100


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_word_moves_each_cycle_where_the_host_keeps_up(count):
    rng = np.random.default_rng(count)
    transfers = [("input", 5, count, 0), ("output", 5, count, 1)]
    surroundings, _ = run(transfers, frame(rng, count))
    (begin, back), moved = surroundings.begun, surroundings.moved
    assert moved[:count] == list(range(begin + 1, begin + 1 + count))
    assert moved[count:] == list(
        range(back + 1 + HostPort.read_latency, back + 1 + HostPort.read_latency + count)
    )
    # Done is reported in the cycle after the last word has moved.
    assert [cycle for cycle, *_ in surroundings.ended] == [moved[count - 1] + 1, moved[-1] + 1]


def test_nothing_is_taken_before_an_input_begins():
    rng = np.random.default_rng(0)
    surroundings, history = run([("output", 0, 30, 1), ("input", 0, 2, 0)], frame(rng, 2))
    start = surroundings.begun[1]
    assert not any(row["frames.ready"] for row in history[: start + 1])
    assert surroundings.sent == []


def test_a_frame_that_never_ended_is_waited_for():
    """Words beyond a late frame are dropped up to its last one, however many there are."""
    rng = np.random.default_rng(1)
    long, good = frame(rng, 100), frame(rng, 3)
    surroundings, _ = run([("input", 7, 3, 0)], long + good)
    assert surroundings.framing == 1
    assert surroundings.memory[7:10].tolist() == [word["data"] for word in good]
