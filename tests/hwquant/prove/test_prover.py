"""The prover says no where a claim is false, in whatever way it is asked."""

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out

from hwquant.prove.harness import Claim, Harness, Method
from hwquant.prove.prover import prove


class Count(Component):
    """A counter that skips 13."""

    def __init__(self):
        super().__init__({"enable": In(1), "count": Out(4, init=2)})

    def elaborate(self, platform):
        m = Module()
        with m.If(self.enable):
            m.d.sync += self.count.eq(self.count + 1)
            with m.If(self.count == 12):
                m.d.sync += self.count.eq(14)
        return m


def claim(build, method, depth=3):
    return prove(Claim("Count", "something", build, method, depth))


def never(value):
    def build(harness):
        dut = harness.component(Count())
        harness.always(dut.count != value)

    return build


@pytest.mark.parametrize("method", [Method.INDUCTION, Method.REACHABILITY])
def test_what_is_never_reached_is_proven_and_damage_is_found_out(method):
    proof = claim(never(13), method)
    assert proof.counts
    assert proof.unbounded
    assert proof.damaged == 1


@pytest.mark.parametrize("method", [Method.INDUCTION, Method.REACHABILITY])
def test_what_is_reached_after_many_cycles_is_not_proven(method):
    assert not claim(never(11), method).holds


def test_a_bound_says_that_it_is_one():
    proof = claim(never(11), Method.BOUNDED)
    assert proof.holds
    assert not proof.unbounded
    assert not claim(never(11), Method.BOUNDED, depth=10).holds


def test_without_an_input_that_is_possible_nothing_counts():
    def build(harness):
        dut = harness.component(Count())
        harness.assume(dut.count == 0)
        harness.always(dut.count == 0)

    proof = claim(build, Method.INDUCTION)
    assert proof.holds
    assert proof.undetected == ("dut.count",)
    assert not proof.counts


def test_inputs_that_do_not_exist_are_refused():
    harness = Harness()
    with pytest.raises(ValueError, match="the component has no inputs enabled"):
        harness.component(Count(), enabled=1)
    harness.rtlil()


def test_registers_to_leave_aside_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"the component has no registers dut\.other"):
        prove(Claim("Count", "something", never(13), Method.BOUNDED, 1, aside=("other",)))


def test_registers_that_do_not_exist_are_refused():
    def build(harness):
        harness.component(Count())
        harness.always(harness.inside("deeper.count", 4) == 0)

    with pytest.raises(ValueError, match="the component has no submodule deeper"):
        claim(build, Method.INDUCTION)
