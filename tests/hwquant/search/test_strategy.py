"""The strategy against the truth: spaces of which everything is known."""

import numpy as np
import pytest

from hwquant import floating
from hwquant.data import Samples
from hwquant.quantize import observe_network
from hwquant.search import Constraints, SearchOptions
from hwquant.search.evaluate import Outcome, Task, evaluate
from hwquant.search.journal import Journal
from hwquant.search.ledger import Ledger
from hwquant.search.result import SearchResult
from hwquant.search.space import WEIGHTS, Space, Variable
from hwquant.search.strategy import Strategy

WIDTHS = (2, 3, 4, 6, 8)


class Known:
    """Workers who look outcomes up, and a task as far as a result needs one."""

    def __init__(self, space, table, measured):
        self.space, self.table, self.measured = space, table, measured

    def __call__(self, items):
        for index, item in enumerate(items):
            yield index, self.table[item]

    def search(self, make_task, options, float_accuracy):
        ledger = Ledger(self, Journal(None, {}, len(self.space.variables), False), self.measured, None)
        Strategy(options, self.space, float_accuracy, None, None).run(ledger)
        task = make_task(measured=self.measured)
        task = Task(
            task.observed, task.test, task.exact, self.space, task.quantizer, task.array, self.measured
        )
        return SearchResult.of(options, task, float_accuracy, ledger.outcomes)


def made_up(seed):
    """Five layers of random sizes and sensitivities; some widths cost what wider ones do; noise is not quite a sum."""
    rng = np.random.default_rng(seed)
    sizes, shares = rng.integers(20, 2000, 5), rng.lognormal(0, 2, 5)
    space = Space(tuple(Variable(WEIGHTS, f"layer{i}", int(size), WIDTHS) for i, size in enumerate(sizes)))
    table = {}
    for item in [space.int8, *space.everything()]:
        noise = float(shares @ 4.0 ** -np.array(item)) * float(rng.lognormal(0, 0.1))
        accuracy = round(float(0.9 / (1 + 2 * noise)) * 1000) / 1000
        words = sum(size * (4 if bits == 3 else bits) for size, bits in zip(sizes, item))
        cycles = 1000 + sum(size // (2 if bits <= 4 else 1) for size, bits in zip(sizes, item))
        table[item] = Outcome(
            {"accuracy": accuracy, "cycles": float(cycles), "weight_bytes": float(words)}, noise, "x"
        )
    return Known(space, table, ("accuracy", "cycles", "weight_bytes"))


@pytest.mark.parametrize("limited", [False, True], ids=["drop", "limit"])
@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_of_the_candidates_are_enough_for_nearly_the_best_pick(make_task, seed, limited):
    known = made_up(seed)
    half = known.table[known.space.int8].measures["weight_bytes"] / 2
    limits = Constraints(None, limits={"weight_bytes": half}) if limited else Constraints(1.0, "int8")
    everything = SearchOptions(bits=WIDTHS, exhaustive=True, constraints=limits)
    truth = known.search(make_task, everything, 0.9)
    assert len(truth.candidates) == 5**5
    few = SearchOptions(bits=WIDTHS, trials=200, constraints=limits)
    found = known.search(make_task, few, 0.9)
    assert len(found.candidates) == 200
    best, pick = truth.pick(), found.pick()
    if limited:
        assert best.measures["accuracy"] - pick.measures["accuracy"] <= 0.003
    else:
        assert found.relative_cost(pick) <= 1.03 * truth.relative_cost(best)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["chain", "concat", "depthwise"])
def test_a_real_network_s_pick_is_found(make_task, kind):
    from hwquant_testing.float_networks import build

    graph = build(kind, 5)
    rng = np.random.default_rng(5)
    x = rng.normal(0.2, 1, (264, *graph.inputs[0].shape)).astype(np.float32)
    observed = observe_network(graph, {graph.inputs[0].name: x[:64]})
    exact = floating.predict(graph, x[64:])[0]
    test = Samples(x[64:], exact.reshape(len(exact), -1).argmax(axis=1).astype(np.int64))
    space = Space.of(observed.plan, (2, 4, 8))
    options = SearchOptions(bits=(2, 4, 8), exhaustive=True, constraints=Constraints(3.0, "int8"))
    task = Task(observed, test, exact, space, options.quantizer, (4, 4), options.measured)
    known = Known(
        space, {item: evaluate(task, item) for item in [space.int8, *space.everything()]}, options.measured
    )
    truth = known.search(make_task, options, 1.0)
    few = SearchOptions(bits=(2, 4, 8), trials=space.size // 3, generation=8, constraints=options.constraints)
    found = known.search(make_task, few, 1.0)
    assert found.relative_cost(found.pick()) <= 1.05 * truth.relative_cost(truth.pick())
