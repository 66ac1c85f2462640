import itertools

import numpy as np
import pytest

from hwquant.quantize import elimination
from hwquant.quantize.elimination import Cost, minimize


def total(costs, labels):
    return sum(cost.table[tuple(labels[name] for name in cost.variables)] for cost in costs)


@pytest.mark.parametrize("seed", range(20))
def test_result_is_the_least_of_all_labellings(seed):
    rng = np.random.default_rng(seed)
    sizes = {name: int(rng.integers(1, 5)) for name in "abcde"}
    costs = [Cost((name,), rng.random(size)) for name, size in sizes.items()]
    for _ in range(int(rng.integers(0, 9))):
        pair = tuple(rng.choice(list("abcde"), 2, replace=False).tolist())
        costs.append(Cost(pair, rng.random([sizes[name] for name in pair])))
    chosen = minimize(costs, sizes)
    every = itertools.product(*(range(size) for size in sizes.values()))
    assert total(costs, chosen) == min(total(costs, dict(zip(sizes, labels))) for labels in every)


def test_variables_without_costs_get_the_first_label():
    assert minimize([], {"a": 3, "b": 2}) == {"a": 0, "b": 0}


def test_an_entangled_network_is_still_labelled(monkeypatch):
    monkeypatch.setattr(elimination, "_LARGEST_TABLE", 4)
    rng = np.random.default_rng(0)
    names = "abcdef"
    costs = [Cost(pair, rng.random((4, 4))) for pair in itertools.combinations(names, 2)]
    costs += [Cost((name,), rng.random(4)) for name in names]
    chosen = minimize(costs, dict.fromkeys(names, 4))
    assert set(chosen) == set(names)
    assert total(costs, chosen) < np.mean([cost.table.mean() for cost in costs]) * len(costs)
