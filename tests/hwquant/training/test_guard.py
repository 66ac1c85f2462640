"""Samples that decide between networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hwquant.errors import HwquantError
from hwquant.quantize import quantize
from hwquant.training import (
    Guard,
    ProgressiveOptions,
    Training,
    TrainOptions,
    Verdict,
    finetune_all_at_once,
    hold_out,
    progressive,
)
from hwquant.training.guard import BETTER, WORSE, _above

ABSURD = TrainOptions(epochs=1, batch_size=16, lr=3.0)


@pytest.fixture
def networks(digits_graph, digits):
    """By what they are called: networks of 8 bits and of 1."""
    calibration = digits[2]
    return {
        "good": quantize(digits_graph, calibration),
        "coarse": quantize(digits_graph, calibration, bits=1),
    }


def test_a_tenth_is_held_back_drawn_and_not_trained_on():
    x, y = np.arange(95), np.arange(95) % 10
    training, source = hold_out(Training((x, y), TrainOptions(seed=3)))
    kept, decides = training.data[0], training.validation[0]
    assert source == "10 of the 95 training samples, which are not trained on"
    assert len(decides) == 10
    assert sorted([*kept, *decides]) == list(x)
    assert np.array_equal(decides % 10, training.validation[1])
    assert len(set(training.validation[1])) > 3  # neither the last ones nor every tenth
    again, _ = hold_out(Training((x, y), TrainOptions(seed=3)))
    other, _ = hold_out(Training((x, y), TrainOptions(seed=4)))
    assert np.array_equal(again.validation[0], decides)
    assert not np.array_equal(other.validation[0], decides)
    assert hold_out(training) == (training, "10 validation samples")


def test_what_cannot_be_held_back_is_refused():
    with pytest.raises(HwquantError, match="no share of a loader can be held back: give validation samples"):
        hold_out(Training([(torch.zeros(1), torch.zeros(1))]))
    with pytest.raises(HwquantError, match="1 training samples are too few to hold some back"):
        hold_out(Training((np.zeros((1, 2)), np.zeros(1))))
    with pytest.raises(HwquantError, match=r"call hwquant\.training\.hold_out first"):
        Guard(Training((np.zeros((9, 2)), np.zeros(9))))
    with pytest.raises(HwquantError, match="validation data have 2 samples x and 3 y"):
        Guard(Training((np.zeros(9), np.zeros(9)), validation=(np.zeros(2), np.zeros(3))))


def test_the_better_network_is_chosen_in_either_order(networks, digits):
    guard = Guard(Training(digits[0], validation=digits[1]), "160 samples")
    for names in (["good", "coarse"], ["coarse", "good"]):
        verdict = guard.choose({name: networks[name] for name in names})
        assert (verdict.best, verdict.returned, verdict.samples) == ("good", "good", "160 samples")
        assert [score.name for score in verdict.scores] == names
        assert str(verdict).startswith("best on 160 samples: good (loss 0.")
        assert Verdict.from_json(verdict.as_json()) == verdict
    scores = {score.name: score for score in verdict.scores}
    assert scores["good"].loss < scores["coarse"].loss
    assert scores["good"].accuracy > scores["coarse"].accuracy


def test_among_equals_the_first_stays(networks, digits):
    guard = Guard(Training(digits[0], validation=digits[1]))
    assert guard.choose({"first": networks["good"], "trained": networks["good"]}).best == "first"


def test_a_difference_that_may_be_chance_is_none():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, 100)
    noise -= noise.mean()
    values = rng.normal(0, 1, 100)
    assert _above(values + noise + 0.1, values) < BETTER < _above(values + noise + 0.3, values)
    assert _above(values + 1e-9, values) > BETTER  # the same for every sample
    assert _above(values, values) == 0
    one = np.zeros(50)
    one[7] = 1
    assert _above(one, np.zeros(50)) == pytest.approx(WORSE)  # one sample decides nothing


def test_losses_without_labels_decide_too(networks, digits, digits_graph):
    x = digits[1][0]
    from hwquant import floating

    targets = floating.predict(digits_graph, x)[0]
    guard = Guard(Training((x, targets), TrainOptions(loss="mse"), validation=(x, targets)))
    verdict = guard.choose({"coarse": networks["coarse"], "good": networks["good"]})
    assert verdict.best == "good"
    assert [score.accuracy for score in verdict.scores] == [None, None]
    assert "accuracy" not in str(verdict)


@pytest.mark.parametrize("method", [progressive, finetune_all_at_once])
def test_where_training_is_bad_the_compensated_network_comes_back(digits_graph, digits, method):
    train, test, calibration = digits
    training = Training(train, ABSURD, validation=test)
    qgraph = method(digits_graph, training, calibration)
    expected = quantize(digits_graph, calibration, error_compensation=True)
    for mine, other in zip(qgraph.nodes, expected.nodes, strict=True):
        for term, wanted in zip(getattr(mine, "terms", ()), getattr(other, "terms", ()), strict=True):
            assert np.array_equal(term.codes, wanted.codes)
    report = qgraph.options["progressive" if method is progressive else "finetuned"]
    verdict = Verdict.from_json(report["guard"])
    assert verdict.returned == verdict.best == "compensated"
    assert verdict.samples == "160 validation samples"
    (advice,) = verdict.advice("digits")
    assert (advice.kind, advice.where, advice.option) == ("training_hurts", "digits", "--lr")
    assert "it is the compensated one that is returned" in advice.message
    assert {"sqnr", "layers"} <= qgraph.options.keys()


def test_the_published_method_is_returned_whatever_it_is(digits_graph, digits):
    train, test, calibration = digits
    training = Training(train, replace(ABSURD, lr=0.3), validation=test)
    qgraph = progressive(digits_graph, training, calibration, stages=ProgressiveOptions(literal=True))
    verdict = Verdict.from_json(qgraph.options["progressive"]["guard"])
    assert (verdict.best, verdict.returned) == ("compensated", "trained")
    (advice,) = verdict.advice("digits")
    assert "it is the trained one that is returned" in advice.message
