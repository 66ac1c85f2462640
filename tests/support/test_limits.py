"""The limits themselves: each is noticed, and what is within them goes through."""

import pytest
from hwquant_testing.limits import LimitExceeded, attempt, limited

from hwquant.errors import Damaged, HwquantError


def test_a_value_and_a_refusal_come_back_and_a_crash_goes_through():
    assert attempt(int, "12") == 12

    def refuse():
        raise Damaged("no")

    refusal = attempt(refuse)
    assert isinstance(refusal, HwquantError)
    assert refusal.kind == "damaged"
    with pytest.raises(ValueError, match="invalid literal"):
        attempt(int, "twelve")


def _spin():
    while True:
        pass


def test_endless_work_is_stopped():
    with pytest.raises(LimitExceeded, match="processor time"), limited(seconds=0.05):
        _spin()


def test_slow_compiled_work_is_noticed_afterwards():
    with pytest.raises(LimitExceeded, match="processor time"), limited(seconds=0.01):
        sum(range(10_000_000))


def test_memory_beyond_the_limit_is_noticed_although_it_was_given_back():
    with pytest.raises(LimitExceeded, match="of memory"), limited(memory=50 << 20):
        bytearray(b"\1") * (80 << 20)


def test_an_allocation_that_no_machine_has_is_stopped():
    with pytest.raises(LimitExceeded, match="asked for"), limited(memory=50 << 20):
        bytearray(1 << 40)
