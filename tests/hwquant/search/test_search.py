"""The search as a whole."""

import itertools

import pytest

from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.search import Constraints, SearchOptions, search
from hwquant.search.evaluate import evaluate


@pytest.fixture
def arguments(digits_graph, calibration, few):
    return digits_graph, calibration, few


def test_an_exhaustive_search_evaluates_every_configuration(arguments, make_task):
    result = search(*arguments, bits=(2, 8), exhaustive=True, trials=1, jobs=1)
    assert [item.configuration for item in result.candidates] == list(itertools.product((8, 2), repeat=3))
    task = make_task()
    for item in result.candidates:
        assert item.measures == evaluate(task, item.configuration).measures
    points = [tuple(item.measures.values()) for item in result.candidates]
    dominated = [
        any(a >= x and b <= y and c <= z and (a, b, c) != (x, y, z) for a, b, c in points)
        for x, y, z in points
    ]
    kept = [item for item, beaten in zip(result.candidates, dominated) if not beaten]
    assert {tuple(item.measures.values()) for item in result.front} == {
        tuple(item.measures.values()) for item in kept
    }


def test_a_space_no_larger_than_the_trials_is_searched_exhaustively(arguments):
    result = search(*arguments, bits=(2, 8), trials=8, jobs=1)
    assert len(result.candidates) == 8


@pytest.mark.parametrize("trials", [1, 4, 12])
def test_a_guided_search_keeps_to_its_trials(arguments, trials):
    result = search(*arguments, bits=(2, 3, 4, 8), trials=trials, generation=4, jobs=1)
    assert len(result.candidates) == trials
    assert result.int8 == result.candidates[0]


def test_int8_is_a_candidate_also_where_8_is_not_searched(arguments):
    result = search(*arguments, bits=(2, 3), trials=8, jobs=1)
    assert result.candidates[0].configuration == (8, 8, 8)
    assert len(result.candidates) == 9
    result = search(*arguments, bits=(2, 3, 4), trials=10, generation=4, jobs=1)
    assert len(result.candidates) == 11


def test_the_same_seed_gives_the_same_result_and_another_one_another(arguments):
    options = {"bits": (2, 3, 4, 6, 8), "trials": 14, "generation": 3, "jobs": 1}
    first, again, other = (search(*arguments, **options, seed=seed) for seed in (1, 1, 2))
    assert first.to_json() == again.to_json()
    assert first.to_json() != other.to_json()


def test_activations_are_searched_where_asked_for(arguments):
    result = search(*arguments, bits=(4, 8), activations=True, trials=12, generation=4, jobs=1)
    assert {item.activation_bits for item in result.candidates} == {4, 8}
    narrow = next(item for item in result.candidates if item.activation_bits == 4)
    assert {tensor.bits for tensor in result.network(narrow).tensors.values()} == {4}


def test_biases_are_searched_where_asked_for(arguments):
    result = search(*arguments, bits=(8,), bias_bits=(6, 10, 32), trials=27, jobs=1)
    assert len(result.candidates) == 27
    names = ("relu1", "relu2", "scores")
    assert {tuple(item.bias_bits.values()) for item in result.candidates} == set(
        itertools.product((6, 10, 32), repeat=3)
    )
    assert all(tuple(item.bias_bits) == names for item in result.candidates)
    cheapest = min(result.candidates, key=lambda item: item.measures["weight_bytes"])
    assert cheapest.measures["weight_bytes"] < result.int8.measures["weight_bytes"]
    program = compile_network(result.network(cheapest), (8, 8))
    assert program.config.bias_zeros
    assert result.to_json()["front"][0]["bias_bits"].keys() == set(names)


class Stop(Exception):
    """Stands for Ctrl-C."""


def interrupt_at(count):
    def progress(what, done, total, note=""):
        if what == "search" and done == count:
            raise Stop

    return progress


def test_an_interrupted_search_goes_on_where_it_was(arguments, tmp_path):
    options = SearchOptions(bits=(2, 3, 4, 8), trials=14, generation=4)
    whole = search(*arguments, options, jobs=1)
    journal = tmp_path / "journal"
    with pytest.raises(Stop):
        search(*arguments, options, jobs=1, journal=journal, progress=interrupt_at(9))
    assert len(journal.read_text().splitlines()) == 1 + 9
    evaluated = []
    resumed = search(
        *arguments,
        options,
        jobs=1,
        journal=journal,
        resume=True,
        progress=lambda what, done, *rest: evaluated.append(done) if what == "search" else None,
    )
    assert resumed.to_json() == whole.to_json()
    assert len(journal.read_text().splitlines()) == 1 + 14


def test_another_network_s_journal_is_refused(arguments, tmp_path):
    graph, calibration, test = arguments
    search(graph, calibration, test, bits=(8,), jobs=1, journal=tmp_path / "journal")
    with pytest.raises(HwquantError, match="other calibration data"):
        search(graph, calibration[:20], test, bits=(8,), jobs=1, journal=tmp_path / "journal", resume=True)
    with pytest.raises(HwquantError, match="--resume"):
        search(graph, calibration, test, bits=(8,), jobs=1, journal=tmp_path / "journal")


def test_progress_shows_the_best_so_far(arguments):
    seen = []
    options = SearchOptions(bits=(2, 8), constraints=Constraints(100))
    search(*arguments, options, jobs=1, progress=lambda *items: seen.append(items))
    last = [items for items in seen if items[0] == "search"][-1]
    assert last[:3] == ("search", 8, 8)
    assert last[3].startswith("best accuracy ")
    assert "weight bytes" in last[3]


def test_a_network_that_does_not_work_in_8_bits_is_an_error(arguments):
    graph, calibration, test = arguments
    with pytest.raises(HwquantError, match="the label 200 has no score"):
        search(graph, calibration, Samples(test.x, test.y * 0 + 200), jobs=1)
    with pytest.raises(HwquantError, match="no labels y"):
        search(graph, calibration, Samples(test.x, None), jobs=1)


def test_an_exhaustive_search_of_a_vast_space_is_refused(arguments):
    widths = (2, 3, 4, 5, 6, 7, 8)
    with pytest.raises(HwquantError, match=r"would evaluate 823,543 configurations of 7 numbers of bits"):
        search(*arguments, bits=widths, bias_bits=widths, activations=True, exhaustive=True)


def test_options_come_whole_or_one_by_one(arguments):
    with pytest.raises(TypeError, match="not both"):
        search(*arguments, SearchOptions(), trials=3)
