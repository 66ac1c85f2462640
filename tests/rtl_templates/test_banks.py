"""Banks of a memory: all of its words, each once, whatever its depth."""

import shutil

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, Out
from hwquant_testing.clocked import trace

from hwquant.program.compiler import compile_network
from hwquant.random_networks import random_inputs, random_qgraph
from hwquant.rtl_templates import banks
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim.check import verify


class Rom(Component):
    """A memory that is only read."""

    def __init__(self, init):
        self.init = init
        super().__init__({"address": In(10), "advance": In(1), "word": Out(9)})

    def elaborate(self, platform):
        m = Module()
        address = self.address[: max(1, (len(self.init) - 1).bit_length())]
        m.d.comb += self.word.eq(banks.read_only(m, 9, len(self.init), self.init, address, self.advance))
        return m


@pytest.mark.parametrize("depth", [2, 3, 8, 9, 11, 12, 13, 16, 17, 24, 25, 28, 29, 30, 32, 100])
def test_each_word_is_in_one_bank_and_read_from_there(depth, monkeypatch):
    monkeypatch.setattr(banks, "BANK", 16)
    parts = banks.banks(depth)
    assert [bank.start for bank in parts] == [
        sum(item.depth for item in parts[:n]) for n in range(len(parts))
    ]
    assert sum(bank.depth for bank in parts) == depth
    rng = np.random.default_rng(depth)
    init = rng.integers(0, 512, depth).tolist()
    addresses, advance = rng.integers(0, depth, 400).tolist(), (rng.random(400) < 0.7).tolist()
    stimulus = [{"address": a, "advance": b} for a, b in zip(addresses, advance)]
    first = second = None
    for cycle, row in enumerate(trace(Rom(init), stimulus, ["word"])):
        assert second is None or row["word"] == second, cycle
        if advance[cycle]:
            first, second = init[addresses[cycle]], first


@pytest.mark.parametrize(
    ("depth", "depths"),
    [
        (1024, [1024]),
        (1025, [1024, 1]),
        (1536, [1024, 512]),
        (1537, [1537]),
        (3100, [2048, 1024, 28]),
        (4960, [2048, 2048, 864]),
        (5632, [2048, 2048, 1024, 512]),
    ],
)
def test_no_bank_is_made_of_rams_that_are_to_be_chosen_from(depth, depths):
    """Of block RAMs of 18 Kbit: 512 x 36, 1024 x 18, 2048 x 9."""
    assert [bank.depth for bank in banks.banks(depth)] == depths


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.nightly)])
def test_networks_in_banks_give_the_same_results_in_the_same_cycles(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng)
    q = random_inputs(rng, qgraph, 2)
    monkeypatch.setattr(banks, "BANK", 8)
    program = compile_network(qgraph, (4, 3))
    text = to_verilog(accelerator(program))
    for memory in ("weights", "sequencer", "parameter_reader"):
        assert f"module hwquant__{memory}" in text
    assert text.count("memory_bank") >= 3
    result = verify(program, qgraph, q, simulator="icarus", watch=2, verilog=text)
    assert (result.samples, result.mismatches) == (2, 0), result.first
