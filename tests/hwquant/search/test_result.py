"""The pick under constraints."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hwquant import hwq
from hwquant.errors import Damaged, HwquantError
from hwquant.qgraph import Layer
from hwquant.quantize import quantize
from hwquant.search import Constraints, SearchOptions
from hwquant.search.evaluate import Outcome, evaluate, network_checksum, quantize_candidate
from hwquant.search.report import judge_pick
from hwquant.search.result import SearchResult
from hwquant.search.tuning import Tuned


@pytest.fixture(scope="module")
def make(make_task):
    """``make({(8, 8, 8): (accuracy, cycles, bytes), ...})``: a result of made-up outcomes."""
    task = make_task()

    def result(points, float_accuracy=0.95, **options):
        outcomes = {
            key: Outcome(dict(zip(("accuracy", "cycles", "weight_bytes"), values)), 0.0, "x")
            for key, values in points.items()
        }
        return SearchResult.of(SearchOptions(**options), task, float_accuracy, outcomes)

    return result


POINTS = {
    (8, 8, 8): (0.94, 100, 1000),
    (8, 4, 8): (0.945, 100, 700),
    (4, 4, 8): (0.93, 100, 600),
    (4, 4, 4): (0.93, 80, 600),
    (2, 2, 2): (0.50, 80, 300),
}


def bits(candidates):
    return [item.configuration for item in candidates]


def test_a_trained_network_is_the_one_that_was_measured(make_task):
    task = make_task()
    plain, other = (quantize_candidate(task, (bits,) * 3) for bits in (8, 4))
    outcomes = {
        (8, 8, 8): Outcome({"accuracy": 0.9, "cycles": 1, "weight_bytes": 1}, 0.0, "x"),
        Tuned((8, 8, 8), "t"): Outcome(
            {"accuracy": 0.95, "cycles": 1, "weight_bytes": 1},
            *(0.0, network_checksum(plain), None),
            hwq.to_bytes(plain),
        ),
    }
    result = SearchResult.of(SearchOptions(), task, 0.95, outcomes)
    _, trained = result.candidates
    assert network_checksum(result.network(trained)) == network_checksum(plain)
    with pytest.raises(Damaged, match="is not the one that was measured"):
        result.network(replace(trained, made=hwq.to_bytes(other)))


def test_the_front_is_sorted_by_accuracy(make):
    assert bits(make(POINTS).front) == [(8, 4, 8), (4, 4, 4), (2, 2, 2)]
    assert bits(make(POINTS, objectives=("accuracy", "cycles")).front) == [(8, 4, 8), (4, 4, 4)]


def test_the_drop_counts_from_float_or_from_int8(make):
    result = make(POINTS)
    assert result.pick(Constraints(0.5, "float")).configuration == (8, 4, 8)
    assert result.pick(Constraints(1.0, "int8")).configuration == (4, 4, 4)
    assert result.pick(Constraints(2.0, "float")).configuration == (4, 4, 4)
    assert result.pick(Constraints(100, "int8")).configuration == (2, 2, 2)


def test_a_drop_that_is_exactly_allowed_is_allowed(make):
    points = {(8, 8, 8): (0.9, 1, 10), (2, 2, 2): (0.9 - 0.005, 1, 5)}
    assert make(points).pick(Constraints(0.5, "int8")).configuration == (2, 2, 2)


def test_without_a_bound_on_the_drop_the_most_accurate_within_the_limits_is_picked(make):
    result = make(POINTS)
    assert result.pick(Constraints(None, limits={"weight_bytes": 650})).configuration == (4, 4, 4)
    assert result.pick(Constraints(None, limits={"cycles": 100})).configuration == (8, 4, 8)
    assert result.pick(Constraints(None)).configuration == (8, 4, 8)


def test_the_search_s_own_constraints_are_the_default(make):
    assert make(POINTS, constraints=Constraints(100)).pick().configuration == (2, 2, 2)


def test_where_nothing_keeps_to_the_constraints_the_nearest_is_named(make):
    with pytest.raises(HwquantError) as raised:
        make(POINTS).pick(Constraints(0.1, "float", {"weight_bytes": 690}))
    assert str(raised.value) == (
        "none of 5 candidates keeps to at most 0.1 points below float and at most 690 weight bytes; the nearest has "
        "accuracy 94.50%, 100 cycles, 700 weight bytes, 0.50 points below float; loosen the constraints, or search "
        "more trials or other bits"
    )


def test_a_limit_on_what_was_not_measured_is_refused(make):
    with pytest.raises(HwquantError, match="weight_bits was not measured"):
        make(POINTS).pick(Constraints(limits={"weight_bits": 1}))


def test_candidates_that_do_not_work_are_listed_and_not_picked(make_task):
    outcomes = {
        (8, 8, 8): Outcome({"accuracy": 0.9, "cycles": 1, "weight_bytes": 1}),
        (2, 2, 2): Outcome(error="no"),
    }
    result = SearchResult.of(SearchOptions(constraints=Constraints(100)), make_task(), 0.9, outcomes)
    assert bits(result.candidates) == [(8, 8, 8)]
    assert result.pick() == result.int8
    assert result.to_json()["failed"] == [
        {
            "bits": dict.fromkeys(("conv1", "conv2", "scores"), 2),
            "activation_bits": 8,
            "bias_bits": None,
            "trained": False,
            "error": "no",
        }
    ]


def test_a_candidate_s_options_make_its_network(make_task, digits_graph, calibration):
    task = make_task(error_compensation=True)
    outcomes = {key: evaluate(task, key) for key in ((8, 8, 8), (2, 4, 8))}
    result = SearchResult.of(SearchOptions(), task, 0.9, outcomes)
    candidate = result.candidates[1]
    options = result.quantize_options(candidate)
    assert (options.bits, options.error_compensation) == ({"conv1": 2, "conv2": 4, "scores": 8}, True)
    network, expected = result.network(candidate), quantize(digits_graph, calibration, options)
    assert "layers" in network.options
    for a, b in itertools.chain(zip(network.nodes, expected.nodes, strict=True)):
        for left, right in zip(getattr(a, "terms", ()), getattr(b, "terms", ())):
            assert left.bits == right.bits
            assert np.array_equal(left.codes, right.codes)


def test_a_network_other_than_the_one_that_was_evaluated_is_refused(make_task):
    task = make_task()
    outcome = evaluate(task, (8, 8, 8))
    result = SearchResult.of(SearchOptions(), task, 0.9, {(8, 8, 8): replace(outcome, network="other")})
    with pytest.raises(HwquantError, match="quantizes the candidate to other integers"):
        result.network(result.int8)


@pytest.mark.nightly
def test_progressive_quantization_takes_a_candidate_s_options(make_task, digits_graph, calibration, few):
    from hwquant.training import Training, TrainOptions, progressive

    task = make_task(per_channel=True)
    result = SearchResult.of(
        SearchOptions(), task, 0.9, {key: evaluate(task, key) for key in ((8,) * 3, (2, 4, 8))}
    )
    options = result.quantize_options(result.candidates[1])
    training = Training((few.x, few.y), TrainOptions(epochs=4, lr=1e-3, batch_size=32))
    qgraph = progressive(digits_graph, training, calibration, options)
    assert [node.terms[0].bits for node in qgraph.nodes if isinstance(node, Layer)] == [2, 4, 8]


def test_a_pick_that_a_limit_forced_is_told_of(make):
    result = make(POINTS, constraints=Constraints(None, limits={"weight_bytes": 400}))
    (advice,) = judge_pick(result, result.pick())
    assert (advice.kind, advice.option) == ("search_costs", "--max-drop")
    assert advice.value == pytest.approx(44.0)
    assert judge_pick(make(POINTS), make(POINTS).pick()) == ()  # the drop was allowed
    mild = make(POINTS, constraints=Constraints(None, limits={"weight_bytes": 800}))
    assert judge_pick(mild, mild.pick()) == ()


def test_a_search_that_found_nothing_better_says_so(make):
    result = make({(8, 8, 8): (0.9, 1, 10), (2, 2, 2): (0.5, 1, 5)})
    (advice,) = judge_pick(result, result.pick(Constraints(0.5, "int8")))
    assert advice.kind == "nothing_found"
