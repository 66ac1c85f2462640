"""The synthesized accelerator, in cells of the family, computes what the golden model does."""

import shutil

import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.boards.device import DEVICES
from hwquant.boards.netlist import netlist
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.sim.check import verify

pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")


@pytest.fixture
def network():
    net = Net(x=(4, 4, 4))
    net.conv("x", 3, (2, 2), offset=5)
    net.conv("layer0", 5, (3, 3))
    return net.build()


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize("offset", ["edge", "sum"])
def test_an_ice40_netlist_equals_the_golden_model(network, offset):
    """With DSP blocks that hold a multiplier and the adder of a column: Yosys must not lose one."""
    program = compile_network(network, (4, 2), offset=offset)
    verilog = netlist(program, DEVICES["ice40up5k"])
    multipliers = 4 * 2 + (offset == "sum")
    assert verilog.partition("endmodule")[0].count("SB_MAC16 #(") == multipliers
    result = verify(program, network, images(network, 3), simulator="icarus", watch=3, verilog=verilog)
    assert result.first is None, str(result.first)
    assert (result.samples, result.mismatches) == (3, 0)


def test_a_family_without_models_is_named(network):
    with pytest.raises(HwquantError, match="no cell models for xc7a35t; choose one of ice40"):
        netlist(compile_network(network, (4, 2)), DEVICES["xc7a35t"])
