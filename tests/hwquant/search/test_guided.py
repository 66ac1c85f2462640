"""The guided search on a problem whose answer is known."""

from hwquant.search.guided import Evolution
from hwquant.search.pareto import front
from hwquant.search.space import WEIGHTS, Space, Variable

SPACE = Space(tuple(Variable(WEIGHTS, f"layer{i}", 2**i, (2, 4, 8)) for i in range(6)))


def costs(configuration):
    """Noise that differs from layer to layer, and memory."""
    noise = sum(4.0**-bits * (6 - i) for i, bits in enumerate(configuration))
    return noise, sum(bits * 2**i for i, bits in enumerate(configuration))


def run(seed, generations, start=(), missed=lambda values: {}):
    evolution = Evolution(SPACE.choices, 2, 10, seed)
    seen, asked = [], evolution.begin(start) if start else evolution.ask()
    for _ in range(generations):
        seen.append(asked)
        values = [costs(item) for item in asked]
        evolution.tell([(item, missed(item)) for item in values])
        asked = evolution.ask()
    return seen


def test_the_same_seed_asks_for_the_same_configurations():
    assert run(1, 5) == run(1, 5)
    assert run(1, 5) != run(2, 5)


def test_the_first_generation_is_the_one_given():
    start = [(8,) * 6, (2,) * 6, (4,) * 6]
    first, second, *_ = run(0, 2, start)
    assert first == start
    assert len(second) == 10


def test_configurations_that_the_caller_adds_are_part_of_a_generation():
    evolution = Evolution(SPACE.choices, 2, 10, 0)
    asked = evolution.ask([(8,) * 6])
    assert asked[0] == (8,) * 6
    assert len(asked) == 10


def test_evolution_finds_more_of_the_front_than_chance():
    everything = list(SPACE.everything())
    best = {everything[i] for i in front([costs(item) for item in everything])}
    found = {item for generation in run(0, 20) for item in generation}
    chance = len(best) * len(found) / len(everything)
    assert len(best & found) > 2 * chance > 4


def test_later_generations_keep_to_the_constraints():
    limit = 200

    def missed(values):
        return {"memory": values[1] - limit}

    last = run(0, 12, missed=missed)[-1]
    assert sum(costs(item)[1] <= limit for item in last) > sum(
        costs(item)[1] <= limit for item in run(0, 12)[-1]
    )


def test_candidates_that_do_not_work_are_told_to_the_guided_search():
    evolution = Evolution(SPACE.choices, 2, 4, 0)
    evolution.ask()
    evolution.tell([None, None, None, None])
    assert len(evolution.ask()) == 4
