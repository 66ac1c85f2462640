"""A truncated network that lost its function is told of, with the operator that suffers most."""

import pytest

from hwquant.truncation.parity import Error, LayerParity, OperatorParity, ParityReport
from hwquant.truncation.report import judge_parity

GOOD, BAD, NONE = Error(1, 1, 40.0), Error(1, 1, 3.0), Error(0, 0, None)
OPERATORS = (OperatorParity("a", "convolution", GOOD), OperatorParity("b", "convolution", BAD))


def report(to="int8", output=GOOD, accuracy=None, real=None, operators=OPERATORS):
    return ParityReport(to, 10, operators, (LayerParity("b", ("b",), output, output, accuracy),), real)


def test_parity_that_is_good_is_silent():
    assert judge_parity(report(), "net", False) == ()
    assert judge_parity(report(output=NONE, operators=()), "net", False) == ()
    assert judge_parity(report(output=BAD, accuracy=0.9, real=0.92), "net", False) == ()  # labels decide


def test_noise_is_told_of_where_there_are_no_labels():
    (advice,) = judge_parity(report(output=BAD), "net", False)
    assert (advice.kind, advice.where, advice.option, advice.value) == ("low_sqnr", "net", "--train", 3.0)
    assert "'b' alone has 3.0 dB: fine-tune with --train" in advice.message


def test_lost_accuracy_is_told_of_with_the_option_that_is_left():
    (advice,) = judge_parity(report("binary", accuracy=0.5, real=0.9), "net", True)
    assert advice.kind == "truncation_costs"
    assert advice.value == pytest.approx(40.0)
    assert "raise --epochs or change --lr, or keep the ends with --int8-ends" in advice.message
