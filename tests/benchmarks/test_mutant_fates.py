"""Damaged RTL is found out, and what is no damage is not taken for one."""

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out

from hwquant.errors import HwquantError
from hwquant.prove.claims import CLAIMS
from hwquant.prove.harness import Claim, Method


@pytest.fixture
def judge(benchmark_module):
    return benchmark_module("mutant_fates")


class Gate(Component):
    """A register behind a gate, and another register that nothing needs."""

    def __init__(self):
        super().__init__({"a": In(1), "b": In(1), "y": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.y.eq(self.a & self.b)
        return m


def claim(exact):
    def build(harness):
        dut = harness.component(Gate())
        both = harness.before(dut.a & dut.b)
        harness.always((dut.y == both) if exact else (~dut.y | harness.before(dut.a)))

    return Claim("Gate", "something", build, Method.INDUCTION, 2)


def test_an_exact_claim_kills_every_mutant_that_is_none_of_the_same(judge):
    fates = judge.damaged_component(claim(exact=True), 30, 1, cores=())
    assert len(fates) > 10
    assert {fate.outcome for fate in fates} <= {"claim", "equivalent"}
    assert sum(fate.outcome == "claim" for fate in fates) > 10


def test_a_claim_that_says_less_lets_mutants_survive_and_they_are_told(judge):
    fates = judge.damaged_component(claim(exact=False), 30, 1, cores=())
    survivors = [fate for fate in fates if fate.outcome == "survived"]
    assert survivors
    assert all("cycle" in fate.reason for fate in survivors)


def test_all_claims_of_a_component_are_asked(judge):
    loose, exact = claim(exact=False), claim(exact=True)
    fates = judge.damaged_component(loose, 30, 1, (loose, exact, *CLAIMS[:1]), ())
    assert {fate.outcome for fate in fates} <= {"claim", "equivalent"}


def test_complementary_claims_of_the_dispatcher_are_of_one_component(judge):
    of = {item.name: judge.component_of(item) for item in CLAIMS if item.name.startswith("Dispatcher")}
    one = of.pop("Dispatcher: 2x2")
    assert [name for name, other in of.items() if other == one] == ["Dispatcher: starts, 2x2"]


@pytest.mark.parametrize(("found", "holds"), [(True, True), (None, False)])
def test_a_claim_that_is_wrong_without_a_damage_judges_nothing(judge, monkeypatch, found, holds):
    monkeypatch.setattr(judge.ClaimedComponent, "finder", lambda self: lambda mutant: found)
    monkeypatch.setattr(judge, "decided", lambda claim: (None, holds))
    with pytest.raises(HwquantError, match="Gate is refuted without a damage"):
        judge.damaged_component(claim(exact=True), 6, 1, cores=())


def test_a_claim_whose_cycles_are_too_many_to_search_is_proven_instead(judge, monkeypatch):
    right = judge.ClaimedComponent.finder

    def finder(self):
        refuted = right(self)
        return lambda mutant: refuted(mutant) if mutant.number else None

    monkeypatch.setattr(judge.ClaimedComponent, "finder", finder)
    fates = judge.damaged_component(claim(exact=True), 6, 1, cores=())
    assert sum(fate.outcome == "claim" for fate in fates) > 3


@pytest.mark.nightly
def test_survivors_of_claims_are_simulated_in_cores_that_have_the_component(judge):
    (dispatcher,) = (item for item in CLAIMS if item.name == "Dispatcher: 2x2")
    fates = judge.damaged_component(dispatcher, 12, 3, (dispatcher,), ())
    survivors = [judge.Fate(fate.mutant, "survived", "") for fate in fates]
    found = judge.shown_in_cores(judge.CORES[:1], survivors, 1)
    assert [fate.mutant for fate in found] == [fate.mutant for fate in survivors]
    killed = [fate for fate in found if fate.outcome == "simulation"]
    assert killed
    assert all(fate.reason.startswith("in the core 2x2: ") for fate in killed)


def test_mutants_that_no_core_has_stay_what_they_were(judge, monkeypatch):
    monkeypatch.setattr(judge, "MutatedCore", None)  # nothing is simulated
    other = judge.Fate(judge.replace(judge.SOUND, key=("none",)), "survived", "why")
    assert judge.shown_in_cores(judge.CORES[:1], [other], 1) == [other]


def test_the_same_seed_gives_the_same_mutants(judge):
    (queue,) = (item for item in CLAIMS if item.name == "StreamQueue")
    first = judge.damaged_component(queue, 6, 3, cores=())
    assert [fate.mutant for fate in first] == [
        fate.mutant for fate in judge.damaged_component(queue, 6, 3, cores=())
    ]
    assert {fate.outcome for fate in first} <= {"claim", "equivalent"}
    assert all(fate.mutant.sources[0].startswith("rtl_templates/streams.py:") for fate in first)


@pytest.mark.nightly
def test_a_damaged_core_is_found_out_by_simulation(judge):
    fates = judge.damaged_core(judge.CORES[0], 8, 1)
    assert len(fates) == 8
    assert sum(fate.outcome == "simulation" for fate in fates) >= 4
