import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.sim.trace import NO_STALLS, PATTERN, Stalls


def test_pauses_come_as_often_as_asked_for_and_the_same_for_one_seed():
    stalls = Stalls(idle=0.2, busy=0.7, seed=3)
    idle, busy = stalls.idle_cycles(), stalls.busy_cycles()
    assert len(idle) == len(busy) == PATTERN
    assert abs(idle.mean() - 0.2) < 0.05
    assert abs(busy.mean() - 0.7) < 0.05
    assert np.array_equal(idle, stalls.idle_cycles())
    assert not np.array_equal(idle, Stalls(idle=0.2, seed=4).idle_cycles())
    assert not np.array_equal(idle, Stalls(busy=0.2, seed=3).busy_cycles())


def test_no_stalls_are_no_pauses():
    assert not NO_STALLS.idle_cycles().any()
    assert not NO_STALLS.busy_cycles().any()


def test_a_host_that_nearly_always_pauses_moves_now_and_then():
    stalls = Stalls(idle=1 - 1e-12, busy=1 - 1e-12)
    assert (~stalls.idle_cycles()).sum() == (~stalls.busy_cycles()).sum() == 1


@pytest.mark.parametrize("name", ["idle", "busy"])
@pytest.mark.parametrize("chance", [-0.1, 1.0])
def test_a_host_that_never_moves_is_refused(name, chance):
    with pytest.raises(HwquantError, match=f"the chance {name} of a stall must be 0 or more and below 1"):
        Stalls(**{name: chance})
