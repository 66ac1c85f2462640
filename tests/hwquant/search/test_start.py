"""Starting points."""

import itertools

from hwquant.search.space import BIASES, WEIGHTS, Space, Variable
from hwquant.search.start import evenly, narrower, probes, staircase, uniform

WIDTHS = (2, 3, 5, 8)
SPACE = Space(
    tuple(Variable(WEIGHTS, name, size, WIDTHS) for name, size in (("a", 10), ("b", 1000), ("c", 10)))
)
MIXED = Space((Variable(WEIGHTS, "a", 10, WIDTHS), Variable(BIASES, "a", 10, (6, 32))))


def test_uniform_and_single_narrowings():
    assert uniform(SPACE) == [(8, 8, 8), (5, 5, 5), (3, 3, 3), (2, 2, 2)]
    assert probes(SPACE) == [(3, 8, 8), (8, 3, 8), (8, 8, 3)]
    assert uniform(MIXED) == [(8, 32), (5, 32), (3, 32), (2, 32), (8, 6)]
    assert probes(MIXED) == [(3, 32), (8, 6)]


def test_the_staircase_narrows_one_variable_by_one_width_at_a_time_down_to_the_narrowest():
    steps = [(8, 8, 8), *staircase(SPACE, [0.2, 0.4, 0.1], 0.01)]
    assert len(steps) == 1 + 3 * 3
    assert steps[-1] == (2, 2, 2)
    for before, after in itertools.pairwise(steps):
        (changed,) = [i for i in range(3) if before[i] != after[i]]
        assert WIDTHS.index(before[changed]) - WIDTHS.index(after[changed]) == 1


def test_the_staircase_first_narrows_what_saves_most_for_its_noise():
    assert staircase(SPACE, [0.2, 0.4, 0.1], 0.01)[:3] == [(8, 5, 8), (8, 3, 8), (8, 3, 5)]
    # a thousand times the noise outweighs a hundred times the memory
    assert staircase(SPACE, [0.002, 10.0, 0.001], 0.0)[0] == (8, 8, 5)


def test_the_staircase_goes_on_where_no_noise_is_added():
    assert staircase(SPACE, [0.0, 0.0, 0.0], 0.1)[-1] == (2, 2, 2)
    assert len(staircase(MIXED, [0.3, 0.2], 0.1)) == 3 + 1


def test_narrower_goes_one_width_down_everywhere_before_two():
    assert narrower(SPACE, (8, 2, 3)) == [(5, 2, 3), (8, 2, 2), (3, 2, 3), (2, 2, 3)]
    assert narrower(SPACE, (2, 2, 2)) == []
    assert narrower(SPACE, (6, 2, 2))[0] == (5, 2, 2)
    assert narrower(MIXED, (3, 32)) == [(2, 32), (3, 6)]


def test_evenly_takes_at_most_as_many_as_asked_for():
    items = [(i,) for i in range(10)]
    assert evenly(items, 20) == items
    assert evenly(items, 5) == [(0,), (2,), (4,), (6,), (8,)]
    assert evenly(items, 0) == []
