"""No word that matters is read in the cycle that writes it: memories say so, and synthesis believes them."""

import re
import shutil

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.program.compiler import compile_network
from hwquant.random_networks import random_inputs, random_qgraph
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.verilog import APART, to_rtlil, to_verilog
from hwquant.sim.check import verify

needs_icarus = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")


def network():
    """Depthwise taps, a pool, a residual addition, and several blocks of columns and pixels."""
    net = Net(x=(4, 9, 9))
    first = net.conv("x", 4, (3, 3), groups=4, padding=(1, 1, 1, 1), offset=5)
    second = net.layer(net.term(first, 8, (3, 3), padding=(1, 1, 1, 1)), net.term("x", 8))
    net.conv(net.pool(second, (3, 3)), 6, (2, 2), offset=-3)
    return net.build()


def collide(qgraph, q, array, **options):
    program = compile_network(qgraph, array, **options)
    text = to_verilog(accelerator(program), show_collisions=True)
    assert "'hx" in text.partition("endmodule")[0] or "xxxx" in text
    result = verify(program, qgraph, q, simulator="icarus", watch=len(next(iter(q.values()))), verilog=text)
    assert result.mismatches == 0, result.first


@needs_icarus
@pytest.mark.parametrize("array", [(4, 4), (2, 3)])
def test_words_that_are_read_and_written_at_once_are_never_used(array):
    qgraph = network()
    collide(qgraph, images(qgraph, 2), array)


@needs_icarus
@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(40))
def test_in_random_networks_neither(seed):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng)
    collide(qgraph, random_inputs(rng, qgraph, 2), [(4, 4), (2, 3), (5, 2), (8, 8)][seed % 4])


def test_synthesis_and_users_are_told():
    program = compile_network(network(), (4, 4))
    told = re.findall(r"COLLISION_X_MASK \d+'(\d+)", to_rtlil(accelerator(program)))
    verilog = to_verilog(accelerator(program))
    assert told.count("1") == len(re.findall(rf'\(\* {APART}, rw_addr_collision = "no" \*\)', verilog)) >= 2
    assert "xxxx" not in verilog
