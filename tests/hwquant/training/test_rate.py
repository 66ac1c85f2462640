"""The start and the learning rate that short trainings find."""

import math

import pytest

from hwquant.errors import HwquantError
from hwquant.training import Training, TrainOptions, TuneOptions, finetune_all_at_once, rate
from hwquant.training.rate import RATES, find_rate


@pytest.fixture
def losses(monkeypatch):
    """Losses after a trial by start and rate, which take the place of training."""
    table = {}
    monkeypatch.setattr(
        rate, "_try", lambda start, training, guard, epochs, lr: table[start][RATES.index(lr)]
    )
    return table


@pytest.mark.parametrize(
    ("compensated", "direct", "found", "tried"),
    [
        # From 1e-3 (place 3) down, and direct is worse everywhere.
        ([5, 4, 1, 2, 3, 9, 9], [9, 9, 9, 8, 9, 9, 9], ("compensated", 2), [3, 4, 2, 1, 3, 4, 2]),
        # Direct climbs to the end.
        ([9, 9, 9, 5, 9, 9, 9], [9, 9, 9, 4, 3, 2, 1], ("direct", 6), [3, 4, 2, 3, 4, 5, 6]),
        # What diverged is never the best; the first of equals is.
        ([9, 9, 9, 5, math.inf, 9, 9], [9, 9, 9, 5, math.inf, 9, 9], ("compensated", 3), [3, 4, 2, 3, 4, 2]),
    ],
)
def test_the_search_climbs_or_descends_from_the_middle(losses, compensated, direct, found, tried):
    losses |= {"a": compensated, "b": direct}
    result = find_rate({"compensated": "a", "direct": "b"}, None, None, 1.0)
    assert (result["start"], RATES.index(result["lr"])) == found
    assert sorted(RATES.index(item["lr"]) for item in result["trials"]) == sorted(tried)
    diverged = [item["lr"] for item in result["trials"] if item["loss"] is None]
    assert diverged == [RATES[4]] * 2 * (math.inf in compensated)


def test_a_rate_is_found_and_reported_and_used(digits_graph, digits):
    train, test, calibration = digits
    training = Training(train, TrainOptions(epochs=1, batch_size=32), validation=test)
    report = finetune_all_at_once(digits_graph, training, calibration).options["finetuned"]
    best = min(report["trials"], key=lambda item: item["loss"])
    assert report["lr"] == best["lr"]
    assert report["start"] == best["start"]
    assert {item["start"] for item in report["trials"]} == {"compensated", "direct"}
    assert report["training"]["lr"] is None


def test_a_rate_that_is_given_is_taken(digits_graph, digits):
    train, test, calibration = digits
    options, tuning = TrainOptions(epochs=0.1, lr=1e-5), TuneOptions(start="direct")
    training = Training(train, options, validation=test, tuning=tuning)
    report = finetune_all_at_once(digits_graph, training, calibration).options
    assert {"lr": 1e-5, "start": "direct", "trials": []}.items() <= report["finetuned"].items()
    with pytest.raises(HwquantError, match="start must be one of auto, compensated, direct, not 'float'"):
        TuneOptions(start="float")
