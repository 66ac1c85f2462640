"""An accelerator whose multipliers are blocks of a device computes what the golden model does."""

import shutil
from pathlib import Path

import hwquant_testing
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.program.compiler import compile_network
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.dsp import PLATFORMS
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim.check import verify

MODEL = Path(next(iter(hwquant_testing.__path__))) / "mult18x18d.v"


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize(("array", "offset"), [((4, 3), "edge"), ((3, 4), "sum"), ((9, 3), "none")])
def test_ecp5_multipliers_with_their_registers(array, offset):
    net = Net(x=(5, 5, 4))
    net.conv("x", 6, (2, 2), offset=0 if offset == "none" else 3)
    net.conv("layer0", 6, (3, 3), groups=6, padding=(1, 1, 1, 1))
    net.conv("layer1", 4, (4, 3))
    qgraph = net.build()
    program = compile_network(qgraph, array, offset=offset)
    verilog = to_verilog(accelerator(program), platform=PLATFORMS["ecp5"])
    # One for each processing element; the sum column's single one is left to synthesis.
    assert "MULT18X18D #(" in verilog
    verilog += MODEL.read_text()
    result = verify(program, qgraph, images(qgraph, 3), simulator="icarus", watch=3, verilog=verilog)
    assert result.first is None, str(result.first)
    assert (result.samples, result.mismatches) == (3, 0)
