"""Cores behind their buses, mastered beside them: every tensor, every output and the cycles of every inference."""

import shutil

import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory
from hwquant.regress import Case, evaluate
from hwquant.rtl_templates.axi import AxiAccelerator
from hwquant.rtl_templates.wishbone import WishboneAccelerator
from hwquant.sim.buses import BUSES, behind_bus
from hwquant.sim.trace import Stalls

HEAVY = Stalls(0.9, 0.9, seed=2)
BUSY = [bus for bus in BUSES if bus != "stream"]


def network(channels=6):
    net = Net(x=(2, 4, 4))
    first = net.conv("x", 3, (3, 3))
    return net.build(first, net.conv(first, channels))


def case(bus, array=(2, 2), qgraph=None, **options):
    qgraph = qgraph or network()
    return Case("small", qgraph, images(qgraph, 3), array, bus=bus, **{"simulator": "amaranth"} | options)


@pytest.mark.parametrize("stalls", [None, Stalls(0.3, 0.4, seed=1), HEAVY])
@pytest.mark.parametrize(
    ("bus", "array", "memory"),
    [
        ("axi", (2, 2), None),
        ("axi", (5, 3), ExternalMemory(32)),
        ("wishbone", (2, 2), None),
        ("wishbone", (5, 7), None),  # words of several parts
    ],
)
def test_a_core_behind_a_bus_gives_every_value_and_takes_the_predicted_cycles(bus, array, memory, stalls):
    outcome = evaluate(case(bus, array, memory=memory, stalls=stalls))
    assert (outcome.status, outcome.message) == ("passed", "")
    assert outcome.coverage[f"bus {bus}"] == 1


@pytest.mark.parametrize("bus", BUSY)
@pytest.mark.parametrize(("array", "stalls"), [((2, 3, 2), HEAVY), ((6, 6), None)])
def test_several_arrays_and_wide_words_are_behind_buses(bus, array, stalls):
    outcome = evaluate(case(bus, array, network(13), stalls=stalls))
    assert (outcome.status, outcome.message) == ("passed", "")


@pytest.mark.one_in(2)
@pytest.mark.parametrize("bus", BUSY)
@pytest.mark.parametrize("simulator", ["icarus", "verilator", "cxxrtl"])
def test_every_simulator_takes_them(bus, simulator):
    if shutil.which({"icarus": "iverilog"}.get(simulator, "g++")) is None:
        pytest.skip(f"what {simulator} needs is not installed")
    outcome = evaluate(case(bus, simulator=simulator, stalls=Stalls(0.2, 0.2, seed=3)))
    assert (outcome.status, outcome.message) == ("passed", "")


@pytest.mark.parametrize(
    ("core", "domain", "stuck", "message"),
    [
        (AxiAccelerator, "comb", lambda core: core.m_axis_tdata[0], "expected 127, got 126"),
        (AxiAccelerator, "sync", lambda core: core.s_axi_rdata[3], "sample 0: inference: expected"),
        (AxiAccelerator, "sync", lambda core: core.s_axi_rvalid, "sample 0: no result"),
        (
            AxiAccelerator,
            "comb",
            lambda core: core.accelerator.frames.payload.data[0],
            "sample 0, layer 'layer0'",
        ),
        (WishboneAccelerator, "sync", lambda core: core.dat_r[0], "expected 127, got 126"),
        (WishboneAccelerator, "sync", lambda core: core.ack, "got no write"),
    ],
)
def test_a_fault_of_the_bus_is_found(monkeypatch, core, domain, stuck, message):
    right = core.elaborate

    def wrong(self, platform):
        m = right(self, platform)
        m.d[domain] += stuck(self).eq(0)
        return m

    monkeypatch.setattr(core, "elaborate", wrong)
    outcome = evaluate(case("axi" if core is AxiAccelerator else "wishbone"))
    assert outcome.status == "failed"
    assert message in outcome.message


def test_a_bus_that_there_is_not_is_refused():
    program = compile_network(network(), (2, 2))
    with pytest.raises(HwquantError, match="there is no bus 'pci'; choose one of axi, wishbone, stream"):
        behind_bus(program, "pci")
    assert behind_bus(program, "stream") is None
