"""Errors are what their definitions say, whatever parts they are collected from."""

import json
import math

import numpy as np
import pytest

from hwquant.truncation.parity import Error, ErrorSum, LayerParity, OperatorParity, ParityReport


def test_errors_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    exact = rng.normal(size=(100, 3))
    got = exact + rng.normal(0, 0.1, exact.shape)
    total = ErrorSum()
    for part in (slice(0, 1), slice(1, 60), slice(60, 100)):
        total.add(exact[part], got[part])
    error = total.result()
    assert error.largest == np.abs(got - exact).max()
    assert error.mean == pytest.approx(np.abs(got - exact).mean(), rel=1e-12)
    expected = 10 * math.log10((exact**2).mean() / ((got - exact) ** 2).mean())
    assert error.sqnr_db == pytest.approx(expected, rel=1e-12)


def test_a_ratio_of_two_needs_signal_and_noise():
    for exact, got in ((np.ones(3), np.ones(3)), (np.zeros(3), np.ones(3)), (np.zeros(0), np.zeros(0))):
        total = ErrorSum()
        total.add(exact, got)
        assert total.result().sqnr_db is None


def test_a_tenth_of_the_signal_is_twenty_decibels():
    total = ErrorSum()
    total.add(np.array([1.0, -1.0]), np.array([1.1, -0.9]))
    assert total.result().sqnr_db == pytest.approx(20)


def test_a_report_is_plain_json_and_its_accuracy_that_of_the_last_layer():
    error = Error(0.5, 0.25, None)
    layers = tuple(
        LayerParity(name, ("a",), error, error, share) for name, share in (("x", 0.5), ("y", 0.25))
    )
    report = ParityReport("int8", 4, (OperatorParity("a", "convolution", error),), layers, 1.0)
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert content["accuracy"] == 0.25
    assert content["operators"] == [
        {"name": "a", "kind": "convolution", "error": {"largest": 0.5, "mean": 0.25, "sqnr_db": None}}
    ]
    assert [row["name"] for row in content["layers"]] == ["x", "y"]
