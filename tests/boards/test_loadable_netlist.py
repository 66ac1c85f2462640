"""A core whose weights are in UP5K's large RAM, as Verilog and as a netlist, computes what the golden model does."""

import shutil

import pytest
from hwquant_testing.self_loading import SelfLoading
from hwquant_testing.small_networks import Net, images

from hwquant.boards.device import DEVICES
from hwquant.boards.netlist import netlist
from hwquant.program.compiler import compile_network
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim.check import verify

pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")


@pytest.fixture(scope="module")
def network():
    net = Net(x=(4, 4, 4))
    net.conv("x", 3, (2, 2), offset=5)
    net.conv("layer0", 5, (3, 3))
    return net.build()


@pytest.fixture(scope="module")
def program(network):
    return compile_network(network, (2, 2))


def check(program, network, verilog):
    """Results, everything that is written, and the number of cycles."""
    result = verify(program, network, images(network, 3), simulator="icarus", watch=3, verilog=verilog)
    assert result.first is None, str(result.first)
    assert (result.samples, result.mismatches) == (3, 0)


def test_a_loaded_core_equals_the_golden_model_in_the_same_cycles(network, program):
    check(program, network, to_verilog(SelfLoading(program), "hwquant"))


@pytest.mark.nightly
def test_a_netlist_with_large_ram_equals_the_golden_model(network, program):
    pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")
    verilog = netlist(program, DEVICES["ice40up5k"], SelfLoading(program))
    assert verilog.partition("endmodule")[0].count("SB_SPRAM256KA ") == 1
    check(program, network, verilog)
