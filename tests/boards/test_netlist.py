"""The synthesized accelerator, in cells of the family, computes what the golden model does."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.boards.budget import dsp_budget
from hwquant.boards.device import DEVICES
from hwquant.boards.netlist import netlist
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.sim.check import verify

pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")
needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")

RAM = {"ecp5": "DP16KD", "ice40": "SB_RAM40_4K", "gowin": r"(?:SP|SDP|DP)\w*"}
MULTIPLIER = {"ecp5": "MULT18X18D", "ice40": "SB_MAC16", "gowin": "MULT9X9"}


def instances(verilog, pattern):
    """Cells of the accelerator; the models come behind it."""
    return len(re.findall(rf"^  (?:{pattern}) ", verilog.partition("endmodule")[0], re.MULTILINE))


@pytest.fixture(scope="module")
def network():
    """With a depthwise layer, offsets and a pool."""
    net = Net(x=(4, 6, 6))
    net.conv("x", 4, (3, 3), groups=4, padding=(1, 1, 1, 1), offset=5)
    net.pool("layer0", (2, 2))
    net.conv("pool1", 3, (2, 2), offset=-3)
    return net.build()


def compiled(network, offset="edge"):
    """For an array of 4x2, and an activation memory that is worth block RAM."""
    config = compile_network(network, (4, 2), offset=offset).config
    return compile_network(network, (4, 2), config=replace(config, activation_depth=1024))


@pytest.fixture(scope="module")
def ecp5_netlist(network):
    return netlist(compiled(network), DEVICES["lfe5u-25f"])


@needs_icarus
@pytest.mark.parametrize(
    ("name", "offset", "multipliers"),
    [
        ("lfe5u-25f", "edge", None),
        ("gw1nr-9", "edge", None),
        ("ice40up5k", "edge", None),
        pytest.param("ice40up5k", "sum", 9, marks=pytest.mark.nightly),
        # Elements share DSP blocks, or multiply with look-up tables, where there are too few.
        ("ice40up5k", "sum", 5),
        pytest.param("ice40up5k", "edge", 6, marks=pytest.mark.nightly),
        pytest.param("lfe5u-25f", "edge", 6, marks=pytest.mark.nightly),
        pytest.param("lfe5u-25f", "sum", 3, marks=pytest.mark.nightly),
        pytest.param("gw2ar-18", "edge", 2, marks=pytest.mark.nightly),
    ],
)
def test_a_netlist_equals_the_golden_model(network, ecp5_netlist, name, offset, multipliers):
    device = DEVICES[name]
    if multipliers is not None:
        device = replace(device, multipliers=multipliers)
    program = compiled(network, offset)
    plain = (name, offset, multipliers) == ("lfe5u-25f", "edge", None)
    verilog = ecp5_netlist if plain else netlist(program, device)
    assert instances(verilog, RAM[device.family.name]) > 1
    available = 8 if multipliers is None else multipliers * (2 if device.family.dsp.half else 1)
    assert instances(verilog, MULTIPLIER[device.family.name]) == min(8 + (offset == "sum"), available)
    assert dsp_budget(program.config, device).pairs == {3: 2, 5: 4, 6: 2}.get(multipliers, 0)
    result = verify(program, network, images(network, 2), simulator="icarus", watch=2, verilog=verilog)
    assert result.first is None, str(result.first)
    assert (result.samples, result.mismatches) == (2, 0)


@needs_icarus
@pytest.mark.nightly
@pytest.mark.parametrize("name", ["lfe5u-25f", "gw1nr-9", "ice40up5k"])
@pytest.mark.parametrize(
    "last", [{}, {"bits": 2}, {"offset": 3, "groups": 2}], ids=["ternary", "2 bits", "both"]
)
def test_a_netlist_of_odd_weights_equals_the_golden_model(name, last):
    """Without multipliers where all weights are -1 or 1; else with a 1 that is appended in the array, or before it."""
    net = Net(x=(4, 5, 5))
    first = net.conv("x", 4, (2, 2), bits=1, step=2, offset=1)
    net.conv(first, 4, (2, 2), **{"bits": 1, "step": 2, "offset": 1} | last)
    qgraph = net.build()
    program = compile_network(qgraph, (4, 2))
    assert program.config.odd_weights == ("some" if "groups" in last else "all")
    assert program.config.ternary == (not last)
    verilog = netlist(program, DEVICES[name])
    if program.config.ternary:
        assert instances(verilog, MULTIPLIER[DEVICES[name].family.name]) == 0
    result = verify(program, qgraph, images(qgraph, 2), simulator="icarus", watch=2, verilog=verilog)
    assert result.first is None, str(result.first)


@needs_icarus
def test_a_netlist_whose_multipliers_lack_registers_differs(network, ecp5_netlist):
    program = compiled(network)
    register = '.REG_INPUTA_CLK("CLK0")'
    assert ecp5_netlist.count(register) == 8
    verilog = ecp5_netlist.replace(register, '.REG_INPUTA_CLK("NONE")')
    result = verify(program, network, images(network, 1), simulator="icarus", watch=1, verilog=verilog)
    assert result.mismatches == 1


@needs_icarus
@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["lfe5u-25f", "gw1nr-9", "ice40up5k"])
def test_netlists_of_random_networks(name, seed):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, Features(multiplier=seed % 2 == 1, size=(3, 7)))
    array = [(2, 2), (4, 3), (3, 4)][seed % 3]
    program = compile_network(qgraph, array, offset=["edge", "sum"][seed // 3])
    verilog = netlist(program, DEVICES[name])
    inputs = random_inputs(rng, qgraph, 3)
    result = verify(program, qgraph, inputs, simulator="icarus", watch=3, verilog=verilog)
    assert result.first is None, str(result.first)
    assert (result.samples, result.mismatches) == (3, 0)


def test_a_family_without_models_is_named(network):
    with pytest.raises(
        HwquantError, match="no cell models for xc7a35t; choose a device of the families ecp5, "
    ):
        netlist(compile_network(network, (4, 2)), DEVICES["xc7a35t"])
