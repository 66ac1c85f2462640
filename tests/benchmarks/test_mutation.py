"""Damaged RTL is found out, and what is no damage is not taken for one."""

import importlib
from pathlib import Path

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out

from hwquant.prove.claims import CLAIMS
from hwquant.prove.harness import Claim, Method

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mutation(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("mutation")


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


def test_an_exact_claim_kills_every_mutant_that_is_none_of_the_same(mutation):
    fates = mutation.damaged_component(claim(exact=True), 30, 1)
    assert len(fates) > 10
    assert {fate.outcome for fate in fates} <= {"claim", "equivalent"}
    assert sum(fate.outcome == "claim" for fate in fates) > 10


def test_a_claim_that_says_less_lets_mutants_survive_and_they_are_told(mutation):
    fates = mutation.damaged_component(claim(exact=False), 30, 1)
    survivors = [fate for fate in fates if fate.outcome == "survived"]
    assert survivors
    assert all("cycle" in fate.reason for fate in survivors)
    assert mutation.summary(fates)["killed"] < mutation.TARGET


def test_the_same_seed_gives_the_same_mutants(mutation):
    (queue,) = (item for item in CLAIMS if item.name == "StreamQueue")
    first = mutation.damaged_component(queue, 6, 3)
    assert [fate.mutant for fate in first] == [
        fate.mutant for fate in mutation.damaged_component(queue, 6, 3)
    ]
    assert {fate.outcome for fate in first} <= {"claim", "equivalent"}
    assert all(fate.mutant.sources[0].startswith("rtl_templates/streams.py:") for fate in first)


@pytest.mark.nightly
def test_a_damaged_core_is_found_out_by_simulation(mutation):
    fates = mutation.damaged_core(mutation.CORES[0], 8, 1)
    assert len(fates) == 8
    assert sum(fate.outcome == "simulation" for fate in fates) >= 4
