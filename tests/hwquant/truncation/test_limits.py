"""Parity as a test: what misses a limit is named, what is exact keeps all of them."""

import pytest

from hwquant.errors import HwquantError
from hwquant.truncation.limits import Miss, ParityLimits, check_parity
from hwquant.truncation.parity import Error, LayerParity, OperatorParity, ParityReport

EXACT, GOOD, FAIR, BAD, LOST = (
    Error(0, 0, None),
    Error(1, 1, 40.0),
    Error(1, 1, 20.0),
    Error(1, 1, 3.0),
    Error(1, 1, None),
)


def report(errors, output=GOOD, accuracy=None, real=None):
    operators = tuple(
        OperatorParity(f"op{index}", "convolution", error) for index, error in enumerate(errors)
    )
    return ParityReport("int8", 10, operators, (LayerParity("b", ("b",), output, output, accuracy),), real)


def test_no_limit_is_kept_by_anything():
    assert check_parity(report([BAD, LOST], LOST, 0.1, 0.9), ParityLimits()) == ()


def test_every_operator_and_the_output_below_the_limit_are_named_in_order():
    missed = check_parity(report([BAD, EXACT, FAIR, LOST, GOOD], BAD), ParityLimits(min_sqnr=20))
    assert missed == (
        Miss("operator", "op0", 3.0, 20),
        Miss("operator", "op3", None, 20),
        Miss("output", "", 3.0, 20),
    )
    assert [str(item) for item in missed] == [
        "operator 'op0' alone has a signal to noise ratio of 3.0 dB, less than 20 dB",
        "operator 'op3' alone has errors and no signal, less than 20 dB",
        "the output of the network has a signal to noise ratio of 3.0 dB, less than 20 dB",
    ]


@pytest.mark.parametrize("lost", range(1, 100, 7))
def test_a_drop_of_exactly_what_is_allowed_is_kept(lost):
    found = report([], accuracy=(100 - lost) / 100, real=1.0)
    assert check_parity(found, ParityLimits(max_drop=lost)) == ()
    (missed,) = check_parity(found, ParityLimits(max_drop=lost - 0.01))
    assert (missed.what, missed.name, missed.value) == ("accuracy", "", pytest.approx(lost))
    assert f"loses {lost:.2f} points of accuracy, more than {lost - 0.01:g}" in str(missed)
    assert check_parity(report([], accuracy=0.9, real=0.8), ParityLimits(max_drop=0)) == ()


def test_a_limit_on_accuracy_needs_labels_and_limits_are_checked():
    with pytest.raises(HwquantError, match="max_drop is about accuracy, which needs labels"):
        check_parity(report([GOOD]), ParityLimits(max_drop=1))
    with pytest.raises(HwquantError, match="max_drop must be from 0 to 100 points, not 101"):
        ParityLimits(max_drop=101)
    with pytest.raises(HwquantError, match="min_sqnr must be a number of at least 0, not -1"):
        ParityLimits(min_sqnr=-1)
