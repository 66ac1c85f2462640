"""Who is judged, and who is trained, on outcomes that are made up."""

import pytest

from hwquant.errors import DoesNotFit
from hwquant.optimize import OptimizeOptions
from hwquant.optimize.space import Space
from hwquant.optimize.strategy import Strategy
from hwquant.search.evaluate import Outcome
from hwquant.search.journal import Journal
from hwquant.search.ledger import Ledger
from hwquant.search.tuning import Tuned

SPACE = Space.of(["a", "b", "c"], (2, 4, 8), (4, 6, 8), ("edge", "none"))
FLOAT = 0.95


def outcome(accuracy, fps, rows=4, columns=4):
    measures = {"accuracy": accuracy, "fps": fps, "arrays": 1, "rows": rows, "columns": columns}
    return Outcome(measures, network="x")


def made_up(configuration):
    """Narrow activations buy a larger array, and cost accuracy."""
    network, _, lanes, *bits = configuration
    lost = (8 - lanes) * 0.004 + sum(8 - item for item in bits) * 0.0005 + network * 0.004
    side = {8: 4, 6: 6, 4: 8}[lanes]
    return outcome(FLOAT - lost, 100.0 * side * (1 + network), side, side)


def ledger(judge=made_up):
    asked = []

    def workers(items):
        asked.extend(items)
        yield from enumerate(judge(item) for item in items)

    return Ledger(workers, Journal(None, {}, 6, False), ("accuracy", "fps"), None), asked


def test_the_arrays_to_prune_are_those_of_the_best_that_are_worth_training():
    options = OptimizeOptions(max_drop=0.5, regain=0.5, trials=90, generation=6, arrays=2)
    kept, asked = ledger()
    arrays = Strategy(options, FLOAT, None).explore_dense(kept, SPACE)
    assert arrays == [(6, 6), (4, 4)]  # 8x8 loses 1.6 points
    assert asked[:3] == SPACE.baseline
    assert len(asked) == 45


def test_pruned_networks_are_judged_from_the_best_dense_ones_on():
    options = OptimizeOptions(max_drop=0.5, regain=0.5, trials=60, generation=6)
    strategy, (kept, asked) = Strategy(options, FLOAT, None), ledger()
    strategy.explore_dense(kept, SPACE)
    space = Space(SPACE.layers, SPACE.bits, SPACE.activation_bits, SPACE.offsets, networks=3)
    again, asked = ledger()
    strategy.explore_all(again, space, list(kept.outcomes))
    assert asked[: len(kept)] == list(kept.outcomes)
    assert len(asked) == 60
    assert {item[0] for item in asked} == {0, 1, 2}


def test_where_nothing_fits_the_reason_is_given():
    kept, _ = ledger(lambda item: Outcome(error="84 RAM of 56"))
    with pytest.raises(DoesNotFit, match="84 RAM of 56"):
        Strategy(OptimizeOptions(trials=6), FLOAT, None).explore_dense(kept, SPACE)


def judged(*pairs):
    """A ledger that knows untrained candidates by (points lost, inferences a second)."""
    known = {
        SPACE.uniform(0, 1, lanes, bits): outcome(FLOAT - lost / 100, fps)
        for (lost, fps), (lanes, bits) in zip(
            pairs, ((a, b) for a in (8, 6, 4) for b in (8, 4, 2)), strict=False
        )
    }

    def judge(item):
        if not isinstance(item, Tuned):
            return known[item]
        before = known[item.configuration]  # training brings half of what is lost back
        lost = 100 * (FLOAT - before.measures["accuracy"])
        return outcome(FLOAT - lost / 200, before.measures["fps"])

    kept, asked = ledger(judge)
    kept.evaluate(list(known))
    del asked[:]
    return kept, asked, list(known)


def test_finalists_are_faster_than_the_best_so_far_and_not_hopeless():
    kept, asked, known = judged((0.0, 100), (0.4, 200), (0.9, 300), (1.0, 250), (1.9, 400), (2.1, 500))
    Strategy(OptimizeOptions(max_drop=0.5, regain=1.5, finalists=5, rounds=1), FLOAT, None).train(
        kept, "training"
    )
    # 250 is beaten by 300, which loses less; 500 loses too much.
    assert asked == [Tuned(known[4], "training"), Tuned(known[2], "training")]


def test_a_second_round_is_between_what_held_and_what_did_not():
    points = [(0.4, 100), (0.8, 200), (0.9, 300), (1.1, 400), (1.4, 500), (1.6, 600), (1.9, 700)]
    kept, asked, known = judged(*points)
    Strategy(OptimizeOptions(max_drop=0.5, regain=1.5, finalists=2, rounds=2), FLOAT, None).train(
        kept, "training"
    )
    # The boldest, and the most accurate that is faster than what holds; then those in between.
    assert [item.configuration for item in asked] == [known[6], known[1], known[5], known[2]]


def test_no_finalists_where_none_are_wanted():
    kept, asked, _ = judged((0.4, 100), (0.8, 200))
    Strategy(OptimizeOptions(finalists=0), FLOAT, None).train(kept, "training")
    assert not asked
