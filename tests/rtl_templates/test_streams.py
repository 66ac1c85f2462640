"""Registers of streams between a source and a sink that stall at random."""

import numpy as np
import pytest
from hwquant_testing.clocked import interact

from hwquant.rtl_templates.streams import StreamQueue, StreamRegister


@pytest.mark.parametrize(("idle", "busy"), [(0, 0), (0.5, 0), (0, 0.5), (0.3, 0.7), (0.9, 0.05)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("component", "cycles"),
    [
        (lambda: StreamRegister(8), 2),
        (lambda: StreamRegister(8, follows=True), 2),
        (lambda: StreamQueue(8), 1),
    ],
    ids=["register", "follows", "queue"],
)
def test_items_come_out_once_in_order_and_stay_until_they_are_taken(component, cycles, seed, idle, busy):
    rng = np.random.default_rng((seed, int(10 * idle), int(10 * busy)))
    items = rng.integers(0, 256, 200).tolist()
    waiting, received, offering, held = list(items), [], [False], [None]

    def step(cycle, seen):
        if len(received) == len(items):
            return None
        offering[0] = bool(waiting) and (offering[0] or rng.random() >= idle)
        return {
            "i.valid": int(offering[0]),
            "i.payload": waiting[0] if offering[0] else 0,
            "o.ready": int(rng.random() >= busy),
        }

    def after(cycle, seen):
        if held[0] is not None:
            assert (seen["o.valid"], seen["o.payload"]) == (1, held[0])
        held[0] = seen["o.payload"] if seen["o.valid"] and not seen["o.ready"] else None
        if seen["i.valid"] and seen["i.ready"]:
            waiting.pop(0)
            offering[0] = False
        if seen["o.valid"] and seen["o.ready"]:
            received.append(seen["o.payload"])

    names = ("i.valid", "i.ready", "o.valid", "o.ready", "o.payload")
    history = interact(component(), step, names, after)
    assert received == items, f"seed {seed}"
    if not idle and not busy:
        assert len(history) <= cycles * len(items) + 3


@pytest.mark.parametrize("follows", [False, True])
def test_a_register_that_follows_is_ready_only_while_the_other_side_is(follows):
    history = interact(
        StreamRegister(8, follows=follows),
        lambda cycle, seen: {"o.ready": cycle & 1, "i.valid": 0} if cycle < 8 else None,
        ("i.ready", "o.ready"),
        lambda cycle, seen: None,
    )
    assert [row["i.ready"] for row in history] == [row["o.ready"] if follows else 1 for row in history]
