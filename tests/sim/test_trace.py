from itertools import islice

import pytest

from hwquant.errors import HwquantError
from hwquant.sim.trace import NO_STALLS, Stalls


def test_pauses_come_as_often_as_asked_for_and_the_same_for_one_seed():
    stalls = Stalls(idle=0.2, busy=0.7, seed=3)
    idle, busy = list(islice(stalls.idle_cycles(), 5000)), list(islice(stalls.busy_cycles(), 5000))
    assert abs(sum(idle) / 5000 - 0.2) < 0.03
    assert abs(sum(busy) / 5000 - 0.7) < 0.03
    assert idle == list(islice(stalls.idle_cycles(), 5000))
    assert idle != list(islice(Stalls(idle=0.2, seed=4).idle_cycles(), 5000))


def test_no_stalls_are_none():
    assert not any(islice(NO_STALLS.idle_cycles(), 3000))
    assert not any(islice(NO_STALLS.busy_cycles(), 3000))


@pytest.mark.parametrize("name", ["idle", "busy"])
@pytest.mark.parametrize("chance", [-0.1, 1.0])
def test_a_host_that_never_moves_is_refused(name, chance):
    with pytest.raises(HwquantError, match=f"the chance {name} of a stall must be 0 or more and below 1"):
        Stalls(**{name: chance})
